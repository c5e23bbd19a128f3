//! What happens to a server's process: crash, hang, pause and flap, and whom a fault is aimed at.

#[path = "support/exact.rs"]
mod exact;

use exact::{Trace, aimed, all, at, backend, backends, fault, ms, number, scenario, server, with_clients};
use mesh_sim::model::EventKind::{Accepted, Crashed, Refused, Served, Started, Swallowed};
use mesh_sim::model::scenario::{CancelMode, Clients, Discipline, Fault, FaultKind, Scenario, Target};

#[test]
fn a_crash_loses_work_and_queue_refuses_connections_and_leaves_an_empty_server() {
    let trace = Trace::of(&scenario(at(&[0, 1, 5, 20]), backend()).fault(fault(FaultKind::Crash, 3, 13)));
    assert_eq!(
        trace.story(),
        [
            "0ns started r0.1@0",
            "3ms crashed r0.1@0",
            "3ms crashed r1.1@0",
            "3ms failed r0.1@0",
            "3ms failed r1.1@0",
            "5ms refused r2.1@0",
            "5ms failed r2.1@0",
            "20ms started r3.1@0",
            "30ms served r3.1@0",
            "30ms replied r3.1@0",
        ]
    );
    assert_eq!(trace.ends(), [1, 3, 0, 0, 0]);
    // What was lost is not in the server any more: 2 were there before, 1 after.
    assert_eq!(trace.run.servers[0].in_flight_max, 2);
}

#[test]
fn a_crash_loses_the_work_of_every_discipline() {
    for discipline in [Discipline::ProcessorSharing, Discipline::Delay] {
        let group = backend().discipline(discipline);
        let trace = Trace::of(&scenario(at(&[0, 1, 20]), group).fault(fault(FaultKind::Crash, 3, 13)));
        assert_eq!(trace.lines(&[Crashed, Served]), ["3ms crashed r0.1@0", "3ms crashed r1.1@0", "30ms served r2.1@0"]);
    }
}

#[test]
fn a_server_that_is_down_until_the_end_never_returns() {
    let trace = Trace::of(&scenario(at(&[0, 5, 900]), backend()).fault(Fault::new(ms(5), all(), FaultKind::Crash)));
    assert_eq!(trace.ends(), [0, 3, 0, 0, 0]);
}

#[test]
fn a_fault_holds_from_its_beginning_until_just_before_its_end() {
    let crash = |index, from, until| aimed(server(index), FaultKind::Crash, from, until);
    // At each time all servers are asked, in turn: those that crash or return at that time have done so.
    let arrivals = at(&[4, 4, 5, 5, 14, 14, 15, 15]);
    let mut group = backends(2);
    group.service_time = exact::constant(0);
    let trace = Trace::of(&scenario(arrivals, group).fault(crash(1, 5, 15)).fault(crash(0, 5, 15)));
    assert_eq!(
        trace.lines(&[Refused, Served]),
        [
            "4ms served r0.1@0",
            "4ms served r1.1@1",
            "5ms refused r2.1@0",
            "5ms refused r3.1@1",
            "14ms refused r4.1@0",
            "14ms refused r5.1@1",
            "15ms served r6.1@0",
            "15ms served r7.1@1",
        ]
    );
}

#[test]
fn two_crashes_that_overlap_end_with_the_last_of_them() {
    let arrivals = at(&[0, 25, 35]);
    let (one, other) = (fault(FaultKind::Crash, 11, 30), fault(FaultKind::Crash, 15, 20));
    let trace = Trace::of(&scenario(arrivals, backend()).fault(one).fault(other));
    assert_eq!(trace.lines(&[Refused, Served]), ["10ms served r0.1@0", "25ms refused r1.1@0", "45ms served r2.1@0"]);
}

#[test]
fn a_server_that_hangs_finishes_its_work_and_answers_nothing_else_ever() {
    let hang = fault(FaultKind::Hang, 3, 20);
    let trace = Trace::of(&patient(scenario(at(&[0, 1, 5, 30]), backend()).fault(hang)));
    assert_eq!(
        trace.story(),
        [
            "0ns started r0.1@0",
            "5ms swallowed r2.1@0",
            "10ms served r0.1@0",
            "10ms swallowed r1.1@0",
            "10ms replied r0.1@0",
            "30ms started r3.1@0",
            "40ms served r3.1@0",
            "40ms replied r3.1@0",
            "101ms timed-out r1.1@0",
            "105ms timed-out r2.1@0",
        ]
    );
    assert_eq!((trace.ends(), trace.run.servers[0].in_flight_max), ([2, 0, 2, 0, 0], 3));
}

