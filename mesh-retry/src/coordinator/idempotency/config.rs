//! How an operation is carried out once, as far as that can be had.

use core::time::Duration;

use mesh_core::service::ConfigError;

use super::super::check::time;

/// How an [`OperationMachine`](super::OperationMachine) goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct OperationConfig {
    /// For how long nobody takes over from an owner that is not heard of: 100 ms to 1 h. It is renewed each third of it.
    /// Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub lease: Duration,
    /// For how long a result is told, and an owner that is not heard of remembered: `lease` to 30 days. Whoever begins the
    /// operation later is the first again. Default 24 h.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub keep: Duration,
    /// How long the answer to a command is waited for: 1 ms to a third of `lease`. Default 500 ms.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub reply_within: Duration,
    /// The longest time between two questions whether somebody else has come to an end, and between two attempts of a
    /// command whose answer did not come: 10 ms to 1 min. The first is a sixteenth of it, and each is twice the one
    /// before, less a random part of up to one half. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub ask_every: Duration,
    /// For how long it is waited for somebody else's end; zero for not at all. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub wait_max: Duration,
    /// After how long without any answer the store counts as lost to an operation that is not begun. Default 2 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub lost_after: Duration,
    /// For how long it is tried to tell the store how an operation ended. Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub end_within: Duration,
    /// What becomes of an operation that cannot be begun because the store is lost.
    pub store_lost: StoreLost,
}

/// What becomes of an operation where nobody can say whether it is another's or done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum StoreLost {
    /// It is not carried out.
    #[default]
    Refuse,
    /// It is carried out, perhaps for the second time. Never where the last that the store said is that somebody is at it.
    RunAnyway,
}

impl Default for OperationConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            keep: Duration::from_secs(24 * 3600),
            reply_within: Duration::from_millis(500),
            ask_every: Duration::from_secs(1),
            wait_max: Duration::from_secs(30),
            lost_after: Duration::from_secs(2),
            end_within: Duration::from_secs(10),
            store_lost: StoreLost::Refuse,
        }
    }
}

impl OperationConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { lease, keep, reply_within, ask_every, .. } = *self;
        time("lease", lease, LEASE_MIN <= lease && lease <= HOUR, "must be 100ms to 1h")?;
        time("keep", keep, lease <= keep && keep <= MONTH, "must be at least lease, and at most 30 days")?;
        let fits = MILLI <= reply_within && reply_within <= lease / 3;
        time("reply_within", reply_within, fits, "must be 1ms to a third of lease")?;
        time("ask_every", ask_every, MILLI * 10 <= ask_every && ask_every <= MINUTE, "must be 10ms to 1m")
    }
}

const MILLI: Duration = Duration::from_millis(1);
const LEASE_MIN: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
