//! Adaptive throttling: the formula, what counts as a request, and what reaches an overloaded backend.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mesh_retry::limit::End;
use mesh_retry::limit::throttle::{AdaptiveThrottle, ThrottleConfig, Throttled};
use mesh_retry::{Instant, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A throttle by the book that knows of so many requests, all let through.
fn knowing(requests: u32, accepts: u32) -> AdaptiveThrottle {
    let throttle = AdaptiveThrottle::new(ThrottleConfig::sre());
    // Accepts first, so that nothing is refused meanwhile.
    (0..accepts).for_each(|_| throttle.ended(at(0), End::Success));
    let mut rng = Rng::from_seed(1);
    (0..requests).for_each(|_| _ = throttle.admit(at(0), rng.next_u64()));
    throttle
}

#[test]
fn the_probability_is_that_of_the_book() {
    // max(0, (requests - 2 accepts) / (requests + 1)), in thousandths rounded down.
    let table = [(0, 0, 0), (1, 0, 500), (9, 0, 900), (10, 5, 0), (11, 5, 83), (100, 20, 594), (999, 0, 999)];
    for (requests, accepts, milli) in table {
        let level = knowing(requests, accepts).level(at(0));
        assert_eq!((level.requests, level.accepts, level.probability_milli), (requests, accepts, milli));
    }
}

#[test]
fn the_multiplier_says_how_many_times_what_it_accepts_a_callee_is_asked() {
    let mut config = ThrottleConfig::sre();
    config.multiplier_milli = 1_100;
    let throttle = AdaptiveThrottle::new(config);
    (0..100).for_each(|_| throttle.ended(at(0), End::Success));
    (0..110).for_each(|_| throttle.admit(at(0), 0).unwrap());
    assert_eq!(throttle.level(at(0)).probability_milli, 0, "1.1 times a hundred");
    throttle.admit(at(0), 0).unwrap();
    assert_eq!(throttle.level(at(0)).probability_milli, 8, "1 of 112");
}

#[test]
fn requests_are_refused_as_often_as_the_probability_says() {
    let mut rng = Rng::from_seed(4);
    let refused = (0..4_000).filter(|_| knowing(9, 2).admit(at(0), rng.next_u64()).is_err()).count();
    // (9 - 4) / 10. The standard deviation is 31.6; four of those.
    assert!((1_874..=2_126).contains(&refused), "{refused}");
}

#[test]
fn what_is_refused_here_is_a_request_too_and_the_refusal_tells_what_was_known() {
    let throttle = knowing(9, 0);
    let mut rng = Rng::from_seed(4);
    let refused = (0..100).find_map(|_| throttle.admit(at(7_000), rng.next_u64()).err()).unwrap();
    let Throttled::FewAccepted { level, retry_at, .. } = refused else { panic!("{refused}") };
    assert_eq!(throttle.level(at(7_000)).requests, level.requests + 1);
    assert!(level.probability_milli >= 900 && level.accepts == 0, "{level:?}");
    // Slices of 5 s.
    assert_eq!((retry_at, refused.retry_at(), refused.name()), (at(10_000), Some(at(10_000)), "throttled"));
    let text = format!("of {} requests 0 were accepted, and {} in 1000", level.requests, level.probability_milli);
    assert!(refused.to_string().starts_with(&text), "{refused}");
}

#[test]
fn requests_count_from_their_start_so_that_a_callee_that_hangs_is_throttled_before_any_has_ended() {
    // go-zero #5011: those that count at their end see a hundred accepted ones, and nothing else.
    let throttle = AdaptiveThrottle::new(ThrottleConfig::default());
    let mut rng = Rng::from_seed(9);
    let mut sent = 0_u32;
    for step in 0..100 {
        throttle.admit(at(step), rng.next_u64()).unwrap();
        throttle.ended(at(step), End::Success);
    }
    for step in 0..100_000 {
        sent += u32::from(throttle.admit(at(1_000 + step / 10), rng.next_u64()).is_ok());
        // The first ten to run into their timeouts; all others hang on.
        if step < 10 {
            throttle.ended(at(1_000 + step / 10), End::Dropped);
        }
    }
    // Twice the hundred that were accepted are asked for freely. What goes through after that is the sum of
    // (200 + 1) / (n + 1) over the n from 200 to 100,000: 1,249, with a deviation of 35.
    assert!((1_250..=1_450).contains(&sent), "{sent}");
}

#[test]
fn a_burst_of_first_requests_is_no_overload() {
    let throttle = AdaptiveThrottle::new(ThrottleConfig::default());
    let mut rng = Rng::from_seed(2);
    (0..1_000).for_each(|_| throttle.admit(at(0), rng.next_u64()).unwrap());
    (0..9).for_each(|_| throttle.ended(at(1), End::Dropped));
    assert_eq!(throttle.level(at(1)).probability_milli, 0);
    throttle.ended(at(1), End::Dropped);
    assert_eq!(throttle.level(at(1)).probability_milli, 999, "ten are no chance");
    assert_eq!(throttle.level(at(1)).rejections, 10);
    assert!((0..100).filter(|_| throttle.admit(at(1), rng.next_u64()).is_err()).count() > 90);
}

#[test]
fn a_request_that_is_ignored_is_no_request() {
    let throttle = knowing(20, 0);
    (0..19).for_each(|_| throttle.ended(at(1), End::Ignored));
    assert_eq!((throttle.level(at(1)).requests, throttle.level(at(1)).probability_milli), (1, 500));
    (0..5).for_each(|_| throttle.ended(at(1), End::Ignored));
    assert_eq!((throttle.level(at(1)).requests, throttle.level(at(1)).probability_milli), (0, 0));
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let throttle = knowing(100, 0);
    assert_eq!(throttle.level(at(119_999)).requests, 100);
    assert_eq!(throttle.level(at(120_000)).requests, 0);
    throttle.admit(at(120_000), 0).unwrap();
}

#[test]
fn a_clock_that_is_set_back_does_no_harm() {
    let throttle = AdaptiveThrottle::new(ThrottleConfig::sre());
    throttle.ended(at(1_000_000_000), End::Success);
    throttle.ended(at(999_990_000), End::Success);
    assert_eq!(throttle.level(at(999_990_000)).accepts, 2, "a little behind");
    throttle.ended(at(5_000), End::Success);
    assert_eq!(throttle.level(at(5_000)).accepts, 1, "far back: it begins anew");
    assert_eq!(throttle.level(at(125_000)).accepts, 0);
}

/// What share is refused, and what a second brings to a backend that accepts `capacity` of 1,000 requests a second.
fn steady_state(capacity: u32, config: ThrottleConfig) -> (f64, f64) {
    let throttle = AdaptiveThrottle::new(config);
    let mut rng = Rng::from_seed(u64::from(capacity));
    let (mut sent, mut counted) = (0_u32, 0_u32);
    for second in 0..600 {
        let mut accepted = 0;
        for millis in 0..1_000 {
            let now = at(second * 1_000 + millis);
            let goes = throttle.admit(now, rng.next_u64()).is_ok();
            if goes {
                let end = if accepted < capacity { End::Success } else { End::Dropped };
                accepted += u32::from(end == End::Success);
                throttle.ended(now, end);
            }
            // Two windows to settle, and three to look at.
            if second >= 240 {
                (sent, counted) = (sent + u32::from(goes), counted + 1);
            }
        }
    }
    (1.0 - f64::from(sent) / f64::from(counted), f64::from(sent) / 360.0)
}

#[test]
fn a_backend_is_sent_twice_what_it_accepts_whatever_is_asked_for() {
    // Rate over capacity 3, 5, 10 and 100 (SRE book; p = 1 - 2 C / R). Each within a percentage point, and what is sent
    // within five in a hundred of 2 C: draws deviate by 0.3 in a hundred, and at a hundredth of the rate by 1.2.
    for (capacity, probability) in [(333, 0.334), (200, 0.6), (100, 0.8), (10, 0.98)] {
        for config in [ThrottleConfig::sre(), ThrottleConfig::default()] {
            let (refused, sent) = steady_state(capacity, config);
            assert!((refused - probability).abs() < 0.01, "{capacity}: {refused} for {probability}");
            let most = 2.0 * f64::from(capacity);
            assert!((sent - most).abs() < 0.05 * most, "{capacity}: {sent} a second");
        }
    }
    let (refused, sent) = steady_state(600, ThrottleConfig::default());
    assert!(refused == 0.0 && sent == 1_000.0, "a backend that accepts more than half is sent all: {refused}");
}

#[test]
fn a_callee_that_has_recovered_is_sent_all_again() {
    let throttle = AdaptiveThrottle::new(ThrottleConfig::default());
    let mut rng = Rng::from_seed(3);
    let mut goes = |now, end| throttle.admit(now, rng.next_u64()).map(|()| throttle.ended(now, end)).is_ok();
    (0..60_000).for_each(|millis| _ = goes(at(millis), End::Dropped));
    assert!(throttle.level(at(60_000)).probability_milli > 990);
    let back = (60_000..600_000)
        .find(|millis| goes(at(*millis), End::Success) && throttle.level(at(*millis)).probability_milli == 0);
    // Nothing is refused any more at the latest when the last minute of the outage has left the window.
    assert!(back.is_some_and(|back| back < 185_000), "{back:?}");
    assert!((185_000..190_000).all(|millis| goes(at(millis), End::Success)));
}

#[test]
fn it_allocates_nothing() {
    let throttle = AdaptiveThrottle::new(ThrottleConfig::default());
    let counted = allocation_counter::measure(|| {
        for step in 0..20_000 {
            let _ = throttle.admit(at(step * 50), step);
            throttle.ended(at(step * 50), if step % 5 == 0 { End::Success } else { End::Dropped });
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn threads_lose_no_count_while_the_window_moves_on() {
    let throttle = AdaptiveThrottle::new(ThrottleConfig::sre());
    let clock = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    // A slice a hundred steps.
                    throttle.ended(at(clock.fetch_add(50, Ordering::Relaxed)), End::Success);
                }
            });
        }
    });
    let now = clock.into_inner();
    // 120 s of one each 50 ms, less what threads counted in a slice just before its time and the slice under way.
    let level = throttle.level(at(now));
    assert!((2_250..=2_410).contains(&level.accepts), "{level:?}");
    let level = throttle.level(at(now + 200_000));
    assert_eq!((level.requests, level.accepts, level.rejections), (0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(12), ..ProptestConfig::default() })]

    #[test]
    fn it_knows_what_happened_within_its_window_to_a_slice(
        window in 24_u64..2_000,
        start in 0_u64..1_000_000,
        steps in proptest::collection::vec((0_u64..200, 0_u8..4), 1..300),
        entropy: u64,
    ) {
        let mut config = ThrottleConfig::sre();
        config.window = Duration::from_millis(window);
        let throttle = AdaptiveThrottle::new(config);
        let mut now = start;
        let mut happened: Vec<(u64, u8)> = Vec::new();
        for (pause, kind) in steps {
            now += pause;
            match kind {
                0 => _ = throttle.admit(at(now), entropy),
                1 => throttle.ended(at(now), End::Success),
                2 => throttle.ended(at(now), End::Dropped),
                _ => throttle.ended(at(now), End::Ignored),
            }
            happened.push((now, kind));
            let level = throttle.level(at(now));
            let count = |kind, within: u64| {
                happened.iter().filter(|(at, of)| *of == kind && at + within > now).count() as u32
            };
            // What is younger than 23 slices counts, and what is as old as 24 does not.
            let (young, old) = (window * 23 / 24, window);
            let between = |found, kind| (count(kind, young)..=count(kind, old)).contains(&found);
            prop_assert!(between(level.accepts, 1), "{:?}", level);
            prop_assert!(between(level.rejections, 2), "{:?}", level);
            prop_assert!(level.requests <= count(0, old), "{:?}", level);
            prop_assert!(level.probability_milli <= 1_000);
        }
    }
}
