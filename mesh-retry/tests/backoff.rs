//! The waits of a backoff: how its ceiling grows, and what is drawn below it.

use core::time::Duration;

use mesh_retry::Rng;
use mesh_retry::backoff::{Backoff, BackoffError, Jitter};
use mesh_retry::policy::RetryPolicy;
use proptest::prelude::*;

#[test]
fn the_first_ceiling_is_the_base_and_the_next_ones_grow_by_the_multiplier_up_to_the_cap() {
    let doubling = millis(RetryPolicy::default().backoff, 1..=9);
    assert_eq!(doubling, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    let by_half: Vec<u64> = (1..=5).map(|k| RetryPolicy::aggressive().backoff.ceiling(k).as_micros() as u64).collect();
    assert_eq!(by_half, [50_000, 75_000, 112_500, 168_750, 253_125]);
}

#[test]
fn the_first_attempt_waits_for_nothing() {
    assert_eq!(Backoff::default().ceiling(0), Duration::ZERO);
    assert_eq!(Backoff::default().delay(0, &mut Rng::from_seed(1)), Duration::ZERO);
}

#[test]
fn a_ceiling_is_the_exact_power_rounded_down() {
    let backoff = backoff(Duration::from_millis(50), Duration::MAX, 1500);
    for retry in 1..=60 {
        let exact = (50_000_000 * 3_u128.pow(retry - 1)) >> (retry - 1);
        let exact = u64::try_from(exact).unwrap();
        let got = backoff.ceiling(retry).as_nanos() as u64;
        assert!(got <= exact, "retry {retry}: {got} exceeds {exact}");
        assert!(exact - got <= 1 + exact / 1_000_000_000, "retry {retry}: {got} is not {exact}");
    }
}

#[test]
fn no_number_of_retries_and_no_configuration_overflows() {
    let huge = Duration::MAX;
    let longest = Duration::from_nanos(u64::MAX);
    assert_eq!(Backoff::default().ceiling(u32::MAX), Duration::from_secs(10));
    assert_eq!(backoff(Duration::from_nanos(1), huge, u32::MAX).ceiling(u32::MAX), longest);
    assert_eq!(backoff(huge, huge, u32::MAX).ceiling(u32::MAX), longest);
    let _ = backoff(huge, huge, u32::MAX).delay(u32::MAX, &mut Rng::from_seed(1));
}

#[test]
fn a_multiplier_of_one_keeps_the_base_and_a_small_one_grows_from_a_nanosecond() {
    let constant = backoff(Duration::from_millis(7), Duration::from_secs(1), 1000);
    assert_eq!(constant.ceiling(u32::MAX), Duration::from_millis(7));
    let slow = backoff(Duration::from_nanos(1), Duration::from_secs(1), 1001);
    assert_eq!(slow.ceiling(u32::MAX), Duration::from_secs(1));
    assert_eq!(slow.ceiling(694), Duration::from_nanos(1));
    assert_eq!(slow.ceiling(695), Duration::from_nanos(2));
}

#[test]
fn without_jitter_the_wait_is_the_ceiling_and_nothing_is_drawn() {
    let mut plain = Backoff::default();
    plain.jitter = Jitter::None;
    let mut rng = Rng::from_seed(3);
    assert_eq!(plain.delay(3, &mut rng), Duration::from_millis(400));
    assert_eq!(rng, Rng::from_seed(3));
}

#[test]
fn every_draw_advances_the_generator() {
    let mut rng = Rng::from_seed(3);
    for retry in 0..20 {
        let before = rng.clone();
        let _ = Backoff::default().delay(retry, &mut rng);
        assert_ne!(rng, before, "retry {retry} left the generator where it was");
    }
}

#[test]
fn full_jitter_is_uniform_below_the_ceiling() {
    let backoff = Backoff::default();
    let ceiling = backoff.ceiling(4).as_nanos() as u64;
    let mut rng = Rng::from_seed(2);
    let mut sum = 0_u64;
    let mut tenths = [0_u32; 10];
    for _ in 0..DRAWS {
        let drawn = backoff.delay(4, &mut rng).as_nanos() as u64;
        sum += drawn;
        tenths[(drawn * 10 / (ceiling + 1)) as usize] += 1;
    }
    let mean = sum as f64 / f64::from(DRAWS);
    assert!((mean / (ceiling as f64 / 2.0) - 1.0).abs() < 0.01, "the mean is {mean} of a ceiling of {ceiling}");
    let expected = f64::from(DRAWS) / 10.0;
    let chi_square: f64 = tenths
        .iter()
        .map(|&n| {
            let off = f64::from(n) - expected;
            off * off / expected
        })
        .sum();
    assert!(chi_square < 27.9, "chi square {chi_square} of {tenths:?} (27.9 is the 99.9 % point of nine degrees)");
}

#[test]
fn both_ends_of_the_range_are_drawn() {
    let tiny = backoff(Duration::from_nanos(2), Duration::from_nanos(2), 2000);
    let mut rng = Rng::from_seed(5);
    let mut seen = [0_u32; 3];
    for _ in 0..300 {
        seen[tiny.delay(1, &mut rng).as_nanos() as usize] += 1;
    }
    assert!(seen.iter().all(|&n| n > 50), "{seen:?}");
}

#[test]
fn each_rule_of_the_configuration_is_checked_at_its_boundary() {
    let second = Duration::from_secs(1);
    assert_eq!(backoff(second, second, 1000).validate(), Ok(()));
    assert_eq!(backoff(Duration::from_nanos(1), second, u32::MAX).validate(), Ok(()));
    assert_eq!(backoff(Duration::ZERO, second, 2000).validate(), Err(BackoffError::BaseZero));
    let short = Duration::from_nanos(999_999_999);
    assert_eq!(backoff(second, short, 2000).validate(), Err(BackoffError::CapBelowBase { base: second, cap: short }));
    let shrinking = backoff(second, second, 999).validate();
    assert_eq!(shrinking, Err(BackoffError::MultiplierBelowOne { multiplier_milli: 999 }));
    assert_eq!(
        shrinking.unwrap_err().to_string(),
        "multiplier_milli: 999 is not allowed: must be at least 1000, which is 1.0"
    );
}

proptest! {
    #[test]
    fn the_cap_holds_after_the_jitter(backoff in any_backoff(), retry in any_retry(), seed: u64) {
        let mut rng = Rng::from_seed(seed);
        let ceiling = backoff.ceiling(retry);
        prop_assert!(ceiling <= backoff.cap);
        for _ in 0..8 {
            prop_assert!(backoff.delay(retry, &mut rng) <= ceiling);
        }
    }

    #[test]
    fn ceilings_never_fall(backoff in any_backoff(), retry in any_retry()) {
        prop_assert!(backoff.ceiling(retry) <= backoff.ceiling(retry.saturating_add(1)));
    }

    #[test]
    fn the_waits_of_a_seed_are_always_the_same(backoff in any_backoff(), seed: u64) {
        let waits = |mut rng: Rng| -> Vec<Duration> { (1..10).map(|k| backoff.delay(k, &mut rng)).collect() };
        prop_assert_eq!(waits(Rng::from_seed(seed)), waits(Rng::from_seed(seed)));
    }
}

const DRAWS: u32 = 100_000;

fn backoff(base: Duration, cap: Duration, multiplier_milli: u32) -> Backoff {
    let mut backoff = Backoff::default();
    backoff.base = base;
    backoff.cap = cap;
    backoff.multiplier_milli = multiplier_milli;
    backoff
}

fn millis(backoff: Backoff, retries: core::ops::RangeInclusive<u32>) -> Vec<u64> {
    retries.map(|retry| backoff.ceiling(retry).as_millis() as u64).collect()
}

/// Any configuration, those that break the rules included: the waits are total.
fn any_backoff() -> impl Strategy<Value = Backoff> {
    let nanos = || prop_oneof![0..4_u64, 0..20_000_000_000_u64, any::<u64>()];
    let multiplier = prop_oneof![Just(0), 998..1003_u32, 1000..10_000_u32, any::<u32>()];
    (nanos(), nanos(), multiplier, any::<bool>()).prop_map(|(base, cap, multiplier_milli, full)| {
        let mut backoff = backoff(Duration::from_nanos(base), Duration::from_nanos(cap), multiplier_milli);
        backoff.jitter = if full { Jitter::Full } else { Jitter::None };
        backoff
    })
}

fn any_retry() -> impl Strategy<Value = u32> {
    prop_oneof![0..40_u32, any::<u32>()]
}
