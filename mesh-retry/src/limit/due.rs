//! A time that is to come, for threads to look at.

use core::time::Duration;

use mesh_core::time::{Instant, saturating_nanos};

use crate::sync::{AtomicU64, Ordering};

/// When something is due, and how far away that was when it was set.
///
/// A clock that is set back cannot put it off for long: a time that is more than twice as far away as it ever was has
/// come. A thread whose clock is a little behind does not make it come early.
#[derive(Debug)]
pub(super) struct Due {
    at: AtomicU64,
    within: AtomicU64,
}

impl Due {
    /// Due from the beginning of time.
    pub(super) fn at_once() -> Self {
        Self { at: AtomicU64::new(0), within: AtomicU64::new(0) }
    }

    /// Makes it due `within` from `now`. To be called by one thread at a time.
    pub(super) fn set(&self, now: Instant, within: Duration) {
        self.within.store(saturating_nanos(within), Ordering::Relaxed);
        self.at.store(now.after(within).as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn has_come(&self, now: Instant) -> bool {
        let left = self.at.load(Ordering::Relaxed).saturating_sub(now.as_nanos());
        left == 0 || left > self.within.load(Ordering::Relaxed).saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_at_its_time_and_not_a_nanosecond_before() {
        let due = Due::at_once();
        assert!(due.has_come(Instant::ZERO));
        due.set(Instant::from_millis(1_000), Duration::from_millis(100));
        assert!(!due.has_come(Instant::from_millis(1_100) - Duration::from_nanos(1)));
        assert!(due.has_come(Instant::from_millis(1_100)));
    }

    #[test]
    fn a_clock_that_is_a_little_behind_does_not_make_it_come_and_one_set_back_far_does() {
        let due = Due::at_once();
        due.set(Instant::from_millis(1_000), Duration::from_millis(100));
        assert!(!due.has_come(Instant::from_millis(900)));
        assert!(due.has_come(Instant::from_millis(900) - Duration::from_nanos(1)));
    }
}
