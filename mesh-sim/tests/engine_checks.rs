//! Active checks: when they are sent, what a server in trouble answers, and what follows for picks.
//!
//! All clients check every 10 ms and wait 5 ms for an answer; two answers against their mind make it up, or three
//! failures. The first check comes at once and the intervals are not stretched, so every time is known.

#[path = "support/exact.rs"]
mod exact;

use exact::{
    Trace, aimed, at, backend, backends, fault, ms, network, number, partition, scenario, server, with_clients,
};
use mesh_sim::model::EventKind::{
    CheckFailed, CheckPassed, Probed, Replied, TurnedHealthy, TurnedUnhealthy, Unavailable,
};
use mesh_sim::model::scenario::{Arrivals, Direction, Discipline, Fault, FaultKind, HealthChecks, Scenario};

#[test]
fn a_check_follows_an_interval_after_the_last_one_ended() {
    let mut scenario = checked(scenario(at(&[45]), backend()));
    assert_eq!(times(&Trace::of(&scenario), Probed), [0, 10, 20, 30, 40, 50]);
    scenario = scenario.network(network(1));
    let trace = Trace::of(&scenario);
    assert_eq!(times(&trace, Probed), [0, 12, 24, 36, 48]);
    assert_eq!(times(&trace, CheckPassed), [2, 14, 26, 38, 50]);
}

#[test]
fn the_first_answer_decides_and_after_it_so_many_in_a_row() {
    let trace = Trace::of(&checked(scenario(at(&[100]), backend()).fault(fault(FaultKind::Crash, 15, 65))));
    // Failed at 20, 30 and 40 ms, passed at 70 and 80.
    assert_eq!(turns(&trace), ["0ns turned-healthy c0@0", "40ms turned-unhealthy c0@0", "80ms turned-healthy c0@0"]);
    assert_eq!(times(&trace, CheckFailed), [20, 30, 40, 50, 60]);
    let trace = Trace::of(&checked(scenario(at(&[100]), backend()).fault(fault(FaultKind::Crash, 0, 65))));
    assert_eq!(turns(&trace), ["0ns turned-unhealthy c0@0", "80ms turned-healthy c0@0"]);
}

#[test]
fn a_success_in_between_begins_the_count_anew() {
    // Down for the checks at 20, 30, 50, 60 and 70 ms.
    let flap = fault(FaultKind::Flap { up: ms(10), down: ms(20) }, 15, 75);
    let trace = Trace::of(&checked(scenario(at(&[100]), backend()).fault(flap)));
    assert_eq!(times(&trace, CheckFailed), [20, 30, 50, 60]);
    assert_eq!(turns(&trace), ["0ns turned-healthy c0@0"]);
}

#[test]
fn rise_and_fall_are_the_scenarios() {
    let mut scenario = checked(scenario(at(&[100]), backend()).fault(fault(FaultKind::Crash, 15, 65)));
    if let Some(checks) = &mut scenario.clients.health_check {
        (checks.rise, checks.fall) = (number(3), number(1));
    }
    let turns = turns(&Trace::of(&scenario));
    assert_eq!(turns, ["0ns turned-healthy c0@0", "20ms turned-unhealthy c0@0", "90ms turned-healthy c0@0"]);
}

#[test]
fn nobody_picks_a_server_that_he_takes_for_unhealthy() {
    let crash = aimed(server(0), FaultKind::Crash, 15, 65);
    let arrivals = at(&[38, 39, 41, 42, 61, 62, 79, 79, 81, 82]);
    let trace = Trace::of(&checked(scenario(arrivals, backends(2)).fault(crash)));
    let picks = trace.picks();
    assert_eq!(picks[..8], [0, 1, 1, 1, 1, 1, 1, 1]);
    assert!(picks[8..].contains(&0) && picks[8..].contains(&1));
    assert_eq!(trace.ends(), [9, 1, 0, 0, 0]);
}

#[test]
fn with_nobody_healthy_there_is_no_instance_to_pick() {
    let trace = Trace::of(&checked(scenario(at(&[35, 45, 85]), backends(2)).fault(fault(FaultKind::Crash, 15, 65))));
    assert_eq!(trace.lines(&[Unavailable, Replied]), ["45ms unavailable r1.1", "95ms replied r2.1@0"]);
    assert_eq!(trace.ends(), [1, 1, 0, 0, 1]);
}

#[test]
fn a_check_that_is_not_answered_in_time_has_failed() {
    for kind in [
        FaultKind::Hang,
        FaultKind::Pause,
        FaultKind::Loss { rate: 1.0 },
        FaultKind::Latency { add: ms(3) },
        partition(Direction::Both),
        partition(Direction::In),
        partition(Direction::Out),
    ] {
        let trace = Trace::of(&patient(checked(scenario(at(&[100]), backend()).fault(fault(kind.clone(), 15, 62)))));
        assert_eq!(times(&trace, Probed), [0, 10, 20, 35, 50, 65, 75, 85, 95, 105], "{kind:?}");
        assert_eq!(
            turns(&trace),
            ["0ns turned-healthy c0@0", "55ms turned-unhealthy c0@0", "75ms turned-healthy c0@0"],
            "{kind:?}"
        );
    }
}

#[test]
fn a_pause_of_the_clients_holds_their_checks_back() {
    let pause = aimed(mesh_sim::model::scenario::Target::Clients, FaultKind::Pause, 15, 62);
    let trace = Trace::of(&patient(checked(scenario(at(&[90]), backend()).fault(pause))));
    assert_eq!(times(&trace, Probed), [0, 10, 62, 72, 82, 92]);
    assert_eq!(turns(&trace), ["0ns turned-healthy c0@0"]);
}

