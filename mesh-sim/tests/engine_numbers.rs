//! The numbers of a run: what is measured, from when to when, and what is null.

#[path = "support/exact.rs"]
mod exact;

use std::ops::ControlFlow;
use std::time::Duration;

use exact::{Trace, aimed, at, backend, backends, constant, fault, ms, number, retry, scenario, server, with_clients};
use mesh_core::balance::Strategy;
use mesh_core::time::Instant;
use mesh_sim::model::scenario::{Arrivals, CancelMode, Discipline, FaultKind, HealthChecks, ServerGroup};
use mesh_sim::model::{Latency, Observer, Wait};

#[test]
fn measured_is_who_was_meant_to_come_at_the_warm_up_or_later() {
    // The first ends after the warm-up and is not measured; the second comes at it.
    let trace = Trace::of(&scenario(at(&[95, 100, 101]), backend()).warmup(ms(100)));
    let run = &trace.run;
    assert_eq!((run.requests.offered, run.requests.measured, run.requests.succeeded), (3, 2, 2));
    assert_eq!((run.attempts, run.servers[0].attempts), (2, 2));
    // From 105 ms and 115 ms on.
    assert_eq!((run.wait_ms.mean, run.latency_ms.mean), (Some(9.5), Some(19.5)));
}

#[test]
fn retries_of_the_warm_up_are_not_counted_though_they_come_later() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 1000);
    let scenario = scenario(at(&[99, 100]), backend()).fault(errors).warmup(ms(100));
    let run = Trace::of(&with_clients(scenario, |clients| clients.retry(retry(3)))).run;
    assert_eq!((run.attempts, run.retries, run.attempts_per_request), (3, 2, Some(3.0)));
    assert_eq!((run.requests.failed, run.requests.measured), (1, 1));
    // Both second attempts come to the server after the warm-up; the measured one waits 9 ms for the other.
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 105);
    let scenario = exact::scenario(at(&[99, 100]), backend()).fault(errors).warmup(ms(100));
    let trace = Trace::of(&with_clients(scenario, |clients| clients.retry(retry(3))));
    assert_eq!((wait(&trace), trace.run.latency_ms.max), (9.0, Some(30.0)));
}

#[test]
fn latency_is_from_the_intended_arrival_to_the_success_and_of_successes_alone() {
    let errors = fault(FaultKind::Errors { rate: 1.0, latency: ms(1) }, 0, 5);
    let base = scenario(at(&[0, 200]), backend()).fault(errors).fault(fault(FaultKind::Crash, 195, 300));
    let run = Trace::of(&with_clients(base, |clients| clients.retry(retry(2)))).run;
    // An error at 1 ms, a wait of 10 ms, 10 ms of service; the other fails.
    assert_eq!((run.latency_ms.mean, run.latency_ms.max), (Some(21.0), Some(21.0)));
    assert_eq!((run.requests.succeeded, run.requests.failed, run.success_ratio), (1, 1, Some(0.5)));
}

#[test]
fn the_mean_is_exact_and_quantiles_are_within_a_thousandth() {
    // The k-th of a thousand is served after 10 k ms.
    let mut scenario = scenario(at(&[0; 1000]), backend());
    scenario.duration = ms(20_000);
    let latency = Trace::of(&scenario).run.latency_ms;
    assert_eq!((latency.mean, latency.max), (Some(5005.0), Some(10_000.0)));
    let quantiles = [
        (latency.p50, 5000.0),
        (latency.p90, 9000.0),
        (latency.p95, 9500.0),
        (latency.p99, 9900.0),
        (latency.p999, 9990.0),
        (latency.p9999, 10_000.0),
    ];
    for (found, expected) in quantiles {
        assert!((found.expect("a quantile") / expected - 1.0).abs() <= 0.001, "{found:?} for {expected}");
    }
    let wait = Trace::of(&scenario).run.wait_ms;
    assert_eq!(wait.mean, Some(4995.0));
    assert!((wait.p99.expect("a quantile") / 9890.0 - 1.0).abs() <= 0.001);
}

