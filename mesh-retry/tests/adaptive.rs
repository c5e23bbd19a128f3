//! The rate limiter of AWS's adaptive mode: the golden vectors of the SDKs, and what threads share of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::adaptive::{Cubic, Curve, RateLimiter, WaitTooLong};
use mesh_retry::budget::{After, Extra};

/// Rates after a client that sent 10 attempts a second was throttled at 5 s, by the second: smithy-rs, aws-sdk-go-v2.
const SUCCESSES: [(u64, f64); 7] = [
    (5, 7.0),
    (6, 9.64893600966),
    (7, 10.000030849917364),
    (8, 10.453284520772092),
    (9, 13.408697022224185),
    (10, 21.26626835427364),
    (11, 36.425998516920465),
];

/// The same with throttled replies; there the rate after the cut is taken for the one that was too much.
const MIXED: [(u64, bool, f64); 8] = [
    (5, false, 7.0),
    (6, false, 9.64893600966),
    (7, true, 6.754255206761999),
    (8, true, 4.727978644733399),
    (9, false, 4.670125557970046),
    (10, false, 4.770870456867401),
    (11, false, 6.011819748005445),
    (12, false, 10.792973431384178),
];

/// Replies every 200 ms from 0.2 s on: whether it was throttled, the measured rate and the fill rate after it.
const SENDING: [(bool, f64, f64); 17] = [
    (false, 0.0, 0.5),
    (false, 0.0, 0.5),
    (false, 4.800000000000001, 0.5),
    (false, 4.800000000000001, 0.5),
    (false, 4.16, 0.5),
    (false, 4.16, 0.6912),
    (false, 4.16, 1.0975999999999997),
    (false, 5.632000000000001, 1.6384000000000005),
    (false, 5.632000000000001, 2.3328),
    (true, 4.3264, 3.0284799999999996),
    (false, 4.3264, 3.48663917347026),
    (false, 4.3264, 3.821874416040255),
    (false, 5.66528, 4.053385727709987),
    (false, 5.66528, 4.200373108479454),
    (false, 4.333056, 4.282036558348658),
    (true, 4.333056, 2.99742559084406),
    (false, 4.333056, 3.4522263943863463),
];

#[test]
fn the_curve_gives_the_golden_rates_after_a_throttled_reply() {
    let curve = Curve::new(10.0, at(5));
    for (second, expected) in SUCCESSES {
        assert_golden(curve.rate(at(second)), expected);
    }
}

#[test]
fn the_curve_gives_the_golden_rates_of_mixed_replies() {
    let mut curve = Curve::new(10.0, at(5));
    let mut rate = 0.0;
    for (second, is_throttled, expected) in MIXED {
        if is_throttled {
            rate *= 0.7;
            curve = Curve::new(rate, at(second));
        } else {
            rate = curve.rate(at(second));
        }
        assert_golden(rate, expected);
    }
}

#[test]
fn a_client_measures_and_fills_as_the_golden_one() {
    let mut cubic = Cubic::new(Instant::ZERO);
    for (step, (is_throttled, measured, fill_rate)) in (1..).zip(SENDING) {
        cubic.record(Instant::from_millis(200 * step), 1, is_throttled);
        assert_golden(cubic.measured(), measured);
        assert_golden(cubic.fill_rate(), fill_rate);
        assert_eq!(cubic.is_enabled(), step >= 10);
    }
}

#[test]
fn what_threads_share_has_the_rate_of_the_plain_value_to_the_bit() {
    let limiter = RateLimiter::new(Instant::ZERO);
    let mut cubic = Cubic::new(Instant::ZERO);
    for (step, (is_throttled, ..)) in (1..).zip(SENDING.into_iter().cycle().take(500)) {
        let now = Instant::from_millis(197 * step);
        limiter.record(now, is_throttled);
        cubic.record(now, 1, is_throttled);
        assert_eq!(limiter.fill_rate(), cubic.is_enabled().then(|| cubic.fill_rate()), "after {step} replies");
    }
}

