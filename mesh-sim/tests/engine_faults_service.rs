//! Faults that change what a server does with a request: service times, slowdowns, errors, and which of two wins.

#[path = "support/exact.rs"]
mod exact;

use std::collections::BTreeSet;
use std::time::Duration;

use exact::{Trace, at, backend, backends, constant, fault, ms, retry, scenario, with_clients};
use mesh_core::balance::Strategy;
use mesh_sim::model::EventKind::{Erred, Failed, Rejected, Served, Started};
use mesh_sim::model::scenario::{Arrivals, Discipline, FaultKind, Scenario};

#[test]
fn a_service_time_holds_for_what_starts_while_it_is_so() {
    // In service before, started while it waited, started within, and after.
    let slow = fault(FaultKind::ServiceTime(constant(50)), 5, 70);
    let trace = Trace::of(&scenario(at(&[0, 1, 2, 3]), backend()).fault(slow));
    assert_eq!(
        served(&trace),
        ["10ms served r0.1@0", "60ms served r1.1@0", "110ms served r2.1@0", "120ms served r3.1@0"]
    );
}

#[test]
fn a_service_time_may_be_any_law() {
    let law = mesh_sim::model::scenario::Distribution::Uniform { min: ms(20), max: ms(30) };
    let group = backend().discipline(Discipline::Delay);
    let trace = Trace::of(&scenario(at(&[0; 200]), group).fault(fault(FaultKind::ServiceTime(law), 0, 1000)));
    let ends: BTreeSet<_> = trace.select(&[Served]).map(|(at, _)| at.as_nanos()).collect();
    assert!(ends.len() > 190 && ends.iter().all(|end| (20_000_000..30_000_000).contains(end)));
}

#[test]
fn a_slowdown_stretches_what_starts_while_it_is_so() {
    for discipline in [Discipline::Fifo, Discipline::Delay, Discipline::ProcessorSharing] {
        let slow = fault(FaultKind::Slowdown { factor: 2.5 }, 5, 100);
        let group = backend().discipline(discipline);
        let trace = Trace::of(&scenario(at(&[0, 20, 200]), group).fault(slow));
        assert_eq!(served(&trace), ["10ms served r0.1@0", "45ms served r1.1@0", "210ms served r2.1@0"]);
    }
    let fast = fault(FaultKind::Slowdown { factor: 0.5 }, 0, 100);
    assert_eq!(served(&Trace::of(&scenario(at(&[0]), backend()).fault(fast))), ["5ms served r0.1@0"]);
}

#[test]
fn service_times_of_a_fault_are_divided_by_the_speed_too() {
    let slow = fault(FaultKind::ServiceTime(constant(50)), 0, 100);
    let mut group = backend();
    group.speed = 2.0;
    assert_eq!(served(&Trace::of(&scenario(at(&[0]), group).fault(slow))), ["25ms served r0.1@0"]);
}

#[test]
fn of_two_that_overlap_on_one_server_the_later_wins_while_it_lasts() {
    let time = |millis| FaultKind::ServiceTime(constant(millis));
    let (early, late) = (fault(time(50), 5, 305), fault(time(20), 100, 200));
    let arrivals = [0, 10, 90, 150, 210, 310];
    let expected = [10, 60, 140, 170, 260, 320];
    let (early_factor, late_factor) =
        (fault(FaultKind::Slowdown { factor: 5.0 }, 5, 305), fault(FaultKind::Slowdown { factor: 2.0 }, 100, 200));
    // Which of them stands first in the file makes no difference.
    for [one, other] in [[&early, &late], [&late, &early], [&early_factor, &late_factor], [&late_factor, &early_factor]]
    {
        let group = backend().discipline(Discipline::Delay);
        let trace = Trace::of(&scenario(at(&arrivals), group).fault(one.clone()).fault(other.clone()));
        let mut ends: Vec<_> = trace.select(&[Served]).map(|(at, event)| (event.request, at.as_nanos())).collect();
        ends.sort_unstable();
        let ends: Vec<_> = ends.into_iter().map(|(_, at)| at / 1_000_000).collect();
        assert_eq!(ends, expected);
    }
}

#[test]
fn one_that_outlasts_a_later_one_that_began_within_it_is_overruled_to_its_end() {
    let time = |millis| FaultKind::ServiceTime(constant(millis));
    let (early, late) = (fault(time(50), 0, 100), fault(time(20), 50, 200));
    let trace = Trace::of(&scenario(at(&[0, 60, 150]), backend()).fault(early).fault(late));
    assert_eq!(served(&trace), ["50ms served r0.1@0", "80ms served r1.1@0", "170ms served r2.1@0"]);
}

