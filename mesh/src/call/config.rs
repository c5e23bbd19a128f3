//! What bounds the calls to a service, whatever the policy of each.

use std::time::Duration;

use mesh_core::service::ConfigError;
use mesh_retry::breaker::BreakerConfig;
use mesh_retry::budget::BudgetConfig;
use mesh_retry::coordinator::budget::FleetBudgetConfig;
use mesh_retry::coordinator::slots::SlotsConfig;
use mesh_retry::deadline::Latencies;
use mesh_retry::limit::LimitConfig;
use mesh_retry::limit::bulkhead::BulkheadConfig;
use mesh_retry::limit::throttle::ThrottleConfig;

/// What bounds the calls to a service. All calls of this mesh to one service share it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CallsConfig {
    /// What retries and hedges are paid from: by default a token bucket of a fifth of the calls, one in ten seconds and
    /// ten at once. `"off"` in a file, or `None`, leaves the policies alone to limit them.
    #[serde(with = "mesh_core::text::or_off")]
    pub budget: Option<BudgetConfig>,
    /// What all processes of the fleet together pay retries and hedges from, in place of `budget`: one bucket for each
    /// service, in the store of [`ServiceMeshBuilder::redis`](crate::ServiceMeshBuilder::redis) or
    /// [`ServiceMeshBuilder::coordinator`](crate::ServiceMeshBuilder::coordinator). No call waits for it. All processes
    /// should have the same. Default off.
    #[serde(with = "mesh_core::text::or_off")]
    pub fleet: Option<FleetBudgetConfig>,
    /// Spreads the retries of all processes of the fleet over numbered slots of time, on top of each wait, in the same store:
    /// processes that were failed together do not come back together. Best with a backoff without jitter of its own. While
    /// the store is away each waits for a random part of all slots' time. Default off.
    #[serde(with = "mesh_core::text::or_off")]
    pub retry_slots: Option<SlotsConfig>,
    /// A circuit breaker for the service as a whole. Default off: an instance that fails is left out by outlier detection
    /// without one.
    #[serde(with = "mesh_core::text::or_off")]
    pub breaker: Option<BreakerConfig>,
    /// A circuit breaker for each instance of the service. Where the picked one's is open, another is picked; where all are,
    /// the call waits as its retries allow, or gives up. Default off.
    #[serde(with = "mesh_core::text::or_off")]
    pub instance_breaker: Option<BreakerConfig>,
    /// How many calls may go on at once, waits between attempts included, and how many more may wait for a place. Default
    /// off.
    #[serde(with = "mesh_core::text::or_off")]
    pub bulkhead: Option<BulkheadConfig>,
    /// How many attempts may be in flight at once. Default off.
    #[serde(with = "mesh_core::text::or_off")]
    pub concurrency: Option<LimitConfig>,
    /// Whether attempts are kept back while the service accepts few. Default off.
    #[serde(with = "mesh_core::text::or_off")]
    pub throttle: Option<ThrottleConfig>,
    /// How soon half of what is known of latencies is forgotten, which hedges and attempt timeouts may follow: 10 ms to
    /// 1 h. Default 30 s.
    #[serde(with = "mesh_core::text::duration")]
    pub latency_half_life: Duration,
}

impl CallsConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |field: &'static str, error: String| ConfigError::new(field, error, "must keep its own rules");
        if let Some(Err(error)) = self.budget.map(|budget| budget.validate()) {
            return Err(refuse("calls.budget", error.to_string()));
        }
        if let Some(Err(error)) = self.fleet.map(|fleet| fleet.validate()) {
            return Err(refuse("calls.fleet", error.to_string()));
        }
        if let Some(Err(error)) = self.retry_slots.map(|slots| slots.validate()) {
            return Err(refuse("calls.retry_slots", error.to_string()));
        }
        if let Some(Err(error)) = self.breaker.map(|breaker| breaker.validate()) {
            return Err(refuse("calls.breaker", error.to_string()));
        }
        if let Some(Err(error)) = self.instance_breaker.map(|breaker| breaker.validate()) {
            return Err(refuse("calls.instance_breaker", error.to_string()));
        }
        self.bulkhead.as_ref().map_or(Ok(()), BulkheadConfig::validate)?;
        self.concurrency.as_ref().map_or(Ok(()), LimitConfig::validate)?;
        self.throttle.as_ref().map_or(Ok(()), ThrottleConfig::validate)?;
        match Latencies::new(self.latency_half_life) {
            Ok(_) => Ok(()),
            Err(error) => Err(refuse("calls.latency_half_life", error.to_string())),
        }
    }
}

impl Default for CallsConfig {
    fn default() -> Self {
        Self {
            budget: Some(BudgetConfig::default()),
            fleet: None,
            retry_slots: None,
            breaker: None,
            instance_breaker: None,
            bulkhead: None,
            concurrency: None,
            throttle: None,
            latency_half_life: Duration::from_secs(30),
        }
    }
}
