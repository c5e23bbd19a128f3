//! How many keys are written at once: fewer, where the origin does not manage them in time.
//!
//! Without it a sink that writes all of a batch or none, and takes longer than it may, would never get anywhere.

use std::time::Duration;

/// The most keys of the next batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    now: usize,
    max: usize,
}

impl BatchSize {
    /// Begins with `max`, which it never exceeds.
    pub(super) const fn new(max: usize) -> Self {
        Self { now: max, max }
    }

    pub(super) const fn get(self) -> usize {
        self.now
    }

    /// `count` keys were not written in time: the next are half as many.
    pub(super) fn late(&mut self, count: usize) {
        self.now = (count / 2).clamp(1, self.max);
    }

    /// `count` keys were written, and nobody heard anything of them for `silence` at most. Twice as many may be silent
    /// for twice as long; if that is in time too, they are tried.
    pub(super) fn written(&mut self, count: usize, silence: Duration, deadline: Duration) {
        if silence.saturating_mul(2) <= deadline {
            self.now = self.now.max(count.saturating_mul(2)).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_down_to_one_key_and_doubles_where_there_is_time_for_twice_as_many() {
        let (mut size, deadline) = (BatchSize::new(100), Duration::from_secs(5));
        let sizes: Vec<usize> = (0..8)
            .map(|_| {
                size.late(size.get());
                size.get()
            })
            .collect();
        assert_eq!(sizes, [50, 25, 12, 6, 3, 1, 1, 1]);
        size.written(1, Duration::from_millis(2_501), deadline);
        assert_eq!(size.get(), 1);
        for expected in [2, 4, 8, 16, 32, 64, 100, 100] {
            size.written(size.get(), Duration::from_millis(2_500), deadline);
            assert_eq!(size.get(), expected);
        }
        size.written(3, Duration::ZERO, deadline);
        assert_eq!(size.get(), 100, "a small batch says nothing against a large one");
        size.late(1);
        assert_eq!(size.get(), 1);
    }
}
