//! Clients whose clocks are ahead, and clients who are paused.

#[path = "support/exact.rs"]
mod exact;

use exact::{Trace, aimed, at, backend, backends, fault, ms, number, retry, scenario, with_clients};
use mesh_sim::model::EventKind::{Arrived, Failed, GaveUp, Picked, Probed, Replied, Succeeded, TimedOut};
use mesh_sim::model::scenario::{Arrivals, Fault, FaultKind, HealthChecks, Scenario, Target};
use mesh_sim::model::{Event, EventKind};

#[test]
fn clocks_that_are_ahead_from_the_start_change_nothing() {
    let base = busy();
    let plain = Trace::of(&base);
    for by in [1, 777, 3_600_000] {
        let mut skewed = base.clone();
        skewed.faults.insert(0, Fault::new(ms(0), Target::Clients, FaultKind::ClockSkew { by: ms(by) }));
        let skewed = Trace::of(&skewed);
        // Of the faults only that of the clients has no server; the others count on from it.
        let is_skew = |event: &Event| event.kind == EventKind::FaultBegan && event.server == u32::MAX;
        let is_fault = |event: &Event| [EventKind::FaultBegan, EventKind::FaultEnded].contains(&event.kind);
        let events = skewed.events.iter().filter(|(_, event)| !is_skew(event)).map(|(at, event)| {
            let attempt = if is_fault(event) { event.attempt - 1 } else { event.attempt };
            (*at, Event { attempt, ..*event })
        });
        assert!(events.eq(plain.events.iter().copied()), "{by} ms");
        assert_eq!(
            (skewed.run.requests, skewed.run.latency_ms, skewed.run.wait_ms, &skewed.run.servers),
            (plain.run.requests, plain.run.latency_ms, plain.run.wait_ms, &plain.run.servers)
        );
    }
}

#[test]
fn no_call_outlives_its_deadline_by_a_clock_that_is_set_back() {
    let skew = aimed(Target::Clients, FaultKind::ClockSkew { by: ms(500) }, 0, 20);
    let mut scenario =
        with_clients(scenario(at(&[0]), backends(2)).fault(skew), |clients| clients.timeout(ms(50)).retry(retry(5)));
    scenario.servers[0].service_time = exact::constant(200);
    let trace = Trace::of(&scenario);
    assert_eq!(trace.lines(&[TimedOut, GaveUp]), ["50ms timed-out r0.1@0", "50ms gave-up r0"]);
    assert_eq!((trace.ends(), trace.run.attempts), ([0, 0, 1, 0, 0], 1));
}

#[test]
fn a_call_that_waits_by_a_clock_that_is_set_back_ends_at_its_deadline() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 1000);
    let skew = aimed(Target::Clients, FaultKind::ClockSkew { by: ms(500) }, 0, 5);
    let scenario = scenario(at(&[0]), backend()).fault(errors).fault(skew);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(50)).retry(retry(5))));
    assert_eq!(trace.lines(&[Failed, GaveUp]), ["1ms failed r0.1@0", "50ms gave-up r0"]);
    assert_eq!((trace.ends(), trace.run.attempts), ([0, 1, 0, 0, 0], 1));
}

#[test]
fn no_clock_makes_a_measured_time_wrong() {
    // The clocks go ahead and back while requests are under way: latencies are those of true time.
    let base = scenario(Arrivals::Uniform { rate: 100.0 }, backends(2));
    let skewed = base.clone().fault(aimed(Target::Clients, FaultKind::ClockSkew { by: ms(300) }, 105, 505));
    let (plain, skewed) = (Trace::of(&base).run, Trace::of(&skewed).run);
    assert_eq!((plain.latency_ms, plain.requests), (skewed.latency_ms, skewed.requests));
}

#[test]
fn a_paused_client_begins_with_its_requests_when_it_goes_on_and_their_latency_counts_from_before() {
    let pause = aimed(Target::Clients, FaultKind::Pause, 5, 45);
    let trace = Trace::of(&patient(scenario(at(&[0, 12, 20, 50]), backends(4)).fault(pause)));
    assert_eq!(
        trace.lines(&[Arrived, Picked, Replied]),
        [
            "0ns arrived r0",
            "0ns picked r0.1@2",
            "12ms arrived r1",
            "20ms arrived r2",
            // The answer of 10 ms is heard first, for it came first.
            "45ms replied r0.1@2",
            "45ms picked r1.1@3",
            "45ms picked r2.1@0",
            "50ms arrived r3",
            "50ms picked r3.1@1",
            "55ms replied r1.1@3",
            "55ms replied r2.1@0",
            "60ms replied r3.1@1",
        ]
    );
    assert_eq!((trace.run.latency_ms.mean, trace.run.latency_ms.max), (Some(33.25), Some(45.0)));
    assert_eq!(trace.ends(), [4, 0, 0, 0, 0]);
}

