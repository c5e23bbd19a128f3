//! When a closed breaker opens: at its thresholds exactly, by calls of its window only, and never before the minimum.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod breaker_support;

use std::time::Duration;

use breaker_support::model::told;
use breaker_support::*;
use mesh_retry::Instant;
use mesh_retry::breaker::{BreakerConfig, Reason, State, Verdict, WindowKind};

/// A preset with a rate: its minimum of calls, and how many of those open it.
fn presets() -> [(BreakerConfig, u32, u32); 4] {
    [
        (BreakerConfig::resilience4j(), 100, 50),
        (BreakerConfig::hystrix(), 20, 10),
        (BreakerConfig::polly(), 100, 10),
        (BreakerConfig::default(), 20, 10),
    ]
}

#[test]
fn it_opens_at_its_share_and_not_one_failure_before() {
    for (config, calls_min, failures) in presets() {
        let opened = calls(&breaker(config), at(0), calls_min, failures).map(told);
        let numbers = (calls_min, failures, 0);
        assert_eq!(opened, Some((State::Closed, State::Open, ("failure-rate", numbers))));
        assert_eq!(calls(&breaker(config), at(0), calls_min, failures - 1), None);
    }
}

#[test]
fn it_judges_no_rate_of_fewer_calls_than_the_minimum() {
    for (mut config, calls_min, _) in presets() {
        config.failures_in_row = 0;
        let breaker = breaker(config);
        assert_eq!(calls(&breaker, at(0), calls_min - 1, calls_min - 1), None);
        assert!(call(&breaker, at(0), FAILED).is_some());
    }
}

#[test]
fn the_minimum_is_never_more_than_the_window_holds() {
    let mut config = BreakerConfig::resilience4j();
    config.window = WindowKind::Count { calls: number(10) };
    assert!(calls(&breaker(config), at(0), 10, 5).is_some());
}

#[test]
fn a_success_opens_it_that_completes_the_minimum_or_finds_older_successes_gone() {
    let completes = breaker(BreakerConfig::hystrix());
    assert_eq!(calls(&completes, at(0), 19, 10), None);
    assert!(call(&completes, at(0), OK).is_some());

    let finds = breaker(BreakerConfig::hystrix());
    assert_eq!(calls(&finds, at(0), 30, 0), None);
    assert_eq!(calls(&finds, at(5_000), 20, 12), None);
    let opened = call(&finds, at(10_000), OK).map(told);
    assert_eq!(opened.unwrap().2, ("failure-rate", (21, 12, 0)));
}

#[test]
fn the_last_so_many_calls_are_the_last_so_many() {
    let breaker = breaker(BreakerConfig::resilience4j());
    for round in 0..5 {
        // Of 100 in a row at most 49 fail, wherever one starts to count.
        for number in 0..100 {
            let verdict = if number < 98 && number % 2 == 0 { FAILED } else { OK };
            assert_eq!(call(&breaker, at(0), verdict), None, "{number} of round {round}");
        }
        assert_eq!(numbers(breaker.counts(at(0))), (100, 49, 0));
    }
    // A failure leaves with the first of these, and then none for a success.
    assert_eq!(call(&breaker, at(0), FAILED), None);
    assert_eq!(call(&breaker, at(0), OK), None);
    assert_eq!(call(&breaker, at(0), FAILED), None);
    assert_eq!(numbers(breaker.counts(at(0))), (100, 49, 0));
    assert_eq!(call(&breaker, at(0), FAILED).unwrap().to, State::Open);
}

#[test]
fn a_window_of_any_size_forgets_what_is_older() {
    for size in [1, 2, 15, 16, 17, 31, 32, 33, 100, 4_095] {
        let mut config = BreakerConfig::resilience4j();
        config.window = WindowKind::Count { calls: number(size) };
        config.failure_rate_milli = 0;
        config.slow_after = Duration::from_millis(5);
        let breaker = breaker(config);
        assert_eq!(breaker.force(mesh_retry::breaker::Forced::Disabled).unwrap().to, State::Disabled);
        for (verdict, expected) in [
            (FAILED, (size, size, size)),
            (Verdict::Failed(Duration::ZERO), (size, size, 0)),
            (OK, (size, 0, size)),
            (Verdict::Succeeded(Duration::ZERO), (size, 0, 0)),
        ] {
            for _ in 0..size {
                call(&breaker, at(0), verdict);
            }
            assert_eq!(numbers(breaker.counts(at(0))), expected, "{verdict:?}");
        }
    }
}

#[test]
fn a_bucket_leaves_the_window_when_one_begins_that_it_has_no_room_for() {
    let breaker = breaker(BreakerConfig::hystrix());
    call(&breaker, at(999), FAILED);
    call(&breaker, at(1_000), OK);
    assert_eq!(numbers(breaker.counts(at(9_999))), (2, 1, 0));
    assert_eq!(numbers(breaker.counts(at(10_000))), (1, 0, 0));
    assert_eq!(numbers(breaker.counts(at(10_999))), (1, 0, 0));
    assert_eq!(numbers(breaker.counts(at(11_000))), (0, 0, 0));
}

#[test]
fn a_pause_of_any_length_leaves_what_is_younger_than_the_window() {
    for pause in [0, 1, 5, 9, 10, 11, 19, 1_000_000] {
        let breaker = breaker(BreakerConfig::hystrix());
        for second in 0..3 {
            call(&breaker, at(second * 1_000), FAILED);
        }
        let left = 3_u32.saturating_sub(u32::try_from(pause).unwrap().saturating_sub(7));
        assert_eq!(breaker.counts(at((2 + pause) * 1_000)).calls, left, "{pause} s");
        call(&breaker, at((2 + pause) * 1_000), OK);
        assert_eq!(breaker.counts(at((2 + pause) * 1_000)).calls, left + 1, "{pause} s");
    }
}

