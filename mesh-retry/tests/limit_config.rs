//! Configurations of limits, throttles and bulkheads: their presets, their rules, and how they read as text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::service::ConfigError;
use mesh_retry::Instant;
use mesh_retry::limit::algorithm::{AimdConfig, Gradient2Config, GradientConfig, VegasConfig};
use mesh_retry::limit::bulkhead::{Bulkhead, BulkheadConfig, BulkheadFull, Order};
use mesh_retry::limit::throttle::{AdaptiveThrottle, ThrottleConfig};
use mesh_retry::limit::{Aggregate, AlgorithmConfig, ConcurrencyLimit, LimitConfig, SampleWindow};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MS: Duration = Duration::from_millis(1);

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn limits() -> [LimitConfig; 5] {
    let fixed = LimitConfig::fixed(number(7));
    [fixed, LimitConfig::aimd(), LimitConfig::vegas(), LimitConfig::gradient2(), LimitConfig::envoy()]
}

fn bulkheads() -> [BulkheadConfig; 6] {
    [
        BulkheadConfig::default(),
        BulkheadConfig::fail_at_scale(number(8), 90),
        BulkheadConfig::resilience4j(),
        BulkheadConfig::hystrix(),
        BulkheadConfig::envoy(),
        BulkheadConfig::without_queue(number(3)),
    ]
}

/// What `change` breaks, as it is told.
fn broken<C: Default>(change: impl FnOnce(&mut C), validate: impl FnOnce(&C) -> Result<(), ConfigError>) -> String {
    let mut config = C::default();
    change(&mut config);
    validate(&config).unwrap_err().to_string()
}

#[test]
fn the_presets_keep_their_rules_and_begin_where_their_sources_do() {
    let first = limits().map(|config| {
        config.validate().unwrap();
        ConcurrencyLimit::new(&config, 0).limit()
    });
    assert_eq!(first, [7, 20, 20, 20, 3]);
    bulkheads().iter().for_each(|config| config.validate().unwrap());
    let places = bulkheads().map(|config| (config.concurrent_max.get(), config.waiting_max));
    assert_eq!(places, [(25, 25), (8, 90), (25, 0), (10, 0), (1_024, 1_024), (3, 0)]);
    for config in [ThrottleConfig::default(), ThrottleConfig::sre()] {
        config.validate().unwrap();
        assert_eq!((config.multiplier_milli, config.window), (2_000, 120_000 * MS));
    }
}

