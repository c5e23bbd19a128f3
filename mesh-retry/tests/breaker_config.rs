//! Which configurations of a breaker are allowed, what the presets say, and how they look as text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod breaker_support;

use std::time::Duration;

use breaker_support::*;
use mesh_retry::breaker::{
    Breaker, BreakerConfig, BreakerError, HalfOpen, OpenJitter, OpenTime, ProbeRule, WindowKind,
};

fn presets() -> [BreakerConfig; 6] {
    [
        BreakerConfig::default(),
        BreakerConfig::resilience4j(),
        BreakerConfig::hystrix(),
        BreakerConfig::polly(),
        BreakerConfig::finagle(),
        BreakerConfig::consecutive(number(5)),
    ]
}

#[test]
fn the_presets_are_valid_and_survive_as_text() {
    for preset in presets() {
        assert_eq!(preset.validate(), Ok(()));
        let text = serde_json::to_string(&preset).unwrap();
        assert_eq!(serde_json::from_str::<BreakerConfig>(&text).unwrap(), preset, "{text}");
    }
}

#[test]
fn the_presets_have_the_numbers_of_what_they_are_named_after() {
    let resilience4j = BreakerConfig::resilience4j();
    assert_eq!(resilience4j.window, WindowKind::Count { calls: number(100) });
    assert_eq!((resilience4j.failure_rate_milli, resilience4j.slow_rate_milli), (500, 1000));
    assert_eq!((resilience4j.slow_after, resilience4j.calls_min), (secs(60), number(100)));
    assert_eq!((resilience4j.open.base, resilience4j.open.max), (secs(60), secs(60)));
    assert_eq!((resilience4j.half_open.probes, resilience4j.half_open.wait_max), (number(10), None));
    assert_eq!((resilience4j.half_open.rule, resilience4j.failures_in_row), (ProbeRule::Rates, 0));

    let hystrix = BreakerConfig::hystrix();
    assert_eq!(hystrix.window, WindowKind::Time { buckets: number(10), width: secs(1) });
    assert_eq!((hystrix.failure_rate_milli, hystrix.slow_rate_milli, hystrix.calls_min), (500, 0, number(20)));
    assert_eq!((hystrix.open.base, hystrix.half_open.probes), (secs(5), number(1)));

    let polly = BreakerConfig::polly();
    assert_eq!(polly.window, WindowKind::Time { buckets: number(10), width: secs(3) });
    assert_eq!((polly.failure_rate_milli, polly.calls_min, polly.open.base), (100, number(100), secs(5)));

    let finagle = BreakerConfig::finagle();
    assert_eq!((finagle.failures_in_row, finagle.failure_rate_milli), (5, 200));
    assert_eq!((finagle.open.base / 2, finagle.open.max), (secs(10), secs(300)));
    for fixed in [resilience4j, hystrix, polly] {
        assert_eq!((fixed.open.jitter, fixed.open.growth_milli), (OpenJitter::None, 1000));
    }
}