#[test]
fn wait_of_fifo_is_from_the_arrival_at_the_server_to_the_start_of_service() {
    let scenario = scenario(at(&[0, 2, 50]), backend()).network(exact::network(7));
    assert_eq!(wait(&Trace::of(&scenario)), 8.0 / 3.0);
    // What came during a pause waits for its end, and for those before it.
    let paused = exact::scenario(at(&[5, 6]), backend()).fault(fault(FaultKind::Pause, 3, 23));
    let paused = with_clients(paused, |clients| clients.timeout(ms(100)));
    assert_eq!(wait(&Trace::of(&paused)), 22.5);
}

#[test]
fn wait_of_delay_is_zero() {
    let group = || backend().discipline(Discipline::Delay);
    assert_eq!(wait(&Trace::of(&scenario(at(&[0, 0, 0]), group()))), 0.0);
    let paused = scenario(at(&[5]), group()).fault(fault(FaultKind::Pause, 3, 23));
    let paused = Trace::of(&with_clients(paused, |clients| clients.timeout(ms(100))));
    assert_eq!((wait(&paused), paused.run.latency_ms.max), (0.0, Some(28.0)));
}

#[test]
fn wait_of_processor_sharing_is_the_sojourn_minus_the_demand() {
    let mut group = backend().discipline(Discipline::ProcessorSharing);
    // 15 ms each of which 10 are the demand.
    assert_eq!(wait(&Trace::of(&scenario(at(&[0, 5]), group.clone()))), 5.0);
    // At twice the speed the demand is 5 ms: 7.5 ms and 7.5 ms.
    group.speed = 2.0;
    let mut scenario = scenario(at(&[0]), group);
    scenario.clients.arrivals = Arrivals::at([Duration::ZERO, Duration::from_micros(2500)]);
    assert_eq!(wait(&Trace::of(&scenario)), 2.5);
}

#[test]
fn waits_of_every_attempt_count_whatever_became_of_it() {
    // The second times out while it waits and is worked on all the same.
    let scenario = with_clients(scenario(at(&[0, 1]), backend()), |clients| clients.timeout(ms(10)));
    let trace = Trace::of(&scenario);
    assert_eq!((trace.ends()[2], trace.run.attempts), (2, 2));
    assert_eq!(wait(&trace), 4.5);
}

#[test]
fn utilisation_is_busy_worker_time_within_the_measured_window() {
    for (discipline, workers, expected) in [
        // 50 to 250 ms and 950 to 1150 ms: 150 and 50 ms of the 900 from 100 to 1000 ms.
        (Discipline::Fifo, 1, Some(200.0 / 900.0)),
        (Discipline::Fifo, 4, Some(50.0 / 900.0)),
        // Workers are fifo's.
        (Discipline::ProcessorSharing, 4, Some(200.0 / 900.0)),
        (Discipline::Delay, 4, None),
    ] {
        let mut group = backend().discipline(discipline).workers(number(workers));
        group.service_time = constant(200);
        let run = Trace::of(&scenario(at(&[50, 950]), group).warmup(ms(100))).run;
        assert_eq!(run.servers[0].utilisation, expected, "{discipline:?}");
    }
}

#[test]
fn utilisation_counts_each_busy_worker_and_a_shared_server_once() {
    let busy = |group: ServerGroup| Trace::of(&scenario(at(&[0, 0, 0]), group)).run.servers[0].utilisation;
    assert_eq!(busy(backend().workers(number(3))), Some(0.01));
    assert_eq!(busy(backend().workers(number(2))), Some(0.015));
    assert_eq!(busy(backend().discipline(Discipline::ProcessorSharing)), Some(0.03));
}

