//! Calls that send copies of what takes long, scene by scene.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_retry::call::{
    AttemptKind, CallEffect, CallEvent, CallInput, CancelReason, Decision, GiveUpReason, Terms, Unavailable,
};
use mesh_retry::classify::{Class, FinalBy};
use mesh_retry::deadline::{Latencies, QuantileError, QuantileRule};
use mesh_retry::hedge::{HedgeDelay, HedgeError, HedgePolicy};
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{Instant, Machine as _};
use support::{Call, millis, plain};

mod support;

#[test]
fn a_copy_is_sent_after_the_delay_and_the_first_success_wins() {
    let mut call = Call::new(hedged(2));
    let first = call.attempt(1, None);
    call.picked(first, 7);
    assert_eq!(call.wait(), millis(50));
    assert_eq!(call.decision(), Some(Decision::Hedge { at: call.now }));
    let (second, kind) = call.asked().unwrap();
    assert_eq!(kind, AttemptKind::Hedge);
    assert!(call.machine.tried().contains(mesh_retry::EndpointId::from_number(7)));
    call.ended(second, Class::Success);
    assert_eq!(call.machine.poll_effect(), Some(CallEffect::Cancel { attempt: first, why: CancelReason::Lost }));
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 2 });
    assert_eq!((call.machine.tally().hedges, call.machine.tally().retries), (1, 0));
}

#[test]
fn a_call_that_is_answered_in_time_sends_no_copy() {
    let mut call = Call::new(hedged(2));
    let first = call.attempt(1, None);
    call.pass(millis(49));
    call.ended(first, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 1 });
}

#[test]
fn copies_follow_each_other_by_the_delay_up_to_the_most() {
    let mut call = Call::new(hedged(3));
    call.attempt(1, None);
    for number in 2..=3 {
        assert_eq!(call.wait(), millis(50));
        call.attempt(number, None);
    }
    assert_eq!(call.machine.poll_timeout(), None);
}

#[test]
fn without_a_delay_all_copies_are_sent_at_once() {
    let mut policy = hedged(3);
    policy.hedge.as_mut().unwrap().delay = HedgeDelay::After(Duration::ZERO);
    let mut call = Call::new(policy);
    let attempts = [1, 2, 3].map(|number| call.attempt_of_many(number));
    let sent = Some(Decision::Hedge { at: call.now });
    assert_eq!([(); 3].map(|()| call.decision()), [sent, sent, None], "each is told");
    assert_eq!(call.machine.poll_effect(), None);
    call.ended(attempts[1], Class::Success);
    let cancelled = [(); 2].map(|()| call.machine.poll_effect());
    let lost = |attempt| Some(CallEffect::Cancel { attempt, why: CancelReason::Lost });
    assert_eq!(cancelled, [lost(attempts[0]), lost(attempts[2])]);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 3 });
}

#[test]
fn a_failure_that_others_may_make_good_sends_the_next_copy_at_once() {
    let mut call = Call::new(hedged(3));
    let first = call.attempt(1, None);
    call.wait();
    let second = call.attempt(2, None);
    call.ended(first, Class::Transient);
    let third = call.attempt(3, None);
    call.ended(third, Class::Unreachable);
    assert_eq!(call.machine.poll_effect(), None);
    call.ended(second, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 3 });
}

#[test]
fn an_overloaded_callee_that_names_a_time_is_sent_no_copy_before_it() {
    let mut call = Call::new(hedged(3));
    let first = call.attempt(1, None);
    call.wait();
    call.attempt(2, None);
    call.ended(first, Class::Throttled { retry_after: Some(millis(700)) });
    assert_eq!(call.wait(), millis(700));
    call.attempt(3, None);
}

#[test]
fn a_permanent_failure_ends_the_copies_too() {
    let mut call = Call::new(hedged(2));
    let first = call.attempt(1, None);
    call.wait();
    let second = call.attempt(2, None);
    call.ended(second, Class::Permanent);
    assert_eq!(call.machine.poll_effect(), Some(CallEffect::Cancel { attempt: first, why: CancelReason::Lost }));
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::Permanent, attempts: 2 });
}

