//! What bounds the calls to a service, whatever the policy of each.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::service::ConfigError;
use mesh_retry::breaker::BreakerConfig;
use mesh_retry::budget::BudgetConfig;
use mesh_retry::coordinator::budget::FleetBudgetConfig;
use mesh_retry::coordinator::slots::SlotsConfig;
use mesh_retry::coordinator::votes::VotesConfig;
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
    /// the store is away each waits for a random part of all slots' time, and one whose slot is not before its deadline for a
    /// random part of what is left until then. Each service that is followed takes numbers, whether the registry knows it or
    /// not. Default off.
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
    /// Shares what the breakers of the fleet find out of a service, in the store of `fleet`: while most processes find it
    /// open, the `breaker` opens after fewer failures of its own, and never without; and of those that have opened, one at a
    /// time finds out whether it is well again. Each process votes for every service that it follows, one that makes no calls
    /// for closed, whether the registry knows it or not. All processes should have the same. Wants `breaker`. Default off.
    ///
    /// For a service that all processes reach by one path. Not where one's failures say little to another, as with shards,
    /// or where each makes fewer calls than one in [`probe_lease`](VotesConfig::probe_lease): they would not come to share
    /// probes.
    #[serde(with = "mesh_core::text::or_off")]
    pub votes: Option<VotesConfig>,
    /// As `votes`, of each instance of the service that this process has made an attempt at, from then until it leaves the
    /// registry. An instance is known by its id and its address. Wants `instance_breaker`. Default off.
    ///
    /// It costs the store a command each [`heartbeat`](VotesConfig::heartbeat) for each instance and process: 40 instances and
    /// 100 processes make 800 to 1,067 a second at the default of 5 s. Not for services of many instances and many callers: a
    /// breaker's own failures tell it soon enough, and outlier detection costs nobody anything.
    #[serde(with = "mesh_core::text::or_off")]
    pub instance_votes: Option<VotesConfig>,
    /// Of how many instances of a service `instance_votes` are cast at once: 1 to 4,096. Breakers of others go by themselves.
    /// Default 256.
    pub instance_votes_max: NonZeroU32,
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
        own_rules("calls.budget", self.budget.map(|budget| budget.validate()))?;
        own_rules("calls.fleet", self.fleet.map(|fleet| fleet.validate()))?;
        own_rules("calls.retry_slots", self.retry_slots.map(|slots| slots.validate()))?;
        own_rules("calls.breaker", self.breaker.map(|breaker| breaker.validate()))?;
        own_rules("calls.instance_breaker", self.instance_breaker.map(|breaker| breaker.validate()))?;
        self.validate_votes()?;
        self.bulkhead.as_ref().map_or(Ok(()), BulkheadConfig::validate)?;
        self.concurrency.as_ref().map_or(Ok(()), LimitConfig::validate)?;
        self.throttle.as_ref().map_or(Ok(()), ThrottleConfig::validate)?;
        own_rules("calls.latency_half_life", Some(Latencies::new(self.latency_half_life).map(drop)))
    }

    fn validate_votes(&self) -> Result<(), ConfigError> {
        own_rules("calls.votes", self.votes.map(|votes| votes.validate()))?;
        own_rules("calls.instance_votes", self.instance_votes.map(|votes| votes.validate()))?;
        if self.votes.is_some() && self.breaker.is_none() {
            return Err(ConfigError::new("calls.votes", "on", "must come with calls.breaker, whose votes they are"));
        }
        if self.instance_votes.is_some() && self.instance_breaker.is_none() {
            let rule = "must come with calls.instance_breaker, whose votes they are";
            return Err(ConfigError::new("calls.instance_votes", "on", rule));
        }
        let most = self.instance_votes_max;
        if most > INSTANCE_VOTES_MOST {
            return Err(ConfigError::new("calls.instance_votes_max", most, "must be 1 to 4096"));
        }
        Ok(())
    }
}

/// Refuses what is wrong with `field` by rules of its own.
fn own_rules<E: fmt::Display>(field: &'static str, checked: Option<Result<(), E>>) -> Result<(), ConfigError> {
    match checked {
        Some(Err(error)) => Err(ConfigError::new(field, error, "must keep its own rules")),
        Some(Ok(())) | None => Ok(()),
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
            votes: None,
            instance_votes: None,
            instance_votes_max: INSTANCE_VOTES_MAX,
            bulkhead: None,
            concurrency: None,
            throttle: None,
            latency_half_life: Duration::from_secs(30),
        }
    }
}

const INSTANCE_VOTES_MAX: NonZeroU32 = NonZeroU32::new(256).unwrap();
const INSTANCE_VOTES_MOST: NonZeroU32 = NonZeroU32::new(4096).unwrap();
