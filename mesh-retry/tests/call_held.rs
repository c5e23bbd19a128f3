//! A call for whose attempt there are instances, none of which may be asked for now: it waits, or gives up with the reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use mesh_retry::Instant;
use mesh_retry::breaker::{Breaker, BreakerConfig, OpenJitter, State, Verdict};
use mesh_retry::budget::{Answer, Budget, End, Extra, Level, Paid};
use mesh_retry::call::{AttemptKind, CallEvent, Decision, GiveUpReason, Shut, Terms, Unavailable};
use mesh_retry::classify::Class;
use mesh_retry::policy::RetryPolicy;

use support::{Call, millis, plain};

#[test]
fn an_attempt_that_nobody_lets_through_is_put_off_and_counts_for_nothing() {
    let mut call = Call::new(plain());
    let first = call.attempt(1, None);
    let shut = shut(Some(call.now + millis(70)));
    call.unavailable(first, Unavailable::Shut(shut));
    // The backoff's first wait comes on top.
    let wait = millis(70) + plain().backoff.base;
    assert_eq!(call.decision(), Some(Decision::Held { at: call.now + wait, by: shut }));
    assert_eq!((call.wait(), call.machine.attempts()), (wait, 1));
    let (again, kind) = call.asked().unwrap();
    assert_eq!((kind, call.machine.tally().retries), (AttemptKind::First, 0));
    call.ended(again, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 1 });
}

#[test]
fn what_was_paid_for_a_retry_that_is_put_off_is_paid_once() {
    let purse = Purse::default();
    let mut call = Call::new(Paying { policy: plain(), purse: &purse });
    let first = call.attempt(1, None);
    call.ended(first, Class::Transient);
    call.wait();
    let (second, _) = call.asked().unwrap();
    call.unavailable(second, Unavailable::Shut(shut(Some(call.now))));
    call.wait();
    let (third, kind) = call.asked().unwrap();
    assert_eq!((kind, call.machine.attempts(), purse.withdrawn.load(Ordering::Relaxed)), (AttemptKind::Retry, 2, 1));
    call.ended(third, Class::Success);
    assert_eq!((purse.withdrawn.load(Ordering::Relaxed), purse.told.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn every_attempt_that_is_not_made_is_told_of_once_and_as_such() {
    for reason in [Unavailable::None, Unavailable::AllExcluded, Unavailable::Shut(shut(None))] {
        for attempts in [0, 1] {
            let purse = Purse::default();
            let mut call = Call::new(Paying { policy: plain(), purse: &purse });
            for _ in 0..attempts {
                let (attempt, _) = call.asked().unwrap();
                call.picked(attempt, 1);
                call.ended(attempt, Class::Transient);
                call.wait();
            }
            // What was tried is forgotten first, and then there is nothing to forget.
            while let Some((attempt, _)) = call.asked() {
                call.unavailable(attempt, reason);
            }
            assert!(matches!(call.over(), CallEvent::GaveUp { .. }));
            let told = (purse.due.load(Ordering::Relaxed), purse.not_made.load(Ordering::Relaxed));
            assert_eq!(told, (0, 1), "{reason:?} after {attempts}");
        }
    }
}

#[test]
fn a_first_attempt_that_is_put_off_and_dropped_is_told_of_once() {
    let purse = Purse::default();
    let mut call = Call::new(Paying { policy: plain(), purse: &purse });
    let (attempt, _) = call.asked().unwrap();
    call.unavailable(attempt, Unavailable::Shut(shut(Some(call.now))));
    assert_eq!(purse.due.load(Ordering::Relaxed), 1);
    drop(call);
    assert_eq!((purse.due.load(Ordering::Relaxed), purse.not_made.load(Ordering::Relaxed)), (0, 1));
}

#[test]
fn what_was_paid_is_told_of_when_the_call_gives_up_or_is_dropped_while_it_waits() {
    for opens_in in [None, Some(millis(10))] {
        let purse = Purse::default();
        let mut call = Call::new(Paying { policy: plain(), purse: &purse });
        let first = call.attempt(1, None);
        call.ended(first, Class::Transient);
        call.wait();
        let (second, _) = call.asked().unwrap();
        call.unavailable(second, Unavailable::Shut(shut(opens_in.map(|wait| call.now + wait))));
        drop(call);
        assert_eq!(purse.told.load(Ordering::Relaxed), 1, "{opens_in:?}");
    }
}

#[test]
fn it_gives_up_where_the_wait_is_too_long_or_nobody_knows_how_long_or_the_deadline_is_before_it() {
    let mut hurried = plain();
    hurried.deadline = Some(millis(100) + plain().backoff.base);
    let mut once = plain();
    once.attempts_max = NonZeroU32::MIN;
    let too_long = plain().retry_after_max + millis(1);
    for (policy, opens_in) in
        [(plain(), None), (plain(), Some(too_long)), (hurried, Some(millis(100))), (once, Some(Duration::ZERO))]
    {
        let mut call = Call::new(policy);
        let (first, _) = call.asked().unwrap();
        let shut = shut(opens_in.map(|wait| call.now + wait));
        call.unavailable(first, Unavailable::Shut(shut));
        assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::Shut(shut), attempts: 0 });
    }
    // A nanosecond less is waited for.
    for (policy, opens_in) in [(plain(), plain().retry_after_max), (hurried, millis(100) - Duration::from_nanos(1))] {
        let mut call = Call::new(policy);
        let (first, _) = call.asked().unwrap();
        call.unavailable(first, Unavailable::Shut(shut(Some(call.now + opens_in))));
        assert_eq!(call.wait(), opens_in + plain().backoff.base);
    }
}

#[test]
fn it_is_put_off_as_often_as_it_would_be_retried() {
    let mut policy = plain();
    policy.attempts_max = NonZeroU32::new(3).unwrap();
    let mut call = Call::new(policy);
    for _ in 0..2 {
        let (attempt, _) = call.asked().unwrap();
        call.unavailable(attempt, Unavailable::Shut(shut(Some(call.now))));
        call.wait();
    }
    let (attempt, _) = call.asked().unwrap();
    call.unavailable(attempt, Unavailable::Shut(shut(Some(call.now))));
    assert!(matches!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::Shut(_), attempts: 0 }));
}