#[test]
fn checks_of_a_client_behind_a_partition_fail_though_the_server_is_well() {
    let cut = aimed(mesh_sim::model::scenario::Target::Clients, partition(Direction::Out), 15, 62);
    let trace = Trace::of(&patient(checked(scenario(at(&[100]), backend()).fault(cut))));
    assert_eq!(turns(&trace)[1..], ["55ms turned-unhealthy c0@0", "75ms turned-healthy c0@0"]);
}

#[test]
fn checks_that_are_made_to_fail_fail_while_requests_succeed() {
    let liar = aimed(server(0), FaultKind::ChecksFail, 15, 65);
    let trace = Trace::of(&checked(scenario(at(&[20, 21, 50, 51, 85, 86]), backends(2)).fault(liar)));
    assert_eq!(turns(&trace)[2..], ["40ms turned-unhealthy c0@0", "80ms turned-healthy c0@0"]);
    assert_eq!(trace.picks()[..4], [0, 1, 1, 1]);
    assert_eq!(trace.ends(), [6, 0, 0, 0, 0]);
}

#[test]
fn checks_that_are_made_to_pass_pass_while_requests_fail() {
    let liar = aimed(server(0), FaultKind::ChecksPass, 15, 65);
    let trace = Trace::of(&checked(scenario(at(&[20, 21, 50, 51, 85, 86]), backends(2)).fault(liar)));
    assert_eq!(trace.count(CheckFailed), 0);
    assert_eq!(trace.picks(), [0, 1, 0, 1, 0, 1]);
    assert_eq!(trace.ends(), [4, 2, 0, 0, 0]);
}

#[test]
fn checks_that_are_made_to_pass_hide_whatever_else_is_wrong() {
    for kind in [FaultKind::Crash, FaultKind::Hang, FaultKind::Errors { rate: 1.0, latency: ms(1) }] {
        let scenario = scenario(at(&[20, 50]), backend()).fault(fault(kind, 15, 65));
        let trace = Trace::of(&patient(checked(scenario.fault(fault(FaultKind::ChecksPass, 15, 65)))));
        assert_eq!(turns(&trace), ["0ns turned-healthy c0@0"]);
        assert_eq!((trace.run.requests.succeeded, trace.run.requests.refused, trace.run.attempts), (0, 0, 2));
    }
}

#[test]
fn a_check_finds_out_whether_a_server_is_there_and_not_how_busy_it_is() {
    let mut group = backend().queue_limit(0);
    group.service_time = exact::constant(500);
    let trace = Trace::of(&checked(scenario(at(&[0]), group)));
    assert_eq!(turns(&trace), ["0ns turned-healthy c0@0"]);
}

#[test]
fn every_client_checks_for_itself_and_only_while_the_server_is_listed() {
    let leave = Fault::new(ms(25), server(1), FaultKind::Deregister);
    let scenario = with_clients(scenario(at(&[45]), backends(2)).fault(leave), |clients| clients.count(number(3)));
    let trace = Trace::of(&checked(scenario));
    for client in 0..3 {
        let of = |server| {
            let mine = |event: &&(_, mesh_sim::model::Event)| (event.1.client, event.1.server) == (client, server);
            trace.select(&[Probed]).filter(mine).count()
        };
        assert_eq!((of(0), of(1)), (6, 3));
    }
}

#[test]
fn checks_are_no_attempts_and_no_load() {
    let with = Trace::of(&checked(scenario(Arrivals::Uniform { rate: 100.0 }, backends(2))));
    let without = Trace::of(&scenario(Arrivals::Uniform { rate: 100.0 }, backends(2)));
    assert!(with.count(CheckPassed) >= 198);
    assert_eq!((with.run.attempts, &with.run.servers), (100, &without.run.servers));
    assert_eq!((with.run.latency_ms, with.run.wait_ms), (without.run.latency_ms, without.run.wait_ms));
    // A busy server of no queue at all takes a check in.
    let mut group = backend().discipline(Discipline::ProcessorSharing).queue_limit(1);
    group.service_time_per_concurrent = ms(5);
    let trace = Trace::of(&checked(scenario(at(&[3, 14]), group)));
    assert_eq!((trace.ends(), trace.run.servers[0].in_flight_max), ([2, 0, 0, 0, 0], 1));
}

/// With checks of which every time is known.
fn checked(scenario: Scenario) -> Scenario {
    let mut checks = HealthChecks::default();
    (checks.interval, checks.timeout) = (ms(10), ms(5));
    (checks.rise, checks.fall) = (number(2), number(3));
    (checks.stagger_max, checks.jitter_percent) = (ms(0), 0);
    with_clients(scenario, |clients| clients.health_check(checks))
}

/// Whose clients wait for 100 ms.
fn patient(scenario: Scenario) -> Scenario {
    with_clients(scenario, |clients| clients.timeout(ms(100)))
}

fn turns(trace: &Trace) -> Vec<String> {
    trace.lines(&[TurnedHealthy, TurnedUnhealthy])
}

/// When it happened, in milliseconds.
fn times(trace: &Trace, kind: mesh_sim::model::EventKind) -> Vec<u64> {
    trace.select(&[kind]).map(|(at, _)| at.as_nanos() / 1_000_000).collect()
}
