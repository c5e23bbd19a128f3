//! One seed, one trace: in every run, on every machine, whoever looks on.

#[path = "support/exact.rs"]
mod exact;

use std::collections::BTreeSet;

use exact::{Trace, aimed, all, at, backend, backends, ms, number, retry, scenario, server, with_clients};
use mesh_core::balance::Strategy;
use mesh_sim::model::scenario::{
    Arrivals, CancelMode, Clients, Direction, Discipline, Distribution, Fault, FaultKind, HealthChecks, RateStep,
    Scenario, ServerGroup, Share, Target,
};

#[test]
fn a_run_equals_its_repetition_to_the_last_event() {
    for (name, scenario) in worlds() {
        for index in 0..scenario.strategies.len() {
            let (one, other) = (Trace::of_strategy(&scenario, index), Trace::of_strategy(&scenario, index));
            assert!(one.events == other.events && one.run == other.run, "{name}");
        }
    }
}

#[test]
fn who_looks_on_changes_nothing() {
    for (name, scenario) in worlds() {
        let unseen = scenario.plan().expect("a possible scenario").run(0, &mut ());
        assert!(unseen == Trace::of(&scenario).run, "{name}");
    }
}

#[test]
fn no_strategy_changes_the_run_of_another() {
    for (name, mut scenario) in worlds() {
        let together = scenario.run().expect("a possible scenario").runs;
        scenario.strategies.reverse();
        let mut reversed = scenario.run().expect("a possible scenario").runs;
        reversed.reverse();
        assert!(together == reversed, "{name}");
        // Some have the same where weights are equal or no request has a key.
        let apart = ["round-robin", "random", "least-loaded", "p2c-least-loaded", "peak-ewma", "bounded-load"];
        let apart = together.iter().filter(|run| apart.contains(&run.strategy.as_str()));
        let digests: BTreeSet<_> = apart.map(|run| run.digest.as_str()).collect();
        assert_eq!(digests.len(), 6, "{name}: every one has a trace of its own");
    }
}

#[test]
fn another_seed_has_another_digest() {
    for (name, scenario) in worlds() {
        let digests: BTreeSet<_> = (1..=20).map(|seed| Trace::of(&scenario.clone().seed(seed)).run.digest).collect();
        assert_eq!(digests.len(), 20, "{name}");
    }
}

#[test]
fn a_digest_tells_time_kind_and_subject_of_a_single_event_apart() {
    let base = scenario(at(&[5, 20]), backend());
    let mut other_time = base.clone();
    other_time.clients.arrivals = at(&[5, 21]);
    let other_server = base.clone().fault(aimed(all(), FaultKind::Deregister, 999, 1000));
    let other_end = base.clone().fault(aimed(all(), FaultKind::Slowdown { factor: 1.1 }, 19, 1000));
    let digests: BTreeSet<_> =
        [base, other_time, other_server, other_end].iter().map(|scenario| Trace::of(scenario).run.digest).collect();
    assert_eq!(digests.len(), 4);
}

#[test]
fn digests_are_the_same_on_every_machine() {
    let mut found = Vec::new();
    for (name, scenario) in worlds() {
        for run in scenario.run().expect("a possible scenario").runs {
            found.push(format!("{name} {} {} {}", run.label, run.events, run.digest));
        }
    }
    // Where events are meant to change, so do these: the text is that of a run.
    assert_eq!(found, DIGESTS, "\n{found:#?}");
}

