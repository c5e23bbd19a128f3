//! Adaptive: weighted round robin while the load is even and low, two choices where it is high, least loaded where it
//! is uneven.

use core::time::Duration;

use super::{Draw, Picker};
use crate::balance::view::Lineup;
use crate::service::Problems;

/// The parameters of the adaptive strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct AdaptiveConfig {
    /// Above this coefficient of variation of the loads per weight, in percent, it turns to least loaded. Default 30.
    pub variation_percent: u32,
    /// Above this many requests in flight an instance, on average, it turns to two choices. Default 100.
    pub connections: u32,
    /// How far below its threshold a signal has to fall before its policy is left again, in percent of the
    /// threshold: 0 to 100. Default 20.
    pub hysteresis_percent: u32,
    /// How often the signals are looked at; for at least this long a policy stays. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub interval: Duration,
}

impl AdaptiveConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        let (hysteresis, interval) = (self.hysteresis_percent, self.interval);
        problems.require(hysteresis <= 100, "hysteresis_percent", hysteresis, "must be 0 to 100");
        problems.require(!interval.is_zero(), "interval", format_args!("{interval:?}"), "must be more than 0s");
    }
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self { variation_percent: 30, connections: 100, hysteresis_percent: 20, interval: Duration::from_secs(1) }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct Adaptive;

impl Adaptive {
    pub(super) fn build(_config: &AdaptiveConfig, _lineup: &Lineup<'_>, _previous: Option<&dyn Picker>) -> Self {
        Self
    }
}

impl Picker for Adaptive {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}
