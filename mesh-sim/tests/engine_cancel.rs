//! What an abandoned attempt takes back from its server, and what it leaves there.

#[path = "support/exact.rs"]
mod exact;

use exact::{Trace, at, backend, constant, fault, ms, scenario, with_clients};
use mesh_sim::model::EventKind::{Cancelled, Served, Started};
use mesh_sim::model::scenario::{CancelMode, Discipline, FaultKind, Scenario, ServerGroup};

#[test]
fn a_server_works_on_what_was_abandoned_where_nothing_is_cancelled() {
    let trace = Trace::of(&impatient(backend(), CancelMode::None));
    assert_eq!(
        work(&trace),
        [
            "0ns started r0.1@0",
            "10ms served r0.1@0",
            "10ms started r1.1@0",
            "20ms served r1.1@0",
            "20ms started r2.1@0",
            "30ms served r2.1@0"
        ]
    );
    assert_eq!((trace.run.servers[0].in_flight_max, trace.run.servers[0].utilisation), (3, Some(0.03)));
}

#[test]
fn cancel_queued_takes_the_place_in_the_queue_back_and_no_worker() {
    let trace = Trace::of(&impatient(backend(), CancelMode::Queued));
    assert_eq!(
        work(&trace),
        [
            "0ns started r0.1@0",
            "7ms cancelled r1.1@0",
            "10ms served r0.1@0",
            "10ms started r2.1@0",
            "20ms served r2.1@0"
        ]
    );
    assert_eq!((trace.run.servers[0].in_flight_max, trace.run.servers[0].utilisation), (2, Some(0.02)));
}

#[test]
fn cancel_running_takes_the_worker_back_too() {
    let trace = Trace::of(&impatient(backend(), CancelMode::Running));
    assert_eq!(
        work(&trace),
        [
            "0ns started r0.1@0",
            "6ms cancelled r0.1@0",
            "6ms started r1.1@0",
            "7ms cancelled r1.1@0",
            "8ms started r2.1@0",
            "14ms cancelled r2.1@0"
        ]
    );
    assert_eq!(trace.run.servers[0].utilisation, Some(0.013));
}

#[test]
fn cancelled_places_in_a_queue_are_free_for_others() {
    let scenario = impatient(backend().queue_limit(1), CancelMode::Queued);
    // Request 1 leaves the only place at 7 ms, and request 2 takes it at 8 ms.
    assert_eq!(Trace::of(&scenario).ends(), [0, 0, 3, 0, 0]);
    let mut scenario = scenario;
    scenario.clients.cancel = CancelMode::None;
    assert_eq!(Trace::of(&scenario).ends(), [0, 0, 2, 1, 0]);
}

#[test]
fn who_shares_a_server_is_in_service_and_taken_back_by_cancel_running_alone() {
    let sharing = || backend().discipline(Discipline::ProcessorSharing);
    for mode in [CancelMode::None, CancelMode::Queued] {
        let mut scenario = impatient(sharing(), mode);
        scenario.clients.arrivals = at(&[0, 0]);
        assert_eq!(Trace::of(&scenario).lines(&[Cancelled, Served]), ["20ms served r0.1@0", "20ms served r1.1@0"]);
    }
    // From 2 ms on both share; at 6 ms the first is gone with 4 ms of its work done, and 8 ms of the second are left,
    // of which it gets 2 before it is gone too.
    let mut scenario = impatient(sharing(), CancelMode::Running);
    scenario.clients.arrivals = at(&[0, 2]);
    let trace = Trace::of(&scenario);
    assert_eq!(trace.lines(&[Cancelled, Served]), ["6ms cancelled r0.1@0", "8ms cancelled r1.1@0"]);
    assert_eq!(trace.run.servers[0].utilisation, Some(0.008));
    // The third has the server to itself when the first is gone: 1 ms of it is done by then, 3 ms remain.
    let mut short =
        impatient(sharing(), CancelMode::Running).fault(fault(FaultKind::ServiceTime(constant(4)), 3, 1000));
    short.clients.arrivals = at(&[0, 4]);
    assert_eq!(Trace::of(&short).lines(&[Cancelled, Served]), ["6ms cancelled r0.1@0", "9ms served r1.1@0"]);
}

#[test]
fn what_a_hang_swallowed_is_let_go_of_when_it_is_cancelled() {
    for (mode, most) in [(CancelMode::None, 3), (CancelMode::Running, 1)] {
        let mut scenario = impatient(backend(), mode).fault(fault(FaultKind::Hang, 0, 1000));
        scenario.clients.arrivals = at(&[0, 10, 20]);
        let trace = Trace::of(&scenario);
        assert_eq!(trace.run.servers[0].in_flight_max, most, "{mode:?}");
        assert_eq!(trace.ends(), [0, 0, 3, 0, 0]);
    }
}

/// Requests at 0, 1 and 8 ms whose clients wait for 6 ms.
fn impatient(group: ServerGroup, cancel: CancelMode) -> Scenario {
    with_clients(scenario(at(&[0, 1, 8]), group), |mut clients| {
        clients.cancel = cancel;
        clients.timeout(ms(6))
    })
}

fn work(trace: &Trace) -> Vec<String> {
    trace.lines(&[Started, Served, Cancelled])
}
