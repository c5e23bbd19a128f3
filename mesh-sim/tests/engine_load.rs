//! The load that a client compares: its own requests in flight, held failures and registered weights.

#[path = "support/exact.rs"]
mod exact;

use std::collections::BTreeMap;

use exact::{Trace, at, backend, backends, constant, fault, ms, number, scenario, with_clients};
use mesh_core::balance::Strategy;
use mesh_sim::model::EventKind::Picked;
use mesh_sim::model::scenario::{Arrivals, Clients, Discipline, FaultKind, Scenario};

#[test]
fn in_flight_falls_when_an_attempt_is_abandoned_and_not_when_the_server_is_done() {
    for seed in 1..=20 {
        // All are abandoned after 6 ms and worked on for 500; the third meets the second under way.
        let picks = Trace::of(&impatient(&[0, 10, 12], seed)).picks();
        assert_ne!(picks[1], picks[2], "seed {seed}: {picks:?}");
    }
    // Whether the second goes where the first went does not hang on what is still worked on there.
    let together = (1..=40).filter(|seed| {
        let picks = Trace::of(&impatient(&[0, 10], *seed)).picks();
        picks[0] == picks[1]
    });
    let together = together.count();
    assert!((8..=32).contains(&together), "{together} of 40");
}

#[test]
fn a_failure_is_held_as_load_for_a_second_after_its_end() {
    for strategy in [Strategy::LeastLoaded(Default::default()), Strategy::P2cLeastLoaded(Default::default())] {
        for seed in 1..=20 {
            let mut scenario = impatient(&[0, 500, 990], seed);
            scenario.strategies = vec![strategy.clone()];
            scenario.servers[0].service_time = constant(1);
            // Only the first fails, by an error and then by a timeout.
            let slow = FaultKind::ServiceTime(constant(100));
            for kind in [FaultKind::Errors { rate: 1.0, latency: ms(1) }, slow] {
                let trace = Trace::of(&scenario.clone().fault(fault(kind, 0, 5)));
                assert_eq!(trace.run.requests.succeeded, 2);
                let picks = trace.picks();
                assert!(picks[1] != picks[0] && picks[2] != picks[0], "{} seed {seed}: {picks:?}", strategy.name());
            }
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
fn weights_are_the_registered_ones() {
    let mut heavy = backend().weight(3);
    heavy.group = "heavy".into();
    let mut scenario = scenario(at(&[0, 1, 2, 3]), backend().discipline(Discipline::Delay)).servers(heavy);
    scenario.servers[1].discipline = Discipline::Delay;
    for group in &mut scenario.servers {
        group.service_time = constant(500);
    }
    scenario.strategies = vec![exact::least_loaded_without_hold()];
    let mut picks = Trace::of(&scenario).picks();
    picks.sort_unstable();
    // (in flight + 1) / weight: the third of three equals the one of one.
    assert_eq!(picks, [0, 1, 1, 1]);
}

/// Requests at these times to two servers that take 500 ms, whose clients wait for 6 ms.
fn impatient(arrivals: &[u64], seed: u64) -> Scenario {
    let mut scenario = scenario(at(arrivals), backends(2)).seed(seed);
    scenario.servers[0].service_time = constant(500);
    scenario.strategies = vec![exact::least_loaded_without_hold()];
    with_clients(scenario, |clients| clients.timeout(ms(6)))
}
