//! What results, statuses and announced waits mean.

use core::time::Duration;
use std::io::ErrorKind;

use mesh_core::balance::Outcome;
use mesh_retry::classify::{
    Class, Classify, Done, ErrorsAreTransient, Failure, FinalBy, class_of_io, class_of_reset, class_of_status,
    done_by_io, done_by_reset, done_by_status,
};

#[test]
fn by_default_every_error_is_transient() {
    assert_eq!(ErrorsAreTransient.classify(&Ok::<_, ()>(1)), Class::Success);
    assert_eq!(ErrorsAreTransient.classify(&Err::<(), _>("reset")), Class::Transient);
}

#[test]
fn a_closure_classifies() {
    let by_status = |result: &Result<u16, ()>| match result {
        Ok(status) => class_of_status(*status),
        Err(()) => Class::Transient,
    };
    assert_eq!(ask(&by_status, &Ok(404)), Class::Permanent);
    assert_eq!(ask(&by_status, &Err(())), Class::Transient);
}

#[test]
fn a_classifier_of_the_users_own_may_be_a_type() {
    struct Never;
    impl Classify<u16, ()> for Never {
        fn classify(&self, result: &Result<u16, ()>) -> Class {
            if result.is_ok() { Class::Success } else { Class::Permanent }
        }
    }
    assert_eq!(ask(&Never, &Err(())), Class::Permanent);
}

#[test]
fn every_status_has_the_class_of_the_table() {
    let throttled = Class::Throttled { retry_after: None };
    for status in 0..=u16::MAX {
        let expected = match status {
            200 | 204 | 304 => Some(Class::Success),
            408 | 421 | 425 | 500 | 502 | 504 | 507 | 599 => Some(Class::Transient),
            429 | 503 => Some(throttled),
            400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 451 | 499 | 501 | 505 => Some(Class::Permanent),
            _ => None,
        };
        let class = class_of_status(status);
        let family = match status {
            100..=399 => class == Class::Success,
            400..=499 => class != Class::Success,
            500..=599 => class != Class::Success,
            _ => class == Class::Transient,
        };
        assert!(family, "{status} is {class:?}");
        assert!(expected.is_none_or(|expected| class == expected), "{status} is {class:?}");
    }
}

#[test]
fn only_transient_and_throttled_are_retryable() {
    assert!(Class::Transient.is_retryable());
    assert!(Class::Throttled { retry_after: None }.is_retryable());
    assert!(!Class::Success.is_retryable());
    assert!(!Class::Permanent.is_retryable());
}

#[test]
fn only_a_throttled_class_takes_an_announced_wait() {
    let wait = Some(Duration::from_secs(2));
    assert_eq!(class_of_status(429).with_retry_after(wait), Class::Throttled { retry_after: wait });
    assert_eq!(class_of_status(500).with_retry_after(wait), Class::Transient);
    assert_eq!(class_of_status(404).with_retry_after(wait), Class::Permanent);
    assert_eq!(class_of_status(200).with_retry_after(wait), Class::Success);
}

#[test]
fn a_final_class_is_not_retryable_and_tells_the_balancer_of_the_failure() {
    let wait = Some(Duration::from_secs(2));
    let cases = [
        (Class::Transient, Failure::Transient, Outcome::Failure),
        (Class::Unreachable, Failure::Unreachable, Outcome::Unreachable),
        (
            Class::Throttled { retry_after: wait },
            Failure::Throttled { retry_after: wait },
            Outcome::Overloaded { retry_after: wait },
        ),
    ];
    for (class, failure, outcome) in cases {
        let last = class.final_by(FinalBy::Idempotency);
        assert_eq!(last, Class::Final { failure, by: FinalBy::Idempotency });
        assert_eq!((class.failure(), failure.class()), (Some(failure), class));
        assert_eq!((class.outcome(), last.outcome()), (outcome, outcome));
        assert_eq!((class.is_retryable(), last.is_retryable(), last.failure()), (true, false, None));
        assert_eq!(last.final_by(FinalBy::Callee), last, "who was first to rule it out is named");
        assert_eq!(last.with_retry_after(wait), last);
    }
    for class in [Class::Success, Class::Permanent] {
        assert_eq!((class.final_by(FinalBy::Callee), class.failure()), (class, None));
    }
}

#[test]
fn only_421_and_425_promise_that_nothing_was_done_and_429_and_503_say_so() {
    for status in 0..=u16::MAX {
        let expected = match status {
            421 | 425 => Done::Nothing,
            429 | 503 => Done::Shed,
            _ => Done::Perhaps,
        };
        assert_eq!(done_by_status(status), expected, "{status}");
    }
}

#[test]
fn errors_of_connections_are_unreachable_those_of_the_own_system_permanent_and_the_rest_transient() {
    use ErrorKind as Kind;
    let unreachable = [
        Kind::ConnectionRefused,
        Kind::ConnectionReset,
        Kind::ConnectionAborted,
        Kind::NotConnected,
        Kind::BrokenPipe,
        Kind::UnexpectedEof,
        Kind::HostUnreachable,
        Kind::NetworkUnreachable,
        Kind::NetworkDown,
        Kind::AddrNotAvailable,
        Kind::TimedOut,
        Kind::NotFound,
    ];
    let permanent = [
        Kind::PermissionDenied,
        Kind::InvalidInput,
        Kind::Unsupported,
        Kind::AddrInUse,
        Kind::OutOfMemory,
        Kind::StorageFull,
        Kind::QuotaExceeded,
    ];
    let transient = [Kind::WouldBlock, Kind::Interrupted, Kind::InvalidData, Kind::Other, Kind::ResourceBusy];
    assert!(unreachable.into_iter().all(|kind| class_of_io(kind) == Class::Unreachable));
    assert!(permanent.into_iter().all(|kind| class_of_io(kind) == Class::Permanent));
    assert!(transient.into_iter().all(|kind| class_of_io(kind) == Class::Transient));
    let untouched = [Kind::ConnectionRefused, Kind::AddrNotAvailable];
    for kind in unreachable.into_iter().chain(permanent).chain(transient) {
        let expected = if untouched.contains(&kind) { Done::Nothing } else { Done::Perhaps };
        assert_eq!(done_by_io(kind), expected, "{kind:?}");
    }
}

#[test]
fn a_refused_stream_was_not_touched_and_a_callee_that_wants_calm_throttles() {
    for code in 0..0x200 {
        let class = match code {
            0xB | 0x107 => Class::Throttled { retry_after: None },
            0xC | 0xD | 0x110 => Class::Permanent,
            _ => Class::Transient,
        };
        let done = if matches!(code, 0x7 | 0x10B) { Done::Nothing } else { Done::Perhaps };
        assert_eq!((class_of_reset(code), done_by_reset(code)), (class, done), "{code:#x}");
    }
}

fn ask<T, E>(classifier: &impl Classify<T, E>, result: &Result<T, E>) -> Class {
    classifier.classify(result)
}
