//! The course of a call: timeouts, retries, how it is classed, and what an abandoned attempt takes back.

#[path = "support/exact.rs"]
mod exact;

use std::collections::BTreeMap;
use std::time::Duration;

use exact::{Trace, aimed, at, backend, backends, constant, fault, ms, number, retry, scenario, server, with_clients};
use mesh_core::balance::Strategy;
use mesh_sim::model::EventKind::{Cancelled, Failed, GaveUp, Picked, Served, Started, Succeeded, TimedOut};
use mesh_sim::model::scenario::{
    Arrivals, CancelMode, Clients, Discipline, Distribution, Fault, FaultKind, Scenario, ServerGroup, Target,
};

#[test]
fn the_deadline_counts_from_the_intended_arrival_and_ends_the_call() {
    let trace = Trace::of(&with_clients(scenario(at(&[3]), backend()), |clients| clients.timeout(ms(7))));
    assert_eq!(trace.lines(&[TimedOut, GaveUp]), ["10ms timed-out r0.1@0", "10ms gave-up r0"]);
    assert_eq!(trace.ends(), [0, 0, 1, 0, 0]);
    let trace = Trace::of(&with_clients(scenario(at(&[3]), backend()), |clients| clients.timeout(ms(11))));
    assert_eq!(trace.lines(&[TimedOut, Succeeded]), ["13ms succeeded r0"]);
}

#[test]
fn the_deadline_spans_the_retries_and_none_follows_it() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 5);
    let scenario = retrying(scenario(at(&[0]), backend()).fault(errors), 5);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(15))));
    // The error at 1 ms, a wait of 10 ms, and the second attempt is in service at 15 ms.
    assert_eq!(
        trace.lines(&[Failed, Picked, TimedOut, GaveUp])[1..],
        ["1ms failed r0.1@0", "11ms picked r0.2@0", "15ms timed-out r0.2@0", "15ms gave-up r0"]
    );
    assert_eq!(trace.ends(), [0, 0, 1, 0, 0]);
}

#[test]
fn an_attempt_timeout_counts_from_the_attempt_and_is_retried() {
    let slow = fault(FaultKind::ServiceTime(constant(50)), 0, 5);
    let scenario = retrying(scenario(at(&[3]), backends(2)).fault(slow), 3);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.attempt_timeout(ms(20))));
    assert_eq!(
        trace.lines(&[Picked, TimedOut, Succeeded]),
        ["3ms picked r0.1@0", "23ms timed-out r0.1@0", "33ms picked r0.2@1", "43ms succeeded r0"]
    );
    assert_eq!((trace.run.attempts, trace.run.retries, trace.run.latency_ms.max), (2, 1, Some(40.0)));
}

#[test]
fn a_call_whose_last_attempt_timed_out_has_timed_out() {
    let trace = Trace::of(&with_clients(scenario(at(&[3]), backend()), |clients| clients.attempt_timeout(ms(5))));
    assert_eq!(trace.lines(&[TimedOut, GaveUp]), ["8ms timed-out r0.1@0", "8ms gave-up r0"]);
    assert_eq!(trace.ends(), [0, 0, 1, 0, 0]);
}

#[test]
fn retries_wait_for_their_backoff_and_end_with_the_most_attempts() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 1000);
    let trace = Trace::of(&retrying(scenario(at(&[0]), backend()).fault(errors), 5));
    // 10, 20, 40 and, capped, 40 ms after the end of the attempt before.
    assert_eq!(
        trace.lines(&[Picked, GaveUp]),
        [
            "0ns picked r0.1@0",
            "11ms picked r0.2@0",
            "32ms picked r0.3@0",
            "73ms picked r0.4@0",
            "114ms picked r0.5@0",
            "115ms gave-up r0"
        ]
    );
    assert_eq!((trace.run.attempts, trace.run.retries, trace.run.attempts_per_request), (5, 4, Some(5.0)));
}

