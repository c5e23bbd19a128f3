//! The numbers of a registration: how long to wait, how often to try, and when to give up.
//!
//! Every default says why it is what it is; the timings of Consul were measured on version 1.8.7.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::rng::Rng;
use crate::service::{ConfigError, Problems};

/// How a [`RegistrationKeeper`](super::RegistrationKeeper) registers, verifies and takes away.
///
/// [`KeeperConfig::validate`] names what is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct KeeperConfig {
    /// How long the answer to one operation is waited for; 5 s. An agent acknowledges within 10 ms; one that
    /// holds the request because there is no leader (7 s and more) is better asked again.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub operation_timeout: Duration,
    /// How often a first registration or an update is tried; 10, which with the default waits takes about as
    /// long as the deadline.
    pub register_attempts_max: NonZeroU32,
    /// Until when after its beginning a first registration or an update is tried again; 30 s. The election of
    /// a new leader takes 16 s with Consul's default timing.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub register_deadline: Duration,
    /// The waits after transient failures; 200 ms growing to 10 s. A registry that comes back is found within
    /// its cap, and a thousand instances that wait for it ask it a hundred times a second.
    pub retry: Pace,
    /// The wait after a permanent refusal of what once was registered; 30 s. The permissions may be put right,
    /// but a refusal is nothing to hurry about.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub refused_retry: Duration,
    /// How soon an acknowledged registration must be visible; 10 s. Consul's agent acknowledges at once while
    /// there is no leader, and the catalogue follows up to 3 s after there is one.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub visible_within: Duration,
    /// The waits between looks for a registration that is not visible yet; 50 ms growing to 1 s. With a leader
    /// it is visible when it is acknowledged (2 to 4 ms).
    pub poll: Pace,
    /// The time between two verifications of what stands; 15 s. A registry that lost its state is noticed that
    /// late, and Consul's own anti-entropy is no quicker (1 to 2 min).
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub verify_interval: Duration,
    /// How much sooner or later than `verify_interval` a verification may come; 1.5 s. It keeps the instances
    /// of a fleet from verifying, and after a restart of the registry from registering, all at once.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub verify_jitter: Duration,
    /// How long a failed first registration is rolled back for before it is reported as it stands; 5 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub rollback_deadline: Duration,
    /// How long a deregistration is tried for; 5 s, half of what platforms commonly grant a process to stop. As
    /// in a roll-back, one operation may take no more than a third of it, lest one lost answer use it all up.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub deregister_deadline: Duration,
    /// How long after nothing was found a removal looks again, when a registration was left unanswered shortly
    /// before: it may be carried out late; 1 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub settle: Duration,
}

impl KeeperConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Every field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        let mut require = |holds, field, value: Duration, rule| {
            problems.require(holds, field, format_args!("{value:?}"), rule);
        };
        for (field, value) in [
            ("operation_timeout", self.operation_timeout),
            ("register_deadline", self.register_deadline),
            ("refused_retry", self.refused_retry),
            ("visible_within", self.visible_within),
            ("verify_interval", self.verify_interval),
            ("rollback_deadline", self.rollback_deadline),
            ("deregister_deadline", self.deregister_deadline),
            ("settle", self.settle),
            ("retry.first", self.retry.first),
            ("poll.first", self.poll.first),
        ] {
            require((SHORTEST..=LONGEST).contains(&value), field, value, "must be 1ms to 24h");
        }
        for (field, pace) in [("retry.cap", self.retry), ("poll.cap", self.poll)] {
            let holds = (pace.first..=LONGEST).contains(&pace.cap);
            require(holds, field, pace.cap, "must be at least the first wait, and at most 24h");
        }
        let holds = self.verify_jitter <= self.verify_interval / 2;
        require(holds, "verify_jitter", self.verify_jitter, "must be at most half of verify_interval");
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }

    /// The wait until the next verification.
    pub(super) fn until_verification(&self, rng: &mut Rng) -> Duration {
        let earliest = self.verify_interval.saturating_sub(self.verify_jitter);
        earliest.saturating_add(rng.up_to(self.verify_jitter.saturating_mul(2)))
    }
}

impl Default for KeeperConfig {
    fn default() -> Self {
        Self {
            operation_timeout: Duration::from_secs(5),
            register_attempts_max: NonZeroU32::MIN.saturating_add(9),
            register_deadline: Duration::from_secs(30),
            retry: Pace { first: Duration::from_millis(200), cap: Duration::from_secs(10) },
            refused_retry: Duration::from_secs(30),
            visible_within: Duration::from_secs(10),
            poll: Pace { first: Duration::from_millis(50), cap: Duration::from_secs(1) },
            verify_interval: Duration::from_secs(15),
            verify_jitter: Duration::from_millis(1500),
            rollback_deadline: Duration::from_secs(5),
            deregister_deadline: Duration::from_secs(5),
            settle: Duration::from_secs(1),
        }
    }
}

/// Waits that double from `first` up to `cap`, each drawn from the upper half of its ceiling: spread out, yet
/// surely growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Pace {
    /// The ceiling of the first wait; at least 1 ms.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub first: Duration,
    /// What no wait exceeds; at least `first`.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub cap: Duration,
}

/// A sequence of waits at a [`Pace`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacing {
    ceiling: Duration,
    cap: Duration,
}

impl Pacing {
    /// The sequence from its beginning.
    pub(super) const fn new(pace: Pace) -> Self {
        Self { ceiling: pace.first, cap: pace.cap }
    }

    /// The next wait.
    pub(super) fn draw(&mut self, rng: &mut Rng) -> Duration {
        let ceiling = self.ceiling.min(self.cap);
        self.ceiling = ceiling.saturating_mul(2).min(self.cap);
        let half = ceiling / 2;
        half.saturating_add(rng.up_to(ceiling.saturating_sub(half)))
    }
}

/// Shorter would be a busy loop against the registry.
const SHORTEST: Duration = Duration::from_millis(1);
/// Longer would be a registration that nobody keeps.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_never_exceed_the_cap() {
        let mut rng = Rng::from_seed(3);
        let pace = Pace { first: Duration::from_millis(100), cap: Duration::from_millis(1000) };
        let mut pacing = Pacing::new(pace);
        for ceiling in [100, 200, 400, 800, 1000, 1000, 1000] {
            let ceiling = Duration::from_millis(ceiling);
            let wait = pacing.draw(&mut rng);
            assert!((ceiling / 2..=ceiling).contains(&wait), "{wait:?} of {ceiling:?}");
        }
    }

    #[test]
    fn verifications_come_within_the_jitter_of_their_interval() {
        let config = KeeperConfig::default();
        let mut rng = Rng::from_seed(3);
        let waits: Vec<_> = (0..1000).map(|_| config.until_verification(&mut rng)).collect();
        assert!(waits.iter().all(|wait| (13_500..=16_500).contains(&wait.as_millis())));
        assert!(waits.iter().any(|wait| *wait < config.verify_interval));
        assert!(waits.iter().any(|wait| *wait > config.verify_interval));
    }
}
