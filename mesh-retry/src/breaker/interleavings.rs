//! What threads share in a breaker, under every order in which two or three of them may come (loom): `scripts/loom`.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use loom::thread;
use mesh_core::time::Instant;

use super::{Breaker, BreakerConfig, Forced, Permit, ProbeRule, Reason, State, Transition, Verdict, WindowKind};
use crate::sync::{AtomicU64, Ordering};

const OK: Verdict = Verdict::Succeeded(Duration::ZERO);
const FAILED: Verdict = Verdict::Failed(Duration::ZERO);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// One that opens after `failures` in a row, for a second, and has `probes` then, all of which must succeed.
fn consecutive(failures: u32, probes: u32) -> Arc<Breaker> {
    let mut config = BreakerConfig::consecutive(number(failures));
    config.half_open.probes = number(probes);
    Arc::new(Breaker::new(&config, 1).unwrap())
}

/// One whose failure rate is judged from `calls_min` calls on.
fn rated(window: WindowKind, calls_min: u32) -> Arc<Breaker> {
    let mut config = BreakerConfig::hystrix();
    config.window = window;
    config.calls_min = number(calls_min);
    config.failure_rate_milli = 1000;
    Arc::new(Breaker::new(&config, 1).unwrap())
}

fn windows() -> [WindowKind; 2] {
    [WindowKind::Count { calls: number(2) }, WindowKind::Time { buckets: number(2), width: Duration::from_secs(1) }]
}

/// Opens it at 0; it is half-open for whoever asks from 1 s on.
fn open(breaker: &Breaker) {
    let permit = breaker.permit(at(0)).unwrap();
    assert!(breaker.record(at(0), permit, FAILED).is_some());
}

/// Runs `one` in a thread of its own and `other` in this one.
fn both<T: 'static, U>(one: impl FnOnce() -> T + 'static, other: impl FnOnce() -> U) -> (T, U) {
    let one = thread::spawn(one);
    let other = other();
    (one.join().unwrap(), other)
}

#[test]
fn of_three_that_ask_at_once_two_are_probes_when_there_are_two_places() {
    loom::model(|| {
        let breaker = consecutive(1, 2);
        open(&breaker);
        let ask = |breaker: &Arc<Breaker>| {
            let breaker = Arc::clone(breaker);
            move || breaker.permit(at(1_000)).ok()
        };
        let third = thread::spawn(ask(&breaker));
        let (first, second) = both(ask(&breaker), ask(&breaker));
        let all: Vec<Permit> = [first, second, third.join().unwrap()].into_iter().flatten().collect();
        assert_eq!(all.len(), 2);
        let told = all.iter().filter(|permit| permit.transition().is_some()).count();
        assert_eq!(told, 1, "half-open is told once");
    });
}

#[test]
fn no_more_probes_are_out_than_there_are_places_when_some_are_given_back() {
    loom::model(|| {
        let breaker = consecutive(1, 1);
        open(&breaker);
        let out = Arc::new(AtomicU64::new(0));
        let caller = || {
            let (breaker, out) = (Arc::clone(&breaker), Arc::clone(&out));
            move || {
                if let Ok(permit) = breaker.permit(at(1_000)) {
                    assert_eq!(out.fetch_add(1, Ordering::SeqCst), 0, "one other is out");
                    out.fetch_sub(1, Ordering::SeqCst);
                    breaker.give_back(permit);
                }
            }
        };
        let third = thread::spawn(caller());
        both(caller(), caller());
        third.join().unwrap();
        assert!(breaker.permit(at(1_000)).is_ok(), "all places are free again");
        assert!(breaker.permit(at(1_000)).is_err());
    });
}