#[test]
fn nobody_waits_until_the_callee_throttles() {
    let limiter = RateLimiter::new(Instant::ZERO);
    for step in 1..1_000 {
        let now = Instant::from_millis(step);
        assert_eq!(limiter.acquire(now, None, Duration::ZERO), Ok(Duration::ZERO));
        limiter.record(now, false);
    }
    assert_eq!(limiter.fill_rate(), None);
    limiter.record(at(1), true);
    assert!(limiter.fill_rate().is_some());
}

#[test]
fn the_bucket_holds_one_second_and_then_every_attempt_waits_for_its_turn() {
    let limiter = limited_to_7_a_second();
    for first in 0..7 {
        assert_eq!(wait(&limiter, None), Duration::ZERO, "attempt {first}");
    }
    for queued in 1..=3 {
        assert_near(wait(&limiter, None), Duration::from_secs(queued) / 7);
    }
}

#[test]
fn a_retry_costs_five_and_one_after_a_timeout_ten() {
    let extras = [
        (None, 1),
        (Some(Extra::retry(After::Transient)), 5),
        (Some(Extra::retry(After::Throttled)), 5),
        (Some(Extra::retry(After::TimedOut)), 10),
        (Some(Extra::hedge()), 5),
    ];
    for (extra, cost) in extras {
        let limiter = limited_to_7_a_second();
        (0..7).for_each(|_| assert_eq!(wait(&limiter, None), Duration::ZERO));
        assert_near(wait(&limiter, extra), Duration::from_secs(cost) / 7);
        assert_near(wait(&limiter, None), Duration::from_secs(cost + 1) / 7);
    }
}

#[test]
fn who_cannot_wait_takes_nothing() {
    let limiter = limited_to_7_a_second();
    (0..7).for_each(|_| assert_eq!(wait(&limiter, None), Duration::ZERO));
    let longest = Duration::from_millis(142);
    for _ in 0..100 {
        let refused = limiter.acquire(at(10), None, longest).unwrap_err();
        assert_near(refused.wait, Duration::from_secs(1) / 7);
        assert_eq!(refused.longest, longest);
    }
    assert_near(limiter.acquire(at(10), None, Duration::from_millis(143)).unwrap(), Duration::from_secs(1) / 7);
}

#[test]
fn the_refusal_says_what_it_would_have_taken() {
    let limiter = limited_to_7_a_second();
    (0..7).for_each(|_| assert_eq!(wait(&limiter, None), Duration::ZERO));
    let refused: WaitTooLong = limiter.acquire(at(10), None, Duration::ZERO).unwrap_err();
    assert_eq!(refused.to_string(), "the rate limiter asks for a wait of 142.857136ms where 0ns is the longest");
}

#[test]
fn one_that_never_had_a_measured_rate_is_let_through_once_in_two_seconds() {
    let limiter = RateLimiter::new(at(10));
    limiter.record(at(10), true);
    assert_eq!(limiter.fill_rate(), Some(0.5));
    assert_eq!(wait(&limiter, None), Duration::ZERO);
    assert_eq!(wait(&limiter, None), Duration::from_secs(2));
}

#[test]
fn the_bucket_is_full_at_the_epoch_too() {
    let limiter = RateLimiter::new(Instant::ZERO);
    limiter.record(Instant::ZERO, true);
    assert_eq!(limiter.acquire(Instant::ZERO, None, Duration::ZERO), Ok(Duration::ZERO));
    assert!(limiter.acquire(Instant::ZERO, None, Duration::ZERO).is_err());
}

#[test]
fn the_rate_never_exceeds_twice_what_is_measured_and_recovers_from_a_cut() {
    let mut cubic = Cubic::new(Instant::ZERO);
    let mut least = f64::MAX;
    for step in 1..10_000 {
        cubic.record(Instant::from_millis(50 * step), 1, step == 1_000);
        assert!(cubic.fill_rate() <= (2.0 * cubic.measured()).max(0.5), "{cubic:?}");
        least = if step >= 1_000 { least.min(cubic.fill_rate()) } else { f64::MAX };
    }
    assert!((least / (20.0 * 0.7) - 1.0).abs() < 0.05, "{least}");
    assert!((cubic.fill_rate() / 40.0 - 1.0).abs() < 0.05, "{cubic:?}");
}

