//! How one service is discovered, checked and balanced.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::balance::{Strategy, WakeRules};
use crate::discovery::DiscoveryConfig;
use crate::health::outlier::OutlierConfig;
use crate::health::{CheckerConfig, DampingConfig, HistoryConfig, ScoreConfig, SlowStartConfig};
use crate::service::{ConfigError, HealthCheck, Problems};

/// The configuration of a [`ServiceMachine`](super::ServiceMachine).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct ServiceMachineConfig {
    /// How an instance is chosen.
    pub strategy: Strategy,
    /// For how long a thread may count requests on its own before it tells the others, as
    /// [`Balancer::with_window`](crate::balance::Balancer::with_window) has it: for services of few instances that many
    /// threads call all the time. A fiftieth of what a request takes costs no balance. Default 0 s: counts are exact.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub count_window: Duration,
    /// How the registry's word is taken.
    pub discovery: DiscoveryConfig,
    /// How active checks are spread and bounded.
    pub checks: CheckerConfig,
    /// A check to run on every instance in place of the one that the registry leaves to the mesh. Default none.
    ///
    /// With it nobody is deregistered automatically, whatever its `deregister_after`: only what an instance itself was
    /// registered with can ask for that.
    pub check: Option<HealthCheck>,
    /// After how many failures in a row an instance is checked at once: 1 to 1023. Default 5, as Envoy's `consecutive_5xx`.
    pub wake_after: NonZeroU32,
    /// Which instances are out for how requests to them end. Where nobody looks ([`OutlierConfig::off`]), nothing is known of
    /// that, and checks are believed though they fail nearly everywhere. Default [`OutlierConfig::default`].
    pub outlier: OutlierConfig,
    /// How long an instance that keeps falling and returning is held out.
    pub damping: DampingConfig,
    /// How much of its weight an instance keeps that is not at its best: by its status, and while outlier detection is on
    /// by how requests to it end. Default [`ScoreConfig::off`]. Policies that keep
    /// a key with its instance take no notice: a weight that moves would move keys.
    pub weighting: ScoreConfig,
    /// How an instance warms up when its ejection ended; under policies that keep a key with its instance not at all.
    pub slow_start: SlowStartConfig,
    /// How much is remembered of what became of each instance.
    pub history: HistoryConfig,
    /// How many instances automatic deregistration always leaves in the registry. Default 1.
    pub deregister_keeps: NonZeroU32,
}

impl ServiceMachineConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Every field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.strategy.check(&mut problems);
        let jitter = self.checks.jitter_percent;
        problems.require(jitter <= 100, "jitter_percent", jitter, "must be 0 to 100");
        let window = format_args!("{:?}", self.count_window).to_string();
        problems.require(self.count_window <= COUNT_WINDOW_MAX, "count_window", window, "must be at most 1s");
        self.outlier.check(&mut problems);
        let OutlierConfig { failures_in_row, gateway_in_row, local_in_row, .. } = &self.outlier;
        let runs =
            [("failures_in_row", failures_in_row), ("gateway_in_row", gateway_in_row), ("local_in_row", local_in_row)];
        let runs = runs.into_iter().filter_map(|(field, run)| Some((field, run.as_ref()?.threshold)));
        for (field, length) in runs.chain([("wake_after", self.wake_after)]) {
            // No endpoint can tell a longer run.
            problems.require(length.get() <= WakeRules::RUN_MAX, field, length, "must be 1 to 1023");
        }
        self.damping.check(&mut problems);
        self.weighting.check(&mut problems);
        self.slow_start.check(&mut problems);
        self.history.check(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }
}

impl Default for ServiceMachineConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            count_window: Duration::ZERO,
            discovery: DiscoveryConfig::default(),
            checks: CheckerConfig::default(),
            check: None,
            wake_after: WAKE_AFTER,
            outlier: OutlierConfig::default(),
            damping: DampingConfig::default(),
            weighting: ScoreConfig::off(),
            slow_start: SlowStartConfig::default(),
            history: HistoryConfig::default(),
            deregister_keeps: NonZeroU32::MIN,
        }
    }
}

const WAKE_AFTER: NonZeroU32 = NonZeroU32::new(5).unwrap();
/// Where requests that take a minute are balanced as well as on exact counts.
const COUNT_WINDOW_MAX: Duration = Duration::from_secs(1);
