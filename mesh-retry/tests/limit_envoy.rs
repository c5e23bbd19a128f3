//! Envoy's gradient: what it measures at low load, how it moves, and when it measures again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::limit::algorithm::{Algorithm, Gradient, GradientConfig, Sample, Step};
use mesh_retry::limit::{ConcurrencyLimit, End, LimitConfig, Permit};

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn sample(rtt: Duration) -> Sample {
    Sample { rtt, count: 50, in_flight: 3, dropped: false }
}

/// A gradient that has measured 16 ms at time zero.
fn measured(config: GradientConfig, entropy: u64) -> Gradient {
    let gradient = Gradient::new(config, entropy);
    assert_eq!(gradient.next(Instant::ZERO, &sample(16 * MS)), Step::to(3));
    gradient
}

fn fifty() -> Step {
    Step::afresh(3, NonZeroU32::new(50).unwrap())
}

#[test]
fn it_begins_with_a_measurement_of_fifty_requests_three_at_a_time() {
    let gradient = Gradient::new(GradientConfig::default(), 1);
    assert_eq!(gradient.first(), fifty());
    assert_eq!((fifty().limit(), fifty().samples_wanted()), (3, NonZeroU32::new(50)));
    assert_eq!(gradient.next(at(5), &sample(MS)), Step::to(3));
}

#[test]
fn it_grows_by_the_buffer_and_the_root_while_round_trips_are_short() {
    let gradient = measured(GradientConfig::default(), 1);
    // floor(1.25 L + sqrt(1.25 L)).
    for limit in [5, 8, 13, 20, 30, 43, 61, 84, 115, 155, 207, 274] {
        assert_eq!(gradient.next(at(1), &sample(16 * MS)), Step::to(limit));
    }
    // A round trip of nothing doubles it, and no more: 548 and its root.
    assert_eq!(gradient.next(at(1), &sample(Duration::ZERO)), Step::to(571));
    assert_eq!(gradient.next(at(1), &sample(MS)), Step::to(1_000));
    // However long a round trip is, half of it is left, and its root: 500 and 22.
    assert_eq!(gradient.next(at(1), &sample(Duration::MAX)), Step::to(522));
}

#[test]
fn at_a_steady_gradient_it_comes_down_to_the_gradient_over_the_square_of_what_is_missing() {
    // The round trip that makes 20 ms of 16 and the buffer a share of it. g / (1 - g)^2.
    for (rtt, rest) in [(25_000, 20), (22_222, 90)] {
        let gradient = measured(GradientConfig::default(), 1);
        (0..20).for_each(|_| assert!(gradient.next(at(1), &sample(16 * MS)).limit() > 3));
        let limits = (0..120).map(|_| gradient.next(at(1), &sample(Duration::from_micros(rtt))).limit());
        let limits: Vec<u32> = limits.collect();
        assert!(limits.is_sorted_by(|before, after| before >= after), "{rtt} us: {limits:?}");
        assert_eq!(limits.last(), Some(&rest), "{rtt} us: {limits:?}");
    }
}

#[test]
fn it_measures_again_after_an_interval_and_a_jitter_of_its_own() {
    let again = |entropy| {
        let gradient = measured(GradientConfig::default(), entropy);
        (0..).map(|step| at(59_900 + 10 * step)).find(|now| gradient.next(*now, &sample(16 * MS)) == fifty()).unwrap()
    };
    let all: Vec<Instant> = (0..200).map(again).collect();
    // 60 s to 69 s, and a step of 10 ms.
    assert!(all.iter().all(|due| (at(60_000)..=at(69_010)).contains(due)), "{all:?}");
    assert!(all.iter().any(|due| *due < at(60_300)) && all.iter().any(|due| *due > at(68_700)), "{all:?}");
    assert_eq!(again(9), again(9));
}

#[test]
fn the_limit_from_before_a_measurement_is_the_limit_after_it() {
    let gradient = measured(GradientConfig::default(), 1);
    gradient.next(at(1), &sample(16 * MS));
    // This window counts: 8.
    assert_eq!(gradient.next(at(70_000), &sample(16 * MS)), fifty());
    assert_eq!(gradient.next(at(70_100), &sample(8 * MS)), Step::to(8));
    // 8 ms are measured now: floor(10 + sqrt(10)).
    assert_eq!(gradient.next(at(70_200), &sample(8 * MS)), Step::to(13));
    assert_eq!(gradient.next(at(70_200), &sample(20 * MS)), Step::to(9), "6.5 and its root");
}

