//! The waits of a backoff: how its step grows, and what is drawn from it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use core::time::Duration;

use mesh_retry::Rng;
use mesh_retry::backoff::{Backoff, BackoffError, Cause, Jitter, Shape, Waits};
use mesh_retry::policy::RetryPolicy;

#[test]
fn the_first_step_is_the_base_and_the_next_ones_grow_by_the_multiplier_up_to_the_cap() {
    let doubling = millis(RetryPolicy::default().backoff, 1..=9);
    assert_eq!(doubling, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    let by_half: Vec<u64> = (1..=5).map(|k| ceiling(RetryPolicy::aggressive().backoff, k) / 1000).collect();
    assert_eq!(by_half, [50_000, 75_000, 112_500, 168_750, 253_125]);
}

#[test]
fn a_constant_backoff_does_not_grow_and_a_linear_one_grows_by_its_base() {
    assert_eq!(millis(Backoff::constant(ms(70)), 1..=3), [70, 70, 70]);
    assert_eq!(millis(Backoff::linear(ms(70), ms(250)), 1..=5), [70, 140, 210, 250, 250]);
    assert_eq!(ceiling(Backoff::linear(ms(70), Duration::MAX), u32::MAX), 70_000_000 * u64::from(u32::MAX));
}

#[test]
fn an_exponential_sum_is_the_sum_of_all_steps_so_far() {
    let mut sum = Backoff::exponential(ms(10), Duration::from_secs(10));
    sum.shape = Shape::ExponentialSum;
    assert_eq!(millis(sum, 1..=5), [10, 30, 70, 150, 310]);
    sum.multiplier_milli = 1500;
    assert_eq!(millis(sum, 1..=4), [10, 25, 47, 81]);
    sum.multiplier_milli = 1000;
    assert_eq!(millis(sum, 1..=4), [10, 20, 30, 40]);
}

#[test]
fn the_first_attempt_waits_for_nothing() {
    for jitter in JITTERS {
        for shape in SHAPES {
            let backoff = with(Backoff::default(), shape, jitter);
            assert_eq!(backoff.ceiling(0, Cause::Failed), Duration::ZERO, "{shape:?} {jitter:?}");
        }
    }
}

#[test]
fn a_step_is_the_exact_power_rounded_down() {
    let backoff = growing(ms(50), Duration::MAX, 1500);
    for retry in 1..=60 {
        let exact = (50_000_000 * 3_u128.pow(retry - 1)) >> (retry - 1);
        let exact = u64::try_from(exact).unwrap();
        let got = ceiling(backoff, retry);
        assert!(got <= exact, "retry {retry}: {got} exceeds {exact}");
        assert!(exact - got <= 1 + exact / 1_000_000_000, "retry {retry}: {got} is not {exact}");
    }
}

#[test]
fn no_number_of_retries_and_no_configuration_overflows() {
    let huge = Duration::MAX;
    assert_eq!(ceiling(Backoff::default(), u32::MAX), 10_000_000_000);
    for shape in [Shape::Exponential, Shape::ExponentialSum] {
        for base in [Duration::from_nanos(1), huge] {
            assert_eq!(ceiling(with(growing(base, huge, u32::MAX), shape, Jitter::None), u32::MAX), u64::MAX);
        }
    }
    assert_eq!(ceiling(with(growing(huge, huge, 2000), Shape::Linear, Jitter::Proportional), u32::MAX), u64::MAX);
    assert_eq!(ceiling(Backoff::decorrelated(huge, huge), u32::MAX), u64::MAX);
}

#[test]
fn a_multiplier_of_one_keeps_the_base_and_a_small_one_grows_from_a_nanosecond() {
    let constant = growing(ms(7), Duration::from_secs(1), 1000);
    assert_eq!(ceiling(constant, u32::MAX), 7_000_000);
    let slow = growing(Duration::from_nanos(1), Duration::from_secs(1), 1001);
    assert_eq!(ceiling(slow, u32::MAX), 1_000_000_000);
    assert_eq!((ceiling(slow, 694), ceiling(slow, 695)), (1, 2));
}

#[test]
fn without_jitter_the_wait_is_the_step_and_nothing_is_drawn() {
    let mut plain = Backoff::default();
    plain.jitter = Jitter::None;
    let (mut rng, mut waits) = (Rng::from_seed(3), Waits::new());
    for expected in [100, 200, 400] {
        assert_eq!(plain.delay(&mut waits, Cause::Failed, &mut rng), ms(expected));
        assert_eq!(waits.previous(), ms(expected));
    }
    assert_eq!((waits.retries(), rng), (3, Rng::from_seed(3)));
}

#[test]
fn waits_that_begin_anew_are_those_of_a_first_retry() {
    for jitter in JITTERS {
        let backoff = with(Backoff::default(), Shape::Exponential, jitter);
        let mut waits = Waits::new();
        for seed in 0..5 {
            let _ = backoff.delay(&mut waits, Cause::Failed, &mut Rng::from_seed(seed));
        }
        assert_eq!(waits.retries(), 5);
        waits.restart();
        assert_eq!(waits, Waits::new());
        let first = backoff.delay(&mut waits, Cause::Failed, &mut Rng::from_seed(9));
        assert_eq!(first, backoff.delay(&mut Waits::new(), Cause::Failed, &mut Rng::from_seed(9)), "{jitter:?}");
    }
}

#[test]
fn a_throttled_end_has_the_other_base_where_there_is_one_and_the_same_count_of_retries() {
    let mut backoff = growing(ms(50), Duration::from_secs(20), 2000);
    backoff.jitter = Jitter::None;
    let waits = |backoff: Backoff| {
        let (mut rng, mut waits) = (Rng::from_seed(1), Waits::new());
        [Cause::Failed, Cause::Throttled, Cause::Failed, Cause::Throttled]
            .map(|cause| backoff.delay(&mut waits, cause, &mut rng).as_millis())
    };
    assert_eq!(waits(backoff), [50, 100, 200, 400]);
    backoff.throttled_base = Some(Duration::from_secs(1));
    assert_eq!(waits(backoff), [50, 2000, 200, 8000]);
}

#[test]
fn every_draw_advances_the_generator() {
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Proportional, Jitter::Decorrelated] {
        let backoff = with(Backoff::default(), Shape::Exponential, jitter);
        let (mut rng, mut waits) = (Rng::from_seed(3), Waits::new());
        for retry in 0..20 {
            let before = rng.clone();
            let _ = backoff.delay(&mut waits, Cause::Failed, &mut rng);
            assert_ne!(rng, before, "retry {retry} left the generator where it was");
        }
    }
}

