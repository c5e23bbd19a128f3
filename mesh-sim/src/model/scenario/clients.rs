//! Who calls, and how.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::health::outlier::OutlierConfig;
use mesh_retry::backoff::{Backoff, Jitter};
use mesh_retry::breaker::BreakerConfig;
use mesh_retry::hedge::HedgePolicy;
use mesh_retry::policy::RetryPolicy;
use serde::{Deserialize, Serialize};

use super::budget::RetryBudget;
use super::{Arrivals, HealthChecks};

/// Those who call: each client has a balancer, a health view and retries of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Clients {
    /// How many.
    #[serde(default = "one_client")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100_000)))]
    pub count: NonZeroU32,
    /// The zone they are in, or `spread`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ClientZone>,
    /// When requests come, over all clients.
    pub arrivals: Arrivals,
    /// The call's deadline, from the intended arrival.
    #[serde(default, with = "mesh_core::text::maybe_duration", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Span>"))]
    pub timeout: Option<Duration>,
    /// How long one attempt may take.
    #[serde(default, with = "mesh_core::text::maybe_duration", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Span>"))]
    pub attempt_timeout: Option<Duration>,
    /// What an abandoned attempt takes back from its server.
    #[serde(default)]
    pub cancel: CancelMode,
    /// The keys of requests, for strategies that keep a key with its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// How calls are retried; without it they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// A circuit breaker of each client for the service; off where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Breaker>"))]
    pub breaker: Option<BreakerConfig>,
    /// Copies of attempts that take long; off where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Hedge>,
    /// The active checks that each client runs; without it none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthChecks>,
    /// How each client finds servers that fail unlike the others; without it nobody does. The library's block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Outlier>"))]
    pub outlier: Option<OutlierConfig>,
    /// The threads that each client picks from. Not part of the format: a client of a file has one.
    #[serde(skip)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub(crate) threads: Threads,
}

/// The threads of a client, of which each request comes from any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    pub(crate) count: NonZeroU32,
    /// For how long a thread may hold counts back, as `count_window` of a service.
    pub(crate) window: Duration,
}

impl Threads {
    /// One, with exact counts.
    const ONE: Self = Self { count: NonZeroU32::MIN, window: Duration::ZERO };
}

impl Default for Threads {
    fn default() -> Self {
        Self::ONE
    }
}

/// Where clients are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(from = "String", into = "String")]
pub enum ClientZone {
    /// All in one zone.
    In(String),
    /// One after the other over the servers' zones, in the order of their names.
    Spread,
}

/// What an abandoned attempt takes back from its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CancelMode {
    /// Nothing: the server works on.
    #[default]
    None,
    /// Its place in the queue.
    Queued,
    /// Its place in the queue, or its worker.
    Running,
}

/// The keys of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Keys {
    /// Any of `count` alike.
    Uniform {
        /// How many there are.
        count: NonZeroU32,
    },
    /// Key k is drawn as often as 1 / k^exponent.
    Zipf {
        /// How many there are.
        count: NonZeroU32,
        /// The exponent, from 0.
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        exponent: f64,
    },
}

/// How calls are retried. The defaults are those of the library's default policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Retry {
    /// The most attempts of a call, the first included.
    pub attempts_max: NonZeroU32,
    /// How long retries wait.
    pub backoff: BackoffShape,
    /// What retries and hedges are paid from; without one their `attempts_max` alone limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudget>,
}

/// How attempts that take long are hedged. The defaults are the library's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Hedge {
    /// How long each copy has before the next is sent; 0ms sends all at once, to distinct instances.
    #[serde(with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
    pub delay: Duration,
    /// The most copies in all, 2 to 5.
    #[cfg_attr(feature = "schema", schemars(range(min = 2, max = 5)))]
    pub attempts_max: NonZeroU32,
}

