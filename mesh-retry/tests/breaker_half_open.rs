//! For how long a breaker is open, and how half-open decides, whoever loses its permit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod breaker_support;

use std::time::Duration;

use breaker_support::model::told;
use breaker_support::*;
use mesh_retry::Instant;
use mesh_retry::breaker::{Breaker, BreakerConfig, Forced, Guard, Permit, ProbeRule, State, Verdict};
use mesh_retry::call::Gate as _;

const NANO: Duration = Duration::from_nanos(1);

/// Opened at 0 by its thresholds, and until when it is.
fn opened(config: BreakerConfig, seed: u64) -> (Breaker, Instant) {
    let breaker = Breaker::new(&config, seed).unwrap();
    loop {
        if let Some(opened) = call(&breaker, at(0), FAILED) {
            return (breaker, opened.until.unwrap());
        }
    }
}

/// The permits of as many probes as it lets through at `now`.
fn probes(breaker: &Breaker, now: Instant) -> Vec<Permit> {
    std::iter::from_fn(|| breaker.permit(now).ok()).collect()
}

#[test]
fn it_lets_nothing_through_until_its_time_is_over() {
    for (config, open) in [
        (BreakerConfig::resilience4j(), secs(60)),
        (BreakerConfig::hystrix(), secs(5)),
        (BreakerConfig::polly(), secs(5)),
    ] {
        let (breaker, until) = opened(config, 1);
        assert_eq!(until, Instant::ZERO + open);
        assert_eq!(breaker.next_transition_at(), Some(until));
        for now in [at(0), until - NANO] {
            let refused = breaker.permit(now).unwrap_err();
            assert_eq!((refused.state, refused.retry_at, refused.transition), (State::Open, Some(until), None));
            assert!(refused.counts.failed > 0, "the window that opened it");
            assert_eq!(breaker.state(now), State::Open);
        }
        assert_eq!(breaker.state(until), State::HalfOpen);
        let first = breaker.permit(until).unwrap();
        let expected = (State::Open, State::HalfOpen, ("open-time-over", (0, 0, 0)));
        assert_eq!(first.transition().map(told), Some(expected));
        assert!(first.is_probe());
    }
}

#[test]
fn of_ten_probes_five_that_fail_open_it_again_and_four_do_not() {
    for (failed, to, why) in [(5, State::Open, "probes-failed"), (4, State::Closed, "probes-passed")] {
        let (breaker, until) = opened(BreakerConfig::resilience4j(), 1);
        let mut probes = probes(&breaker, until);
        assert_eq!(probes.len(), 10);
        let last = probes.pop().unwrap();
        for (number, probe) in probes.into_iter().enumerate() {
            let verdict = if number < failed { FAILED } else { OK };
            assert_eq!(breaker.record(until, probe, verdict), None);
            assert_eq!(breaker.counts(until).calls, number as u32 + 1);
        }
        assert_eq!(breaker.permit(until).unwrap_err().counts.calls, 9);
        let decided = breaker.record(until, last, OK).map(told);
        assert_eq!(decided, Some((State::HalfOpen, to, (why, (10, failed as u32, 0)))));
        assert_eq!(breaker.state(until), to);
    }
}

#[test]
fn probes_that_are_slow_open_it_again_where_slow_calls_are_looked_at() {
    let slow = Verdict::Succeeded(secs(61));
    let (breaker, until) = opened(BreakerConfig::resilience4j(), 1);
    let told_last = probes(&breaker, until).into_iter().filter_map(|probe| breaker.record(until, probe, slow)).last();
    assert_eq!(told(told_last.unwrap()).2, ("probes-failed", (10, 0, 10)));

    for (slow_rate, to) in [(0, State::Closed), (1, State::Open)] {
        let mut config = BreakerConfig::hystrix();
        config.slow_rate_milli = slow_rate;
        let (breaker, until) = opened(config, 1);
        let probe = permit(&breaker, until);
        assert_eq!(breaker.record(until, probe, slow).unwrap().to, to);
    }
}

#[test]
fn a_minimum_below_the_number_of_probes_decides_early() {
    let mut config = BreakerConfig::resilience4j();
    config.calls_min = number(5);
    let (breaker, until) = opened(config, 1);
    let told: Vec<_> =
        probes(&breaker, until).into_iter().map(|probe| breaker.record(until, probe, OK).is_some()).collect();
    assert_eq!(told.iter().position(|told| *told), Some(4));
    assert_eq!(breaker.state(until), State::Closed);
    assert_eq!(breaker.counts(until).calls, 0, "the other probes were let through before it closed");
}

#[test]
fn where_none_may_fail_the_first_that_does_decides_and_otherwise_the_last() {
    let mut config = consecutive(1);
    config.half_open.probes = number(3);
    let (breaker, until) = opened(config, 1);
    let mut out = probes(&breaker, until);
    assert_eq!(breaker.record(until, out.remove(0), OK), None);
    assert_eq!(told(breaker.record(until, out.remove(0), FAILED).unwrap()).2, ("probes-failed", (2, 1, 0)));
    assert_eq!(breaker.record(until, out.remove(0), FAILED), None, "too late to count");

    let (breaker, until) = opened(config, 1);
    let decided: Vec<_> =
        probes(&breaker, until).into_iter().map(|probe| breaker.record(until, probe, OK).is_some()).collect();
    assert_eq!(decided, [false, false, true]);
}