#[test]
fn a_rule_of_an_algorithm_that_is_broken_is_told_with_its_field_and_its_value() {
    let zero = Duration::ZERO;
    let aimd = |change: fn(&mut AimdConfig)| broken(change, AimdConfig::validate);
    assert_eq!(aimd(|c| c.min = number(201)), "min: 201 is not allowed: must be at most max");
    assert_eq!(aimd(|c| c.max = number(1 << 24)), "max: 16777216 is not allowed: must be at most 16777215");
    assert_eq!(aimd(|c| c.initial = number(19)), "initial: 19 is not allowed: must be min to max");
    assert_eq!(aimd(|c| c.initial = number(201)), "initial: 201 is not allowed: must be min to max");
    assert_eq!(aimd(|c| c.backoff_milli = 1_000), "backoff_milli: 1000 is not allowed: must be 500 to 999");
    assert_eq!(aimd(|c| c.backoff_milli = 499), "backoff_milli: 499 is not allowed: must be 500 to 999");
    assert_eq!(
        broken::<AimdConfig>(|c| c.timeout = zero, AimdConfig::validate),
        "timeout: 0s is not allowed: must be longer than zero"
    );
    let vegas = |change: fn(&mut VegasConfig)| broken(change, VegasConfig::validate);
    assert_eq!(vegas(|c| c.alpha = 7), "alpha: 7 is not allowed: must be at most beta");
    assert_eq!(vegas(|c| (c.alpha, c.beta) = (0, 0)), "beta: 0 is not allowed: must be 1 to 1000");
    assert_eq!(vegas(|c| c.probe_multiplier = 0), "probe_multiplier: 0 is not allowed: must be 1 to 1000000");
    let gradient2 = |change: fn(&mut Gradient2Config)| broken(change, Gradient2Config::validate);
    assert_eq!(gradient2(|c| c.smoothing_milli = 0), "smoothing_milli: 0 is not allowed: must be 1 to 1000");
    assert_eq!(gradient2(|c| c.smoothing_milli = 1_001), "smoothing_milli: 1001 is not allowed: must be 1 to 1000");
    assert_eq!(gradient2(|c| c.queue = 0), "queue: 0 is not allowed: must be 1 to 1000000");
    assert_eq!(gradient2(|c| c.long_window = 0), "long_window: 0 is not allowed: must be 1 to 1000000");
    assert_eq!(gradient2(|c| c.warm_up = 601), "warm_up: 601 is not allowed: must be 1 to long_window");
    assert_eq!(gradient2(|c| c.tolerance_milli = 999), "tolerance_milli: 999 is not allowed: must be 1000 to 100000");
    let gradient = |change: fn(&mut GradientConfig)| broken(change, GradientConfig::validate);
    assert_eq!(gradient(|c| c.min = number(1_001)), "min: 1001 is not allowed: must be at most max");
    assert_eq!(
        gradient(|c| c.min_rtt_interval = MS / 2),
        "min_rtt_interval: 500µs is not allowed: must be at least 1ms"
    );
    assert_eq!(
        gradient(|c| c.min_rtt_jitter_milli = 1_001),
        "min_rtt_jitter_milli: 1001 is not allowed: must be at most 1000"
    );
    assert_eq!(
        gradient(|c| c.min_rtt_concurrency = NonZeroU32::MAX),
        "min_rtt_concurrency: 4294967295 is not allowed: must be at most 16777215"
    );
    assert_eq!(gradient(|c| c.buffer_milli = 10_001), "buffer_milli: 10001 is not allowed: must be at most 10000");
}

#[test]
fn a_rule_of_a_limit_a_throttle_or_a_bulkhead_that_is_broken_is_told_likewise() {
    let limit = |change: fn(&mut LimitConfig)| broken(change, LimitConfig::validate);
    assert_eq!(
        limit(|c| *c = LimitConfig::fixed(NonZeroU32::MAX)),
        "fixed: 4294967295 is not allowed: must be at most 16777215"
    );
    assert_eq!(limit(|c| c.window.length = MS * 3_600_001), "length: 3600.001s is not allowed: must be at most 1h");
    assert_eq!(
        limit(|c| c.window.samples_min = number(1_000_001)),
        "samples_min: 1000001 is not allowed: must be at most 1000000"
    );
    assert_eq!(
        limit(|c| c.window.aggregate = Aggregate::Quantile { milli: 0 }),
        "milli: 0 is not allowed: must be 1 to 1000"
    );
    let throttle = |change: fn(&mut ThrottleConfig)| broken(change, ThrottleConfig::validate);
    assert_eq!(throttle(|c| c.multiplier_milli = 999), "multiplier_milli: 999 is not allowed: must be 1000 to 100000");
    assert_eq!(throttle(|c| c.window = MS * 23), "window: 23ms is not allowed: must be 24ms to 10min");
    assert_eq!(throttle(|c| c.window = MS * 600_001), "window: 600.001s is not allowed: must be 24ms to 10min");
    let bulkhead = |change: fn(&mut BulkheadConfig)| broken(change, BulkheadConfig::validate);
    assert_eq!(
        bulkhead(|c| c.concurrent_max = NonZeroU32::MAX),
        "concurrent_max: 4294967295 is not allowed: must be at most 16777215"
    );
    assert_eq!(bulkhead(|c| c.waiting_max = 1_000_001), "waiting_max: 1000001 is not allowed: must be at most 1000000");
    assert_eq!(
        bulkhead(|c| c.wait_max = Some(Duration::ZERO)),
        "wait_max: 0s is not allowed: must be longer than zero, or never"
    );
    assert_eq!(
        bulkhead(|c| c.overload_after = MS * 3_600_001),
        "overload_after: 3600.001s is not allowed: must be at most 1h"
    );
    assert_eq!(
        bulkhead(|c| c.overload_wait_max = Some(Duration::ZERO)),
        "overload_wait_max: 0s is not allowed: must be longer than zero, or never"
    );
}

