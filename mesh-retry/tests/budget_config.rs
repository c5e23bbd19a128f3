//! Budgets in configuration files: their text, their rules and their names.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::budget::{
    AwsConfig, BudgetConfig, BudgetError, BudgetKind, ConcurrentConfig, Denial, GrpcThrottleConfig, TokenBucketConfig,
    WindowConfig, WindowRule,
};

#[test]
fn every_budget_is_built_full_from_its_configuration_and_names_its_kind() {
    for (config, name, most) in [
        (BudgetConfig::default(), "token-bucket", 10_000),
        (BudgetConfig::Window(WindowConfig::default()), "window", 100_000),
        (BudgetConfig::GrpcThrottle(GrpcThrottleConfig::default()), "grpc-throttle", 5_000),
        (BudgetConfig::AwsStandard(AwsConfig::default()), "aws-standard", 100_000),
        (BudgetConfig::Concurrent(ConcurrentConfig::default()), "concurrent", 3_000),
    ] {
        assert_eq!(config.validate(), Ok(()), "{config:?}");
        assert_eq!(config.kind().name(), name);
        assert_eq!(config.build().level(Instant::ZERO).has_milli, most, "{config:?}");
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.starts_with(&format!("{{\"{name}\":")), "{text}");
        assert_eq!(serde_json::from_str::<BudgetConfig>(&text).unwrap(), config);
    }
}

#[test]
fn what_is_left_out_keeps_its_default_and_what_is_unknown_is_refused() {
    let read = |text: &str| serde_json::from_str::<BudgetConfig>(text);
    let mut expected = WindowConfig::default();
    (expected.ttl, expected.rule) = (Duration::from_millis(2_500), WindowRule::Tower);
    assert_eq!(read(r#"{"window": {"ttl": "2s 500ms", "rule": "tower"}}"#).unwrap(), BudgetConfig::Window(expected));
    assert_eq!(read(r#"{"token-bucket": {}}"#).unwrap(), BudgetConfig::default());
    for text in [
        r#"{"token-bucket": {"ratio": 0.1}}"#,
        r#"{"window": {"ttl": 10}}"#,
        r#"{"grpc-throttle": {"tokens": 1}}"#,
        r#"{"aws-standard": {"cost": 1}}"#,
        r#"{"concurrent": {"max": 1}}"#,
        r#"{"leaky": {}}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn each_rule_of_a_token_bucket_is_checked_at_its_boundary() {
    let with = |set: fn(&mut TokenBucketConfig, u32), value| {
        let mut config = TokenBucketConfig::default();
        set(&mut config, value);
        config.validate()
    };
    check("ratio_milli", 0, 1_000_000, |value| with(|config, value| config.ratio_milli = value, value));
    check("per_second_milli", 0, 1_000_000_000, |value| with(|config, value| config.per_second_milli = value, value));
    check("burst_milli", 1_000, 1_000_000_000, |value| with(|config, value| config.burst_milli = value, value));
}

#[test]
fn each_rule_of_a_window_is_checked_at_its_boundary() {
    let with = |set: fn(&mut WindowConfig, u32), value| {
        let mut config = WindowConfig::default();
        set(&mut config, value);
        config.validate()
    };
    check("per_second", 0, 100_000, |value| with(|config, value| config.per_second = value, value));
    check("ratio_milli", 0, 1_000_000, |value| with(|config, value| config.ratio_milli = value, value));
    let ttl = |ttl: Duration| {
        let mut config = WindowConfig::default();
        config.ttl = ttl;
        config.validate()
    };
    let nanosecond = Duration::from_nanos(1);
    let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(60));
    assert_eq!((ttl(shortest), ttl(longest)), (Ok(()), Ok(())));
    for wrong in [shortest - nanosecond, longest + nanosecond] {
        assert_eq!(ttl(wrong), Err(BudgetError::Ttl { ttl: wrong }));
    }
    assert_eq!(ttl(Duration::ZERO).unwrap_err().to_string(), "ttl: 0ns is not allowed: must be 1s to 60s");
}

#[test]
fn each_rule_of_the_others_is_checked_at_its_boundary() {
    let grpc = |set: fn(&mut GrpcThrottleConfig, u32), value| {
        let mut config = GrpcThrottleConfig::default();
        set(&mut config, value);
        BudgetConfig::GrpcThrottle(config).validate()
    };
    check("max_tokens", 1, 1_000, |value| grpc(|config, value| config.max_tokens = value, value));
    check("token_ratio_milli", 1, 1_000_000, |value| grpc(|config, value| config.token_ratio_milli = value, value));
    let aws = |set: fn(&mut AwsConfig, u32), value| {
        let mut config = AwsConfig::default();
        set(&mut config, value);
        BudgetConfig::AwsStandard(config).validate()
    };
    check("capacity", 1, 1_000_000, |value| aws(|config, value| config.capacity = value, value));
    check("transient_cost", 0, 1_000_000, |value| aws(|config, value| config.transient_cost = value, value));
    check("timeout_cost", 0, 1_000_000, |value| aws(|config, value| config.timeout_cost = value, value));
    check("throttle_cost", 0, 1_000_000, |value| aws(|config, value| config.throttle_cost = value, value));
    check("success_reward", 0, 1_000_000, |value| aws(|config, value| config.success_reward = value, value));
    let concurrent = |set: fn(&mut ConcurrentConfig, u32), value| {
        let mut config = ConcurrentConfig::default();
        set(&mut config, value);
        BudgetConfig::Concurrent(config).validate()
    };
    check("at_least", 0, 1_000_000, |value| concurrent(|config, value| config.at_least = value, value));
    check("share_milli", 0, 1_000, |value| concurrent(|config, value| config.share_milli = value, value));
}

#[test]
fn the_error_names_the_field_the_value_and_the_rule() {
    let mut config = TokenBucketConfig::default();
    config.burst_milli = 999;
    let error = BudgetConfig::TokenBucket(config).validate().unwrap_err();
    assert_eq!(error.to_string(), "burst_milli: 999 is not allowed: must be 1000 to 1000000000");
}

#[test]
fn a_budget_of_ones_own_has_a_name_of_its_own() {
    let denied = Denial::new(BudgetKind::Custom("monthly"), 10, 1_000, None);
    assert_eq!(denied.name(), "monthly");
    assert_eq!(denied.to_string(), "the monthly budget has 0.010 of an attempt and one costs 1.000");
}

/// Holds `rule` to `min` to `max` for `field`.
fn check(field: &'static str, min: u32, max: u32, rule: impl Fn(u32) -> Result<(), BudgetError>) {
    assert_eq!((rule(min), rule(max)), (Ok(()), Ok(())), "{field}");
    let wrong = min.checked_sub(1).into_iter().chain(max.checked_add(1));
    for value in wrong {
        assert_eq!(rule(value), Err(BudgetError::OutOfRange { field, value, min, max }));
    }
}