#[test]
fn abandoned_work_keeps_workers_busy_until_the_duration() {
    let abandoned = |mut group: ServerGroup| {
        group.service_time = constant(2000);
        let scenario = with_clients(scenario(at(&[100, 200]), group), |clients| clients.timeout(ms(5)));
        Trace::of(&scenario).run.servers[0].utilisation
    };
    assert_eq!(abandoned(backend()), Some(0.9));
    assert_eq!(abandoned(backend().workers(number(2))), Some(0.85));
    assert_eq!(abandoned(backend().discipline(Discipline::ProcessorSharing)), Some(0.9));
}

#[test]
fn a_crash_ends_what_keeps_a_worker_busy() {
    for discipline in [Discipline::Fifo, Discipline::ProcessorSharing] {
        let mut group = backend().discipline(discipline);
        group.service_time = constant(500);
        let run = Trace::of(&scenario(at(&[100]), group).fault(fault(FaultKind::Crash, 300, 400))).run;
        assert_eq!(run.servers[0].utilisation, Some(0.2), "{discipline:?}");
    }
}

#[test]
fn in_flight_max_is_the_servers_own_with_those_who_wait_and_those_who_were_abandoned() {
    let scenario = with_clients(scenario(at(&[0, 1, 2, 3, 100]), backends(2)), |clients| clients.timeout(ms(1)));
    let most: Vec<_> = Trace::of(&scenario).run.servers.iter().map(|server| server.in_flight_max).collect();
    assert_eq!(most, [2, 2]);
    let mut cancelled = scenario;
    cancelled.clients.cancel = CancelMode::Running;
    let most: Vec<_> = Trace::of(&cancelled).run.servers.iter().map(|server| server.in_flight_max).collect();
    assert_eq!(most, [1, 1]);
}

#[test]
fn shares_and_imbalance_are_of_attempts_and_imbalance_goes_by_weight() {
    let run = Trace::of(&scenario(at(&[0; 5]), backends(2))).run;
    assert_eq!(run.servers.iter().map(|server| server.attempts).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(run.servers.iter().map(|server| server.share).collect::<Vec<_>>(), [Some(0.6), Some(0.4)]);
    assert_eq!(run.imbalance, Some(1.2));
    // 4 at weight 1 and 4 at weight 4: the largest is 4, the mean 2.5.
    let mut heavy = backend().weight(4);
    heavy.group = "heavy".into();
    let run = Trace::of(&scenario(at(&[0; 8]), backend()).servers(heavy)).run;
    assert_eq!(run.imbalance, Some(1.6));
    let groups: Vec<_> = run.servers.iter().map(|server| (server.group.as_str(), server.index)).collect();
    assert_eq!(groups, [("backend", 0), ("heavy", 0)]);
}

#[test]
fn attempts_count_where_they_were_sent_even_if_they_never_arrive() {
    let cut = aimed(server(0), exact::partition(mesh_sim::model::scenario::Direction::Both), 0, 1000);
    let scenario = scenario(at(&[0]), backends(2)).fault(cut);
    let scenario = with_clients(scenario, |clients| clients.attempt_timeout(ms(20)).retry(retry(2)));
    let run = Trace::of(&scenario).run;
    assert_eq!(run.servers.iter().map(|server| server.attempts).collect::<Vec<_>>(), [1, 1]);
    assert_eq!((run.attempts, run.retries, run.requests.succeeded), (2, 1, 1));
    assert_eq!((run.servers[0].in_flight_max, run.wait_ms.mean), (0, Some(0.0)));
}

#[test]
fn numbers_without_data_are_null() {
    let run = Trace::of(&scenario(at(&[0]), backends(2)).warmup(ms(900))).run;
    assert_eq!((run.requests.offered, run.requests.measured), (1, 0));
    assert_eq!((run.success_ratio, run.attempts_per_request, run.imbalance), (None, None, None));
    assert_eq!((run.latency_ms, run.wait_ms), (Latency::default(), Wait::default()));
    assert!(run.servers.iter().all(|server| server.share.is_none() && server.utilisation == Some(0.0)));
    let json = serde_json::to_value(&run).expect("a run is JSON");
    assert_eq!(json["latency_ms"]["p99"], serde_json::Value::Null);
    assert_eq!((json["hedges"].as_u64(), json["retries_denied"].as_u64()), (Some(0), Some(0)));
    // Who never succeeds has no latency, and what never starts no wait.
    let run = Trace::of(&scenario(at(&[5]), backend()).fault(fault(FaultKind::Crash, 0, 100))).run;
    assert_eq!((run.success_ratio, run.latency_ms, run.wait_ms), (Some(0.0), Latency::default(), Wait::default()));
}

#[test]
fn the_classes_add_up_to_the_measured() {
    let group = backends(3).queue_limit(1);
    let scenario = scenario(Arrivals::poisson(900.0), group)
        .warmup(ms(100))
        .fault(aimed(server(0), FaultKind::Hang, 200, 500))
        .fault(aimed(server(1), FaultKind::Errors { rate: 0.5, latency: ms(1) }, 300, 700))
        .fault(fault(FaultKind::ChecksFail, 800, 900));
    let mut checks = HealthChecks::default();
    (checks.interval, checks.timeout, checks.stagger_max) = (ms(10), ms(5), ms(0));
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(40)).health_check(checks)));
    assert!(trace.ends().iter().all(|count| *count > 0), "{:?}", trace.ends());
    assert_eq!(trace.ends().iter().sum::<u64>(), trace.run.requests.measured);
    assert!(trace.run.requests.measured < trace.run.requests.offered);
}

