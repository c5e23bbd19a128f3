//! The presets, the rules of a policy, and policies as text.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_retry::backoff::{Backoff, BackoffError, Jitter, Shape};
use mesh_retry::policy::{PolicyError, RetryAfter, RetryPolicy};

#[test]
fn the_presets_have_the_numbers_that_their_users_know() {
    let cases = [
        (RetryPolicy::default(), 3, 100, 10_000, 2000),
        (RetryPolicy::aggressive(), 5, 50, 5_000, 1500),
        (RetryPolicy::conservative(), 2, 500, 15_000, 2000),
        (RetryPolicy::never(), 1, 100, 10_000, 2000),
    ];
    for (policy, attempts_max, base, cap, multiplier_milli) in cases {
        assert_eq!(policy.attempts_max, NonZeroU32::new(attempts_max).unwrap());
        assert_eq!(policy.backoff.base, Duration::from_millis(base));
        assert_eq!(policy.backoff.cap, Duration::from_millis(cap));
        assert_eq!(policy.backoff.multiplier_milli, multiplier_milli);
        assert_eq!(policy.backoff.jitter, Jitter::Full);
        assert_eq!((policy.retry_after, policy.retry_after_max), (RetryAfter::OnTop, policy.backoff.cap));
        assert_eq!((policy.backoff.shape, policy.backoff.throttled_base), (Shape::Exponential, None));
        assert_eq!((policy.deadline, policy.attempt_timeout), (None, None));
        assert_eq!(policy.validate(), Ok(()));
    }
}

#[test]
fn each_rule_names_its_field_and_value() {
    let mut policy = RetryPolicy::default();
    policy.deadline = Some(Duration::ZERO);
    assert_eq!(policy.validate(), Err(PolicyError::DeadlineZero));
    policy.deadline = Some(Duration::from_nanos(1));
    assert_eq!(policy.validate(), Ok(()));
    policy.attempt_timeout = Some(Duration::ZERO);
    assert_eq!(policy.validate(), Err(PolicyError::AttemptTimeoutZero));
    policy.attempt_timeout = Some(Duration::from_nanos(1));
    assert_eq!(policy.validate(), Ok(()));
    policy.backoff.cap = Duration::from_millis(20);
    let error = policy.validate().unwrap_err();
    let (base, cap) = (policy.backoff.base, policy.backoff.cap);
    assert_eq!(error, PolicyError::Backoff(BackoffError::CapBelowBase { base, cap }));
    assert_eq!(error.to_string(), "backoff.cap: 20ms is not allowed: must be at least base, which is 100ms");
}

#[test]
fn a_policy_is_written_as_text_and_read_back() {
    let mut policy = RetryPolicy::aggressive();
    policy.deadline = Some(Duration::from_millis(1500));
    policy.backoff.jitter = Jitter::None;
    let text = serde_json::to_string(&policy).unwrap();
    assert_eq!(
        text,
        r#"{"attempts_max":5,"backoff":{"shape":"exponential","base":"50ms","cap":"5s","multiplier_milli":1500,"jitter":"none"},"deadline":"1s 500ms","retry_after":"on-top","retry_after_max":"5s"}"#
    );
    assert_eq!(serde_json::from_str::<RetryPolicy>(&text).unwrap(), policy);
}

#[test]
fn every_preset_is_written_as_text_and_read_back() {
    let presets = [
        RetryPolicy::default(),
        RetryPolicy::aggressive(),
        RetryPolicy::conservative(),
        RetryPolicy::never(),
        RetryPolicy::aws_2024(),
        RetryPolicy::aws_2026(),
        RetryPolicy::grpc(),
        RetryPolicy::envoy(),
        RetryPolicy::finagle(),
    ];
    for policy in presets {
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<RetryPolicy>(&text).unwrap(), policy, "{text}");
    }
}

#[test]
fn shapes_jitters_and_rules_have_their_names() {
    for (name, shape) in [
        ("constant", Shape::Constant),
        ("linear", Shape::Linear),
        ("exponential", Shape::Exponential),
        ("exponential-sum", Shape::ExponentialSum),
    ] {
        assert_eq!(serde_json::from_str::<Shape>(&format!("{name:?}")).unwrap(), shape);
    }
    for (name, jitter) in [
        ("none", Jitter::None),
        ("full", Jitter::Full),
        ("equal", Jitter::Equal),
        ("proportional", Jitter::Proportional),
        ("decorrelated", Jitter::Decorrelated),
    ] {
        assert_eq!(serde_json::from_str::<Jitter>(&format!("{name:?}")).unwrap(), jitter);
    }
    for (name, rule) in [
        ("on-top", RetryAfter::OnTop),
        ("instead", RetryAfter::Instead),
        ("instead-at-most", RetryAfter::InsteadAtMost),
        ("clamped", RetryAfter::Clamped),
        ("ignored", RetryAfter::Ignored),
    ] {
        assert_eq!(serde_json::from_str::<RetryAfter>(&format!("{name:?}")).unwrap(), rule);
    }
    let backoff: Backoff = serde_json::from_str(r#"{"base":"50ms","throttled_base":"1s","cap":"20s"}"#).unwrap();
    assert_eq!(backoff, Backoff::aws_2026());
}

#[test]
fn what_a_text_leaves_out_keeps_its_default() {
    assert_eq!(serde_json::from_str::<RetryPolicy>("{}").unwrap(), RetryPolicy::default());
    let read: RetryPolicy = serde_json::from_str(r#"{"attempt_timeout":"250ms","backoff":{"base":"20ms"}}"#).unwrap();
    let mut expected = RetryPolicy::default();
    expected.attempt_timeout = Some(Duration::from_millis(250));
    expected.backoff.base = Duration::from_millis(20);
    assert_eq!(read, expected);
}

#[test]
fn a_text_with_an_unknown_key_or_a_bad_value_is_refused() {
    for text in [
        r#"{"attempts":3}"#,
        r#"{"backoff":{"bas":"1s"}}"#,
        r#"{"attempts_max":0}"#,
        r#"{"deadline":"soon"}"#,
        r#"{"deadline":5}"#,
        r#"{"deadline":"-1s"}"#,
        r#"{"backoff":{"jitter":"Full"}}"#,
        r#"{"backoff":{"shape":"quadratic"}}"#,
        r#"{"backoff":{"throttled_base":"soon"}}"#,
        r#"{"retry_after":"never"}"#,
    ] {
        assert!(serde_json::from_str::<RetryPolicy>(text).is_err(), "{text}");
    }
}