#[test]
fn a_breaker_tells_beforehand_what_it_would_refuse_and_changes_nothing() {
    let mut config = BreakerConfig::default();
    (config.failures_in_row, config.open.jitter, config.half_open.probes) = (1, OpenJitter::None, NonZeroU32::MIN);
    config.half_open.wait_max = Some(millis(500));
    let breaker = Breaker::new(&config, 7).unwrap();
    let mut now = Instant::ZERO;
    assert_eq!(breaker.refusal(now), None);
    breaker.record(now, breaker.permit(now).unwrap(), Verdict::Failed(millis(1)));
    let opens = now + config.open.base;
    assert_eq!(breaker.refusal(now), breaker.permit(now).err());
    assert_eq!(breaker.refusal(now).unwrap().retry_at, Some(opens));
    now = opens - Duration::from_nanos(1);
    assert!(breaker.refusal(now).is_some());
    now = opens;
    assert_eq!((breaker.refusal(now), breaker.next_transition_at()), (None, Some(opens)), "nobody has asked yet");
    let probe = breaker.permit(now).unwrap();
    let full = breaker.refusal(now).unwrap();
    assert_eq!((full.state, Some(full)), (State::HalfOpen, breaker.permit(now).err()));
    breaker.give_back(probe);
    assert_eq!(breaker.refusal(now), None);
    let _probe = breaker.permit(now).unwrap();
    now += millis(500);
    assert_eq!(breaker.refusal(now), None, "asking would open it");
    assert!(breaker.permit(now).unwrap_err().transition.is_some());
    assert_eq!(breaker.refusal(now).unwrap().state, State::Open);
}

fn shut(opens_at: Option<Instant>) -> Shut {
    Shut::new("instance-breaker", "open", 3, 3).opening_at(opens_at)
}

/// A budget that grants all and counts.
#[derive(Debug, Default)]
struct Purse {
    withdrawn: AtomicU32,
    told: AtomicU32,
    not_made: AtomicU32,
    /// Attempts of whose end it has not heard.
    due: AtomicU32,
}

impl Budget for Purse {
    fn deposit(&self, _: Instant) {
        self.due.fetch_add(1, Ordering::Relaxed);
    }

    fn withdraw(&self, _: Instant, _: Extra) -> Answer {
        self.withdrawn.fetch_add(1, Ordering::Relaxed);
        self.due.fetch_add(1, Ordering::Relaxed);
        Answer::Granted(Paid::new(1))
    }

    fn ended(&self, _: Instant, end: End, paid: Option<Paid>) {
        self.due.fetch_sub(1, Ordering::Relaxed);
        self.not_made.fetch_add(u32::from(end == End::NotMade), Ordering::Relaxed);
        self.told.fetch_add(u32::from(paid.is_some()), Ordering::Relaxed);
    }

    fn level(&self, _: Instant) -> Level {
        Level::new(0, None)
    }
}

struct Paying<'a> {
    policy: RetryPolicy,
    purse: &'a Purse,
}

impl Terms for Paying<'_> {
    fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        Some(self.purse)
    }
}
