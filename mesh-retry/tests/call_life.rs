//! One call from its first attempt to its event, scene by scene.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_retry::call::{AttemptId, CallEffect, CallEvent, CallInput, CancelReason, GiveUpReason, Unavailable};
use mesh_retry::classify::Class;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _};
use support::{Call, millis, plain};

mod support;

#[test]
fn a_call_whose_first_attempt_succeeds_is_over() {
    let mut call = Call::new(plain());
    let attempt = call.attempt(1, None);
    call.ended(attempt, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 1 });
}

#[test]
fn a_retry_waits_for_the_backoff_and_avoids_what_was_tried() {
    let mut call = Call::new(plain());
    let first = call.attempt(1, None);
    call.picked(first, 7);
    call.ended(first, Class::Transient);
    assert_eq!(call.wait(), millis(100));
    let second = call.attempt(2, None);
    assert!(call.machine.tried().contains(EndpointId::from_number(7)));
    call.picked(second, 8);
    call.ended(second, Class::Transient);
    assert_eq!(call.wait(), millis(200));
    let third = call.attempt(3, None);
    assert_eq!(call.machine.tried().len(), 2);
    call.ended(third, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 3 });
}

#[test]
fn the_last_allowed_attempt_is_not_followed_by_another() {
    let mut call = Call::new(plain());
    for number in 1..=3 {
        let attempt = call.attempt(number, None);
        call.ended(attempt, Class::Transient);
        if number < 3 {
            call.wait();
        }
    }
    let reason = GiveUpReason::AttemptsExhausted { attempts_max: NonZeroU32::new(3).unwrap() };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 3 });
}

#[test]
fn the_policy_that_never_retries_makes_one_attempt() {
    let mut call = Call::new(RetryPolicy::never());
    let attempt = call.attempt(1, None);
    call.ended(attempt, Class::Throttled { retry_after: None });
    let reason = GiveUpReason::AttemptsExhausted { attempts_max: NonZeroU32::MIN };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
}

#[test]
fn a_permanent_failure_is_not_retried() {
    let mut call = Call::new(plain());
    let attempt = call.attempt(1, None);
    call.ended(attempt, Class::Permanent);
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::Permanent, attempts: 1 });
    assert!(!GiveUpReason::Permanent.is_transient());
}

#[test]
fn an_announced_wait_comes_on_top_of_the_backoff() {
    let mut call = Call::new(plain());
    let attempt = call.attempt(1, None);
    call.ended(attempt, Class::Throttled { retry_after: Some(millis(3000)) });
    assert_eq!(call.wait(), millis(3100));
    let attempt = call.attempt(2, None);
    call.ended(attempt, Class::Throttled { retry_after: None });
    assert_eq!(call.wait(), millis(200));
}

#[test]
fn an_announced_wait_longer_than_the_policy_allows_ends_the_call() {
    for (announced, gives_up) in [(millis(10_000), false), (millis(10_001), true), (Duration::MAX, true)] {
        let mut call = Call::new(plain());
        let attempt = call.attempt(1, None);
        call.ended(attempt, Class::Throttled { retry_after: Some(announced) });
        if gives_up {
            let reason = GiveUpReason::RetryAfterTooLong { announced, max: millis(10_000) };
            assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
        } else {
            assert_eq!(call.wait(), millis(10_100));
        }
    }
}

#[test]
fn an_attempt_that_timed_out_is_retried() {
    let mut policy = plain();
    policy.attempt_timeout = Some(millis(50));
    let mut call = Call::new(policy);
    let attempt = call.attempt(1, Some(millis(50)));
    call.pass(millis(50));
    call.put(CallInput::TimedOut { attempt });
    assert_eq!(call.wait(), millis(100));
    call.attempt(2, Some(millis(50)));
}

#[test]
fn an_attempt_may_take_no_longer_than_the_deadline_allows() {
    let mut policy = plain();
    policy.deadline = Some(millis(400));
    let mut call = Call::new(policy);
    let attempt = call.attempt(1, Some(millis(400)));
    call.pass(millis(30));
    call.ended(attempt, Class::Transient);
    call.wait();
    call.attempt(2, Some(millis(270)));

    policy.attempt_timeout = Some(millis(300));
    let mut call = Call::new(policy);
    let attempt = call.attempt(1, Some(millis(300)));
    call.pass(millis(30));
    call.ended(attempt, Class::Transient);
    call.wait();
    call.attempt(2, Some(millis(270)));
}

#[test]
fn the_deadline_cancels_the_attempt_under_way() {
    let mut policy = plain();
    policy.deadline = Some(millis(400));
    let mut call = Call::new(policy);
    let attempt = call.attempt(1, Some(millis(400)));
    assert_eq!(call.wait(), millis(400));
    assert_eq!(call.machine.poll_effect(), Some(CallEffect::Cancel { attempt, why: CancelReason::Deadline }));
    let reason = GiveUpReason::DeadlineExceeded { deadline: millis(400) };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
}

#[test]
fn an_attempt_that_was_never_taken_up_is_withdrawn_at_the_deadline() {
    let mut policy = plain();
    policy.deadline = Some(millis(400));
    let mut call = Call::new(policy);
    call.wait();
    assert!(matches!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::DeadlineExceeded { .. }, .. }));
}

