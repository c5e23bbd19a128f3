//! A server's line: first come, first served.
//!
//! The line is threaded through the attempts themselves, so that it costs no memory of its own. One that is taken back
//! keeps its place until its turn comes, and counts no more; when most of a line is of that kind it is tidied.

use slotmap::{Key as _, SlotMap};

use super::{Attempt, AttemptKey, Place};

/// The attempts that wait at one server.
#[derive(Debug)]
pub(super) struct Queue {
    first: AttemptKey,
    last: AttemptKey,
    waiting: u32,
    left: u32,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { first: AttemptKey::null(), last: AttemptKey::null(), waiting: 0, left: 0 }
    }

    /// How many wait.
    pub(super) const fn len(&self) -> u32 {
        self.waiting
    }

    /// Puts `key`, which must be in no line, at the end.
    pub(super) fn push(&mut self, key: AttemptKey, attempts: &mut SlotMap<AttemptKey, Attempt>) {
        let Some(attempt) = attempts.get_mut(key) else { return };
        (attempt.place, attempt.behind) = (Place::Waiting, AttemptKey::null());
        if self.waiting + self.left == 0 {
            self.first = key;
        } else if let Some(last) = attempts.get_mut(self.last) {
            last.behind = key;
        }
        self.last = key;
        self.waiting += 1;
    }

    /// Takes the first that still waits out, and forgets those before it.
    pub(super) fn pop(&mut self, attempts: &mut SlotMap<AttemptKey, Attempt>) -> Option<AttemptKey> {
        while self.waiting + self.left > 0 {
            let key = self.first;
            let attempt = attempts.get(key)?;
            self.first = attempt.behind;
            if attempt.place == Place::Waiting {
                self.waiting -= 1;
                return Some(key);
            }
            attempts.remove(key);
            self.left -= 1;
        }
        None
    }

    /// Lets `key`, which waits in this line, leave it.
    pub(super) fn leave(&mut self, key: AttemptKey, attempts: &mut SlotMap<AttemptKey, Attempt>) {
        if let Some(attempt) = attempts.get_mut(key) {
            attempt.place = Place::Left;
            self.waiting -= 1;
            self.left += 1;
        }
        if self.left > self.waiting.saturating_add(LEFT_MIN) {
            let stay: Vec<_> = core::iter::from_fn(|| self.pop(attempts)).collect();
            for key in stay {
                self.push(key, attempts);
            }
        }
    }
}

/// Lines are not worth tidying for fewer.
const LEFT_MIN: u32 = 64;
