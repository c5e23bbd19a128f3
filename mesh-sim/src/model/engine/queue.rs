//! A server's line: first come first served, and whoever is taken back leaves it at once.
//!
//! The line is threaded through the attempts themselves, so that it costs no memory of its own and nothing is left
//! behind in it.

use slotmap::{Key as _, SlotMap};

use super::{Attempt, AttemptKey};

/// The attempts that wait at one server.
#[derive(Debug)]
pub(super) struct Queue {
    first: AttemptKey,
    last: AttemptKey,
    len: u32,
}

/// An attempt's neighbours in the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbours {
    before: AttemptKey,
    after: AttemptKey,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { first: AttemptKey::null(), last: AttemptKey::null(), len: 0 }
    }

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// Puts `key`, which must be in no line, at the end.
    pub(super) fn push(&mut self, key: AttemptKey, attempts: &mut SlotMap<AttemptKey, Attempt>) {
        match attempts.get_mut(self.last) {
            Some(last) => last.neighbours.after = key,
            None => self.first = key,
        }
        if let Some(attempt) = attempts.get_mut(key) {
            attempt.neighbours = Neighbours { before: self.last, after: AttemptKey::null() };
        }
        self.last = key;
        self.len += 1;
    }

    /// Takes the first out.
    #[inline]
    pub(super) fn pop(&mut self, attempts: &mut SlotMap<AttemptKey, Attempt>) -> Option<AttemptKey> {
        if self.len == 0 {
            return None;
        }
        let first = self.first;
        self.remove(first, attempts);
        Some(first)
    }

    /// Takes `key`, which must be in this line, out.
    pub(super) fn remove(&mut self, key: AttemptKey, attempts: &mut SlotMap<AttemptKey, Attempt>) {
        let Some(attempt) = attempts.get_mut(key) else { return };
        let Neighbours { before, after } = core::mem::take(&mut attempt.neighbours);
        match attempts.get_mut(before) {
            Some(before) => before.neighbours.after = after,
            None => self.first = after,
        }
        match attempts.get_mut(after) {
            Some(after) => after.neighbours.before = before,
            None => self.last = before,
        }
        self.len -= 1;
    }
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { before: AttemptKey::null(), after: AttemptKey::null() }
    }
}