#[test]
fn a_deadline_that_came_during_a_pause_of_its_client_ends_the_call_when_it_goes_on() {
    let pause = aimed(Target::Clients, FaultKind::Pause, 5, 145);
    let mut scenario = patient(scenario(at(&[0, 10, 60]), backends(3)).fault(pause));
    scenario.servers[0].service_time = exact::constant(300);
    let trace = Trace::of(&scenario);
    // The first two are overdue at 145 ms, the third has 15 ms left.
    assert_eq!(trace.lines(&[GaveUp]), ["145ms gave-up r0", "145ms gave-up r1", "160ms gave-up r2"]);
    assert_eq!(trace.ends(), [0, 0, 3, 0, 0]);
}

#[test]
fn servers_work_on_while_clients_are_paused() {
    let pause = aimed(Target::Clients, FaultKind::Pause, 5, 95);
    let trace = Trace::of(&patient(scenario(at(&[0, 1]), backend()).fault(pause)));
    assert_eq!(
        trace.lines(&[EventKind::Served, Replied]),
        ["10ms served r0.1@0", "20ms served r1.1@0", "95ms replied r0.1@0", "95ms replied r1.1@0"]
    );
}

#[test]
fn a_backoff_that_ends_during_a_pause_ends_with_it() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 5);
    let pause = aimed(Target::Clients, FaultKind::Pause, 5, 45);
    let scenario = patient(scenario(at(&[0]), backend()).fault(errors).fault(pause));
    let trace = Trace::of(&with_clients(scenario, |clients| clients.retry(retry(2))));
    assert_eq!(trace.lines(&[Failed, Picked])[1..], ["1ms failed r0.1@0", "45ms picked r0.2@0"]);
}

#[test]
fn a_paused_client_hears_nothing_and_checks_nobody() {
    let pause = aimed(Target::Clients, FaultKind::Pause, 5, 45);
    let leave = Fault::new(ms(10), exact::server(0), FaultKind::Deregister);
    let trace = Trace::of(&patient(scenario(at(&[44, 50]), backends(2)).fault(pause).fault(leave)));
    assert_eq!(trace.lines(&[EventKind::Discovered]), ["45ms discovered c0"]);
    assert_eq!(trace.picks(), [1, 1]);
}

#[test]
fn a_pause_of_the_clients_without_an_end_ends_with_the_arrivals() {
    let pause = Fault::new(ms(5), Target::Clients, FaultKind::Pause);
    let trace = Trace::of(&patient(scenario(at(&[10, 990]), backends(2)).fault(pause)));
    assert_eq!(trace.lines(&[GaveUp, Succeeded]), ["1s gave-up r0", "1.01s succeeded r1"]);
}

#[test]
fn two_pauses_of_the_clients_that_overlap_are_one() {
    let pause = |from, until| aimed(Target::Clients, FaultKind::Pause, from, until);
    for (one, other) in [(pause(5, 45), pause(20, 70)), (pause(5, 70), pause(20, 45))] {
        let trace = Trace::of(&patient(scenario(at(&[10]), backend()).fault(one).fault(other)));
        assert_eq!(trace.lines(&[Picked]), ["70ms picked r0.1@0"]);
    }
}

/// Everything that goes by a clock: backoffs, timeouts, checks.
fn busy() -> Scenario {
    let errors = FaultKind::Errors { rate: 0.3, latency: ms(1) };
    let scenario = scenario(Arrivals::poisson(500.0), backends(8)).fault(fault(errors, 100, 600));
    let scenario = scenario.fault(aimed(exact::server(3), FaultKind::Crash, 200, 700));
    let mut checks = HealthChecks::default();
    (checks.interval, checks.timeout, checks.stagger_max) = (ms(50), ms(20), ms(0));
    let scenario = with_clients(scenario, |clients| {
        clients.count(number(2)).timeout(ms(80)).attempt_timeout(ms(30)).retry(retry(3)).health_check(checks)
    });
    let trace = Trace::of(&scenario);
    for kind in [Probed, TimedOut, EventKind::Waiting, EventKind::TurnedUnhealthy, EventKind::TurnedHealthy] {
        assert!(trace.count(kind) > 0, "{}", kind.name());
    }
    scenario
}

/// Whose clients wait for 100 ms.
fn patient(scenario: Scenario) -> Scenario {
    with_clients(scenario, |clients| clients.timeout(ms(100)))
}
