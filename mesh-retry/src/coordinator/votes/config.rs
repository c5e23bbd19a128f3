//! When votes are a quorum, and how often they are cast.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::service::ConfigError;

use super::super::check::{number, time};

/// How evidence is shared: the same for all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct VotesConfig {
    /// How many processes must find a subject open at least: 2 or more. Default 2.
    pub open_min: u32,
    /// More than this share of those that have a vote must, in thousandths: 0 to 999. Default 500.
    pub share_milli: u32,
    /// At how many failures in a row the breaker opens while there is a quorum. Default 3: a path with a failure now and then
    /// has two in a row too often to call it bad for what others say.
    pub lowered_to: NonZeroU32,
    /// How often a process votes while nothing changes: 100 ms to 1 min. Default 5 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub heartbeat: Duration,
    /// For how long a vote counts, and an answer: twice `heartbeat` to 10 min. Default 15 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub live_for: Duration,
    /// For how long the shared probe is one process's; it is renewed each third of it while its breaker is half-open, so that
    /// a turn lasts ten times as long at most. The others ask again after a sixteenth of it to an eighth. Longer than the time
    /// between two of its calls, or it probes by itself. 100 ms to 1 min. Default 2 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub probe_lease: Duration,
    /// How long the answer to a command is waited for: 1 ms to half of `probe_lease`. Default 500 ms.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub reply_within: Duration,
}

impl Default for VotesConfig {
    fn default() -> Self {
        Self {
            open_min: OPEN_MIN,
            share_milli: 500,
            lowered_to: NonZeroU32::MIN.saturating_add(2),
            heartbeat: Duration::from_secs(5),
            live_for: Duration::from_secs(15),
            probe_lease: Duration::from_secs(2),
            reply_within: Duration::from_millis(500),
        }
    }
}

impl VotesConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { open_min, share_milli, lowered_to: _, heartbeat, live_for, probe_lease, reply_within } = *self;
        number("open_min", open_min, open_min >= OPEN_MIN, "must be at least 2")?;
        number("share_milli", share_milli, share_milli < 1000, "must be at most 999")?;
        let fits = MILLI * 100 <= heartbeat && heartbeat <= MINUTE;
        time("heartbeat", heartbeat, fits, "must be 100ms to 1m")?;
        let fits = heartbeat * 2 <= live_for && live_for <= MINUTE * 10;
        time("live_for", live_for, fits, "must be at least twice heartbeat, and at most 10m")?;
        let fits = MILLI * 100 <= probe_lease && probe_lease <= MINUTE;
        time("probe_lease", probe_lease, fits, "must be 100ms to 1m")?;
        let fits = MILLI <= reply_within && reply_within <= probe_lease / 2;
        time("reply_within", reply_within, fits, "must be 1ms to half of probe_lease")
    }

    /// Whether `open` of `live` votes are a quorum. Never with one voter, whatever is configured.
    pub(super) fn is_quorum(&self, live: u32, open: u32) -> bool {
        open >= self.open_min.max(OPEN_MIN) && u64::from(open) * 1000 > u64::from(live) * u64::from(self.share_milli)
    }
}

const OPEN_MIN: u32 = 2;
const MILLI: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