#[test]
fn what_is_left_out_keeps_its_default_and_what_is_unknown_is_refused() {
    let read = |text: &str| serde_json::from_str::<BreakerConfig>(text);
    assert_eq!(read("{}").unwrap(), BreakerConfig::default());
    let some = read(
        r#"{"failures_in_row": 3, "window": {"time": {"buckets": 5, "width": "200ms"}},
            "open": {"base": "1s", "jitter": "none"}, "half_open": {"rule": "none-fails", "wait_max": "9s"}}"#,
    );
    let some = some.unwrap();
    assert_eq!(some.failures_in_row, 3);
    assert_eq!(some.window, WindowKind::Time { buckets: number(5), width: Duration::from_millis(200) });
    assert_eq!((some.open.base, some.open.max), (secs(1), OpenTime::default().max));
    assert_eq!((some.half_open.probes, some.half_open.wait_max), (HalfOpen::default().probes, Some(secs(9))));
    assert_eq!(read(r#"{"window": {"count": {"calls": 7}}}"#).unwrap().window, WindowKind::Count { calls: number(7) });
    for wrong in [
        r#"{"failure_rate": 0.5}"#,
        r#"{"window": {"count": {"calls": 0}}}"#,
        r#"{"window": {"count": {"calls": 7, "width": "1s"}}}"#,
        r#"{"window": {"time": {"buckets": 7, "width": 1000}}}"#,
        r#"{"calls_min": 0}"#,
        r#"{"half_open": {"probes": 0}}"#,
        r#"{"open": {"growth": 2}}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_wrong_field_is_named_with_its_value_and_its_rule() {
    type Spoil = fn(&mut BreakerConfig);
    let rows: [(Spoil, &str); 19] = [
        (|config| config.window = WindowKind::Count { calls: number(4_096) }, "window.count.calls: 4096 "),
        (
            |config| config.window = WindowKind::Time { buckets: number(1_001), width: secs(1) },
            "window.time.buckets: 1001 ",
        ),
        (
            |config| config.window = WindowKind::Time { buckets: number(1), width: NEARLY },
            "window.time.width: 999.999µs ",
        ),
        (
            |config| config.window = WindowKind::Time { buckets: number(1), width: secs(3_601) },
            "window.time.width: 3601s ",
        ),
        (|config| config.calls_min = number(100_001), "calls_min: 100001 "),
        (|config| config.failure_rate_milli = 1_001, "failure_rate_milli: 1001 "),
        (|config| config.slow_rate_milli = 1_001, "slow_rate_milli: 1001 "),
        (
            |config| (config.failures_in_row, config.failure_rate_milli) = (0, 0),
            "failures_in_row, failure_rate_milli, ",
        ),
        (|config| config.failure_rate_milli = 0, "half_open.rule: rates "),
        (|config| config.open.base = NEARLY, "open.base: 999.999µs "),
        (|config| (config.open.base, config.open.max) = (secs(86_401), secs(86_401)), "open.base: 86401s "),
        (|config| config.open.max = secs(4), "open.max: 4s "),
        (|config| config.open.max = secs(86_401), "open.max: 86401s "),
        (|config| config.open.growth_milli = 999, "open.growth_milli: 999 "),
        (|config| config.open.growth_milli = 100_001, "open.growth_milli: 100001 "),
        (|config| config.half_open.probes = number(128), "half_open.probes: 128 "),
        (|config| config.half_open.wait_max = Some(NEARLY), "half_open.wait_max: 999.999µs "),
        (|config| config.half_open.lost_after = NEARLY, "half_open.lost_after: 999.999µs "),
        (|config| config.half_open.lost_after = secs(86_401), "half_open.lost_after: 86401s "),
    ];
    for (spoil, start) in rows {
        let mut config = BreakerConfig::default();
        spoil(&mut config);
        let error = config.validate().unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(start) && text.contains("not allowed: "), "{text} for {start}");
        assert_eq!(Breaker::new(&config, 1).unwrap_err(), error);
    }
}

#[test]
fn the_limits_themselves_are_allowed() {
    let mut config = BreakerConfig::default();
    config.window = WindowKind::Time { buckets: number(1_000), width: secs(3_600) };
    config.calls_min = number(100_000);
    (config.failure_rate_milli, config.slow_rate_milli) = (1_000, 1_000);
    config.open.base = Duration::from_millis(1);
    (config.open.max, config.open.growth_milli) = (secs(86_400), 100_000);
    (config.half_open.probes, config.half_open.wait_max) = (number(127), Some(Duration::from_millis(1)));
    config.half_open.lost_after = secs(86_400);
    assert_eq!(config.validate(), Ok(()));
    config.window = WindowKind::Count { calls: number(4_095) };
    assert_eq!(config.validate(), Ok(()));
    config.failure_rate_milli = 0;
    assert_eq!(config.validate(), Ok(()), "slow calls alone are a rate too");
}

#[test]
fn a_breaker_of_failures_in_a_row_needs_no_rate() {
    let mut config = BreakerConfig::consecutive(number(3));
    assert_eq!(config.validate(), Ok(()));
    config.failures_in_row = 0;
    assert_eq!(config.validate(), Err(BreakerError::NeverOpens));
}

const NEARLY: Duration = Duration::from_nanos(999_999);