#[test]
fn a_call_is_retried_when_all_copies_have_failed_and_hedged_anew() {
    let mut call = Call::new(hedged(2));
    let first = call.attempt(1, None);
    call.wait();
    let second = call.attempt(2, None);
    call.ended(second, Class::Transient);
    assert_eq!(call.machine.poll_timeout(), None);
    call.ended(first, Class::Transient);
    assert_eq!(call.wait(), millis(100));
    let (third, kind) = call.asked().unwrap();
    assert_eq!(kind, AttemptKind::Retry);
    assert_eq!(call.wait(), millis(50));
    assert_eq!(call.asked().unwrap().1, AttemptKind::Hedge);
    call.ended(third, Class::Success);
    assert!(call.machine.poll_effect().is_some());
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 4 });
    assert_eq!((call.machine.tally().hedges, call.machine.tally().retries), (2, 1));
}

#[test]
fn where_no_retry_is_left_a_failure_is_hedged_at_once() {
    let mut policy = hedged(2);
    policy.attempts_max = NonZeroU32::MIN;
    let mut call = Call::new(policy);
    let first = call.attempt(1, None);
    call.ended(first, Class::Transient);
    let second = call.attempt(2, None);
    call.ended(second, Class::Transient);
    let reason = GiveUpReason::AttemptsExhausted { attempts_max: NonZeroU32::MIN };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 2 });
}

#[test]
fn the_deadline_cancels_every_copy_as_too_slow() {
    let mut policy = hedged(2);
    policy.deadline = Some(millis(80));
    let mut call = Call::new(policy);
    let first = call.attempt(1, Some(millis(80)));
    call.wait();
    let second = call.attempt(2, Some(millis(30)));
    assert_eq!(call.wait(), millis(30));
    let slow = |attempt| Some(CallEffect::Cancel { attempt, why: CancelReason::Deadline });
    assert_eq!([call.machine.poll_effect(), call.machine.poll_effect()], [slow(first), slow(second)]);
    let reason = GiveUpReason::DeadlineExceeded { deadline: millis(80) };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 2 });
}

#[test]
fn a_copy_that_finds_no_other_instance_is_not_sent() {
    let mut call = Call::new(hedged(3));
    let first = call.attempt(1, None);
    call.picked(first, 7);
    call.wait();
    let second = call.attempt(2, None);
    call.unavailable(second, Unavailable::AllExcluded);
    assert_eq!((call.machine.poll_effect(), call.machine.poll_timeout()), (None, None));
    assert_eq!(call.machine.tally().hedges, 0);
    call.ended(first, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 1 });
}

#[test]
fn a_copy_without_an_instance_after_the_others_failed_leads_to_a_retry() {
    let mut policy = hedged(2);
    policy.attempts_max = NonZeroU32::MIN;
    let mut call = Call::new(policy);
    let first = call.attempt(1, None);
    call.picked(first, 7);
    call.ended(first, Class::Transient);
    let second = call.attempt(2, None);
    call.unavailable(second, Unavailable::AllExcluded);
    assert!(matches!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::AttemptsExhausted { .. }, attempts: 1 }));
}

#[test]
fn what_a_cancelled_copy_still_says_is_counted_and_ignored() {
    let mut call = Call::new(hedged(2));
    let first = call.attempt(1, None);
    call.wait();
    let second = call.attempt(2, None);
    call.ended(second, Class::Success);
    call.ended(first, Class::Permanent);
    call.put(CallInput::TimedOut { attempt: first });
    assert_eq!(call.machine.ignored(), 2);
    assert!(call.machine.poll_effect().is_some());
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 2 });
}

#[test]
fn what_may_not_be_repeated_is_neither_hedged_nor_retried_after_a_timeout() {
    let mut call = Call::new(Unsafe(hedged(2)));
    let attempt = call.attempt(1, None);
    assert_eq!(call.machine.poll_timeout(), None);
    call.put(CallInput::TimedOut { attempt });
    let reason = GiveUpReason::Final { by: FinalBy::Idempotency };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
}