#[test]
fn each_half_open_time_that_fails_doubles_the_next_and_closing_starts_anew() {
    let (breaker, mut until) = opened(consecutive(1), 1);
    let mut lengths = vec![until - at(0)];
    for _ in 0..40 {
        let probe = permit(&breaker, until);
        let again = breaker.record(until, probe, FAILED).unwrap().until.unwrap();
        lengths.push(again - until);
        until = again;
    }
    let doubled: Vec<_> = (0..41).map(|failed| secs(60.min(1 << failed.min(6)))).collect();
    assert_eq!(lengths, doubled);
    let probe = permit(&breaker, until);
    assert_eq!(breaker.record(until, probe, OK).unwrap().to, State::Closed);
    assert_eq!(call(&breaker, until, FAILED).unwrap().until, Some(until + secs(1)));
}

#[test]
fn the_second_half_of_the_time_is_random_and_the_same_for_the_same_seed() {
    let lengths = |seed: u64| {
        let (breaker, mut until) = opened(BreakerConfig::finagle(), seed);
        let mut lengths = vec![until - at(0)];
        for _ in 0..8 {
            let probe = permit(&breaker, until);
            let again = breaker.record(until, probe, FAILED).unwrap().until.unwrap();
            lengths.push(again - until);
            until = again;
        }
        lengths
    };
    let mut firsts = Vec::new();
    for seed in 0..200 {
        let drawn = lengths(seed);
        assert_eq!(drawn, lengths(seed));
        for (failed, length) in drawn.iter().enumerate() {
            let longest = secs(300.min(20 << failed));
            assert!((longest / 2..=longest).contains(length), "{length:?} after {failed}");
        }
        assert!(drawn[5] != drawn[6], "each is drawn anew");
        firsts.push(drawn[0].as_secs_f64());
    }
    // Uniform on 10 to 20 s: the mean of 200 lies within 4 standard errors of 15 s.
    let mean = firsts.iter().sum::<f64>() / 200.0;
    assert!((mean - 15.0).abs() < 4.0 * 10.0 / (12.0_f64 * 200.0).sqrt(), "{mean}");
    firsts.sort_by(f64::total_cmp);
    assert!(firsts[5] < 11.0 && firsts[194] > 19.0, "{firsts:?}");
}

#[test]
fn a_probe_that_says_nothing_gives_its_place_to_another() {
    let (breaker, until) = opened(BreakerConfig::hystrix(), 1);
    let ways: [fn(&Breaker, Permit, Instant); 4] = [
        |breaker, permit, _| breaker.give_back(permit),
        |breaker, permit, now| assert_eq!(breaker.record(now, permit, Verdict::Ignored), None),
        |breaker, permit, _| drop(Guard::new(breaker, permit)),
        |breaker, permit, now| assert_eq!(Guard::new(breaker, permit).record(now, Verdict::Ignored), None),
    ];
    for way in ways.into_iter().cycle().take(200) {
        let probe = permit(&breaker, until);
        assert!(breaker.permit(until).is_err());
        way(&breaker, probe, until);
    }
    let probe = permit(&breaker, until);
    assert_eq!(Guard::new(&breaker, probe).record(until, OK).unwrap().to, State::Closed);
}

#[test]
fn a_call_that_says_nothing_leaves_a_closed_breaker_as_it_is() {
    let breaker = breaker(BreakerConfig::default());
    breaker.give_back(permit(&breaker, at(0)));
    assert_eq!(breaker.counts(at(0)).calls, 0);
    assert_eq!(breaker.state(at(0)), State::Closed);
}

#[test]
fn a_place_whose_permit_is_lost_is_given_to_another_after_a_time() {
    let (breaker, until) = opened(BreakerConfig::resilience4j(), 1);
    let mut out = probes(&breaker, until);
    let lost_at = until + secs(60);
    for probe in out.drain(..8) {
        assert_eq!(breaker.record(until, probe, OK), None);
    }
    let refused = breaker.permit(lost_at - NANO).unwrap_err();
    assert_eq!((refused.state, refused.retry_at), (State::HalfOpen, Some(lost_at)));
    assert_eq!(breaker.next_transition_at(), Some(lost_at));
    // Two are lost: two others go, and both times run from when they went.
    let others = probes(&breaker, lost_at);
    assert_eq!(others.len(), 2);
    assert!(others.iter().all(|permit| permit.transition().is_none()));
    assert_eq!(breaker.permit(lost_at).unwrap_err().retry_at, Some(lost_at + secs(60)));
    // What was taken for lost and comes after all counts for nothing, whether it is an end or a place.
    let late = out.pop().unwrap();
    assert_eq!(breaker.record(lost_at, late, FAILED), None);
    breaker.give_back(out.pop().unwrap());
    assert!(breaker.permit(lost_at).is_err());
    assert_eq!(numbers(breaker.counts(lost_at)), (8, 0, 0), "those that had ended still count");
    let decided: Vec<_> = others.into_iter().map(|probe| breaker.record(lost_at, probe, OK)).collect();
    assert_eq!(decided[0], None);
    assert_eq!(told(decided[1].unwrap()).2, ("probes-passed", (10, 0, 0)));
}

