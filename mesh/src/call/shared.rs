//! What the calls to one service share, and what each of them goes by.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::Outcome;
use mesh_core::recorder::Recorder;
use mesh_core::rng::Rng;
use mesh_core::service::ServiceName;
use mesh_core::time::Instant;
use mesh_retry::backoff::Waits;
use mesh_retry::breaker::Breaker;
use mesh_retry::budget::Budget;
use mesh_retry::call::{Failed, GATES_MAX, Gate, GiveUpReason, Terms};
use mesh_retry::classify::{Idempotency, UnsafeRules};
use mesh_retry::deadline::{Deadline, Latencies, QuantileRule};
use mesh_retry::limit::ConcurrencyLimit;
use mesh_retry::limit::throttle::AdaptiveThrottle;
use mesh_retry::policy::RetryPolicy;

use super::breaker::{Watch, WatchedBreaker};
use super::bulkhead::CallsBulkhead;
use super::config::CallsConfig;
use super::instances::{InstanceBreakers, Placed};
use crate::coordinator::{Membership, SlotsSeat};

/// What the calls to one service share.
#[derive(Debug)]
pub(crate) struct SharedByCalls {
    budget: Option<Arc<dyn Budget>>,
    /// Whose budget that is, where the fleet shares it.
    fleet: Option<Membership>,
    slots: Option<SlotsSeat>,
    breaker: Option<WatchedBreaker>,
    instance_breakers: Option<InstanceBreakers>,
    bulkhead: Option<CallsBulkhead>,
    concurrency: Option<ConcurrencyLimit>,
    throttle: Option<AdaptiveThrottle>,
    latencies: Option<Latencies>,
}

impl SharedByCalls {
    /// What `config` says, which has been found valid, for the service called `name`. `entropy` differs from process to
    /// process.
    pub(crate) fn new(config: &CallsConfig, entropy: u64, name: &ServiceName, recorder: &Arc<dyn Recorder>) -> Self {
        let watch = || Watch::new(name.clone(), Arc::clone(recorder));
        let watched = |breaker| WatchedBreaker::new(breaker, watch());
        Self {
            budget: config.budget.map(|budget| budget.build()),
            fleet: None,
            slots: None,
            breaker: config.breaker.and_then(|breaker| Breaker::new(&breaker, entropy).ok()).map(watched),
            instance_breakers: config.instance_breaker.map(|breaker| InstanceBreakers::new(breaker, entropy, watch())),
            bulkhead: config.bulkhead.map(CallsBulkhead::new),
            concurrency: config.concurrency.as_ref().map(|limit| ConcurrencyLimit::new(limit, entropy)),
            throttle: config.throttle.map(AdaptiveThrottle::new),
            latencies: Latencies::new(config.latency_half_life).ok(),
        }
    }

    /// Pays retries and hedges from the budget of a fleet, and makes retries in its slots.
    pub(crate) fn in_fleet(self, fleet: Option<Membership>, slots: Option<SlotsSeat>) -> Self {
        let budget = fleet.as_ref().map(Membership::budget).or(self.budget);
        Self { budget, fleet, slots, ..self }
    }

    /// Gives back what the process holds of the fleet's budget. Calls that are still made go by its own share.
    pub(crate) fn leave_fleet(&self) {
        if let Some(fleet) = &self.fleet {
            fleet.leave();
        }
        if let Some(slots) = &self.slots {
            slots.leave();
        }
    }

    /// Waits until that has ended.
    pub(crate) async fn left_fleet(&self) {
        if let Some(fleet) = &self.fleet {
            fleet.left().await;
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
        let wait = self.policy.retry(failed, waits, rng)?;
        Ok(self.shared.slots.as_ref().map_or(wait, |slots| wait.saturating_add(slots.take(rng))))
    }

    fn may_repeat(&self) -> bool {
        self.idempotency.may_repeat(UnsafeRules::default())
    }

    fn time(&self, now: Instant, rule: &QuantileRule) -> Option<Duration> {
        self.shared.latencies.as_ref().map(|latencies| rule.time(now, latencies))
    }
}