#[test]
fn time_that_goes_back_counts_with_the_latest() {
    let breaker = breaker(BreakerConfig::hystrix());
    call(&breaker, at(50_000), FAILED);
    call(&breaker, at(20_000), FAILED);
    assert_eq!(breaker.counts(at(0)).calls, 2);
    assert_eq!(breaker.counts(at(59_000)).calls, 2);
    assert_eq!(breaker.counts(at(60_000)).calls, 0);
}

#[test]
fn the_ends_of_time_are_times() {
    for config in [BreakerConfig::hystrix(), BreakerConfig::finagle(), BreakerConfig::resilience4j()] {
        let breaker = breaker(config);
        for now in [Instant::MAX, Instant::ZERO, Instant::MAX] {
            for _ in 0..100 {
                if let Ok(permit) = breaker.permit(now) {
                    breaker.record(now, permit, FAILED);
                }
            }
        }
        assert_eq!(breaker.state(Instant::ZERO), State::Open);
    }
}

#[test]
fn a_window_never_holds_more_than_its_word_can_count() {
    let mut config = BreakerConfig::hystrix();
    config.failure_rate_milli = 1000;
    let breaker = breaker(config);
    let most = 131_072;
    for second in 0..4 {
        for number in 0..60_000_u64 {
            assert_eq!(call(&breaker, at(second * 1_000 + number / 60), OK), None);
            assert!(breaker.counts(at(second * 1_000)).calls <= most);
        }
    }
    // The first and the second bucket were forgotten, one after the other.
    let counts = breaker.counts(at(3_999));
    assert!(counts.calls > 60_000 && counts.calls <= 120_000, "{counts:?}");
    // And all of one that alone is too large.
    for _ in 0..most {
        call(&breaker, at(20_000), OK);
    }
    assert_eq!(breaker.counts(at(20_000)).calls, 0);
    call(&breaker, at(20_000), FAILED);
    assert_eq!(numbers(breaker.counts(at(20_000))), (1, 1, 0));
    assert_eq!(breaker.counts(at(30_000)).calls, 0);
}

#[test]
fn failures_in_a_row_open_it_and_a_success_ends_the_row() {
    let breaker = breaker(consecutive(5));
    assert_eq!(calls(&breaker, at(0), 4, 4), None);
    assert_eq!(call(&breaker, at(0), OK), None);
    assert_eq!(calls(&breaker, at(0), 4, 4), None);
    assert_eq!(call(&breaker, at(0), Verdict::Ignored), None);
    assert_eq!(breaker.counts(at(0)).failures_in_row, 4);
    let opened = call(&breaker, at(7), FAILED).unwrap();
    assert_eq!(opened.reason, Reason::FailuresInRow { failures: 5 });
    assert_eq!(opened.until, Some(at(1_007)));
}

#[test]
fn a_row_opens_it_before_a_rate_can_and_a_rate_without_a_row() {
    let row = calls(&breaker(BreakerConfig::finagle()), at(0), 5, 5).unwrap();
    assert_eq!(row.reason, Reason::FailuresInRow { failures: 5 });
    let rate = calls(&breaker(BreakerConfig::finagle()), at(0), 5, 1).unwrap();
    assert_eq!(told(rate).2, ("failure-rate", (5, 1, 0)));
    let default = calls(&breaker(BreakerConfig::default()), at(0), 20, 20).unwrap();
    assert_eq!(default.reason, Reason::FailuresInRow { failures: 20 });
}

#[test]
fn a_call_is_slow_that_takes_longer_than_the_limit_whether_it_fails_or_not() {
    let limit = secs(60);
    let longer = limit + Duration::from_nanos(1);
    for (verdict, opens) in [(Verdict::Succeeded(limit), false), (Verdict::Succeeded(longer), true)] {
        let breaker = breaker(BreakerConfig::resilience4j());
        for _ in 0..99 {
            assert_eq!(call(&breaker, at(0), Verdict::Succeeded(longer)), None);
        }
        let opened = call(&breaker, at(0), verdict).map(told);
        let expected = (State::Closed, State::Open, ("slow-rate", (100, 0, 100)));
        assert_eq!(opened, opens.then_some(expected));
    }
    let fails = breaker(BreakerConfig::resilience4j());
    call(&fails, at(0), Verdict::Failed(longer));
    assert_eq!(numbers(fails.counts(at(0))), (1, 1, 1));
}

#[test]
fn where_both_shares_are_reached_it_opens_for_the_failures() {
    let breaker = breaker(BreakerConfig::resilience4j());
    let slow_failure = Verdict::Failed(secs(61));
    let opened: Vec<_> = (0..100).filter_map(|_| call(&breaker, at(0), slow_failure)).collect();
    assert_eq!(told(opened[0]).2, ("failure-rate", (100, 100, 100)));
    let counts = breaker.counts(at(0));
    assert_eq!((counts.failure_rate_milli(), counts.slow_rate_milli()), (1000, 1000));
}

#[test]
fn shares_are_compared_exactly_and_shown_rounded_down() {
    let mut config = BreakerConfig::hystrix();
    config.failure_rate_milli = 334;
    config.calls_min = number(3);
    let breaker = breaker(config);
    assert_eq!(calls(&breaker, at(0), 3, 1), None, "a third is less than 334 thousandths");
    assert_eq!(breaker.counts(at(0)).failure_rate_milli(), 333);
    assert_eq!(mesh_retry::breaker::Counts::default().failure_rate_milli(), 0);
}
