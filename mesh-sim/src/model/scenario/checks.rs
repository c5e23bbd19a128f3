//! How clients check their servers: a part of production's check, and of how checks are spread.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::health::CheckerConfig;
use mesh_core::service::{CheckRunner, ConfigError, HealthCheck};
use serde::{Deserialize, Serialize};

/// The active checks that each client runs of each server. The defaults are those of checks that the mesh runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "Table"))]
#[serde(from = "Table")]
#[non_exhaustive]
pub struct HealthChecks {
    /// From the end of a check to the next.
    #[serde(with = "mesh_core::text::duration")]
    pub interval: Duration,
    /// When a check without an answer has failed; at most the interval.
    #[serde(with = "mesh_core::text::duration")]
    pub timeout: Duration,
    /// How many checks in a row must pass.
    pub rise: NonZeroU32,
    /// How many checks in a row must fail.
    pub fall: NonZeroU32,
    /// The most checks in flight at once for one client.
    pub in_flight_max: NonZeroU32,
    /// Within what time the first check of a server comes.
    #[serde(with = "mesh_core::text::duration")]
    pub stagger_max: Duration,
    /// How far each interval may be stretched at random, in percent.
    pub jitter_percent: u32,
}

impl HealthChecks {
    /// The production check that it stands for.
    ///
    /// # Errors
    /// Every number that breaks the rules of one.
    pub(crate) fn build(&self) -> Result<HealthCheck, ConfigError> {
        let check = HealthCheck::tcp().interval(self.interval).timeout(self.timeout).rise(self.rise).fall(self.fall);
        check.run_by(CheckRunner::Mesh).build_for_any()
    }
}

/// Checks as files spell them.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, Serialize), schemars(rename = "HealthChecks"))]
#[serde(default, deny_unknown_fields)]
struct Table {
    /// From the end of a check to the next.
    #[serde(with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
    interval: Duration,
    /// When a check without an answer has failed; at most the interval. Default 10s, or the interval if that is less.
    #[serde(with = "mesh_core::text::maybe_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Span>"))]
    timeout: Option<Duration>,
    /// How many checks in a row must pass.
    rise: NonZeroU32,
    /// How many checks in a row must fail.
    fall: NonZeroU32,
    /// The most checks in flight at once for one client.
    in_flight_max: NonZeroU32,
    /// Within what time the first check of a server comes.
    #[serde(with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
    stagger_max: Duration,
    /// How far each interval may be stretched at random, in percent.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    jitter_percent: u32,
}

impl Default for Table {
    fn default() -> Self {
        let CheckerConfig { in_flight_max, stagger_max, jitter_percent, .. } = CheckerConfig::default();
        Self { interval: INTERVAL, timeout: None, rise: RISE, fall: FALL, in_flight_max, stagger_max, jitter_percent }
    }
}

impl From<Table> for HealthChecks {
    fn from(table: Table) -> Self {
        let Table { interval, timeout, rise, fall, in_flight_max, stagger_max, jitter_percent } = table;
        let timeout = timeout.unwrap_or(TIMEOUT.min(interval));
        Self { interval, timeout, rise, fall, in_flight_max, stagger_max, jitter_percent }
    }
}

impl Default for HealthChecks {
    fn default() -> Self {
        Table::default().into()
    }
}

/// The defaults of checks that the mesh runs (mesh-core, `HealthCheckBuilder`); rise and fall are HAProxy's.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);
const RISE: NonZeroU32 = NonZeroU32::new(2).unwrap();
const FALL: NonZeroU32 = NonZeroU32::new(3).unwrap();
