//! How an instance that comes back is given its share bit by bit.

use core::time::Duration;

use super::score::slow_start;
use crate::service::Problems;

/// How an instance warms up when its ejection ended: `max(min_percent, (elapsed / window)^(1 / aggression))` of its
/// weight, as Envoy's `slow_start_config` has it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct SlowStartConfig {
    /// For how long: at most 1 h. Default 10 s; 0 for not at all.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub window: Duration,
    /// How early the share rises: above 0 to 100. Default 1, in proportion to the time.
    pub aggression: f64,
    /// The least share, in percent: 1 to 100. Default 10.
    pub min_percent: u32,
}

impl SlowStartConfig {
    /// Nobody warms up.
    #[must_use]
    pub fn off() -> Self {
        Self { window: Duration::ZERO, ..Self::default() }
    }

    /// How much of its weight an instance has `elapsed` after it came back, in thousandths.
    pub(crate) fn factor_milli(&self, elapsed: Duration) -> u32 {
        slow_start(elapsed, self.window, self.aggression, self.min_percent)
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        let window = format_args!("{:?}", self.window).to_string();
        problems.require(self.window <= WINDOW_MAX, "slow_start.window", window, "must be at most 1h");
        let aggression = self.aggression;
        let fits = aggression > 0.0 && aggression <= AGGRESSION_MAX;
        problems.require(fits, "slow_start.aggression", aggression, "must be above 0 and at most 100");
        let percent = self.min_percent;
        problems.require((1..=100).contains(&percent), "slow_start.min_percent", percent, "must be 1 to 100");
    }
}

impl Default for SlowStartConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), aggression: 1.0, min_percent: 10 }
    }
}

const WINDOW_MAX: Duration = Duration::from_secs(3600);
const AGGRESSION_MAX: f64 = 100.0;