#[test]
fn with_full_jitter_waits_are_uniform_below_the_ceiling() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: Duration::ZERO }, 0, 1000);
    let mut twice = retry(2);
    let jitter = mesh_retry::backoff::Jitter::Full;
    twice.backoff = mesh_sim::model::scenario::BackoffShape::Exponential {
        base: ms(100),
        cap: ms(1000),
        multiplier_milli: 2000,
        jitter,
    };
    let scenario = scenario(at(&[0; 2000]), backend()).fault(errors);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.retry(twice)));
    let waits: Vec<_> = trace.select(&[Picked]).filter(|(_, event)| event.attempt == 2).collect();
    let waits: Vec<_> = waits.into_iter().map(|(at, _)| at.as_nanos() as f64 / 1e6).collect();
    let mean = waits.iter().sum::<f64>() / 2000.0;
    // The mean of 2,000 has a standard error of 100 / sqrt(12 × 2,000) = 0.65 ms.
    assert!((mean - 50.0).abs() < 3.0 && waits.iter().all(|wait| *wait <= 100.0), "{mean}");
    assert!(waits.iter().filter(|wait| **wait < 10.0).count() > 120);
}

#[test]
fn errors_refusals_losses_timeouts_and_full_queues_are_retried() {
    let crash = |from, until| aimed(server(0), FaultKind::Crash, from, until);
    let slow = || backends(1).queue_limit(0);
    let other = || {
        let mut other = backend();
        other.group = "other".into();
        other
    };
    let base = |group: ServerGroup| scenario(at(&[5]), group).servers(other());
    let errors = FaultKind::Errors { rate: 1.0, latency: ms(1) };
    let cases = [
        ("an error", base(slow()).fault(aimed(server(0), errors, 0, 1000)), 1),
        ("a refused connection", base(slow()).fault(crash(0, 1000)), 0),
        ("a reset", base(slow()).fault(crash(9, 1000)), 4),
        ("an attempt timeout", base(slow()).fault(aimed(server(0), FaultKind::Hang, 0, 1000)), 12),
    ];
    for (what, scenario, after) in cases {
        let scenario = retrying(with_clients(scenario, |clients| clients.attempt_timeout(ms(12))), 2);
        let trace = Trace::of(&scenario);
        let second = format!("{}ms picked r0.2@1", 5 + after + 10);
        assert_eq!(trace.lines(&[Picked]), ["5ms picked r0.1@0".to_owned(), second], "{what}");
        assert_eq!(trace.ends(), [1, 0, 0, 0, 0], "{what}");
    }
    // A full queue: the first two keep both servers busy.
    let mut full = scenario(at(&[3, 4, 5]), backends(2).queue_limit(0));
    full = retrying(full, 2);
    let trace = Trace::of(&full);
    assert_eq!(trace.lines(&[Picked])[2..], ["5ms picked r2.1@0", "15ms picked r2.2@1"]);
    assert_eq!(trace.ends(), [3, 0, 0, 0, 0]);
}

#[test]
fn no_retry_follows_when_there_is_no_instance() {
    let absent = Fault::new(ms(100), exact::all(), FaultKind::Join);
    let trace = Trace::of(&retrying(scenario(at(&[0]), backend()).fault(absent), 5));
    assert_eq!(trace.lines(&[GaveUp]), ["0ns gave-up r0"]);
    assert_eq!((trace.ends(), trace.run.attempts, trace.run.retries), ([0, 0, 0, 0, 1], 0, 0));
}

#[test]
fn a_retry_goes_elsewhere_until_all_were_tried_and_then_starts_anew() {
    for strategy in Strategy::built_in() {
        for seed in 1..=20 {
            let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 1000);
            let mut scenario = retrying(scenario(at(&[0]), backends(3)).fault(errors), 7).seed(seed);
            scenario.strategies = vec![strategy.clone()];
            let trace = Trace::of(&scenario);
            let picks = trace.picks();
            assert_eq!(picks.len(), 7);
            for round in [&picks[..3], &picks[3..6]] {
                let mut round = round.to_vec();
                round.sort_unstable();
                assert_eq!(round, [0, 1, 2], "{} {picks:?}", strategy.name());
            }
            // Starting anew is no attempt and no failure of its own.
            assert_eq!((trace.ends(), trace.run.attempts, trace.run.retries), ([0, 1, 0, 0, 0], 7, 6));
        }
    }
}

