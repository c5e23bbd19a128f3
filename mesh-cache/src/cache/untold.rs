//! What a second tier has not been told of, until it is.
//!
//! Decides what is not believed of a tier: an entry that is in a scope which this process invalidated while the tier did
//! not answer. Without that the invalidation would be undone by the next load, which finds the old entry there, in good
//! order. The tier is told again until it has heard; a process that ends before that leaves others with what they have
//! until it expires.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::rng::scale;
use mesh_core::time::saturating_nanos;
use tokio::sync::Notify;

use super::Inner;
use crate::key::{Mark, Scope};
use crate::second::Reach;

/// The scopes that the second tier has to be told of.
#[derive(Debug, Default)]
pub(super) struct Untold {
    state: Mutex<State>,
    /// Told when something remains to be told.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Each with the number of its latest invalidation.
    marks: BTreeMap<Mark, (u64, Reach)>,
    count: u64,
}

/// An invalidation of which the second tier is being told. Dropped before it was heard, it is told again.
#[derive(Debug)]
#[must_use = "dropped at once it is left to be told again"]
pub(super) struct Telling<'a> {
    untold: &'a Untold,
    mark: Mark,
    reach: Reach,
    number: u64,
    is_heard: bool,
}

impl Untold {
    /// The scope `mark` was invalidated, and the tier is to be told.
    pub(super) fn begin(&self, mark: Mark, reach: Reach) -> Telling<'_> {
        let mut state = self.state();
        state.count += 1;
        let number = state.count;
        if state.marks.len() >= COUNT_MAX && !state.marks.contains_key(&mark) {
            // Too many to tell apart: then nothing that the tier has is believed.
            state.marks.clear();
            state.marks.insert(Scope::All.mark(), (number, Reach::Many));
        } else {
            state.marks.insert(mark, (number, reach));
        }
        Telling { untold: self, mark, reach, number, is_heard: false }
    }

    /// Whether the tier was not told of one of `marks`.
    pub(super) fn has_any(&self, marks: &[Mark]) -> bool {
        let state = self.state();
        !state.marks.is_empty() && marks.iter().any(|mark| state.marks.contains_key(mark))
    }

    /// The next scope that is to be told of, after the scope `last` in an order that goes round.
    fn next(&self, last: Option<Mark>) -> Option<Telling<'_>> {
        let state = self.state();
        let beyond = last.and_then(|last| state.marks.range((Bound::Excluded(last), Bound::Unbounded)).next());
        let (mark, (number, reach)) = beyond.or_else(|| state.marks.first_key_value()).map(|(at, it)| (*at, *it))?;
        Some(Telling { untold: self, mark, reach, number, is_heard: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telling<'_> {
    /// The tier has heard it.
    pub(super) fn heard(mut self) {
        self.is_heard = true;
        let mut state = self.untold.state();
        // One that came later is still to be told.
        if state.marks.get(&self.mark).is_some_and(|(number, _)| *number <= self.number) {
            state.marks.remove(&self.mark);
        }
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if !self.is_heard {
            self.untold.left.notify_one();
        }
    }
}

/// Tells the second tier of `inner` what it could not be told before, for ever.
pub(super) async fn tell_again<V: Send + Sync + 'static>(inner: Arc<Inner<V>>) {
    let Some(tiered) = &inner.tiered else { return };
    // A scope that cannot be told does not keep the others from it: the next round begins after it.
    let mut last = None;
    loop {
        inner.untold.left.notified().await;
        let nanos = saturating_nanos(WAIT);
        tokio::time::sleep(Duration::from_nanos(nanos / 2 + scale(inner.random(), nanos / 2))).await;
        let mut failed = Vec::new();
        while let Some(telling) = inner.untold.next(last).filter(|telling| !failed.contains(&telling.mark)) {
            last = Some(telling.mark);
            if tiered.tier.invalidate(telling.mark.within(tiered.space), telling.reach).await.is_err() {
                // Dropped, it asks for the next round.
                failed.push(telling.mark);
                if failed.len() == FAILURES_MAX {
                    break;
                }
                continue;
            }
            // A load that looked there before is not to be believed afterwards.
            inner.local.overtake(telling.mark);
            telling.heard();
        }
    }
}

/// After how many scopes that could not be told a round ends.
const FAILURES_MAX: usize = 4;

/// How many scopes are told apart.
const COUNT_MAX: usize = 1_024;

/// After how long at most the tier is told again; at least half of it.
const WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_forgotten_unless_it_happened_again() {
        let untold = Untold::default();
        let mark = Mark::from_bits(7);
        let (first, second) = (untold.begin(mark, Reach::Entry), untold.begin(mark, Reach::Entry));
        first.heard();
        assert!(untold.has_any(&[Mark::from_bits(1), mark]));
        second.heard();
        assert!(!untold.has_any(&[mark]));
        drop(untold.begin(mark, Reach::Many));
        assert_eq!(untold.next(None).map(|telling| telling.mark), Some(mark));
        assert_eq!(untold.next(Some(mark)).map(|telling| telling.mark), Some(mark), "the order goes round");
    }

    #[test]
    fn too_many_to_tell_apart_are_everything() {
        let untold = Untold::default();
        for bits in 0..=COUNT_MAX as u64 {
            drop(untold.begin(Mark::from_bits(bits), Reach::Entry));
        }
        assert_eq!(untold.state().marks.len(), 1);
        assert!(untold.has_any(&[Scope::All.mark()]));
    }
}