#[test]
fn a_place_that_is_lost_goes_to_one_and_not_to_one_who_got_it_back_meanwhile_too() {
    loom::model(|| {
        let breaker = consecutive(1, 1);
        open(&breaker);
        let slow = breaker.permit(at(1_000)).unwrap();
        let late = at(61_000);
        let gives_back = {
            let breaker = Arc::clone(&breaker);
            move || {
                breaker.give_back(slow);
                breaker.permit(late).is_ok()
            }
        };
        let (again, other) = both(gives_back, || breaker.permit(late).is_ok());
        assert!(again != other, "one of both: {again} {other}");
    });
}

#[test]
fn a_probe_counts_or_is_lost_and_never_both() {
    loom::model(|| {
        let breaker = consecutive(1, 1);
        open(&breaker);
        let slow = breaker.permit(at(1_000)).unwrap();
        let late = at(61_000);
        let ends = {
            let breaker = Arc::clone(&breaker);
            move || breaker.record(late, slow, OK)
        };
        let (told, permit) = both(ends, || breaker.permit(late).unwrap());
        assert_eq!(told.is_some(), !permit.is_probe());
    });
}

#[test]
fn probes_that_end_at_once_decide_once() {
    for (verdict, to) in [(OK, State::Closed), (FAILED, State::Open)] {
        loom::model(move || {
            let breaker = consecutive(1, 2);
            open(&breaker);
            let (one, other) = (breaker.permit(at(1_000)).unwrap(), breaker.permit(at(1_000)).unwrap());
            let ends = {
                let breaker = Arc::clone(&breaker);
                move || breaker.record(at(1_000), one, OK)
            };
            let (first, second) = both(ends, || breaker.record(at(1_000), other, verdict));
            let told: Vec<Transition> = [first, second].into_iter().flatten().collect();
            assert_eq!(told.len(), 1);
            assert_eq!((told[0].to, breaker.state(at(1_000))), (to, to));
        });
    }
}

#[test]
fn failures_at_once_are_a_run_that_opens_once() {
    loom::model(|| {
        let breaker = consecutive(2, 1);
        let fail = || {
            let breaker = Arc::clone(&breaker);
            move || breaker.permit(at(0)).ok().and_then(|permit| breaker.record(at(0), permit, FAILED))
        };
        let (one, other) = both(fail(), fail());
        let told: Vec<Transition> = [one, other].into_iter().flatten().collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].reason, Reason::FailuresInRow { failures: 2 });
    });
}

#[test]
fn calls_that_end_at_once_reach_a_threshold_once() {
    for window in windows() {
        loom::model(move || {
            let breaker = rated(window, 2);
            let fail = || {
                let breaker = Arc::clone(&breaker);
                move || breaker.permit(at(0)).ok().and_then(|permit| breaker.record(at(0), permit, FAILED))
            };
            let (one, other) = both(fail(), fail());
            let told: Vec<Transition> = [one, other].into_iter().flatten().collect();
            let counts: Vec<_> = told.iter().map(|transition| transition.reason).collect();
            let [Reason::FailureRate(counts)] = counts[..] else { panic!("{counts:?}") };
            assert_eq!((counts.calls, counts.failed), (2, 2));
        });
    }
}

#[test]
fn what_was_let_through_before_a_reset_counts_for_nothing_after_it() {
    for (window, verdict) in windows().into_iter().flat_map(|window| [(window, OK), (window, FAILED)]) {
        loom::model(move || {
            let mut config = BreakerConfig::hystrix();
            config.window = window;
            config.failures_in_row = 5;
            let breaker = Arc::new(Breaker::new(&config, 1).unwrap());
            let old = breaker.permit(at(0)).unwrap();
            let late = {
                let breaker = Arc::clone(&breaker);
                move || breaker.record(at(0), old, FAILED)
            };
            both(late, || {
                breaker.reset();
                let fresh = breaker.permit(at(0)).unwrap();
                breaker.record(at(0), fresh, verdict)
            });
            let counts = breaker.counts(at(0));
            let failed = u32::from(verdict == FAILED);
            assert_eq!((counts.calls, counts.failed, counts.failures_in_row), (1, failed, failed));
        });
    }
}