#[test]
fn a_hang_that_ends_before_the_queue_moves_swallows_only_what_arrives() {
    let hang = fault(FaultKind::Hang, 3, 6);
    let trace = Trace::of(&patient(scenario(at(&[0, 1, 5]), backend()).fault(hang)));
    assert_eq!(trace.lines(&[Served, Swallowed]), ["5ms swallowed r2.1@0", "10ms served r0.1@0", "20ms served r1.1@0"]);
}

#[test]
fn a_hang_accepts_more_than_a_full_queue_and_holds_no_worker() {
    let hang = fault(FaultKind::Hang, 3, 6);
    let trace = Trace::of(&patient(scenario(at(&[4, 4, 4, 7]), backend().queue_limit(0)).fault(hang)));
    assert_eq!(trace.count(Swallowed), 3);
    assert_eq!(trace.lines(&[Served]), ["17ms served r3.1@0"]);
}

#[test]
fn what_a_hang_swallowed_is_not_in_the_server_when_it_is_over() {
    let (one, other) = (fault(FaultKind::Hang, 3, 10), fault(FaultKind::Hang, 20, 30));
    let trace = Trace::of(&patient(scenario(at(&[4, 5, 21, 22, 40]), backend()).fault(one).fault(other)));
    assert_eq!((trace.count(Swallowed), trace.run.servers[0].in_flight_max), (4, 2));
    assert_eq!(trace.lines(&[Served]), ["50ms served r4.1@0"]);
}

#[test]
fn what_a_hang_swallowed_is_lost_in_a_crash() {
    let (hang, crash) = (fault(FaultKind::Hang, 3, 20), fault(FaultKind::Crash, 10, 20));
    let trace = Trace::of(&patient(scenario(at(&[5]), backend()).fault(hang).fault(crash)));
    assert_eq!(trace.story(), ["5ms swallowed r0.1@0", "10ms crashed r0.1@0", "10ms failed r0.1@0"]);
}

#[test]
fn a_pause_delays_work_in_service_and_what_arrives_by_its_length() {
    for (discipline, served) in [
        (Discipline::Fifo, ["30ms served r0.1@0", "40ms served r1.1@0"]),
        (Discipline::Delay, ["30ms served r0.1@0", "33ms served r1.1@0"]),
        // 7 ms of the first are left at 23 ms and all of the second: both share until 37 ms, then 3 ms are left.
        (Discipline::ProcessorSharing, ["37ms served r0.1@0", "40ms served r1.1@0"]),
    ] {
        let pause = fault(FaultKind::Pause, 3, 23);
        let trace = Trace::of(&patient(scenario(at(&[0, 5]), backend().discipline(discipline)).fault(pause)));
        assert_eq!(trace.lines(&[Served]), served, "{discipline:?}");
        assert_eq!(trace.ends(), [2, 0, 0, 0, 0]);
    }
}

#[test]
fn those_who_came_during_a_pause_are_taken_in_in_their_order() {
    let pause = fault(FaultKind::Pause, 3, 23);
    let arrivals = at(&[4, 5, 6, 24]);
    let trace = Trace::of(&patient(scenario(arrivals, backend().workers(number(4))).fault(pause)));
    assert_eq!(
        trace.lines(&[Started]),
        ["23ms started r0.1@0", "23ms started r1.1@0", "23ms started r2.1@0", "24ms started r3.1@0"]
    );
}

#[test]
fn two_pauses_add_up() {
    let (one, other) = (fault(FaultKind::Pause, 3, 5), fault(FaultKind::Pause, 7, 12));
    for discipline in [Discipline::Fifo, Discipline::Delay, Discipline::ProcessorSharing] {
        let scenario = scenario(at(&[0]), backend().discipline(discipline));
        let trace = Trace::of(&patient(scenario.fault(one.clone()).fault(other.clone())));
        assert_eq!(trace.lines(&[Served]), ["17ms served r0.1@0"], "{discipline:?}");
    }
}

#[test]
fn two_pauses_that_overlap_are_one() {
    let (one, other) = (fault(FaultKind::Pause, 3, 13), fault(FaultKind::Pause, 8, 18));
    for discipline in [Discipline::Fifo, Discipline::Delay, Discipline::ProcessorSharing] {
        let scenario = scenario(at(&[0]), backend().discipline(discipline));
        let trace = Trace::of(&patient(scenario.fault(one.clone()).fault(other.clone())));
        assert_eq!(trace.lines(&[Served]), ["25ms served r0.1@0"], "{discipline:?}");
    }
}