/// How long retries wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum BackoffShape {
    /// Longer from retry to retry.
    Exponential {
        /// The ceiling of the first wait.
        #[serde(default = "backoff_base", with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        base: Duration,
        /// What no wait exceeds.
        #[serde(default = "backoff_cap", with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        cap: Duration,
        /// The growth from one ceiling to the next, in thousandths.
        #[serde(default = "backoff_multiplier")]
        #[cfg_attr(feature = "schema", schemars(range(min = 1000)))]
        multiplier_milli: u32,
        /// How the wait is drawn from its ceiling: `none`, `full`, `equal` or `proportional`; or, without one, `decorrelated`.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::JitterName"))]
        jitter: Jitter,
    },
}

impl Clients {
    /// One client without timeouts, retries or checks.
    #[must_use]
    pub const fn new(arrivals: Arrivals) -> Self {
        Self {
            count: one_client(),
            zone: None,
            arrivals,
            timeout: None,
            attempt_timeout: None,
            cancel: CancelMode::None,
            keys: None,
            retry: None,
            breaker: None,
            hedge: None,
            health_check: None,
            outlier: None,
            threads: Threads::ONE,
        }
    }

    /// Sets how many clients there are.
    #[must_use]
    pub const fn count(mut self, count: NonZeroU32) -> Self {
        self.count = count;
        self
    }

    /// Sets the call's deadline.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets how calls are retried.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets the active checks.
    #[must_use]
    pub fn health_check(mut self, checks: HealthChecks) -> Self {
        self.health_check = Some(checks);
        self
    }

    /// Sets how outliers are found.
    #[must_use]
    pub fn outlier(mut self, outlier: OutlierConfig) -> Self {
        self.outlier = Some(outlier);
        self
    }

    /// With a circuit breaker.
    #[must_use]
    pub const fn breaker(mut self, breaker: BreakerConfig) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// With hedges.
    #[must_use]
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// The production policy that calls follow.
    #[must_use]
    pub fn policy(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::never();
        if let Some(retry) = &self.retry {
            policy.attempts_max = retry.attempts_max;
            policy.backoff = retry.backoff.to_backoff();
        }
        policy.hedge = self.hedge.as_ref().map(Hedge::to_policy);
        policy.deadline = self.timeout;
        policy.attempt_timeout = self.attempt_timeout;
        policy
    }
}

impl Hedge {
    /// The production value.
    #[must_use]
    pub fn to_policy(&self) -> HedgePolicy {
        let mut policy = HedgePolicy::after(self.delay);
        policy.attempts_max = self.attempts_max;
        policy
    }
}

impl Default for Hedge {
    fn default() -> Self {
        Self { delay: Duration::from_millis(50), attempts_max: HedgePolicy::default().attempts_max }
    }
}

impl BackoffShape {
    /// The production value.
    #[must_use]
    pub fn to_backoff(&self) -> Backoff {
        let Self::Exponential { base, cap, multiplier_milli, jitter } = *self;
        let mut backoff = Backoff::default();
        (backoff.base, backoff.cap) = (base, cap);
        (backoff.multiplier_milli, backoff.jitter) = (multiplier_milli, jitter);
        backoff
    }
}

impl Default for BackoffShape {
    fn default() -> Self {
        let Backoff { base, cap, multiplier_milli, jitter, .. } = RetryPolicy::default().backoff;
        Self::Exponential { base, cap, multiplier_milli, jitter }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts_max: RetryPolicy::default().attempts_max, backoff: BackoffShape::default(), budget: None }
    }
}

impl From<String> for ClientZone {
    fn from(zone: String) -> Self {
        if zone == SPREAD { Self::Spread } else { Self::In(zone) }
    }
}

impl From<ClientZone> for String {
    fn from(zone: ClientZone) -> Self {
        match zone {
            ClientZone::In(zone) => zone,
            ClientZone::Spread => SPREAD.into(),
        }
    }
}

const fn one_client() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn backoff_base() -> Duration {
    RetryPolicy::default().backoff.base
}

fn backoff_cap() -> Duration {
    RetryPolicy::default().backoff.cap
}

fn backoff_multiplier() -> u32 {
    RetryPolicy::default().backoff.multiplier_milli
}

const SPREAD: &str = "spread";
