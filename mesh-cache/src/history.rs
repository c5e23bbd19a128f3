//! What this process was told of changes, for values that their origins had known for a while already.
//!
//! Decides whether a value may be older than a change. A [`Fence`](crate::fence::Fence) knows what changed while a load was
//! under way; what an origin read from a cache of its own may have been true long before the load began.

use std::collections::VecDeque;

use mesh_core::time::Instant;

use crate::key::{Mark, Marks};

/// The latest invalidations, by when they were told.
#[derive(Clone, Debug)]
pub(crate) struct History {
    told: VecDeque<(Instant, Mark)>,
    /// The latest of those that are forgotten.
    forgotten: Option<Instant>,
    count_max: usize,
}

impl History {
    /// One that remembers `count_max` invalidations; of what is older than those that it forgot it knows nothing good.
    pub(crate) const fn new(count_max: usize) -> Self {
        Self { told: VecDeque::new(), forgotten: None, count_max }
    }

    /// Everything that has `mark` changed, as was told at `now`.
    pub(crate) fn note(&mut self, mark: Mark, now: Instant) {
        if self.told.len() >= self.count_max
            && let Some((then, _)) = self.told.pop_front()
        {
            self.forgotten = Some(then);
        }
        // Two who read the clock at once may come in the other order.
        let now = self.told.back().map_or(now, |(latest, _)| now.max(*latest));
        self.told.push_back((now, mark));
    }

    /// Whether nothing that has one of `marks` is known to have changed at `as_of` or later.
    pub(crate) fn admits(&self, as_of: Instant, marks: &Marks) -> bool {
        let later = self.told.partition_point(|(told, _)| *told < as_of);
        self.forgotten.is_none_or(|forgotten| forgotten < as_of)
            && !self.told.iter().skip(later).any(|(_, mark)| marks.contain(*mark))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clocks_that_are_read_in_the_other_order_hide_nothing() {
        let at = |second| Instant::ZERO + Duration::from_secs(second);
        let (mark, marks) = (Mark::from_bits(7), Marks::none().with([Mark::from_bits(7)]));
        let mut history = History::new(2);
        history.note(Mark::from_bits(1), at(5));
        history.note(mark, at(4));
        assert!(!history.admits(at(5), &marks) && history.admits(at(6), &marks));
        history.note(Mark::from_bits(1), at(8));
        assert!(!history.admits(at(5), &Marks::none()), "what is forgotten may have been it");
        assert!(history.admits(at(6), &marks));
    }
}
