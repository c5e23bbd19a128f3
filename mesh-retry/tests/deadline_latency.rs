//! Latencies remembered: how exact their quantiles are, how they are forgotten, and the times that follow them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use core::time::Duration;
use std::sync::Arc;
use std::thread;

use mesh_retry::deadline::{Latencies, QuantileError, QuantileRule, QuantileTime};
use mesh_retry::{Instant, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn without_latencies_there_is_no_quantile() {
    let latencies = ten_seconds();
    assert_eq!((latencies.samples(START), latencies.quantile(START, 500)), (0, None));
}

#[test]
fn a_quantile_of_one_latency_is_that_latency_within_its_error() {
    for nanos in [0, 1, 1_023, 1_024, 999_999, 15_000_000, 123_456_789, 60_000_000_000] {
        let latencies = ten_seconds();
        latencies.record(START, Duration::from_nanos(nanos));
        for quantile in [0, 1, 500, 1000, 5000] {
            assert_close(latencies.quantile(START, quantile).unwrap(), nanos);
        }
    }
}

#[test]
fn latencies_beyond_the_range_count_as_its_end() {
    let latencies = ten_seconds();
    latencies.record(START, Duration::MAX);
    latencies.record(START, Duration::from_nanos((1 << 40) - 1));
    assert_eq!(latencies.quantile(START, 1000), Some(Duration::from_nanos(1 << 40)));
    assert_eq!(latencies.samples(START), 2);
}

#[test]
fn a_quantile_is_the_least_latency_that_the_share_does_not_exceed() {
    let latencies = ten_seconds();
    for millis in 1..=100 {
        latencies.record(START, ms(millis));
    }
    for (quantile, millis) in [(10, 1), (11, 2), (500, 50), (501, 51), (990, 99), (991, 100), (1000, 100)] {
        assert_close(latencies.quantile(START, quantile).unwrap(), millis * 1_000_000);
    }
}

#[test]
fn quantiles_of_an_exponential_law_are_those_of_its_formula() {
    let latencies = ten_seconds();
    let mut rng = Rng::from_seed(6);
    for _ in 0..100_000 {
        latencies.record(START, Duration::from_nanos((-20e6 * libm::log(1.0 - rng.unit())) as u64));
    }
    for (quantile, share) in [(500, 0.5), (900, 0.9), (990, 0.99), (999, 0.999)] {
        let exact = -20e6 * libm::log(1.0 - share);
        // Three standard errors of a sample quantile, sqrt(q (1 - q) / n) / density, below; the bucket as well above.
        let error = 3.0 * libm::sqrt(share / (1.0 - share) / 100_000.0) * 20e6;
        let got = latencies.quantile(START, quantile).unwrap().as_nanos() as f64;
        assert!(got > exact - error && got < (exact + error) * 17.0 / 16.0 + 1024.0, "{quantile}: {got} for {exact}");
    }
}

#[test]
fn a_latency_weighs_half_after_a_half_life_and_nothing_after_sixteen() {
    let latencies = ten_seconds();
    for _ in 0..1000 {
        latencies.record(START, ms(10));
    }
    for (half_lives, least, most) in [(0, 1000, 1000), (1, 499, 500), (2, 249, 250), (4, 62, 62), (9, 1, 1), (10, 0, 0)]
    {
        let now = START + Duration::from_secs(10 * half_lives);
        let got = latencies.samples(now);
        assert!((least..=most).contains(&got), "after {half_lives} half-lives {got} are left");
    }
    assert!(latencies.quantile(START + Duration::from_secs(150), 500).is_some());
    assert_eq!(latencies.quantile(START + Duration::from_secs(270), 500), None);
}

#[test]
fn it_forgets_as_much_in_one_leap_as_step_by_step() {
    let (leaping, stepping) = (ten_seconds(), ten_seconds());
    for latencies in [&leaping, &stepping] {
        for millis in 0..1000 {
            latencies.record(START, ms(1 + millis % 50));
        }
    }
    for step in 1..=30 {
        let _ = stepping.samples(START + ms(1250 * step));
    }
    let now = START + ms(1250 * 30);
    let (leaped, stepped) = (leaping.samples(now), stepping.samples(now));
    assert!(leaped.abs_diff(stepped) <= 1 && (73..=75).contains(&leaped), "{leaped} and {stepped}");
}

#[test]
fn new_latencies_prevail_over_old_ones_within_a_few_half_lives() {
    let latencies = ten_seconds();
    let second = |count: u64| START + Duration::from_secs(count);
    for at in 0..60 {
        (0..100).for_each(|_| latencies.record(second(at), ms(10)));
    }
    for at in 60..100 {
        (0..100).for_each(|_| latencies.record(second(at), ms(80)));
        // Half of the weight is new after one half-life.
        let median = latencies.quantile(second(at), 500).unwrap();
        match at {
            ..69 => assert_close(median, 10_000_000),
            69..72 => {}
            _ => assert_close(median, 80_000_000),
        }
    }
    assert_close(latencies.quantile(second(99), 100).unwrap(), 80_000_000);
}

#[test]
fn time_that_goes_back_changes_nothing() {
    let latencies = ten_seconds();
    latencies.record(START, ms(10));
    latencies.record(Instant::ZERO, ms(10));
    assert_eq!((latencies.samples(Instant::ZERO), latencies.samples(START)), (2, 2));
    let late = Instant::MAX - Duration::from_secs(1);
    latencies.record(late, ms(10));
    assert_eq!((latencies.samples(late), latencies.samples(START)), (1, 1));
    latencies.record(Instant::MAX, ms(10));
}

#[test]
fn half_lives_have_bounds() {
    for (half_life, is_allowed) in [
        (Duration::ZERO, false),
        (Duration::from_nanos(9_999_999), false),
        (ms(10), true),
        (Duration::from_secs(3600), true),
        (Duration::from_nanos(3_600_000_000_001), false),
    ] {
        assert_eq!(Latencies::new(half_life).is_ok(), is_allowed, "{half_life:?}");
    }
    let told = Latencies::new(ms(9)).unwrap_err().to_string();
    assert_eq!(told, "half_life: 9ms is not allowed: must be 10ms to 1h");
}

#[test]
fn neither_to_record_nor_to_ask_allocates() {
    let (latencies, time) = (ten_seconds(), QuantileTime::new(QuantileRule::timeout()).unwrap());
    let counted = allocation_counter::measure(|| {
        for at in 0..1000 {
            let now = START + ms(at * 10);
            latencies.record(now, ms(at % 90));
            assert!(latencies.quantile(now, 990).is_some());
            assert!(time.get(now, &latencies) >= ms(10));
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn threads_lose_no_latency() {
    let latencies = Arc::new(ten_seconds());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let latencies = Arc::clone(&latencies);
            thread::spawn(move || {
                for at in 0..25_000 {
                    latencies.record(START, Duration::from_micros(10 * thread + at % 100));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(latencies.samples(START), 100_000);
}

#[test]
fn a_time_is_the_quantile_times_its_factor_within_its_bounds() {
    let latencies = ten_seconds();
    let mut rule = QuantileRule::timeout();
    assert_eq!(rule.time(START, &latencies), rule.max, "nothing is known");
    for millis in 1..=99 {
        latencies.record(START, ms(millis));
    }
    assert_eq!(rule.time(START, &latencies), rule.max, "one is missing");
    latencies.record(START, ms(100));
    let p99 = latencies.quantile(START, 990).unwrap();
    assert_eq!(rule.time(START, &latencies), p99 * 2);
    rule.factor_milli = 1500;
    assert_eq!(rule.time(START, &latencies), p99 * 3 / 2);
    (rule.min, rule.max) = (ms(500), ms(600));
    assert_eq!(rule.time(START, &latencies), ms(500));
    (rule.min, rule.max) = (ms(10), ms(20));
    assert_eq!(rule.time(START, &latencies), ms(20));
    rule.factor_milli = u32::MAX;
    rule.max = Duration::MAX;
    assert!(rule.time(START, &latencies) > p99 * 4_000_000);
}

#[test]
fn a_time_is_looked_up_once_in_a_while() {
    let latencies = ten_seconds();
    let time = QuantileTime::new(QuantileRule::hedge_delay()).unwrap();
    assert_eq!(time.get(START, &latencies), ms(1000));
    for millis in 1..=100 {
        latencies.record(START, ms(millis));
    }
    let second = Duration::from_secs(1);
    assert_eq!(time.get(START + second - Duration::from_nanos(1), &latencies), ms(1000));
    let p95 = latencies.quantile(START + second, 950).unwrap();
    assert_eq!(time.get(START + second, &latencies), p95);
    assert_eq!(time.get(START, &latencies), p95, "time that goes back changes nothing");
    assert_eq!(time.rule(), &QuantileRule::hedge_delay());
}

#[test]
fn a_timeout_follows_latencies_that_rise_beyond_it() {
    // All attempts take 20 ms, and from 30 s on 500 ms; one ends every 10 ms. Those that time out are recorded too.
    let (latencies, time) = (ten_seconds(), QuantileTime::new(QuantileRule::timeout()).unwrap());
    let mut passed = Vec::new();
    for at in 0..9_000 {
        let now = START + ms(at * 10);
        let (timeout, takes) = (time.get(now, &latencies), if at < 3_000 { ms(20) } else { ms(500) });
        latencies.record(now, takes.min(timeout));
        if at >= 3_000 && takes <= timeout {
            passed.push(at);
        }
    }
    let first = *passed.first().unwrap();
    assert!(first < 3_000 + 600, "they pass again after {} s", (first - 3_000) / 100);
    assert!(passed.len() as u64 > 9_000 - 3_000 - 650, "{} of 6000 passed", passed.len());
}

#[test]
fn each_rule_of_a_time_is_checked_at_its_boundary() {
    assert_eq!((QuantileRule::timeout().validate(), QuantileRule::hedge_delay().validate()), (Ok(()), Ok(())));
    assert_eq!(QuantileRule::default(), QuantileRule::timeout());
    let checked = |change: fn(&mut QuantileRule)| {
        let mut rule = QuantileRule::timeout();
        change(&mut rule);
        assert_eq!(QuantileTime::new(rule).err(), rule.validate().err());
        rule.validate()
    };
    assert_eq!(checked(|rule| rule.quantile_milli = 0), Err(QuantileError::Quantile { quantile_milli: 0 }));
    assert_eq!(checked(|rule| rule.quantile_milli = 1), Ok(()));
    assert_eq!(checked(|rule| rule.quantile_milli = 1000), Ok(()));
    assert_eq!(checked(|rule| rule.quantile_milli = 1001), Err(QuantileError::Quantile { quantile_milli: 1001 }));
    assert_eq!(checked(|rule| rule.factor_milli = 0), Err(QuantileError::FactorZero));
    assert_eq!(checked(|rule| rule.factor_milli = 1), Ok(()));
    let short = Duration::from_nanos(999);
    assert_eq!(checked(|rule| rule.min = Duration::from_nanos(999)), Err(QuantileError::MinTooShort { min: short }));
    assert_eq!(checked(|rule| rule.min = Duration::from_micros(1)), Ok(()));
    assert_eq!(checked(|rule| rule.min = rule.max), Ok(()));
    assert!(matches!(checked(|rule| rule.max = ms(9)), Err(QuantileError::MaxBelowMin { .. })));
    assert_eq!(checked(|rule| rule.samples_min = 0), Err(QuantileError::SamplesZero));
    assert_eq!(checked(|rule| rule.samples_min = 1), Ok(()));
    assert_eq!(checked(|rule| rule.refresh = ms(1)), Ok(()));
    let told = checked(|rule| rule.refresh = Duration::from_micros(999)).unwrap_err().to_string();
    assert_eq!(told, "refresh: 999µs is not allowed: must be at least 1ms");
}

#[test]
fn a_rule_is_written_as_text_and_read_back() {
    let text = serde_json::to_string(&QuantileRule::hedge_delay()).unwrap();
    let expected =
        r#"{"quantile_milli":950,"factor_milli":1000,"min":"1ms","max":"1s","samples_min":100,"refresh":"1s"}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<QuantileRule>(&text).unwrap(), QuantileRule::hedge_delay());
    assert_eq!(serde_json::from_str::<QuantileRule>("{}").unwrap(), QuantileRule::timeout());
    assert!(serde_json::from_str::<QuantileRule>(r#"{"quantile":99}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(12),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_quantile_is_that_of_the_latencies_within_its_error(
        mut nanos in prop::collection::vec((0..40_u32, any::<u64>()).prop_map(|(bits, any)| any & ((1 << bits) - 1)), 1..200),
        quantile_milli in 0..=1000_u32,
    ) {
        let latencies = ten_seconds();
        nanos.iter().for_each(|nanos| latencies.record(START, Duration::from_nanos(*nanos)));
        nanos.sort_unstable();
        let rank = (nanos.len() as u64 * u64::from(quantile_milli)).div_ceil(1000).max(1);
        assert_close(latencies.quantile(START, quantile_milli).unwrap(), nanos[rank as usize - 1]);
    }

    #[test]
    fn quantiles_never_fall_and_times_stay_in_their_bounds(
        nanos in prop::collection::vec(0..30_000_000_000_u64, 0..200),
        ends in prop::collection::vec(0..600_000_u64, 1..20),
        quantiles in (0..=1000_u32, 0..=1000_u32),
    ) {
        let (latencies, time) = (ten_seconds(), QuantileTime::new(QuantileRule::timeout()).unwrap());
        for end in ends {
            let now = Instant::from_millis(end);
            nanos.iter().for_each(|nanos| latencies.record(now, Duration::from_nanos(*nanos)));
            let (low, high) = (quantiles.0.min(quantiles.1), quantiles.0.max(quantiles.1));
            prop_assert!(latencies.quantile(now, low) <= latencies.quantile(now, high));
            let time = time.get(now, &latencies);
            prop_assert!((ms(10)..=Duration::from_secs(10)).contains(&time));
        }
    }
}

const START: Instant = Instant::from_millis(3_600_000);

fn ten_seconds() -> Latencies {
    Latencies::new(Duration::from_secs(10)).unwrap()
}

/// That `got` is above `nanos` by no more than a part in 16 and 1.024 µs.
#[track_caller]
fn assert_close(got: Duration, nanos: u64) {
    let got = u64::try_from(got.as_nanos()).unwrap();
    assert!(got > nanos && got <= nanos + nanos / 16 + 1024, "{got} ns for {nanos} ns");
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