#[test]
fn a_run_says_what_it_was() {
    let mut scenario = scenario(at(&[0]), backends(2)).seed(42);
    let two = |choices| {
        let mut config = mesh_core::balance::policy::P2cConfig::default();
        config.choices = choices;
        Strategy::P2cLeastLoaded(config)
    };
    scenario.strategies = vec![Strategy::Random, two(2), two(3)];
    scenario.servers[0].zone = Some("a".into());
    let report = scenario.run().expect("a possible scenario");
    assert_eq!((report.version, report.scenario.as_str(), report.seed), (1, "exact", 42));
    let named: Vec<_> = report.runs.iter().map(|run| (run.strategy.as_str(), run.label.as_str(), run.seed)).collect();
    assert_eq!(
        named,
        [
            ("random", "random", 42),
            ("p2c-least-loaded", "p2c-least-loaded(choices=2)", 42),
            ("p2c-least-loaded", "p2c-least-loaded(choices=3)", 42)
        ]
    );
    assert_eq!(report.runs[1].params["choices"], 2);
    assert_eq!(report.runs[0].servers[1].zone.as_deref(), Some("a"));
    let trace = Trace::of(&scenario);
    assert_eq!(trace.run.events, trace.events.len() as u64);
}

#[test]
fn an_observer_can_interrupt_a_run_which_then_says_so() {
    #[derive(Default)]
    struct Impatient(Option<Instant>);
    impl Observer for Impatient {
        fn progress(&mut self, at: Instant) -> ControlFlow<()> {
            self.0 = Some(at);
            ControlFlow::Break(())
        }
    }
    let mut scenario = scenario(Arrivals::Uniform { rate: 1000.0 }, backends(100));
    scenario.duration = ms(100_000);
    let mut impatient = Impatient::default();
    let run = scenario.plan().expect("a possible scenario").run(0, &mut impatient);
    let told = impatient.0.expect("progress is told").as_nanos() as f64 / 1e9;
    assert_eq!(run.interrupted_at_s, Some(told));
    assert!(run.requests.offered > 0 && run.requests.offered < 100_000);
    assert_eq!(Trace::of(&exact::scenario(at(&[0]), backend())).run.interrupted_at_s, None);
}

/// The mean of the waits.
fn wait(trace: &Trace) -> f64 {
    trace.run.wait_ms.mean.unwrap_or(f64::NAN)
}
