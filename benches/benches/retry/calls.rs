//! Call machines, driven through a call that needs no retry: from its start until it is dropped.
//!
//! `policy` has nothing else, `budget` a token bucket, and `gates` a breaker, a limit and a throttle besides. All of a
//! service's calls share those.

use std::hint::black_box;
use std::num::NonZeroU32;

use mesh_retry::breaker::{Breaker, BreakerConfig};
use mesh_retry::budget::{Budget, TokenBucket, TokenBucketConfig};
use mesh_retry::call::{CallEffect, CallInput, CallMachine, GATES_MAX, Gate, Terms};
use mesh_retry::classify::Class;
use mesh_retry::limit::throttle::{AdaptiveThrottle, ThrottleConfig};
use mesh_retry::limit::{ConcurrencyLimit, LimitConfig};
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _};

use crate::bench::Bench;
use crate::stepping;

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    let policy = RetryPolicy::default();
    bench.run("mesh/call-machine/policy", |_| stepping(|now| call(policy, now)));
    let (budgeted, gated) = (Shared::budgeted(), Shared::gated());
    bench.run("mesh/call-machine/budget", |_| stepping(|now| call(&budgeted, now)));
    bench.run("mesh/call-machine/gates", |_| stepping(|now| call(&gated, now)));
}

/// Allocations in so many calls of each kind.
pub(crate) fn allocations(calls: u64) -> [(&'static str, u64); 3] {
    let policy = RetryPolicy::default();
    let (budgeted, gated) = (Shared::budgeted(), Shared::gated());
    let count = |mut one: Box<dyn FnMut(Instant) + '_>| {
        allocation_counter::measure(|| (0..calls).for_each(|number| one(Instant::from_nanos(number * 1_000))))
            .count_total
    };
    [
        ("call machine, policy", count(Box::new(|now| call(policy, now)))),
        ("call machine, budget", count(Box::new(|now| call(&budgeted, now)))),
        ("call machine, gates", count(Box::new(|now| call(&gated, now)))),
    ]
}

#[inline]
fn call(terms: impl Terms, now: Instant) {
    let mut machine = CallMachine::new(terms, now.as_nanos(), now);
    if let Some(CallEffect::Attempt { attempt, .. }) = machine.poll_effect() {
        let endpoint = EndpointId::from_number(1);
        machine.handle_input(now, CallInput::Picked { attempt, endpoint });
        machine.handle_input(now, CallInput::Ended { attempt, class: black_box(Class::Success) });
    }
    black_box(machine.poll_effect().is_some());
    black_box(machine.poll_event());
}

/// What the calls to a service share.
struct Shared {
    policy: RetryPolicy,
    budget: TokenBucket,
    breaker: Option<Breaker>,
    limit: Option<ConcurrencyLimit>,
    throttle: Option<AdaptiveThrottle>,
}

impl Shared {
    fn budgeted() -> Self {
        let budget = TokenBucket::new(&TokenBucketConfig::default());
        Self { policy: RetryPolicy::default(), budget, breaker: None, limit: None, throttle: None }
    }

    fn gated() -> Self {
        Self {
            breaker: Breaker::new(&BreakerConfig::default(), 1).ok(),
            limit: Some(ConcurrencyLimit::new(&LimitConfig::fixed(HUNDRED), 1)),
            throttle: Some(AdaptiveThrottle::new(ThrottleConfig::sre())),
            ..Self::budgeted()
        }
    }
}

impl Terms for &Shared {
    fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        Some(&self.budget)
    }

    fn gates(&self) -> [Option<&dyn Gate>; GATES_MAX] {
        [
            self.breaker.as_ref().map(|gate| -> &dyn Gate { gate }),
            self.limit.as_ref().map(|gate| -> &dyn Gate { gate }),
            self.throttle.as_ref().map(|gate| -> &dyn Gate { gate }),
        ]
    }
}

const HUNDRED: NonZeroU32 = NonZeroU32::new(100).unwrap();
