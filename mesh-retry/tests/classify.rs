//! What results, statuses and announced waits mean.

use core::time::Duration;

use mesh_retry::classify::{Class, Classify, ErrorsAreTransient, class_of_status, parse_retry_after};

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
fn retry_after_is_read_as_whole_seconds_and_nothing_else() {
    let cases = [
        ("0", Some(0)),
        ("120", Some(120)),
        (" 3\t", Some(3)),
        ("007", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", Some(u64::MAX)),
        ("", None),
        (" ", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1 2", None),
        ("1s", None),
        ("٣", None),
        ("1\n", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
    ];
    for (value, seconds) in cases {
        assert_eq!(parse_retry_after(value), seconds.map(Duration::from_secs), "{value:?}");
    }
}

fn ask<T, E>(classifier: &impl Classify<T, E>, result: &Result<T, E>) -> Class {
    classifier.classify(result)
}