#[test]
fn a_timeout_at_the_deadline_is_the_deadline() {
    let mut policy = plain();
    policy.deadline = Some(millis(400));
    let mut call = Call::new(policy);
    let attempt = call.attempt(1, Some(millis(400)));
    call.pass(millis(400));
    call.put(CallInput::TimedOut { attempt });
    let reason = GiveUpReason::DeadlineExceeded { deadline: millis(400) };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
}

#[test]
fn a_success_that_arrives_with_the_deadline_counts() {
    let mut policy = plain();
    policy.deadline = Some(millis(400));
    let mut call = Call::new(policy);
    let attempt = call.attempt(1, Some(millis(400)));
    call.pass(millis(400));
    call.ended(attempt, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 1 });
}

#[test]
fn a_retry_that_cannot_start_before_the_deadline_is_not_waited_for() {
    for (left, gives_up) in [(millis(101), false), (millis(100), true), (millis(10), true)] {
        let mut policy = plain();
        policy.deadline = Some(millis(20) + left);
        let mut call = Call::new(policy);
        let attempt = call.attempt(1, policy.deadline);
        call.pass(millis(20));
        call.ended(attempt, Class::Transient);
        if gives_up {
            let reason = GiveUpReason::DeadlineTooClose { needed: millis(100), left };
            assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
        } else {
            assert_eq!(call.wait(), millis(100));
            call.attempt(2, Some(millis(1)));
        }
    }
}

#[test]
fn a_driver_that_wakes_up_after_the_deadline_starts_nothing() {
    let mut policy = plain();
    policy.deadline = Some(millis(400));
    let mut call = Call::new(policy);
    let attempt = call.attempt(1, policy.deadline);
    call.ended(attempt, Class::Transient);
    assert_eq!(call.machine.poll_timeout(), Some(call.now + millis(100)));
    call.pass(millis(400));
    call.machine.handle_timeout(call.now);
    let reason = GiveUpReason::DeadlineExceeded { deadline: millis(400) };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
}

#[test]
fn a_call_without_any_time_makes_no_attempt() {
    let mut policy = plain();
    policy.deadline = Some(Duration::ZERO);
    let mut call = Call::new(policy);
    let reason = GiveUpReason::DeadlineExceeded { deadline: Duration::ZERO };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 0 });
}

#[test]
fn when_all_instances_were_tried_the_list_starts_anew_at_once() {
    let mut call = Call::new(plain());
    let first = call.attempt(1, None);
    call.picked(first, 7);
    call.ended(first, Class::Transient);
    call.wait();
    let refused = call.attempt(2, None);
    call.unavailable(refused, Unavailable::AllExcluded);
    assert!(call.machine.tried().is_empty());
    let again = call.attempt(2, None);
    assert_ne!(refused, again);
    call.ended(again, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 2 });
}

#[test]
fn all_excluded_with_nothing_excluded_does_not_go_round_for_ever() {
    let mut call = Call::new(plain());
    let attempt = call.attempt(1, None);
    call.unavailable(attempt, Unavailable::AllExcluded);
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::NoInstance, attempts: 0 });
}

#[test]
fn no_instance_at_all_ends_the_call_and_is_no_attempt() {
    let mut call = Call::new(plain());
    let first = call.attempt(1, None);
    call.ended(first, Class::Transient);
    call.wait();
    let second = call.attempt(2, None);
    call.unavailable(second, Unavailable::None);
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::NoInstance, attempts: 1 });
}

#[test]
fn late_and_unknown_answers_are_ignored_and_counted() {
    let mut call = Call::new(plain());
    let first = call.attempt(1, None);
    call.put(CallInput::TimedOut { attempt: first });
    call.ended(first, Class::Success);
    call.picked(first, 7);
    assert_eq!(call.machine.ignored(), 2);
    assert!(call.machine.tried().is_empty());
    call.wait();
    let second = call.attempt(2, None);
    call.ended(first, Class::Permanent);
    call.ended(AttemptId::from_number(99), Class::Success);
    assert_eq!(call.machine.ignored(), 4);
    call.ended(second, Class::Success);
    call.ended(second, Class::Transient);
    assert_eq!(call.machine.ignored(), 5);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 2 });
}

#[test]
fn time_that_goes_back_neither_shortens_nor_lengthens_a_wait() {
    let mut call = Call::new(plain());
    let attempt = call.attempt(1, None);
    call.picked(attempt, 7);
    let input = CallInput::Ended { attempt, class: Class::Transient };
    call.machine.handle_input(Instant::ZERO, input);
    assert_eq!(call.wait(), millis(100));
    call.attempt(2, None);
}

#[test]
fn every_reason_says_its_numbers() {
    let reasons = [
        (GiveUpReason::Permanent, "the failure is permanent"),
        (
            GiveUpReason::AttemptsExhausted { attempts_max: NonZeroU32::MIN },
            "all attempts that the policy allows have failed: 1",
        ),
        (GiveUpReason::DeadlineExceeded { deadline: millis(5) }, "the deadline of 5ms has passed"),
        (
            GiveUpReason::DeadlineTooClose { needed: millis(7), left: millis(5) },
            "the next attempt would have to wait for 7ms and the deadline is in 5ms",
        ),
        (
            GiveUpReason::RetryAfterTooLong { announced: millis(7), max: millis(5) },
            "the callee asked for a wait of 7ms and the policy allows 5ms",
        ),
        (GiveUpReason::NoInstance, "no instance is available"),
    ];
    for (reason, text) in reasons {
        assert_eq!(reason.to_string(), text);
        assert_eq!(reason.is_transient(), reason != GiveUpReason::Permanent);
    }
}