#[test]
fn a_time_that_goes_back_moves_nothing_back() {
    let mut cubic = Cubic::new(Instant::ZERO);
    (1..=20).for_each(|step| cubic.record(Instant::from_millis(100 * step), 1, step == 20));
    let mut late = cubic;
    late.record(Instant::ZERO, 1, false);
    cubic.record(Instant::from_millis(2_000), 1, false);
    assert_eq!(late, cubic);
    let limiter = limited_to_7_a_second();
    (0..8).for_each(|_| _ = wait(&limiter, None));
    let earlier = limiter.acquire(Instant::ZERO, None, Duration::MAX).unwrap();
    assert_near(earlier, Duration::from_secs(10) + Duration::from_secs(2) / 7);
}

#[test]
fn no_input_breaks_the_arithmetic() {
    for last_max in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert_eq!(
            Curve::new(last_max, Instant::MAX).rate(Instant::ZERO),
            Curve::new(0.0, Instant::MAX).rate(Instant::ZERO)
        );
    }
    let limiter = RateLimiter::new(Instant::ZERO);
    for now in [Instant::MAX, Instant::ZERO, Instant::from_nanos(u64::MAX - 1), Instant::MAX] {
        for is_throttled in [true, false] {
            limiter.record(now, is_throttled);
            let _ = limiter.acquire(now, Some(Extra::hedge()), Duration::MAX);
            assert!(limiter.fill_rate().unwrap() >= 0.5);
        }
    }
}

#[test]
fn threads_that_reply_and_acquire_at_once_are_all_counted() {
    let limiter = RateLimiter::new(Instant::ZERO);
    let each = 20_000;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let limiter = &limiter;
            scope.spawn(move || {
                for step in 0..each {
                    let now = Instant::from_nanos(step * 50_000);
                    let _ = limiter.acquire(now, None, Duration::MAX);
                    limiter.record(now, step == each / 2 && thread == 0);
                }
            });
        }
    });
    // 80,000 replies in a second. What was not counted in the half second that it came in, was in the next.
    limiter.record(at(1), false);
    limiter.record(Instant::from_millis(1_500), true);
    let rate = limiter.fill_rate().unwrap();
    assert!(rate > 0.5 && rate.is_finite(), "{rate}");
}

/// A limiter whose callee throttled at 10 s, when 10 replies a second came.
fn limited_to_7_a_second() -> RateLimiter {
    let limiter = RateLimiter::new(Instant::ZERO);
    for step in 1..=100 {
        // The last of each half second's replies comes at its end, which is when it is measured.
        limiter.record(Instant::from_millis(100 * step), step == 100);
    }
    let rate = limiter.fill_rate().unwrap();
    assert!((rate - 7.0).abs() < 1e-9, "{rate}");
    limiter
}

fn wait(limiter: &RateLimiter, extra: Option<Extra>) -> Duration {
    limiter.acquire(at(10), extra, Duration::MAX).unwrap()
}

/// Each of at most 17 shares may be short of a nanosecond.
fn assert_near(got: Duration, expected: Duration) {
    assert!(got <= expected && expected - got < Duration::from_nanos(20), "{got:?} is not {expected:?}");
}

fn at(second: u64) -> Instant {
    Instant::from_millis(1_000 * second)
}

/// To the bit. Only of the rate at 2.2 s the SDKs' tests tell fifteen digits, where seventeen tell a float.
fn assert_golden(got: f64, expected: f64) {
    let is_rounded = expected == 3.48663917347026;
    assert!(got == expected || (is_rounded && (got - expected).abs() < 5e-15), "{got:?} is not {expected:?}");
}
