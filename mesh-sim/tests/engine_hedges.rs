//! Copies of requests that take long, event by event.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "support/exact.rs"]
mod exact;

use exact::{Trace, at, backends, fault, ms, number, retry, scenario, server, with_clients};
use mesh_sim::model::EventKind::{Abandoned, Cancelled, Picked, Replied, Served, Succeeded, TimedOut};
use mesh_sim::model::scenario::{CancelMode, FaultKind, Hedge, Scenario};

const KINDS: &[mesh_sim::model::EventKind] = &[Picked, Served, Replied, Abandoned, Cancelled, TimedOut, Succeeded];

#[test]
fn a_copy_goes_to_another_server_after_the_delay_and_wins() {
    let trace = Trace::of(&slow_first(2, CancelMode::None));
    assert_eq!(
        trace.lines(KINDS),
        [
            "0ns picked r0.1@2",
            "4ms picked r0.2@1",
            "14ms served r0.2@1",
            "14ms replied r0.2@1",
            "14ms abandoned r0.1@2",
            "14ms succeeded r0",
            "1s served r0.1@2",
        ]
    );
    let run = &trace.run;
    assert_eq!((run.attempts, run.hedges, run.retries), (2, 1, 0));
    assert_eq!(run.latency_ms.max, Some(14.0));
}

#[test]
fn the_copy_that_loses_is_taken_back_from_its_server() {
    let trace = Trace::of(&slow_first(2, CancelMode::Running));
    let lines = trace.lines(&[Abandoned, Cancelled]);
    assert_eq!(lines, ["14ms abandoned r0.1@2", "14ms cancelled r0.1@2"]);
}

#[test]
fn all_copies_are_sent_at_once_without_a_delay() {
    let world = with_clients(scenario(at(&[0]), backends(3)), |clients| clients.hedge(hedge(0, 3)));
    let trace = Trace::of(&world);
    assert_eq!(trace.lines(&[Picked]), ["0ns picked r0.1@2", "0ns picked r0.2@1", "0ns picked r0.3@0"]);
    assert_eq!((trace.run.attempts, trace.run.hedges), (3, 2));
    assert_eq!(trace.run.requests.succeeded, 1);
}

#[test]
fn no_copy_is_sent_where_every_server_has_one() {
    let world = with_clients(scenario(at(&[0]), backends(2)), |clients| clients.hedge(hedge(0, 5)));
    let trace = Trace::of(&world);
    assert_eq!((trace.run.attempts, trace.run.hedges), (2, 1));
}

#[test]
fn what_is_answered_in_time_is_sent_once() {
    let world = with_clients(scenario(at(&[0, 20]), backends(2)), |clients| clients.hedge(hedge(11, 2)));
    assert_eq!(Trace::of(&world).run.attempts, 2);
}

#[test]
fn the_deadline_ends_every_copy() {
    let world = with_clients(slow_first(3, CancelMode::None), |clients| clients.timeout(ms(9)));
    let trace = Trace::of(&world);
    assert_eq!(
        trace.lines(&[Picked, TimedOut, Abandoned]),
        [
            "0ns picked r0.1@2",
            "4ms picked r0.2@1",
            "8ms picked r0.3@0",
            "9ms timed-out r0.1@2",
            "9ms timed-out r0.2@1",
            "9ms timed-out r0.3@0",
        ]
    );
    assert_eq!(trace.ends(), [0, 0, 1, 0, 0]);
}

#[test]
fn a_call_whose_copies_all_fail_is_retried() {
    let broken = fault(FaultKind::Errors { rate: 1.0, latency: ms(6) }, 0, 8);
    let world = with_clients(scenario(at(&[1]), backends(2)).fault(broken), |clients| {
        clients.hedge(hedge(4, 2)).retry(retry(2))
    });
    let trace = Trace::of(&world);
    let picks = trace.lines(&[Picked, Succeeded]);
    // The first copy fails at 7 ms and the second, sent at 5 ms, at 11 ms; the retry waits for 10 ms.
    assert_eq!(picks[..3], ["1ms picked r0.1@0", "5ms picked r0.2@1", "21ms picked r0.3@1"]);
    assert_eq!((trace.run.retries, trace.ends()), (1, [1, 0, 0, 0, 0]));
}

#[test]
fn a_scenario_names_what_is_wrong_with_its_hedges() {
    for copies in [1, 6] {
        let world = with_clients(scenario(at(&[0]), backends(2)), |clients| clients.hedge(hedge(4, copies)));
        let error = world.validate().unwrap_err().to_string();
        assert!(error.contains("clients.hedge.attempts_max") && error.contains("2 to 5"), "{error}");
    }
}

/// Three servers that take 10 ms; the one that comes first in turn takes a second.
fn slow_first(copies: u32, cancel: CancelMode) -> Scenario {
    let slow = FaultKind::ServiceTime(mesh_sim::model::scenario::Distribution::constant(ms(1_000)));
    let world = scenario(at(&[0]), backends(3)).fault(exact::aimed(server(2), slow, 0, 900));
    with_clients(world, |mut clients| {
        clients.cancel = cancel;
        clients.hedge(hedge(4, copies))
    })
}

fn hedge(delay: u64, copies: u32) -> Hedge {
    let mut hedge = Hedge::default();
    (hedge.delay, hedge.attempts_max) = (ms(delay), number(copies));
    hedge
}
