//! What becomes of waits that callees announce, by the policy's rule, alone and in a call.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use core::time::Duration;

use mesh_retry::backoff::{Cause, Jitter, Waits};
use mesh_retry::call::{CallEffect, CallEvent, CallInput, CallMachine, GiveUpReason};
use mesh_retry::classify::{Class, FinalBy, GrpcCode, GrpcCodes, Pushback};
use mesh_retry::policy::{RetryAfter, RetryPolicy};
use mesh_retry::{Instant, Machine as _, Rng};

#[test]
fn each_rule_does_as_it_says_with_waits_of_100_200_and_400_ms() {
    // Announced before the second of three retries; the waits before all three. The longest honoured is 10 s.
    let cases = [
        (RetryAfter::OnTop, 1_000, [100, 1_200, 400]),
        (RetryAfter::OnTop, 10_000, [100, 10_200, 400]),
        (RetryAfter::Instead, 1_000, [100, 1_000, 100]),
        (RetryAfter::Instead, 0, [100, 0, 100]),
        (RetryAfter::InsteadAtMost, 1_000, [100, 1_000, 400]),
        (RetryAfter::InsteadAtMost, 60_000, [100, 10_000, 400]),
        (RetryAfter::Clamped, 1_000, [100, 1_000, 400]),
        (RetryAfter::Clamped, 10, [100, 200, 400]),
        (RetryAfter::Clamped, 60_000, [100, 5_200, 400]),
        (RetryAfter::Ignored, 60_000, [100, 200, 400]),
    ];
    for (rule, announced, expected) in cases {
        let policy = policy(rule);
        let (mut rng, mut waits) = (Rng::from_seed(1), Waits::new());
        let mut wait = |announced| policy.wait(&mut waits, Cause::Throttled, announced, &mut rng).unwrap();
        let got = [wait(None), wait(Some(ms(announced))), wait(None)];
        assert_eq!(got, expected.map(ms), "{rule:?} of {announced} ms");
    }
}

#[test]
fn a_wait_that_is_too_long_ends_the_call_where_the_rule_would_wait_for_all_of_it() {
    for rule in [RetryAfter::OnTop, RetryAfter::Instead] {
        let refused = policy(rule).wait(&mut Waits::new(), Cause::Throttled, Some(ms(10_001)), &mut Rng::from_seed(1));
        let refused = refused.unwrap_err();
        assert_eq!((refused.announced, refused.max), (ms(10_001), ms(10_000)));
        let reason = GiveUpReason::from(refused);
        assert_eq!(reason, GiveUpReason::RetryAfterTooLong { announced: ms(10_001), max: ms(10_000) });
        assert_eq!(reason.to_string(), refused.to_string());
    }
}

#[test]
fn a_call_after_a_pushback_waits_as_long_as_told_and_begins_its_backoff_anew() {
    let mut policy = RetryPolicy::grpc();
    policy.attempts_max = policy.attempts_max.saturating_add(1);
    policy.backoff.jitter = Jitter::None;
    let unavailable = GrpcCode::Unavailable.class(GrpcCodes::GRPC);
    let pushed = unavailable.with_pushback(Pushback::parse("700"));
    let (waits, end) = course(&policy, &[unavailable, unavailable, pushed, unavailable, Class::Success]);
    assert_eq!(waits, [ms(100), ms(200), ms(700), ms(100)]);
    assert_eq!(end, CallEvent::Succeeded { attempts: 5 });
}

#[test]
fn a_call_that_is_told_never_to_come_again_gives_up_and_says_who_told_it() {
    let class = GrpcCode::Unavailable.class(GrpcCodes::GRPC).with_pushback(Pushback::parse("-1"));
    let (waits, end) = course(&RetryPolicy::grpc(), &[class]);
    let reason = GiveUpReason::Final { by: FinalBy::Callee };
    assert_eq!((waits.len(), end), (0, CallEvent::GaveUp { reason, attempts: 1 }));
    let said = [FinalBy::Callee, FinalBy::Idempotency, FinalBy::Code].map(|by| GiveUpReason::Final { by });
    assert_eq!(said.map(GiveUpReason::name), ["pushed-back", "not-idempotent", "code-not-retried"]);
    assert!(said.into_iter().all(GiveUpReason::is_transient));
    assert_eq!(reason.to_string(), "no attempt may follow: the callee asked for no retry");
}

#[test]
fn a_call_after_throttled_ends_has_the_longer_base() {
    let mut policy = RetryPolicy::aws_2026();
    policy.attempts_max = policy.attempts_max.saturating_add(1);
    policy.backoff.jitter = Jitter::None;
    let throttled = Class::Throttled { retry_after: None };
    let (waits, end) = course(&policy, &[throttled, Class::Transient, throttled, Class::Transient]);
    assert_eq!(waits, [ms(1000), ms(100), ms(4000)]);
    assert!(matches!(end, CallEvent::GaveUp { reason: GiveUpReason::AttemptsExhausted { .. }, attempts: 4 }));
}

#[test]
fn an_attempt_that_timed_out_is_no_throttled_one() {
    let mut policy = RetryPolicy::aws_2026();
    policy.backoff.jitter = Jitter::None;
    let mut call = CallMachine::new(&policy, 1, Instant::ZERO);
    let Some(CallEffect::Attempt { attempt, .. }) = call.poll_effect() else { panic!("no attempt") };
    call.handle_input(Instant::ZERO, CallInput::TimedOut { attempt });
    assert_eq!(call.poll_timeout(), Some(Instant::ZERO + ms(50)));
}

/// The waits of a call whose attempts end at once with `classes`, and how it ends.
fn course(policy: &RetryPolicy, classes: &[Class]) -> (Vec<Duration>, CallEvent) {
    let (mut now, mut waits) = (Instant::ZERO, Vec::new());
    let mut call = CallMachine::new(policy, 7, now);
    for class in classes {
        let Some(CallEffect::Attempt { attempt, .. }) = call.poll_effect() else { panic!("no attempt") };
        call.handle_input(now, CallInput::Ended { attempt, class: *class });
        if let Some(due) = call.poll_timeout() {
            waits.push(due - now);
            now = due;
            call.handle_timeout(now);
        }
    }
    (waits, call.poll_event().unwrap())
}

fn policy(rule: RetryAfter) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.backoff.jitter = Jitter::None;
    policy.retry_after = rule;
    policy
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
