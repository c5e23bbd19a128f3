//! A retry strategy and a gate of one's own, at the traits that the built-in ones use.
//!
//! The strategy waits for Fibonacci's numbers of 10 ms and gives up when less than a quarter of the call's time is left. The
//! gate lets nobody through while a maintenance window lasts. The call machine, its deadline, its hedges and its budget stay
//! what they are.
//!
//! ```sh
//! cargo run -p mesh-retry --example own_strategy
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::time::Duration;

use mesh_retry::backoff::Waits;
use mesh_retry::call::{
    AttemptEnd, CallEffect, CallInput, CallMachine, Decision, Failed, GATES_MAX, Gate, GiveUpReason, Pass, Shut, Terms,
};
use mesh_retry::classify::Class;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _, Rng};

/// Waits longer and longer, and keeps a quarter of the call's time.
#[derive(Debug)]
struct Fibonacci {
    policy: RetryPolicy,
    maintenance: Maintenance,
}

impl Terms for Fibonacci {
    fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    fn gates(&self) -> [Option<&dyn Gate>; GATES_MAX] {
        [Some(&self.maintenance), None, None]
    }

    fn retry(&self, failed: &Failed, _: &mut Waits, rng: &mut Rng) -> Result<Duration, GiveUpReason> {
        let whole = self.policy.deadline.unwrap_or(Duration::MAX);
        if failed.left.is_some_and(|left| left < whole / 4) {
            return Err(GiveUpReason::Refused { by: "the rule of the last quarter" });
        }
        let (mut wait, mut next) = (UNIT, UNIT);
        for _ in 0..failed.retries.min(40) {
            (wait, next) = (next, wait + next);
        }
        // Half of it is drawn, so that callers who failed together do not come back together.
        Ok(wait / 2 + rng.up_to(wait / 2))
    }
}

/// Shut while a window lasts.
#[derive(Debug)]
struct Maintenance {
    from: Instant,
    until: Instant,
}

impl Gate for Maintenance {
    fn admit(&self, now: Instant, _: u64) -> Result<Pass, Shut> {
        self.shut(now).map_or(Ok(Pass::default()), Err)
    }

    fn ended(&self, _: Instant, _: Pass, _: AttemptEnd, _: Duration) {}

    fn shut(&self, now: Instant) -> Option<Shut> {
        let shut = Shut::new("maintenance", "shut", 0, 0).opening_at(Some(self.until));
        (self.from..self.until).contains(&now).then_some(shut)
    }
}

fn main() {
    let mut policy = RetryPolicy::default();
    policy.deadline = Some(Duration::from_secs(1));
    let maintenance = Maintenance { from: Instant::from_millis(100), until: Instant::from_millis(400) };
    let mut now = Instant::ZERO;
    let mut call = CallMachine::new(Fibonacci { policy, maintenance }, 7, now);
    let event = loop {
        if let Some(CallEffect::Attempt { attempt, number, .. }) = call.poll_effect() {
            println!("{:>4} ms  attempt {number} fails", now.as_nanos() / 1_000_000);
            call.handle_input(now, CallInput::Picked { attempt, endpoint: EndpointId::from_number(1) });
            now += Duration::from_millis(5);
            call.handle_input(now, CallInput::Ended { attempt, class: Class::Transient });
        }
        if let Some(Decision::Retry { at }) = call.take_decision() {
            println!("{:>4} ms    waits for {} ms", now.as_nanos() / 1_000_000, at.since(now).as_millis());
        }
        if let Some(event) = call.poll_event() {
            break event;
        }
        if let Some(due) = call.poll_timeout() {
            now = now.max(due);
            call.handle_timeout(now);
        }
    };
    println!("{:>4} ms  {event:?}", now.as_nanos() / 1_000_000);
}

const UNIT: Duration = Duration::from_millis(10);