#[test]
fn each_jitter_is_uniform_in_its_range() {
    let step = 800_000_000.0;
    let ranges =
        [(Jitter::Full, 0.0, step), (Jitter::Equal, step / 2.0, step), (Jitter::Proportional, step * 0.8, step * 1.2)];
    for (jitter, from, to) in ranges {
        let backoff = with(Backoff::default(), Shape::Exponential, jitter);
        assert_uniform(&fourth_waits(backoff), from, to, jitter);
    }
    // The first wait of a decorrelated backoff, whose previous wait is taken for the base.
    let backoff = Backoff::decorrelated(ms(100), Duration::from_secs(10));
    let mut rng = Rng::from_seed(2);
    let drawn: Vec<f64> = (0..DRAWS).map(|_| nanos(backoff, &mut Waits::new(), &mut rng)).collect();
    assert_uniform(&drawn, 100e6, 300e6, Jitter::Decorrelated);
}

#[test]
fn near_the_cap_a_proportional_wait_is_uniform_up_to_the_cap_and_not_heaped_on_it() {
    let mut backoff = with(Backoff::default(), Shape::Exponential, Jitter::Proportional);
    backoff.cap = ms(900);
    assert_uniform(&fourth_waits(backoff), 640e6, 900e6, Jitter::Proportional);
}

#[test]
fn a_decorrelated_wait_is_between_the_base_and_three_times_the_wait_before() {
    let backoff = Backoff::decorrelated(ms(5), ms(1000));
    let mut rng = Rng::from_seed(11);
    let (mut longest, mut shortest) = (Duration::ZERO, Duration::MAX);
    for _ in 0..2000 {
        let mut waits = Waits::new();
        for _ in 0..8 {
            let before = waits.previous().max(ms(5));
            let wait = backoff.delay(&mut waits, Cause::Failed, &mut rng);
            assert!((ms(5)..=(before * 3).min(ms(1000))).contains(&wait), "{wait:?} after {before:?}");
            (longest, shortest) = (longest.max(wait), shortest.min(wait));
        }
    }
    assert_eq!(longest, ms(1000));
    assert!(shortest < ms(6), "{shortest:?}");
}

#[test]
fn after_a_long_throttled_wait_a_decorrelated_one_goes_on_from_there() {
    let mut backoff = Backoff::decorrelated(ms(1), Duration::from_secs(20));
    backoff.throttled_base = Some(Duration::from_secs(1));
    let mut rng = Rng::from_seed(5);
    let longest = (0..1000).map(|_| {
        let mut waits = Waits::new();
        let throttled = backoff.delay(&mut waits, Cause::Throttled, &mut rng);
        assert!((ms(1000)..=ms(3000)).contains(&throttled));
        backoff.delay(&mut waits, Cause::Failed, &mut rng)
    });
    let longest = longest.max().unwrap();
    assert!((ms(7000)..=backoff.ceiling(2, Cause::Failed)).contains(&longest), "{longest:?}");
}

