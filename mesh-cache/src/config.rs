//! The numbers of a cache.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use mesh_core::service::ConfigError;

use crate::lifetimes::Lifetimes;

/// How a cache keeps, renews and loads.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// How long entries are fresh, stale and kept.
    pub lifetimes: Lifetimes,
    /// The most entries; 10,000.
    pub entries_max: NonZeroU32,
    /// The most that the entries may weigh together, in bytes; 64 MiB. An entry weighs its value, as
    /// [`weigh`](crate::CacheBuilder::weigh) says, its key, and 480 bytes for itself.
    pub bytes_max: NonZeroU64,
    /// How eagerly fresh entries are renewed before they turn stale (XFetch's β); 1, from 0 (never) to 10.
    pub early_beta: f64,
    /// How many loads may be under way; 64. Others wait their turn, for which their deadline counts.
    pub loads_max: NonZeroU32,
    /// How long a load may take, with its turn, the second tier and the origin; 5 s. Nobody's patience but its own
    /// ends it.
    #[serde(with = "mesh_core::text::duration")]
    pub load_deadline: Duration,
    /// How often a load is begun anew because what it read changed meanwhile; 3. Who waits for it is served what it
    /// brought last then, as stale, and nothing is kept.
    pub overtaken_max: u32,
    /// How old an entry must be to be renewed merely because invalidations cannot be heard; 1 s.
    #[serde(with = "mesh_core::text::duration")]
    pub unheard_renewal: Duration,
    /// How long a key is left alone after its load failed; 100 ms doubling to 30 s, each drawn from zero to that.
    pub failure_backoff: FailureBackoff,
    /// How many keys whose loads failed are remembered; 1,024. Of more, those that may be loaded soonest are forgotten.
    pub failures_max: NonZeroU32,
    /// By how much the clocks of a second tier's servers may differ; 0, which is right where one server keeps the time.
    #[serde(with = "mesh_core::text::duration")]
    pub tier_skew_max: Duration,
    /// For how long an entry of the second tier that could not be read is left alone; 30 s. It is replaced by what the
    /// origin says meanwhile.
    #[serde(with = "mesh_core::text::duration")]
    pub tier_quarantine: Duration,
}

/// The waits after failed loads of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailureBackoff {
    /// The most that is waited after the first failure; 100 ms. Doubles with each one.
    #[serde(with = "mesh_core::text::duration")]
    pub first: Duration,
    /// The most that is waited at all; 30 s.
    #[serde(with = "mesh_core::text::duration")]
    pub cap: Duration,
}

impl FailureBackoff {
    /// The most that is waited after `in_a_row` failures.
    pub(crate) fn bound(self, in_a_row: u32) -> Duration {
        let doubled = 1_u32.checked_shl(in_a_row.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.cap)
    }

    /// Checks both fields; `field` is what they are called together.
    pub(crate) fn validate(self, field: &'static str) -> Result<(), ConfigError> {
        if self.first > self.cap {
            return Err(ConfigError::new(field, format!("{:?}", self.first), "first must be at most cap"));
        }
        Ok(())
    }
}

impl Default for FailureBackoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), cap: Duration::from_secs(30) }
    }
}

impl CacheConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first that breaks its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.lifetimes.validate()?;
        if !(0.0..=10.0).contains(&self.early_beta) {
            return Err(ConfigError::new("early_beta", self.early_beta, "must be 0 to 10"));
        }
        if self.entries_max.get() > ENTRIES_MAX {
            return Err(ConfigError::new("entries_max", self.entries_max, "must be at most 16777216"));
        }
        if self.load_deadline.is_zero() {
            return Err(ConfigError::new("load_deadline", "0s", "must be longer than zero"));
        }
        self.failure_backoff.validate("failure_backoff")
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            lifetimes: Lifetimes::default(),
            entries_max: NonZeroU32::MIN.saturating_add(9_999),
            bytes_max: NonZeroU64::MIN.saturating_add(64 * 1024 * 1024 - 1),
            early_beta: 1.0,
            loads_max: NonZeroU32::MIN.saturating_add(63),
            load_deadline: Duration::from_secs(5),
            overtaken_max: 3,
            unheard_renewal: Duration::from_secs(1),
            failure_backoff: FailureBackoff::default(),
            failures_max: NonZeroU32::MIN.saturating_add(1_023),
            tier_skew_max: Duration::ZERO,
            tier_quarantine: Duration::from_secs(30),
        }
    }
}

const ENTRIES_MAX: u32 = 1 << 24;