#[test]
fn a_probe_that_goes_late_gets_its_whole_time() {
    let mut config = consecutive(1);
    config.half_open.probes = number(2);
    let (breaker, until) = opened(config, 1);
    let _early = permit(&breaker, until);
    let late = until + secs(59);
    let _later = permit(&breaker, late);
    assert!(breaker.permit(until + secs(60)).is_err());
    assert!(breaker.permit(late + secs(60)).is_ok());
}

#[test]
fn half_open_that_comes_to_no_decision_in_its_time_opens_again() {
    let mut config = BreakerConfig::resilience4j();
    config.half_open.wait_max = Some(secs(20));
    let (by_asking, until) = opened(config, 1);
    let first = permit(&by_asking, until);
    assert_eq!(by_asking.next_transition_at(), Some(until + secs(20)), "as long as there are places");
    assert_eq!(by_asking.record(until, first, FAILED), None);
    let over = until + secs(20);
    assert_eq!(by_asking.state(over - NANO), State::HalfOpen);
    assert_eq!(by_asking.state(over), State::Open);
    let refused = by_asking.permit(over).unwrap_err();
    let expected = (State::HalfOpen, State::Open, ("half-open-time-over", (1, 1, 0)));
    assert_eq!(refused.transition.map(told), Some(expected));
    assert_eq!((refused.state, refused.retry_at), (State::Open, Some(over + secs(60))));

    let (by_ending, until) = opened(config, 1);
    let probe = permit(&by_ending, until);
    assert_eq!(by_ending.record(over, probe, OK).map(told).unwrap().2, ("half-open-time-over", (0, 0, 0)));
}

#[test]
fn as_a_gate_it_is_shut_while_it_is_open_and_not_where_a_probe_may_end_or_asking_may_help() {
    let mut config = BreakerConfig::hystrix();
    (config.half_open.probes, config.half_open.wait_max) = (number(1), Some(secs(3)));
    let (breaker, until) = opened(config, 1);
    let shut = breaker.shut(at(0)).unwrap();
    assert_eq!((shut.gate, shut.state, shut.opens_at), ("breaker", "open", Some(until)));
    assert_eq!((shut.value, shut.limit), (20, 20), "what it was opened for");
    assert_eq!(breaker.shut(until), None, "nobody has asked yet");
    let probe = breaker.permit(until).unwrap();
    assert!(breaker.permit(until).is_err());
    assert_eq!(breaker.shut(until), None, "its only probe may end at any moment");
    assert_eq!(breaker.shut(until + secs(3)), None, "to ask opens it");
    breaker.give_back(probe);
    breaker.force(Forced::Open);
    let shut = breaker.shut(until).unwrap();
    assert_eq!((shut.state, shut.opens_at), ("forced-open", None));
    breaker.reset();
    assert_eq!(breaker.shut(until), None);
}

#[test]
fn time_that_goes_back_neither_sticks_nor_opens_early() {
    let breaker = breaker(consecutive(1));
    call(&breaker, at(100_000), FAILED);
    assert!(breaker.permit(at(0)).is_err());
    assert_eq!(breaker.next_transition_at(), Some(at(101_000)));
    let probe = permit(&breaker, at(101_000));
    assert!(breaker.permit(at(50_000)).is_err());
    assert_eq!(
        breaker.record(at(50_000), probe, FAILED).unwrap().until,
        Some(at(102_000)),
        "from the latest time seen"
    );
}

#[test]
fn a_permit_of_another_breaker_adds_no_probe() {
    let (one, until) = opened(consecutive(1), 1);
    let (other, _) = opened(consecutive(1), 1);
    let mut config = consecutive(1);
    config.half_open.probes = number(2);
    let (third, _) = opened(config, 1);
    let strays = [permit(&one, until), permit(&other, until)];
    let _own = permit(&third, until);
    let [first, second] = strays;
    assert_eq!(third.record(until, first, OK), None);
    assert_eq!(third.record(until, second, OK), None, "one place was given, and one end came");
    assert_eq!(third.counts(until).calls, 1);
}

#[test]
fn a_rate_judges_probes_from_the_numbers_that_it_has_a_right_to() {
    let mut config = BreakerConfig::default();
    assert_eq!((config.half_open.probes, config.half_open.rule), (number(5), ProbeRule::Rates));
    config.open.jitter = mesh_retry::breaker::OpenJitter::None;
    for (failed, to) in [(2, State::Closed), (3, State::Open)] {
        let (breaker, until) = opened(config, 1);
        let mut last = None;
        for (number, probe) in probes(&breaker, until).into_iter().enumerate() {
            last = breaker.record(until, probe, if number < failed { FAILED } else { OK });
        }
        assert_eq!(last.unwrap().to, to);
    }
}