#[test]
fn the_class_is_that_of_the_last_attempt() {
    let errors = |index| aimed(server(index), FaultKind::Errors { rate: 1.0, latency: ms(1) }, 5, 1000);
    let busy = || {
        scenario(at(&[0, 1, 6]), backends(2).queue_limit(0)).fault(exact::fault(
            FaultKind::ServiceTime(constant(500)),
            0,
            5,
        ))
    };
    // Both servers are busy with the first two. The third is rejected by server 0 and erred by server 1.
    assert_eq!(Trace::of(&retrying(busy().fault(errors(1)), 2)).ends(), [2, 1, 0, 0, 0]);
    // Erred by server 0 and rejected by server 1.
    assert_eq!(Trace::of(&retrying(busy().fault(errors(0)), 2)).ends(), [2, 0, 0, 1, 0]);
    // Rejected by server 0 and swallowed by server 1.
    let hang = aimed(server(1), FaultKind::Hang, 5, 1000);
    let scenario = with_clients(retrying(busy().fault(hang), 2), |clients| clients.attempt_timeout(ms(600)));
    assert_eq!(Trace::of(&scenario).ends(), [2, 0, 1, 0, 0]);
    // Rejected by server 0, and server 1 is gone: no instance but the one that was tried, which is tried again.
    let leave = aimed(server(1), FaultKind::Deregister, 7, 1000);
    assert_eq!(Trace::of(&retrying(busy().fault(leave), 2)).ends(), [2, 0, 0, 1, 0]);
}

#[test]
fn a_retry_that_could_not_begin_before_the_deadline_is_not_waited_for() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 1000);
    let scenario = retrying(scenario(at(&[0]), backend()).fault(errors), 3);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(11))));
    assert_eq!(trace.lines(&[Failed, GaveUp]), ["1ms failed r0.1@0", "1ms gave-up r0"]);
    assert_eq!(trace.ends(), [0, 1, 0, 0, 0]);
}

#[test]
fn an_answer_to_an_abandoned_attempt_is_nothing_to_anybody() {
    let scenario = with_clients(scenario(at(&[0]), backends(2)), |clients| clients.attempt_timeout(ms(5)));
    let trace = Trace::of(&retrying(scenario, 2));
    // The first attempt is served at 10 ms, while the call waits to make its second at 15 ms.
    assert_eq!(
        trace.story(),
        [
            "0ns started r0.1@0",
            "5ms timed-out r0.1@0",
            "10ms served r0.1@0",
            "15ms started r0.2@1",
            "20ms timed-out r0.2@1",
            "25ms served r0.2@1"
        ]
    );
    assert_eq!(trace.ends(), [0, 0, 1, 0, 0]);
}

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

#[test]
fn in_flight_falls_when_an_attempt_is_abandoned_and_not_when_the_server_is_done() {
    for seed in 1..=20 {
        // Both are abandoned after 5 ms and worked on for 500; the third meets the second under way.
        let mut scenario = impatient(backends(2), CancelMode::None).seed(seed);
        scenario.servers[0].service_time = constant(500);
        scenario.clients.timeout = Some(ms(5));
        scenario.clients.arrivals = at(&[0, 10, 12]);
        scenario.strategies = vec![exact::least_loaded_without_hold()];
        let picks = Trace::of(&scenario).picks();
        assert_ne!(picks[1], picks[2], "seed {seed}: {picks:?}");
    }
    // Whether the second goes where the first went does not hang on what is still worked on there.
    let together = (1..=40).filter(|seed| {
        let mut scenario = impatient(backends(2), CancelMode::None).seed(*seed);
        scenario.servers[0].service_time = constant(500);
        scenario.clients.arrivals = at(&[0, 10]);
        scenario.strategies = vec![exact::least_loaded_without_hold()];
        let picks = Trace::of(&scenario).picks();
        picks[0] == picks[1]
    });
    let together = together.count();
    assert!((8..=32).contains(&together), "{together} of 40");
}

