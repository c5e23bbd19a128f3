//! What the calls to one service share, and what each of them goes by.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::{Endpoint, Outcome};
use mesh_core::recorder::Recorder;
use mesh_core::rng::Rng;
use mesh_core::service::ServiceName;
use mesh_core::time::Instant;
use mesh_retry::backoff::Waits;
use mesh_retry::budget::Budget;
use mesh_retry::call::{Failed, GATES_MAX, Gate, GiveUpReason, Terms};
use mesh_retry::classify::{Idempotency, UnsafeRules};
use mesh_retry::deadline::{Deadline, Latencies, QuantileRule};
use mesh_retry::limit::ConcurrencyLimit;
use mesh_retry::limit::throttle::AdaptiveThrottle;
use mesh_retry::policy::RetryPolicy;

use super::breaker::{VotedBreaker, Watch, WatchedBreaker};
use super::bulkhead::CallsBulkhead;
use super::config::CallsConfig;
use super::instances::{InstanceBreakers, Placed};
use crate::coordinator::{Membership, Parts};

/// What the calls to one service share.
#[derive(Debug)]
pub(crate) struct SharedByCalls {
    budget: Option<Arc<dyn Budget>>,
    fleet: Parts,
    breaker: Option<WatchedBreaker>,
    instance_breakers: Option<InstanceBreakers>,
    bulkhead: Option<CallsBulkhead>,
    concurrency: Option<ConcurrencyLimit>,
    throttle: Option<AdaptiveThrottle>,
    latencies: Option<Latencies>,
}

impl SharedByCalls {
    /// What `config` says, which has been found valid, for the service called `name`; in place of what it says, what the
    /// `fleet` shares. `entropy` differs from process to process.
    pub(crate) fn new(
        config: &CallsConfig,
        entropy: u64,
        name: &ServiceName,
        recorder: &Arc<dyn Recorder>,
        fleet: Parts,
    ) -> Self {
        let watch = || Watch::new(name.clone(), Arc::clone(recorder));
        let breaker = config.breaker.and_then(|breaker| {
            let votes = fleet.votes.as_ref().and_then(|votes| votes.on_service());
            VotedBreaker::new(&breaker, entropy, votes)
        });
        let instances = |breaker| InstanceBreakers::new(breaker, entropy, watch(), fleet.votes.clone());
        let budget = fleet.budget.as_ref().map(Membership::budget);
        Self {
            budget: budget.or_else(|| config.budget.map(|budget| budget.build())),
            breaker: breaker.map(|breaker| WatchedBreaker::new(breaker, watch())),
            instance_breakers: config.instance_breaker.map(instances),
            fleet,
            bulkhead: config.bulkhead.map(CallsBulkhead::new),
            concurrency: config.concurrency.as_ref().map(|limit| ConcurrencyLimit::new(limit, entropy)),
            throttle: config.throttle.map(AdaptiveThrottle::new),
            latencies: Latencies::new(config.latency_half_life).ok(),
        }
    }

    /// What it has of what the fleet shares.
    pub(crate) const fn fleet(&self) -> &Parts {
        &self.fleet
    }

    /// The instance that has this `endpoint` has left.
    pub(crate) fn forget(&self, endpoint: &Endpoint) {
        if let Some(breakers) = &self.instance_breakers {
            breakers.forget(endpoint);
        }
    }

    /// What the budget has, in thousandths of an attempt.
    pub(super) fn budget_milli(&self, now: Instant) -> Option<u32> {
        self.budget.as_ref().map(|budget| budget.level(now).has_milli)
    }

    /// What bounds how many of them go on at once, if anything does.
    pub(super) const fn bulkhead(&self) -> Option<&CallsBulkhead> {
        self.bulkhead.as_ref()
    }

    /// The breakers of its instances, if they have any.
    pub(super) const fn instance_breakers(&self) -> Option<&InstanceBreakers> {
        self.instance_breakers.as_ref()
    }

    /// Ends an attempt that took `latency`: its instance is free, and all who want to know learn of it.
    pub(super) fn ended(&self, now: Instant, mut placed: Placed, outcome: Outcome, latency: Duration) {
        match outcome {
            Outcome::Success | Outcome::Failure => self.answered(now, latency),
            // A refusal is quicker than an answer would be, and an abandoned attempt would have taken longer.
            Outcome::Overloaded { .. } | Outcome::Unreachable | Outcome::TimedOut | Outcome::Cancelled => {}
        }
        if let Some(breakers) = &self.instance_breakers {
            breakers.record(now, &mut placed, outcome, latency);
        }
        placed.end(now, outcome);
    }

    /// Takes note of how long an attempt took that was answered.
    fn answered(&self, now: Instant, latency: Duration) {
        if let Some(latencies) = &self.latencies {
            latencies.record(now, latency);
        }
    }
}

/// What one call goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTerms<'a> {
    pub(super) policy: &'a RetryPolicy,
    pub(super) idempotency: Idempotency,
    /// In place of the service's.
    pub(super) budget: Option<&'a dyn Budget>,
    pub(super) deadline: Deadline,
    pub(super) shared: &'a SharedByCalls,
}

impl Terms for CallTerms<'_> {
    fn policy(&self) -> &RetryPolicy {
        self.policy
    }

    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn budget(&self) -> Option<&dyn Budget> {
        self.budget.or(self.shared.budget.as_deref())
    }

    /// What is cheapest to be refused by comes first, and what counts a refusal comes last.
    fn gates(&self) -> [Option<&dyn Gate>; GATES_MAX] {
        let SharedByCalls { breaker, concurrency, throttle, .. } = self.shared;
        [
            breaker.as_ref().map(|gate| -> &dyn Gate { gate }),
            concurrency.as_ref().map(|gate| -> &dyn Gate { gate }),
            throttle.as_ref().map(|gate| -> &dyn Gate { gate }),
        ]
    }

    fn retry(&self, failed: &Failed, waits: &mut Waits, rng: &mut Rng) -> Result<Duration, GiveUpReason> {
        self.policy.retry(failed, waits, rng)
    }

    fn spread(&self, room: Option<Duration>, rng: &mut Rng) -> Duration {
        self.shared.fleet.slots.as_ref().map_or(Duration::ZERO, |slots| slots.take_within(room, rng))
    }

    fn may_repeat(&self) -> bool {
        self.idempotency.may_repeat(UnsafeRules::default())
    }

    fn time(&self, now: Instant, rule: &QuantileRule) -> Option<Duration> {
        self.shared.latencies.as_ref().map(|latencies| rule.time(now, latencies))
    }
}
