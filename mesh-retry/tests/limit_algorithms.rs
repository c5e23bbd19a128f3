//! How each algorithm moves its limit: traces worked out by hand, and the points where it comes to rest.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::limit::algorithm::{
    Aimd, AimdConfig, Algorithm, Gradient2, Gradient2Config, Sample, Vegas, VegasConfig,
};

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);
/// As many in flight as any limit lets.
const BUSY: u32 = 1 << 30;

fn sample(rtt: Duration, in_flight: u32) -> Sample {
    Sample { rtt, count: 1, in_flight, dropped: false }
}

fn drop_after(rtt: Duration) -> Sample {
    Sample { dropped: true, ..sample(rtt, 1) }
}

fn next(algorithm: &impl Algorithm, sample: Sample) -> u32 {
    algorithm.next(Instant::ZERO, &sample).limit()
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[test]
fn aimd_adds_one_a_sample_and_takes_a_tenth_for_a_drop() {
    let aimd = Aimd::new(AimdConfig::default());
    assert_eq!(aimd.first().limit(), 20);
    for grown in 21..=200 {
        assert_eq!(next(&aimd, sample(MS, BUSY)), grown);
    }
    assert_eq!(next(&aimd, sample(MS, BUSY)), 200, "the highest");
    // 180, 162, 145.8, 130.5: a part of a request is none.
    let falling = [180, 162, 145, 130].map(|limit| (limit, next(&aimd, drop_after(MS))));
    assert!(falling.iter().all(|(expected, limit)| expected == limit), "{falling:?}");
    let lowest = (0..50).map(|_| next(&aimd, drop_after(MS))).last();
    assert_eq!(lowest, Some(20), "the lowest");
}

#[test]
fn aimd_grows_only_where_half_of_the_limit_is_in_use() {
    let aimd = Aimd::new(AimdConfig::default());
    assert_eq!(next(&aimd, sample(MS, 9)), 20);
    assert_eq!(next(&aimd, sample(MS, 10)), 21);
    assert_eq!(next(&aimd, sample(MS, 10)), 21);
    assert_eq!(next(&aimd, sample(MS, 11)), 22);
}

#[test]
fn aimd_takes_a_round_trip_beyond_its_timeout_for_a_drop() {
    let mut config = AimdConfig::default();
    config.initial = number(100);
    let aimd = Aimd::new(config);
    assert_eq!(next(&aimd, sample(Duration::from_secs(5), 1)), 100);
    assert_eq!(next(&aimd, sample(Duration::from_secs(5) + Duration::from_nanos(64), 1)), 90);
}

#[test]
fn vegas_follows_the_queue_that_it_sees() {
    let vegas = Vegas::new(VegasConfig::default(), 1);
    assert_eq!(vegas.first().limit(), 20);
    // The first is taken for the round trip without load.
    assert_eq!(next(&vegas, sample(10 * MS, BUSY)), 20);
    // log10 is 1 up to 99: up to 1 in the queue adds 6, 2 add 1, 3 to 6 are right, more take 1.
    let course = [
        (10_000, 26), // none: 20 + 6
        (10_300, 32), // 26 (1 - 10 / 10.3) = 0.76, so 1
        (10_400, 33), // 32 (1 - 10 / 10.4) = 1.23, so 2
        (11_000, 33), // 33 (1 - 10 / 11) = 3, so 3, up to a rounding to 4
        (10_900, 33), // 33 (1 - 10 / 10.9) = 2.72, so 3, which is alpha
        (12_200, 33), // 33 (1 - 10 / 12.2) = 5.95, so 6
        (12_300, 32), // 33 (1 - 10 / 12.3) = 6.17, so 7
        (9_000, 32),  // shorter than any before: the round trip without load
        (9_250, 38),  // 32 (1 - 9 / 9.25) = 0.86, so 1
    ];
    for (rtt, limit) in course {
        assert_eq!(next(&vegas, sample(rtt * US, BUSY)), limit, "{rtt} us");
    }
}

#[test]
fn vegas_steps_by_the_logarithm_of_the_limit_in_whole_numbers() {
    let of = |initial| {
        let mut config = VegasConfig::default();
        (config.initial, config.max) = (number(initial), number(100_000));
        let vegas = Vegas::new(config, 1);
        assert_eq!(next(&vegas, sample(10 * MS, BUSY)), initial);
        vegas
    };
    for (limit, log10) in [(1, 1), (9, 1), (99, 1), (100, 2), (999, 2), (1_000, 3), (9_999, 3), (10_000, 4)] {
        assert_eq!(next(&of(limit), sample(10 * MS, BUSY)), limit + 6 * log10, "{limit} without a queue");
        assert_eq!(next(&of(limit), drop_after(10 * MS)), (limit - log10).max(1), "{limit} with a drop");
    }
}

#[test]
fn vegas_does_not_grow_where_less_than_half_of_the_limit_is_in_use_nor_shrink() {
    let vegas = Vegas::new(VegasConfig::default(), 1);
    next(&vegas, sample(10 * MS, 20));
    assert_eq!(next(&vegas, sample(10 * MS, 9)), 20);
    assert_eq!(next(&vegas, sample(90 * MS, 9)), 20);
    assert_eq!(next(&vegas, sample(90 * MS, 10)), 19);
}

#[test]
fn vegas_does_not_take_a_request_that_failed_at_once_for_a_fast_callee() {
    let vegas = Vegas::new(VegasConfig::default(), 1);
    next(&vegas, sample(10 * MS, BUSY));
    assert_eq!(next(&vegas, drop_after(US)), 19);
    assert_eq!(next(&vegas, sample(10 * MS, BUSY)), 25, "10 ms are still no queue");
}

#[test]
fn vegas_keeps_a_queue_of_alpha_to_beta_at_a_callee_that_does_fifty_at_once() {
    let vegas = Vegas::new(VegasConfig::default(), 3);
    let mut limit = vegas.first().limit();
    let mut seen = Vec::new();
    for _ in 0..200 {
        // Each of L is done in 10 ms up to 50, and in its share of that beyond.
        limit = next(&vegas, sample(10 * MS * limit.max(50) / 50, limit));
        seen.push(limit);
    }
    assert!(seen[50..].iter().all(|limit| (53..=56).contains(limit)), "{seen:?}");
}

#[test]
fn vegas_measures_the_round_trip_without_load_again_after_fifteen_to_thirty_limits() {
    // The limit stays at 10, since less than half of it is in use; what is measured shows in the next step.
    let probed_after = |entropy| {
        let mut config = VegasConfig::default();
        config.initial = number(10);
        let vegas = Vegas::new(config, entropy);
        next(&vegas, sample(10 * MS, 1));
        // At 20 ms, 10 (1 - 10 / 20) = 5 are in the queue, which is right; once 20 ms is measured, none is.
        (2..).find(|_| next(&vegas, sample(20 * MS, 10)) != 10).unwrap() - 1
    };
    let all: Vec<u32> = (0..400).map(probed_after).collect();
    assert!(all.iter().all(|after| (150..=300).contains(after)), "{all:?}");
    assert!(all.iter().any(|after| *after < 155) && all.iter().any(|after| *after > 295), "{all:?}");
    // U(150, 300) has a standard deviation of 43.3, and the mean of 400 one of 2.2: four of those.
    let mean = all.iter().sum::<u32>() / 400;
    assert!((216..=234).contains(&mean), "{mean}");
    assert_eq!(probed_after(7), probed_after(7));
}

#[test]
fn gradient2_moves_as_worked_out_by_hand() {
    let mut config = Gradient2Config::default();
    (config.initial, config.min, config.max) = (number(20_000), number(1), number(1_000_000));
    config.queue = 4_000;
    let gradient2 = Gradient2::new(config);
    // A thousandfold of 20 and 4. The average: 10, 10, 16.67, 37.5, 50.
    let course = [(10, 20_800), (10, 21_600), (30, 21_680), (100, 20_583), (100, 20_353)];
    for (rtt, limit) in course {
        assert_eq!(next(&gradient2, sample(rtt * MS, BUSY)), limit, "{rtt} ms");
    }
}

#[test]
fn gradient2_has_netflixs_bounds_and_starts_at_its_lowest() {
    let gradient2 = Gradient2::new(Gradient2Config::default());
    assert_eq!(gradient2.first().limit(), 20);
    // 0.8 a sample.
    let grown: Vec<u32> = (0..5).map(|_| next(&gradient2, sample(10 * MS, BUSY))).collect();
    assert_eq!(grown, [20, 21, 22, 23, 24]);
    let highest = (0..1_000).map(|_| next(&gradient2, sample(10 * MS, BUSY))).last();
    assert_eq!(highest, Some(200));
    let lowest = (0..60).map(|_| next(&gradient2, sample(100 * MS, BUSY))).last();
    assert_eq!(lowest, Some(20));
}

#[test]
fn gradient2_does_not_move_where_less_than_half_of_the_limit_is_in_use_but_goes_on_measuring() {
    let gradient2 = Gradient2::new(Gradient2Config::default());
    for _ in 0..10 {
        assert_eq!(next(&gradient2, sample(10 * MS, 9)), 20);
    }
    assert_eq!(next(&gradient2, sample(10 * MS, 10)), 20);
    assert_eq!(next(&gradient2, sample(10 * MS, 11)), 21, "20.8, of which 11 is more than half, and then 21.6");
    // The average of ten was measured meanwhile: 100 ms are ten times of it, which halves the limit at most.
    assert!(next(&gradient2, sample(100 * MS, BUSY)) <= 20);
}

#[test]
fn gradient2_lowers_a_long_average_that_is_out_of_date() {
    let mut config = Gradient2Config::default();
    (config.initial, config.max, config.warm_up) = (number(10_000), number(1_000_000), 1);
    let gradient2 = Gradient2::new(config);
    next(&gradient2, sample(100 * MS, BUSY));
    assert_eq!(next(&gradient2, sample(10 * MS, BUSY)), 10_001);
    // 99.7005 ms, of which a twentieth was taken off: 95.066 ms with this one, which is 0.71299 of it by 1.5. Without that
    // it would be 0.74999, and the limit 9,502.
    assert_eq!(next(&gradient2, sample(200 * MS, BUSY)), 9_428);
}

/// Where Gradient2 comes to rest while the average, by 1.5, is a steady share of each round trip.
fn rest_of_gradient2(share: f64) -> u32 {
    let mut config = Gradient2Config::default();
    (config.initial, config.min, config.warm_up) = (number(100), number(1), 1);
    let gradient2 = Gradient2::new(config);
    let factor = 2.0 / 601.0;
    let mut long = 1e9;
    let mut limit = next(&gradient2, sample(Duration::from_nanos(1_000_000_000), BUSY));
    for _ in 0..400 {
        // The round trip that, once it is part of the average, is 1.5 / share of it.
        let short = long * (1.0 - factor) / (share / 1.5 - factor);
        long = long * (1.0 - factor) + short * factor;
        limit = next(&gradient2, sample(Duration::from_nanos(short as u64), BUSY));
    }
    limit
}

#[test]
fn gradient2_comes_to_rest_at_the_queue_over_one_less_the_ratio() {
    for (share, rest) in [(0.9, 40), (0.8, 20), (0.75, 16), (0.6, 10), (0.5, 8), (0.4, 8)] {
        let found = rest_of_gradient2(share);
        // The last step to a whole number may be a rounding away.
        assert!(found == rest || found + 1 == rest, "at {share}: {found} for {rest}");
    }
}
