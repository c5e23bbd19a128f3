//! How long entries are fresh, stale and kept.

use std::time::Duration;

use mesh_core::rng::scale;
use mesh_core::service::ConfigError;
use mesh_core::time::saturating_nanos;

/// The ages at which an entry of one class turns from fresh to stale, and is thrown away.
///
/// An entry is *fresh* for `fresh`, then *stale* for `stale` (served, while one load renews it; RFC 5861's
/// `stale-while-revalidate`), then kept for `stale_on_error` (served when the load that is to renew it fails; RFC 5861's
/// `stale-if-error`), then gone. Counted is the age that it had at its origin, and not how long it was on its way: where
/// loads take longer than entries are fresh, they are fresh all the same.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Lifetimes {
    /// How long an entry is served without a second thought; 30 s.
    #[serde(with = "mesh_core::text::duration")]
    pub fresh: Duration,
    /// How long it is served after that while it is being renewed; 5 min.
    #[serde(with = "mesh_core::text::duration")]
    pub stale: Duration,
    /// How long it is served after that if it cannot be renewed; 3 days, as Consul's agents keep theirs.
    #[serde(with = "mesh_core::text::duration")]
    pub stale_on_error: Duration,
    /// How long it is believed that there is nothing; 5 s, at most 30 s. 0 never keeps an absence.
    #[serde(with = "mesh_core::text::duration")]
    pub absent: Duration,
    /// By how many per cent at most `fresh` is shortened at random, lest what was loaded at once expires at once; 10.
    pub jitter_percent: u8,
}

impl Lifetimes {
    /// The most that each of them may be: 366 days.
    pub const LONGEST: Duration = Duration::from_secs(366 * 86_400);

    /// For lists of instances: fresh for 30 s (as Eureka and Spring's load balancer), kept for 3 days (as Consul).
    #[must_use]
    pub const fn discovery() -> Self {
        Self {
            fresh: Duration::from_secs(30),
            stale: Duration::from_secs(300),
            stale_on_error: Duration::from_secs(259_200),
            absent: Duration::from_secs(5),
            jitter_percent: 10,
        }
    }

    /// For what is known of an instance's health: fresh for 5 s, and unknown a minute and a quarter later.
    #[must_use]
    pub const fn health() -> Self {
        Self {
            fresh: Duration::from_secs(5),
            stale: Duration::from_secs(10),
            stale_on_error: Duration::from_secs(60),
            absent: Duration::from_secs(1),
            jitter_percent: 10,
        }
    }

    /// Fresh for `fresh`, never stale, then gone: what other caches call a TTL.
    #[must_use]
    pub const fn ttl(fresh: Duration) -> Self {
        Self { fresh, stale: Duration::ZERO, stale_on_error: Duration::ZERO, absent: Duration::ZERO, jitter_percent: 0 }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first that breaks its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let seconds = |duration: Duration| format!("{duration:?}");
        if self.fresh.is_zero() {
            return Err(ConfigError::new("fresh", "0s", "must be longer than zero"));
        }
        if self.absent > ABSENT_MAX {
            return Err(ConfigError::new("absent", seconds(self.absent), "must be at most 30 s"));
        }
        for (field, value) in [("fresh", self.fresh), ("stale", self.stale), ("stale_on_error", self.stale_on_error)] {
            if value > Self::LONGEST {
                return Err(ConfigError::new(field, seconds(value), "must be at most 366 days"));
            }
        }
        if self.jitter_percent > JITTER_PERCENT_MAX {
            return Err(ConfigError::new("jitter_percent", self.jitter_percent, "must be at most 50"));
        }
        Ok(())
    }

    /// The same within the bounds that [`Lifetimes::validate`] has, but that `fresh` may be zero: such a value is not kept
    /// as fresh.
    pub(crate) fn clamped(self) -> Self {
        Self {
            fresh: self.fresh.min(Self::LONGEST),
            stale: self.stale.min(Self::LONGEST),
            stale_on_error: self.stale_on_error.min(Self::LONGEST),
            absent: self.absent.min(ABSENT_MAX),
            jitter_percent: self.jitter_percent.min(JITTER_PERCENT_MAX),
        }
    }

    /// How long a value is served at most.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.fresh.saturating_add(self.stale).saturating_add(self.stale_on_error)
    }

    /// `fresh`, shortened at random.
    pub(crate) fn jittered(&self, entropy: u64) -> Duration {
        let fresh = saturating_nanos(self.fresh);
        let most = (fresh / 100).saturating_mul(u64::from(self.jitter_percent));
        Duration::from_nanos(fresh.saturating_sub(scale(mesh_core::rng::mix(entropy), most.saturating_add(1))))
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self::discovery()
    }
}

const ABSENT_MAX: Duration = Duration::from_secs(30);
const JITTER_PERCENT_MAX: u8 = 50;