#[test]
fn a_threshold_that_was_reached_before_a_reset_opens_nothing_after_it() {
    loom::model(|| {
        let breaker = consecutive(1, 1);
        let late = ends_at(&breaker, 0);
        let told = both(late, || breaker.reset());
        assert_eq!(breaker.state(at(0)), State::Closed, "{told:?}");
    });
}

#[test]
fn the_numbers_of_the_last_calls_are_those_of_the_ring_whoever_writes_it() {
    for calls in [1, 2] {
        loom::model(move || {
            let breaker = rated(WindowKind::Count { calls: number(calls) }, 4);
            breaker.force(Forced::Disabled);
            let ends = |verdict: Verdict, times: u32| {
                let breaker = Arc::clone(&breaker);
                move || {
                    for _ in 0..times {
                        breaker.record(at(0), breaker.permit(at(0)).unwrap(), verdict);
                    }
                }
            };
            ends(OK, 1)();
            // So many that one who has seen the window before finds the place of the first call taken again.
            both(ends(FAILED, 3), ends(OK, 1));
            let counts = breaker.counts(at(0));
            assert_eq!(counts.calls, calls);
            assert!((calls - 1..=calls).contains(&counts.failed));
            // What leaves now is what the ring holds.
            ends(OK, calls)();
            assert_eq!((breaker.counts(at(0)).calls, breaker.counts(at(0)).failed), (calls, 0));
        });
    }
}

#[test]
fn no_call_is_lost_while_the_window_turns() {
    loom::model(|| {
        let breaker = rated(windows()[1], 100);
        assert_eq!(ends_at(&breaker, 900)(), None);
        let third = thread::spawn(ends_at(&breaker, 1_900));
        let told = both(ends_at(&breaker, 1_100), ends_at(&breaker, 2_100));
        assert_eq!((told, third.join().unwrap()), ((None, None), None));
        // The first is out once the third bucket has begun; those of the second bucket and of the third are not.
        let counts = breaker.counts(at(2_100));
        assert_eq!((counts.calls, counts.failed), (3, 3));
        assert_eq!(breaker.counts(at(9_000)).calls, 0);
    });
}

#[test]
fn a_window_that_turns_under_a_call_shows_it_no_numbers_that_never_were() {
    loom::model(|| {
        let breaker = rated(WindowKind::Time { buckets: NonZeroU32::MIN, width: Duration::from_secs(1) }, 100);
        assert_eq!(ends_at(&breaker, 900)(), None);
        let third = thread::spawn(ends_at(&breaker, 1_900));
        let told = both(ends_at(&breaker, 1_100), ends_at(&breaker, 2_100));
        assert_eq!((told, third.join().unwrap()), ((None, None), None), "it would open for a hundred");
        let counts = breaker.counts(at(2_100));
        assert!((1..=3).contains(&counts.calls) && counts.calls == counts.failed, "{counts:?}");
    });
}

/// A call that fails at `millis`.
fn ends_at(breaker: &Arc<Breaker>, millis: u64) -> impl FnOnce() -> Option<Transition> + use<> {
    let breaker = Arc::clone(breaker);
    move || breaker.record(at(millis), breaker.permit(at(millis)).unwrap(), FAILED)
}

#[test]
fn a_rate_of_probes_is_judged_once_by_all_of_them() {
    loom::model(|| {
        let mut config = BreakerConfig::hystrix();
        config.calls_min = NonZeroU32::MIN;
        config.failure_rate_milli = 1000;
        config.half_open.rule = ProbeRule::Rates;
        let breaker = Arc::new(Breaker::new(&config, 1).unwrap());
        open(&breaker);
        let late = at(5_000);
        let probe = breaker.permit(late).unwrap();
        let ends = {
            let breaker = Arc::clone(&breaker);
            move || breaker.record(late, probe, FAILED)
        };
        let (told, refused) = both(ends, || breaker.permit(late).is_err());
        assert!(refused && told.is_some_and(|transition| transition.to == State::Open));
    });
}