#[test]
fn the_delay_follows_the_latencies_of_the_service_within_its_bounds() {
    for (seen, expected) in [(None, 90), (Some(5), 20), (Some(33), 33), (Some(500), 90)] {
        let latencies = Latencies::new(Duration::from_secs(60)).unwrap();
        for _ in 0..1_000 {
            seen.into_iter().for_each(|seen| latencies.record(Instant::from_millis(5_000), millis(seen)));
        }
        let mut policy = hedged(2);
        policy.hedge = Some(HedgePolicy::quantile(rule()));
        let mut call = Call::new(Measured(policy, latencies));
        call.attempt(1, None);
        // A quantile is known to one part in sixteen.
        let (waited, expected) = (call.wait(), millis(expected));
        assert!((expected..=expected + expected / 16 + millis(1)).contains(&waited), "{seen:?}: {waited:?}");
    }
}

#[test]
fn an_attempt_may_take_as_long_as_the_latencies_of_the_service_say() {
    let latencies = Latencies::new(Duration::from_secs(60)).unwrap();
    for _ in 0..1_000 {
        latencies.record(Instant::from_millis(5_000), millis(32));
    }
    let mut policy = plain();
    (policy.attempt_timeout, policy.attempt_timeout_rule) = (Some(millis(400)), Some(rule()));
    let mut call = Call::new(Measured(policy, latencies));
    let Some(CallEffect::Attempt { timeout: Some(timeout), .. }) = call.machine.poll_effect() else { panic!() };
    assert!((millis(32)..=millis(35)).contains(&timeout), "{timeout:?}");
    let mut call = Call::new(policy);
    call.attempt(1, Some(millis(400)));
}

#[test]
fn a_policy_names_what_is_wrong_with_its_hedges() {
    let said = |change: &dyn Fn(&mut HedgePolicy)| {
        let mut policy = plain();
        let mut hedge = HedgePolicy::default();
        change(&mut hedge);
        policy.hedge = Some(hedge);
        policy.validate().map_err(|error| error.to_string())
    };
    assert_eq!(said(&|_| {}), Ok(()));
    assert_eq!(
        said(&|hedge| hedge.attempts_max = NonZeroU32::MIN).unwrap_err(),
        "hedge.attempts_max: 1 is not allowed: must be 2 to 5"
    );
    let mut wrong = rule();
    wrong.quantile_milli = 1001;
    let error = HedgePolicy::quantile(wrong).validate().unwrap_err();
    assert!(matches!(error, HedgeError::Quantile(QuantileError::Quantile { quantile_milli: 1001 })), "{error}");
    assert!(said(&|hedge| hedge.delay = HedgeDelay::Quantile(wrong)).unwrap_err().starts_with("hedge.delay.quantile."));
}

/// Terms of an operation that may not be repeated.
#[derive(Debug)]
struct Unsafe(RetryPolicy);

impl Terms for Unsafe {
    fn policy(&self) -> &RetryPolicy {
        &self.0
    }

    fn may_repeat(&self) -> bool {
        false
    }
}

/// Terms with latencies that were measured.
#[derive(Debug)]
struct Measured(RetryPolicy, Latencies);

impl Terms for Measured {
    fn policy(&self) -> &RetryPolicy {
        &self.0
    }

    fn time(&self, now: Instant, rule: &QuantileRule) -> Option<Duration> {
        Some(rule.time(now, &self.1))
    }
}

/// The median, between 20 and 90 ms.
fn rule() -> QuantileRule {
    let mut rule = QuantileRule::hedge_delay();
    (rule.quantile_milli, rule.factor_milli) = (500, 1_000);
    (rule.min, rule.max, rule.samples_min) = (millis(20), millis(90), 100);
    rule
}

fn hedged(copies: u32) -> RetryPolicy {
    let mut policy = plain();
    let mut hedge = HedgePolicy::default();
    hedge.attempts_max = NonZeroU32::new(copies).unwrap();
    policy.hedge = Some(hedge);
    policy
}