#[test]
fn a_failure_is_held_as_load_for_a_second_after_its_end() {
    for strategy in [Strategy::LeastLoaded(Default::default()), Strategy::P2cLeastLoaded(Default::default())] {
        for seed in 1..=20 {
            let mut scenario = impatient(backends(2), CancelMode::None).seed(seed);
            scenario.clients.arrivals = at(&[0, 500, 990]);
            scenario.strategies = vec![strategy.clone()];
            scenario.servers[0].service_time = constant(1);
            // Only the first fails.
            let errors = FaultKind::Errors { rate: 1.0, latency: ms(1) };
            let picks = Trace::of(&scenario.fault(fault(errors, 0, 5))).picks();
            assert!(picks[1] != picks[0] && picks[2] != picks[0], "{} seed {seed}: {picks:?}", strategy.name());
        }
    }
}

#[test]
fn each_client_has_a_balancer_of_its_own() {
    let clients = |clients: Clients| clients.count(number(3));
    let trace = Trace::of(&with_clients(scenario(Arrivals::Uniform { rate: 500.0 }, backends(4)), clients));
    let mut picks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (_, event) in trace.select(&[Picked]) {
        picks.entry(event.client).or_default().push(event.server);
    }
    assert_eq!(picks.len(), 3);
    for (client, picks) in picks {
        assert!(picks.windows(2).all(|pair| (pair[0] + 1) % 4 == pair[1]), "client {client} takes turns: {picks:?}");
    }
}

#[test]
fn a_client_counts_only_what_it_has_under_way_itself() {
    // Two clients with two servers: each keeps its own requests apart, whatever the other does.
    for seed in 1..=20 {
        let mut scenario = scenario(at(&[0, 1, 2, 3, 4, 5]), backends(2).discipline(Discipline::Delay)).seed(seed);
        scenario.servers[0].service_time = constant(500);
        scenario.strategies = vec![exact::least_loaded_without_hold()];
        let trace = Trace::of(&with_clients(scenario, |clients| clients.count(number(2))));
        let mut counts = BTreeMap::new();
        for (_, event) in trace.select(&[Picked]) {
            *counts.entry((event.client, event.server)).or_insert(0_i32) += 1;
        }
        for client in 0..2 {
            let of = |server| counts.get(&(client, server)).copied().unwrap_or(0);
            assert!((of(0) - of(1)).abs() <= 1, "seed {seed}: {counts:?}");
        }
    }
}

#[test]
fn a_success_counts_only_within_the_deadline() {
    // The answer comes while the clients are paused, and they go on after the deadline.
    let pause = aimed(Target::Clients, FaultKind::Pause, 5, 60);
    let scenario = scenario(at(&[0]), backend()).fault(pause);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(50))));
    assert_eq!(trace.ends(), [0, 0, 1, 0, 0]);
}

#[test]
fn weights_are_the_registered_ones() {
    let mut heavy = backend().weight(3);
    heavy.group = "heavy".into();
    let mut scenario = scenario(at(&[0, 1, 2, 3]), backend().discipline(Discipline::Delay)).servers(heavy);
    scenario.servers[1].discipline = Discipline::Delay;
    for group in &mut scenario.servers {
        group.service_time = Distribution::constant(ms(500));
    }
    scenario.strategies = vec![exact::least_loaded_without_hold()];
    let mut picks = Trace::of(&scenario).picks();
    picks.sort_unstable();
    // (in flight + 1) / weight: the third of three equals the one of one.
    assert_eq!(picks, [0, 1, 1, 1]);
}

/// Requests at 0, 1 and 8 ms whose clients wait for 6 ms.
fn impatient(group: ServerGroup, cancel: CancelMode) -> Scenario {
    with_clients(scenario(at(&[0, 1, 8]), group), |mut clients| {
        clients.cancel = cancel;
        clients.timeout(ms(6))
    })
}

fn retrying(scenario: Scenario, attempts: u32) -> Scenario {
    with_clients(scenario, |clients| clients.retry(retry(attempts)))
}

fn work(trace: &Trace) -> Vec<String> {
    trace.lines(&[Started, Served, Cancelled])
}