/// Small worlds that have everything in them between them.
fn worlds() -> [(&'static str, Scenario); 4] {
    [("laws", laws()), ("faults", faults()), ("registry", registry()), ("closed", closed())]
}

fn strategies(mut scenario: Scenario) -> Scenario {
    scenario.strategies = Strategy::built_in();
    scenario
}

/// Every law of durations.
fn laws() -> Scenario {
    let share = |weight, of| Share { weight, of };
    let parts = [
        Distribution::Uniform { min: ms(1), max: ms(9) },
        Distribution::exponential(ms(5)),
        Distribution::Normal { mean: ms(5), std_dev: ms(4) },
        Distribution::Lognormal { median: ms(5), sigma: 0.8 },
        Distribution::Pareto { min: ms(2), alpha: 1.8 },
        Distribution::Hyperexponential { mean: ms(5), cv2: 4.0 },
        Distribution::Erlang { mean: ms(5), stages: 3 },
        Distribution::Empirical { values: vec![ms(1), ms(4), ms(7)] },
    ];
    let parts = parts.into_iter().zip(1..).map(|(of, weight)| share(f64::from(weight), of)).collect();
    let mut group = backends(6).workers(number(2));
    group.service_time = Distribution::Mixture { parts };
    let mut shared = backends(3).discipline(Discipline::ProcessorSharing).weight(2);
    (shared.group, shared.speed) = ("shared".into(), 1.5);
    shared.service_time = Distribution::exponential(ms(5));
    let mut scenario = scenario(Arrivals::Ramp { from: 200.0, to: 1500.0 }, group).servers(shared).warmup(ms(100));
    scenario.network.latency = Distribution::Lognormal { median: ms(1), sigma: 0.5 };
    strategies(with_clients(scenario, |clients| clients.count(number(3)).timeout(ms(200))))
}

/// Every fault of servers and clients, with retries, cancellations and checks.
fn faults() -> Scenario {
    let mut group = backends(8).queue_limit(20);
    group.service_time = Distribution::exponential(ms(4));
    group.service_time_per_concurrent = ms(1);
    let arrivals = Arrivals::Bursts { rate: 800.0, on: ms(40), off: ms(20) };
    let scenario = scenario(arrivals, group)
        .fault(aimed(server(0), FaultKind::Crash, 100, 300))
        .fault(aimed(server(1), FaultKind::Hang, 150, 350))
        .fault(aimed(server(2), FaultKind::ServiceTime(Distribution::exponential(ms(40))), 200, 400))
        .fault(aimed(server(3), FaultKind::Slowdown { factor: 5.0 }, 250, 450))
        .fault(aimed(server(4), FaultKind::Errors { rate: 0.5, latency: ms(1) }, 300, 500))
        .fault(aimed(server(5), exact::partition(Direction::Out), 350, 550))
        .fault(aimed(server(6), FaultKind::Latency { add: ms(7) }, 400, 600))
        .fault(aimed(server(7), FaultKind::Loss { rate: 0.3 }, 450, 650))
        .fault(aimed(all(), FaultKind::Pause, 700, 720))
        .fault(aimed(server(1), FaultKind::Flap { up: ms(30), down: ms(20) }, 500, 900))
        .fault(aimed(server(2), FaultKind::ChecksFail, 500, 700))
        .fault(aimed(server(3), FaultKind::ChecksPass, 600, 800))
        .fault(aimed(Target::Clients, FaultKind::Pause, 800, 820))
        .fault(aimed(Target::Clients, FaultKind::ClockSkew { by: ms(33) }, 850, 950));
    let mut checks = HealthChecks::default();
    (checks.interval, checks.timeout) = (ms(40), ms(10));
    strategies(with_clients(scenario, |mut clients| {
        clients.cancel = CancelMode::Running;
        let mut jittered = retry(4);
        jittered.backoff = mesh_sim::model::scenario::BackoffShape::default();
        clients.count(number(2)).timeout(ms(300)).attempt_timeout(ms(60)).retry(jittered).health_check(checks)
    }))
}

/// Everything that happens in a registry.
fn registry() -> Scenario {
    let zoned = |name: &str| {
        let mut group: ServerGroup = backends(3).discipline(Discipline::Delay);
        (group.group, group.zone) = (name.into(), Some(name.into()));
        group
    };
    let of = |index| Target::Server { group: "a".into(), index };
    let steps = vec![RateStep { at: ms(10), rate: 2000.0 }, RateStep { at: ms(700), rate: 500.0 }];
    let mut scenario = scenario(Arrivals::Steps { steps }, zoned("a"))
        .servers(zoned("b"))
        .fault(Fault::new(ms(200), of(0), FaultKind::Join))
        .fault(aimed(of(1), FaultKind::Drain, 300, 600))
        .fault(aimed(of(2), FaultKind::Deregister, 350, 500))
        .fault(Fault::registry_outage(ms(400)).lasting(ms(150)))
        .fault(aimed(Target::Zone("b".into()), FaultKind::Deregister, 700, 800));
    scenario.discovery.delay = Distribution::exponential(ms(30));
    scenario.network.loss = 0.02;
    strategies(with_clients(scenario, |clients: Clients| clients.count(number(4)).timeout(ms(100))))
}

/// Users who wait for their answers.
fn closed() -> Scenario {
    let mut group = backends(4);
    group.service_time = Distribution::Erlang { mean: ms(3), stages: 2 };
    let arrivals = Arrivals::Closed { concurrency: 12, requests: 2000, think: ms(2) };
    strategies(with_clients(scenario(arrivals, group), |clients| clients.count(number(5))))
}

/// World, strategy, events and digest of every run.
const DIGESTS: &[&str] = &[
    "laws round-robin 6142 763fcae2bb24ce96",
    "laws weighted-round-robin 6142 50146d12eb629707",
    "laws random 6142 fcac07b64a7a2a7d",
    "laws weighted-random 6142 9d3e204113c6e1e2",
    "laws least-loaded 6142 562fff9939920a2f",
    "laws p2c-least-loaded 6142 f7c7874f3a7deda3",
    "laws peak-ewma 6142 7b5fd701719e31e7",
    "laws ring-hash 6142 fb4e745c330894d7",
    "laws maglev 6142 f2828b38608d39f5",
    "laws rendezvous 6142 011e8a1d5f7d8e82",
    "laws bounded-load 6142 97ce08d267682f55",
    "laws adaptive 6142 50146d12eb629707",
    "faults round-robin 12723 b6ca5bd5d1c1e123",
    "faults weighted-round-robin 12723 b6ca5bd5d1c1e123",
    "faults random 12926 28954ed28ac6682e",
    "faults weighted-random 12926 28954ed28ac6682e",
    "faults least-loaded 12479 d136f13769df2687",
    "faults p2c-least-loaded 12755 fb46563de45847fa",
    "faults peak-ewma 12776 e486ab70fff3c01d",
    "faults ring-hash 13208 8d44a1c8def6a1cc",
    "faults maglev 12813 d7b6ba7255d5cf72",
    "faults rendezvous 13093 ec80a637c09d144d",
    "faults bounded-load 12588 e2d0dfd21b1b3095",
    "faults adaptive 12723 b6ca5bd5d1c1e123",
    "registry round-robin 11003 5a56d4de1e850f56",
    "registry weighted-round-robin 11003 5a56d4de1e850f56",
    "registry random 11001 418fd51e0bca857c",
    "registry weighted-random 11001 418fd51e0bca857c",
    "registry least-loaded 11005 ac3b3f1a3a491d67",
    "registry p2c-least-loaded 11005 8a0147851e43bfc9",
    "registry peak-ewma 10999 8fa5e8622f439531",
    "registry ring-hash 11001 97ee0aa950da521b",
    "registry maglev 10997 717c7cf4c583cd5f",
    "registry rendezvous 11003 4800c12f23634a08",
    "registry bounded-load 11007 f8d0e2132a530577",
    "registry adaptive 11003 5a56d4de1e850f56",
    "closed round-robin 8188 48957c49ca8458a0",
    "closed weighted-round-robin 8188 48957c49ca8458a0",
    "closed random 7418 20d58e648cc3f10b",
    "closed weighted-random 7418 20d58e648cc3f10b",
    "closed least-loaded 8601 6f3c52fd915e113b",
    "closed p2c-least-loaded 8223 cb8359c460ed3338",
    "closed peak-ewma 7978 41ba5dc38255ff95",
    "closed ring-hash 7243 39c06419dc362ef3",
    "closed maglev 7229 5425de8ad876919e",
    "closed rendezvous 7334 0bff25b3fee0752a",
    "closed bounded-load 8692 4a6ecf929f5d7392",
    "closed adaptive 8188 48957c49ca8458a0",
];