fn reads_as_it_was_written<C: Serialize + DeserializeOwned + PartialEq + Debug>(config: C) {
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<C>(&text).unwrap(), config, "{text}");
    let unknown = text.replacen('{', "{\"unknown\":1,", 1);
    assert!(serde_json::from_str::<C>(&unknown).is_err(), "{unknown}");
}

#[test]
fn every_preset_reads_as_it_was_written_and_no_unknown_key_is_taken() {
    limits().into_iter().for_each(reads_as_it_was_written);
    bulkheads().into_iter().for_each(reads_as_it_was_written);
    [ThrottleConfig::default(), ThrottleConfig::sre()].into_iter().for_each(reads_as_it_was_written);
}

#[test]
fn what_is_left_out_keeps_its_default() {
    let text = r#"{"algorithm": {"vegas": {"max": 50}}, "window": {"length": "250ms", "aggregate": {"quantile": {"milli": 900}}}}"#;
    let read: LimitConfig = serde_json::from_str(text).unwrap();
    let mut vegas = VegasConfig::default();
    vegas.max = number(50);
    let mut window = SampleWindow::default();
    (window.length, window.aggregate) = (MS * 250, Aggregate::Quantile { milli: 900 });
    assert_eq!((read.algorithm, read.window), (AlgorithmConfig::Vegas(vegas), window));
    let read: LimitConfig = serde_json::from_str(r#"{"algorithm": {"fixed": 9}}"#).unwrap();
    assert_eq!(read.algorithm, AlgorithmConfig::Fixed(number(9)));
    assert_eq!(serde_json::from_str::<LimitConfig>("{}").unwrap(), LimitConfig::gradient2());
    let read: BulkheadConfig =
        serde_json::from_str(r#"{"order": "adaptive-lifo", "overload_wait_max": "5ms", "waiting_max": 3}"#).unwrap();
    assert_eq!((read.order, read.overload_wait_max, read.waiting_max), (Order::AdaptiveLifo, Some(5 * MS), 3));
    assert_eq!((read.concurrent_max.get(), read.wait_max), (25, Some(1_000 * MS)));
    let read: ThrottleConfig = serde_json::from_str(r#"{"multiplier_milli": 1100}"#).unwrap();
    assert_eq!((read.multiplier_milli, read.rejections_min), (1_100, 10));
}

#[test]
fn a_configuration_that_breaks_its_rules_is_followed_as_far_as_it_goes() {
    let mut gradient2 = Gradient2Config::default();
    (gradient2.min, gradient2.max) = (number(500), number(5));
    (gradient2.smoothing_milli, gradient2.long_window, gradient2.warm_up, gradient2.tolerance_milli) = (9_999, 0, 0, 0);
    let mut config = LimitConfig::gradient2();
    (config.algorithm, config.window) = (AlgorithmConfig::Gradient2(gradient2), SampleWindow::EACH);
    let limit = ConcurrencyLimit::new(&config, 0);
    for step in 0..100 {
        let permit = limit.acquire(Instant::from_millis(step)).unwrap();
        limit.release(Instant::from_millis(step), permit, mesh_retry::limit::End::Success, MS * step as u32);
        assert!(limit.limit() >= 1);
    }
    let limit = ConcurrencyLimit::new(&LimitConfig::fixed(NonZeroU32::MAX), 0);
    assert_eq!(limit.limit(), 16_777_215);
    let mut config = ThrottleConfig::default();
    (config.window, config.multiplier_milli) = (Duration::ZERO, 0);
    let throttle = AdaptiveThrottle::new(config);
    assert_eq!(throttle.admit(Instant::MAX, 1), Ok(()));
    let mut config = BulkheadConfig::without_queue(NonZeroU32::MAX);
    config.waiting_max = u32::MAX;
    let entered: Result<_, BulkheadFull> = Bulkhead::new(config).enter(Instant::ZERO);
    assert!(entered.is_ok());
}
