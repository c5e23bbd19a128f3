//! The course of a call: timeouts, retries, how it is classed, and what an abandoned attempt takes back.

#[path = "support/exact.rs"]
mod exact;

use std::time::Duration;

use exact::{Trace, aimed, at, backend, backends, constant, fault, ms, retry, scenario, server, with_clients};
use mesh_core::balance::Strategy;
use mesh_core::time::Instant;
use mesh_retry::backoff::Jitter;
use mesh_sim::model::EventKind::{Failed, GaveUp, Picked, Succeeded, TimedOut};
use mesh_sim::model::scenario::{BackoffShape, Fault, FaultKind, Scenario, ServerGroup, Target};

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
    let jitter = Jitter::Full;
    twice.backoff = BackoffShape::Exponential { base: ms(100), cap: ms(1000), multiplier_milli: 2000, jitter };
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
fn each_jitter_draws_its_waits_from_its_own_range() {
    // Of waits with a base of 100 ms and a cap of 150 ms: the ranges of the first and of the second.
    for (jitter, first, second) in [
        (Jitter::Equal, ms(50)..=ms(100), ms(75)..=ms(150)),
        (Jitter::Proportional, ms(80)..=ms(120), ms(120)..=ms(150)),
        (Jitter::Decorrelated, ms(100)..=ms(150), ms(100)..=ms(150)),
    ] {
        let errors = fault(FaultKind::Errors { rate: 1.0, latency: Duration::ZERO }, 0, 1000);
        let mut thrice = retry(3);
        thrice.backoff = BackoffShape::Exponential { base: ms(100), cap: ms(150), multiplier_milli: 2000, jitter };
        let scenario = scenario(at(&[0; 500]), backend()).fault(errors);
        let trace = Trace::of(&with_clients(scenario, |clients| clients.retry(thrice)));
        let picked = |attempt: u32| {
            let picks = trace.select(&[Picked]).filter(move |(_, event)| event.attempt == attempt);
            let mut picks: Vec<_> = picks.map(|(at, event)| (event.request, *at)).collect();
            picks.sort_by_key(|(request, _)| *request);
            picks.into_iter().map(|(_, at)| at).collect::<Vec<_>>()
        };
        let (twos, threes) = (picked(2), picked(3));
        assert_eq!((twos.len(), threes.len()), (500, 500));
        let waits = twos.iter().zip(&threes).map(|(two, three)| (two.since(Instant::ZERO), three.since(*two)));
        for (one, other) in waits {
            assert!(first.contains(&one) && second.contains(&other), "{jitter:?}: {one:?} and {other:?}");
        }
    }
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
fn a_success_counts_only_within_the_deadline() {
    // The answer comes while the clients are paused, and they go on after the deadline.
    let pause = aimed(Target::Clients, FaultKind::Pause, 5, 60);
    let scenario = scenario(at(&[0]), backend()).fault(pause);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(50))));
    assert_eq!(trace.ends(), [0, 0, 1, 0, 0]);
}

fn retrying(scenario: Scenario, attempts: u32) -> Scenario {
    with_clients(scenario, |clients| clients.retry(retry(attempts)))
}