#[test]
fn a_limit_that_five_windows_have_left_at_its_lowest_is_a_round_trip_that_was_measured_too_short() {
    let gradient = measured(GradientConfig::default(), 1);
    assert_eq!(gradient.next(at(1), &sample(16 * MS)), Step::to(5));
    // 5 by a half, and its root, are 4; 4 by a half are 3; and then five windows at 3.
    let limits = [4, 3, 3, 3, 3, 3].map(|limit| (Step::to(limit), gradient.next(at(2), &sample(900 * MS))));
    assert!(limits.iter().all(|(expected, step)| expected == step), "{limits:?}");
    assert_eq!(gradient.next(at(2), &sample(900 * MS)), fifty());
    assert_eq!(gradient.next(at(3), &sample(900 * MS)), Step::to(3));
    // It was measured anew, and the count of windows began anew with it.
    assert_eq!(gradient.next(at(4), &sample(900 * MS)), Step::to(5));
}

#[test]
fn a_clock_that_is_set_back_does_not_put_a_measurement_off_for_ever() {
    let gradient = Gradient::new(GradientConfig::default(), 1);
    gradient.next(at(10_000_000), &sample(16 * MS));
    assert_eq!(gradient.next(at(10_000_000), &sample(16 * MS)), Step::to(5));
    assert_eq!(gradient.next(at(1_000), &sample(16 * MS)), fifty());
}

fn end(limit: &ConcurrencyLimit, now: Instant, permit: Permit, rtt: Duration) {
    limit.release(now, permit, End::Success, rtt);
}

#[test]
fn requests_that_were_let_in_before_a_measurement_are_no_part_of_it() {
    let limit = ConcurrencyLimit::new(&LimitConfig::envoy(), 1);
    let one = |now, rtt| end(&limit, now, limit.acquire(now).unwrap(), rtt);
    assert_eq!(limit.limit(), 3);
    (0..50).for_each(|_| one(at(0), 16 * MS));
    // A window of 100 ms each: 5, 8, 13.
    for (window, grown) in [(1, 5), (2, 8), (3, 13)] {
        one(at(100 * window), 16 * MS);
        assert_eq!(limit.limit(), grown, "window {window}");
    }
    let old: Vec<Permit> = (0..12).map(|_| limit.acquire(at(400)).unwrap()).collect();
    one(at(70_000), 16 * MS);
    assert_eq!((limit.limit(), limit.in_flight()), (3, 12), "it measures");
    assert!(limit.acquire(at(70_000)).is_err(), "those of before are still in flight");
    // Those took long. They are not measured.
    old.into_iter().for_each(|permit| end(&limit, at(70_001), permit, 900 * MS));
    (0..49).for_each(|_| one(at(70_002), 4 * MS));
    assert_eq!(limit.limit(), 3, "49 of 50");
    one(at(70_003), 4 * MS);
    assert_eq!(limit.limit(), 20, "the limit from before");
    // 4 ms were measured, to 1/32: 20 ms are five of it, which halves the limit. 10 and its root.
    one(at(70_103), 20 * MS);
    assert_eq!(limit.limit(), 13);
}

#[test]
fn the_median_of_a_window_counts_and_not_its_mean() {
    let limit = ConcurrencyLimit::new(&LimitConfig::envoy(), 1);
    let one = |now, rtt| end(&limit, now, limit.acquire(now).unwrap(), rtt);
    // The first one alone would be measured for 1 ms.
    one(at(0), MS);
    (0..49).for_each(|_| one(at(0), 16 * MS));
    one(at(100), 16 * MS);
    assert_eq!(limit.limit(), 5);
    (0..10).for_each(|_| one(at(150), 16 * MS));
    (0..9).for_each(|_| one(at(150), 9_000 * MS));
    one(at(200), 16 * MS);
    assert_eq!(limit.limit(), 8);
}