#[test]
fn errors_are_answered_after_their_latency_without_queue_or_worker() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(2) }, 5, 100);
    // The queue is full when the second comes; the third finds the only worker free and does not take it.
    let trace = Trace::of(&scenario(at(&[4, 6, 20, 20, 110]), backend().queue_limit(0)).fault(errors));
    assert_eq!(
        trace.story(),
        [
            "4ms started r0.1@0",
            "6ms erred r1.1@0",
            "8ms failed r1.1@0",
            "14ms served r0.1@0",
            "14ms replied r0.1@0",
            "20ms erred r2.1@0",
            "20ms erred r3.1@0",
            "22ms failed r2.1@0",
            "22ms failed r3.1@0",
            "110ms started r4.1@0",
            "120ms served r4.1@0",
            "120ms replied r4.1@0",
        ]
    );
    assert_eq!(trace.ends(), [2, 3, 0, 0, 0]);
    assert_eq!(trace.run.servers[0].in_flight_max, 1);
    assert_eq!(trace.run.servers[0].utilisation, Some(0.02));
}

#[test]
fn errors_without_latency_are_answered_at_once() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: Duration::ZERO }, 0, 100);
    let trace = Trace::of(&scenario(at(&[7]), backend()).fault(errors));
    assert_eq!(trace.story(), ["7ms erred r0.1@0", "7ms failed r0.1@0"]);
}

#[test]
fn no_attempt_errs_at_rate_zero() {
    let errors = fault(FaultKind::Errors { rate: 0.0, latency: ms(2) }, 0, 1000);
    let trace = Trace::of(&scenario(at(&[7; 100]), backend()).fault(errors));
    assert_eq!(trace.ends(), [100, 0, 0, 0, 0]);
}

#[test]
fn the_share_that_errs_is_the_rate() {
    let trace = Trace::of(&erring(Strategy::Random));
    // 10,000 first attempts at 0.3: 3,000, and a standard deviation of 46.
    let first = trace.select(&[Erred]).filter(|(_, event)| event.attempt == 1).count();
    assert!((2816..=3184).contains(&first), "{first}");
    // Second attempts draw anew, at the same rate: 900, and a standard deviation of 25.
    let second = trace.select(&[Erred]).filter(|(_, event)| event.attempt == 2).count();
    assert!((800..=1000).contains(&second), "{second} of {first}");
}

#[test]
fn whether_an_attempt_errs_is_drawn_from_its_own_stream_whatever_the_strategy() {
    let erred = |strategy| {
        let trace = Trace::of(&erring(strategy));
        let erred: BTreeSet<_> = trace.select(&[Erred]).map(|(_, event)| (event.request, event.attempt)).collect();
        (erred, trace.picks())
    };
    let (random, random_picks) = erred(Strategy::Random);
    let (least, least_picks) = erred(exact::least_loaded_without_hold());
    assert!(random == least);
    assert!(random_picks != least_picks);
}

#[test]
fn the_later_errors_win() {
    let errors = |rate, latency, from, until| fault(FaultKind::Errors { rate, latency: ms(latency) }, from, until);
    let (early, late) = (errors(1.0, 1, 0, 100), errors(1.0, 3, 20, 40));
    let trace = Trace::of(&scenario(at(&[10, 30, 50]), backend()).fault(early).fault(late));
    assert_eq!(trace.lines(&[Failed]), ["11ms failed r0.1@0", "33ms failed r1.1@0", "51ms failed r2.1@0"]);
}

#[test]
fn a_full_queue_rejects_where_errors_spare_an_attempt() {
    let errors = fault(FaultKind::Errors { rate: 0.0, latency: ms(2) }, 0, 100);
    let trace = Trace::of(&scenario(at(&[0, 1]), backend().queue_limit(0)).fault(errors));
    assert_eq!(trace.lines(&[Rejected, Started]), ["0ns started r0.1@0", "1ms rejected r1.1@0"]);
}

/// 10,000 requests with two attempts each, at servers of which 30 % err.
fn erring(strategy: Strategy) -> Scenario {
    let errors = fault(FaultKind::Errors { rate: 0.3, latency: Duration::ZERO }, 0, 1000);
    let mut scenario = scenario(Arrivals::Uniform { rate: 10_000.0 }, backends(4)).fault(errors);
    scenario.servers[0].discipline = Discipline::Delay;
    scenario.strategies = vec![strategy];
    with_clients(scenario, |clients| clients.retry(retry(2)))
}

fn served(trace: &Trace) -> Vec<String> {
    trace.lines(&[Served])
}
