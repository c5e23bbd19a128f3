//! Keys whose loads failed, and until when they are left alone.

use std::collections::BTreeMap;

use mesh_core::rng::Rng;
use mesh_core::time::Instant;

use crate::config::FailureBackoff;
use crate::error::LoadError;
use crate::key::Key;

/// The failures of keys, each until it is loaded or forgotten.
#[derive(Debug)]
pub(crate) struct Failures {
    by_key: BTreeMap<Key, Failure>,
    backoff: FailureBackoff,
    count_max: usize,
    rng: Rng,
}

#[derive(Clone, Debug)]
struct Failure {
    in_a_row: u32,
    until: Instant,
    error: LoadError,
}

impl Failures {
    pub(crate) const fn new(backoff: FailureBackoff, count_max: usize, rng: Rng) -> Self {
        Self { by_key: BTreeMap::new(), backoff, count_max, rng }
    }

    /// Why `key` is left alone at `now`, if it is.
    pub(crate) fn check(&self, key: &Key, now: Instant) -> Option<LoadError> {
        let failure = self.by_key.get(key).filter(|failure| failure.until > now)?;
        Some(failure.error.clone())
    }

    /// The load of `key` failed. Full jitter: the wait is drawn from zero to its bound, which doubles each time.
    pub(crate) fn note(&mut self, key: &Key, now: Instant, error: LoadError) {
        let in_a_row = self.by_key.get(key).map_or(0, |failure| failure.in_a_row).saturating_add(1);
        let until = now + self.rng.up_to(self.backoff.bound(in_a_row));
        let failure = Failure { in_a_row, until, error };
        self.by_key.insert(key.clone(), failure);
        if self.by_key.len() > self.count_max {
            let soonest = self.by_key.iter().min_by_key(|(_, failure)| failure.until).map(|(key, _)| key.clone());
            soonest.map(|key| self.by_key.remove(&key));
        }
    }

    /// The load of `key` succeeded, or what it failed at may be past.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.by_key.remove(key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_forgotten_with_a_success() {
        let mut failures = Failures::new(FailureBackoff::default(), 8, Rng::from_seed(1));
        let key = Key::new("a").unwrap();
        let mut most = Duration::ZERO;
        for count in 1..=40_u32 {
            failures.note(&key, Instant::ZERO, LoadError::Panicked);
            let wait = failures.by_key[&key].until.since(Instant::ZERO);
            let bound =
                Duration::from_millis(100).saturating_mul(1 << (count - 1).min(20)).min(Duration::from_secs(30));
            assert!(wait <= bound, "{wait:?} after {count} failures");
            most = most.max(wait);
        }
        assert!(most > Duration::from_secs(15), "the cap is used: {most:?}");
        failures.forget(&key);
        assert_eq!((failures.check(&key, Instant::ZERO).is_none(), failures.len()), (true, 0));
    }

    #[test]
    fn only_so_many_keys_are_remembered() {
        let mut failures = Failures::new(FailureBackoff::default(), 8, Rng::from_seed(1));
        for number in 0..100 {
            failures.note(&Key::new(format!("k{number}")).unwrap(), Instant::ZERO, LoadError::Panicked);
        }
        assert_eq!(failures.len(), 8);
    }
}