#[test]
fn both_ends_of_the_range_are_drawn() {
    let tiny = growing(Duration::from_nanos(2), Duration::from_nanos(2), 2000);
    let mut rng = Rng::from_seed(5);
    let mut seen = [0_u32; 3];
    for _ in 0..300 {
        seen[nanos(tiny, &mut Waits::new(), &mut rng) as usize] += 1;
    }
    assert!(seen.iter().all(|&n| n > 50), "{seen:?}");
}

#[test]
fn each_rule_of_the_configuration_is_checked_at_its_boundary() {
    let second = Duration::from_secs(1);
    assert_eq!(growing(second, second, 1000).validate(), Ok(()));
    assert_eq!(growing(Duration::from_nanos(1), second, u32::MAX).validate(), Ok(()));
    assert_eq!(growing(Duration::ZERO, second, 2000).validate(), Err(BackoffError::BaseZero));
    let short = Duration::from_nanos(999_999_999);
    assert_eq!(growing(second, short, 2000).validate(), Err(BackoffError::CapBelowBase { base: second, cap: short }));
    let shrinking = growing(second, second, 999).validate();
    assert_eq!(shrinking, Err(BackoffError::MultiplierBelowOne { multiplier_milli: 999 }));
    let told = "multiplier_milli: 999 is not allowed: must be at least 1000, which is 1.0";
    assert_eq!(shrinking.unwrap_err().to_string(), told);
    let mut two = growing(ms(1), second, 2000);
    two.throttled_base = Some(second);
    assert_eq!(two.validate(), Ok(()));
    two.throttled_base = Some(Duration::ZERO);
    assert_eq!(two.validate(), Err(BackoffError::ThrottledBaseZero));
    two.throttled_base = Some(second + Duration::from_nanos(1));
    let told = "cap: 1s is not allowed: must be at least throttled_base, which is 1.000000001s";
    assert_eq!(two.validate().unwrap_err().to_string(), told);
}

const DRAWS: u32 = 100_000;
const SHAPES: [Shape; 4] = [Shape::Constant, Shape::Linear, Shape::Exponential, Shape::ExponentialSum];
const JITTERS: [Jitter; 5] = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Proportional, Jitter::Decorrelated];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn growing(base: Duration, cap: Duration, multiplier_milli: u32) -> Backoff {
    let mut backoff = Backoff::exponential(base, cap);
    backoff.multiplier_milli = multiplier_milli;
    backoff
}

fn with(mut backoff: Backoff, shape: Shape, jitter: Jitter) -> Backoff {
    (backoff.shape, backoff.jitter) = (shape, jitter);
    backoff
}

fn ceiling(backoff: Backoff, retry: u32) -> u64 {
    u64::try_from(backoff.ceiling(retry, Cause::Failed).as_nanos()).unwrap()
}

fn millis(backoff: Backoff, retries: core::ops::RangeInclusive<u32>) -> Vec<u64> {
    retries.map(|retry| ceiling(backoff, retry) / 1_000_000).collect()
}

fn nanos(backoff: Backoff, waits: &mut Waits, rng: &mut Rng) -> f64 {
    backoff.delay(waits, Cause::Failed, rng).as_nanos() as f64
}

/// Many draws of the wait before the fourth retry.
fn fourth_waits(backoff: Backoff) -> Vec<f64> {
    let mut rng = Rng::from_seed(2);
    let mut third = Waits::new();
    for _ in 0..3 {
        let _ = backoff.delay(&mut third, Cause::Failed, &mut rng);
    }
    (0..DRAWS).map(|_| nanos(backoff, &mut third.clone(), &mut rng)).collect()
}

/// Chi square of ten equal parts; 27.9 is the 99.9 % point of nine degrees of freedom.
fn assert_uniform(drawn: &[f64], from: f64, to: f64, jitter: Jitter) {
    let mut tenths = [0_u32; 10];
    for wait in drawn {
        assert!((from..=to).contains(wait), "{jitter:?}: {wait} is not within {from} to {to}");
        tenths[((wait - from) * 10.0 / (to - from + 1.0)) as usize] += 1;
    }
    let expected = drawn.len() as f64 / 10.0;
    let off = |count: &u32| (f64::from(*count) - expected) * (f64::from(*count) - expected) / expected;
    let chi_square: f64 = tenths.iter().map(off).sum();
    assert!(chi_square < 27.9, "{jitter:?}: chi square {chi_square} of {tenths:?}");
}