#[test]
fn who_waits_at_a_paused_server_is_lost_with_it_in_a_crash() {
    let (pause, crash) = (fault(FaultKind::Pause, 3, 53), fault(FaultKind::Crash, 10, 20));
    let trace = Trace::of(&patient(scenario(at(&[5]), backend()).fault(pause).fault(crash)));
    assert_eq!(trace.story(), ["10ms crashed r0.1@0", "10ms failed r0.1@0"]);
}

#[test]
fn a_pause_until_the_end_answers_nothing() {
    let trace = Trace::of(&patient(scenario(at(&[0, 5]), backend()).fault(Fault::new(ms(3), all(), FaultKind::Pause))));
    assert_eq!(trace.ends(), [0, 0, 2, 0, 0]);
    assert_eq!(trace.count(Served), 0);
}

#[test]
fn a_flap_begins_down_and_goes_up_and_down_until_it_is_over() {
    let flap = fault(FaultKind::Flap { up: ms(10), down: ms(5) }, 10, 50);
    assert_eq!(refused_of_flap(flap), [10, 14, 25, 29, 40, 44]);
}

#[test]
fn a_flap_without_an_end_goes_on_and_one_that_ends_while_down_returns_then() {
    let flap = Fault::new(ms(10), all(), FaultKind::Flap { up: ms(10), down: ms(5) });
    assert_eq!(refused_of_flap(flap), [10, 14, 25, 29, 40, 44, 55, 59]);
    let flap = fault(FaultKind::Flap { up: ms(10), down: ms(5) }, 10, 29);
    assert_eq!(refused_of_flap(flap), [10, 14, 25]);
}

#[test]
fn a_flap_loses_work_each_time_it_goes_down() {
    let flap = fault(FaultKind::Flap { up: ms(10), down: ms(5) }, 10, 50);
    let trace = Trace::of(&scenario(at(&[5, 20, 45]), backend()).fault(flap));
    assert_eq!(trace.lines(&[Crashed, Served]), ["10ms crashed r0.1@0", "25ms crashed r1.1@0", "55ms served r2.1@0"]);
}

#[test]
fn a_fault_hits_whom_it_is_aimed_at_and_nobody_else() {
    let fraction = |fraction| Target::Fraction { group: "backend".into(), fraction };
    let targets: [(Target, &[u32]); 8] = [
        (all(), &[0, 1, 2, 3, 4]),
        (server(3), &[3]),
        (Target::Group("other".into()), &[5, 6]),
        (Target::Server { group: "other".into(), index: 1 }, &[6]),
        (Target::Zone("a".into()), &[5, 6]),
        (fraction(0.4), &[0, 1]),
        // Halves are rounded away from zero: 2.5 is 3.
        (fraction(0.5), &[0, 1, 2]),
        (fraction(1.0), &[0, 1, 2, 3, 4]),
    ];
    for (target, hit) in targets {
        let mut other = backends(2);
        (other.group, other.zone) = ("other".into(), Some("a".into()));
        let scenario = scenario(at(&[5; 7]), backends(5)).servers(other);
        let trace = Trace::of(&scenario.fault(aimed(target.clone(), FaultKind::Crash, 1, 9)));
        let mut refused: Vec<_> = trace.select(&[Refused]).map(|(_, event)| event.server).collect();
        refused.sort_unstable();
        assert_eq!(refused, hit, "{target:?}");
        assert_eq!(trace.ends(), [7 - hit.len() as u64, hit.len() as u64, 0, 0, 0]);
    }
}

#[test]
fn an_abandoned_request_that_waits_at_a_paused_server_is_worked_on_when_it_goes_on() {
    let pause = fault(FaultKind::Pause, 3, 23);
    let scenario = scenario(at(&[5]), backend()).fault(pause);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(10))));
    assert_eq!(trace.story(), ["15ms timed-out r0.1@0", "23ms started r0.1@0", "33ms served r0.1@0"]);
    assert_eq!(trace.count(Accepted), 1);
}

/// At which times of many the server was down.
fn refused_of_flap(flap: Fault) -> Vec<u64> {
    let arrivals = [9, 10, 14, 15, 24, 25, 29, 30, 39, 40, 44, 45, 49, 50, 54, 55, 59, 60, 69];
    let mut group = backend();
    group.service_time = exact::constant(0);
    let mut scenario = scenario(at(&arrivals), group).fault(flap);
    scenario.duration = ms(70);
    let trace = Trace::of(&scenario);
    trace.select(&[Refused]).map(|(at, _)| at.as_nanos() / 1_000_000).collect()
}

/// Whose clients wait for 100 ms.
fn patient(scenario: Scenario) -> Scenario {
    let patient = |mut clients: Clients| {
        clients.cancel = CancelMode::None;
        clients.timeout(ms(100))
    };
    with_clients(scenario, patient)
}
