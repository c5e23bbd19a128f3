//! What a fleet may do, and how a process takes part in it.

use core::time::Duration;

use mesh_core::service::ConfigError;

use crate::budget::TokenBucketConfig;
use crate::coordinator::check::{number, time};

/// How the processes of a fleet share one budget for their retries. All of them should have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct FleetBudgetConfig {
    /// What all processes together may do. Default: a fifth of the first attempts, as Finagle's budget, one retry a second, and a
    /// hundred at the start, which AWS' and Finagle's budgets give to each process.
    pub limits: TokenBucketConfig,
    /// What a process may do alone, while the store does not answer. Default its share.
    pub fallback: Fallback,
    /// Of how many processes it is one, until the store has told: 1 to 1,000,000. Default 10.
    pub processes_assumed: u32,
    /// For how long tokens are worth something, from when they were asked for: 100 ms to 60 s. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub lease_ttl: Duration,
    /// How many tokens are asked for at most: 1 to 10,000; and no more than a tenth of what the fleet's bucket holds, but
    /// always one. Default 50.
    pub lease_max: u32,
    /// When a reply is no longer awaited, and what it grants is taken as spent: 1 ms to `lease_ttl`. Default 500 ms.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub reply_within: Duration,
    /// For how long a process that has nothing left of its lease and whose store does not answer goes without retries, but
    /// for those that tokens pay which come back, before it goes by its fallback: at most 60 s. Three failures in a row end
    /// it earlier. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub expired_for: Duration,
}

/// What a process may do alone, while the store does not answer (the three modes of Doorman, YouTube's server of shares).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Fallback {
    /// Its share: of what comes with time and of what the bucket holds the part of one process among those last heard of,
    /// and what its own first attempts bring. All shares together are about the fleet's budget, if
    /// [`processes_assumed`](FleetBudgetConfig::processes_assumed) is right until the store has told, and the bucket holds a
    /// retry for each at least.
    #[default]
    Safe,
    /// Nothing. The fleet makes no retries while the store is away.
    Pessimistic,
    /// All of it. A fleet of N processes may do N times as much with time, and at the start.
    Optimistic,
}

impl FleetBudgetConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { limits, processes_assumed, lease_ttl, lease_max, reply_within, expired_for, fallback: _ } = *self;
        if let Err(error) = limits.validate() {
            return Err(ConfigError::new("limits", error, "must be those of a token bucket"));
        }
        let has_processes = (1..=PROCESSES_MAX).contains(&processes_assumed);
        number("processes_assumed", processes_assumed, has_processes, "must be 1 to 1000000")?;
        let lasts = (Duration::from_millis(100)..=MINUTE).contains(&lease_ttl);
        time("lease_ttl", lease_ttl, lasts, "must be 100ms to 60s")?;
        number("lease_max", lease_max, (1..=10_000).contains(&lease_max), "must be 1 to 10000")?;
        let awaits = (Duration::from_millis(1)..=lease_ttl).contains(&reply_within);
        time("reply_within", reply_within, awaits, "must be 1ms to lease_ttl")?;
        time("expired_for", expired_for, expired_for <= MINUTE, "must be at most 60s")
    }

    /// How many tokens are asked for at most.
    pub(super) fn want_max(&self) -> u32 {
        let tenth = self.limits.burst_milli / 10_000;
        self.lease_max.min(tenth).max(1)
    }
}

impl Default for FleetBudgetConfig {
    fn default() -> Self {
        let limits = TokenBucketConfig { ratio_milli: 200, per_second_milli: 1_000, burst_milli: 100_000 };
        Self {
            limits,
            fallback: Fallback::default(),
            processes_assumed: 10,
            lease_ttl: Duration::from_secs(1),
            lease_max: 50,
            reply_within: Duration::from_millis(500),
            expired_for: Duration::from_secs(1),
        }
    }
}

/// The most processes that a number of them is believed to be.
pub(super) const PROCESSES_MAX: u32 = 1_000_000;
const MINUTE: Duration = Duration::from_secs(60);
