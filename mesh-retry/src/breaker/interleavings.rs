//! What threads share in a breaker, under every order in which two or three of them may come (loom): `scripts/loom`.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use loom::thread;
use mesh_core::time::Instant;

use super::{
    Breaker, BreakerConfig, Counts, Forced, Permit, ProbeRule, Reason, State, Transition, Verdict, WindowKind,
};
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

/// `act` on the breaker, for a thread of its own.
fn with<T, A: FnOnce(&Breaker) -> T>(breaker: &Arc<Breaker>, act: A) -> impl FnOnce() -> T + use<T, A> {
    let breaker = Arc::clone(breaker);
    move || act(&breaker)
}

/// A call that fails at `millis`.
fn fails(breaker: &Arc<Breaker>, millis: u64) -> impl FnOnce() -> Option<Transition> + use<> {
    let at = at(millis);
    with(breaker, move |breaker| breaker.permit(at).ok().and_then(|permit| breaker.record(at, permit, FAILED)))
}

/// Runs each in a thread of its own. (Not in that of the model: loom does not stop it before the first look that it has at
/// what it shares with a thread it has just begun, so that it would never see what that leaves half-way.)
fn both<T: 'static, U: 'static>(one: impl FnOnce() -> T + 'static, other: impl FnOnce() -> U + 'static) -> (T, U) {
    let (one, other) = (thread::spawn(one), thread::spawn(other));
    (one.join().unwrap(), other.join().unwrap())
}

#[test]
fn of_three_that_ask_at_once_two_are_probes_when_there_are_two_places() {
    loom::model(|| {
        let breaker = consecutive(1, 2);
        open(&breaker);
        let asks = || with(&breaker, |breaker| breaker.permit(at(1_000)).ok());
        let third = thread::spawn(asks());
        let (first, second) = both(asks(), asks());
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
            let out = Arc::clone(&out);
            with(&breaker, move |breaker| {
                if let Ok(permit) = breaker.permit(at(1_000)) {
                    assert_eq!(out.fetch_add(1, Ordering::SeqCst), 0, "one other is out");
                    out.fetch_sub(1, Ordering::SeqCst);
                    breaker.give_back(permit);
                }
            })
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
        let gives_back = with(&breaker, move |breaker| {
            breaker.give_back(slow);
            breaker.permit(late).is_ok()
        });
        let (again, other) = both(gives_back, with(&breaker, move |breaker| breaker.permit(late).is_ok()));
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
        let ends = with(&breaker, move |breaker| breaker.record(late, slow, OK));
        let (told, permit) = both(ends, with(&breaker, move |breaker| breaker.permit(late).unwrap()));
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
            let (first, second) = both(
                with(&breaker, move |breaker| breaker.record(at(1_000), one, OK)),
                with(&breaker, move |breaker| breaker.record(at(1_000), other, verdict)),
            );
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
        let (one, other) = both(fails(&breaker, 0), fails(&breaker, 0));
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
            let (one, other) = both(fails(&breaker, 0), fails(&breaker, 0));
            let told: Vec<Reason> = [one, other].into_iter().flatten().map(|told| told.reason).collect();
            let [Reason::FailureRate(counts)] = told[..] else { panic!("{told:?}") };
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
            let late = with(&breaker, move |breaker| breaker.record(at(0), old, FAILED));
            let resets = with(&breaker, move |breaker| {
                breaker.reset();
                let fresh = breaker.permit(at(0)).unwrap();
                breaker.record(at(0), fresh, verdict)
            });
            both(late, resets);
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
        let old = breaker.permit(at(0)).unwrap();
        let late = with(&breaker, move |breaker| breaker.record(at(0), old, FAILED));
        let told = both(late, with(&breaker, |breaker| breaker.reset()));
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
                with(&breaker, move |breaker| {
                    for _ in 0..times {
                        breaker.record(at(0), breaker.permit(at(0)).unwrap(), verdict);
                    }
                })
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

/// A call that fails, and two at once after the end of its bucket of 1 s and of the next, in a window of `buckets`; what it
/// holds then.
fn turning(buckets: u32) -> Counts {
    let breaker = rated(WindowKind::Time { buckets: number(buckets), width: Duration::from_secs(1) }, 100);
    assert_eq!(fails(&breaker, 900)(), None);
    let told = both(fails(&breaker, 1_100), fails(&breaker, 2_100));
    assert_eq!(told, (None, None), "it would open for a hundred");
    let counts = breaker.counts(at(2_100));
    assert_eq!(counts.calls, counts.failed);
    assert_eq!(breaker.counts(at(9_000)).calls, 0);
    counts
}

#[test]
fn no_call_is_lost_while_the_window_turns() {
    // Of three buckets, the first is still in.
    loom::model(|| assert_eq!(turning(3).calls, 3));
}

#[test]
fn a_window_that_turns_under_a_call_holds_no_numbers_that_never_were() {
    // A call that comes while somebody turns the window counts with the bucket before, and may leave with it.
    loom::model(|| assert!(turning(1).calls <= 2, "the first is out"));
    loom::model(|| assert!((1..=2).contains(&turning(2).calls), "and whoever turned it is in"));
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
        let ends = with(&breaker, move |breaker| breaker.record(late, probe, FAILED));
        let (told, refused) = both(ends, with(&breaker, move |breaker| breaker.permit(late).is_err()));
        assert!(refused && told.is_some_and(|transition| transition.to == State::Open));
    });
}
