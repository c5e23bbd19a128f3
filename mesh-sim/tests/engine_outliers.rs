//! Outlier detection by each client: who is out for how requests to it ended, when it is tried again, and that it costs
//! nothing where nobody asks for it.

#[path = "support/exact.rs"]
mod exact;

use exact::{Trace, aimed, at, backends, ms, scenario, server, with_clients};
use mesh_core::balance::Strategy;
use mesh_core::health::outlier::OutlierConfig;
use mesh_sim::model::EventKind::{Ejected, Picked, Probation, Restored};
use mesh_sim::model::scenario::{FaultKind, Scenario};

#[test]
fn five_failures_in_a_row_take_a_server_out_and_one_success_brings_it_back() {
    // A request every millisecond, in turns to three servers; the first fails what comes from 10 ms on, until 45 ms.
    let arrivals = at(&(0..300).collect::<Vec<_>>());
    let broken = FaultKind::Errors { rate: 1.0, latency: ms(0) };
    let world = in_turns(scenario(arrivals, backends(3)).fault(aimed(server(0), broken, 10, 45)));
    let trace = Trace::of(&with_clients(world.clone(), |clients| clients.outlier(quick())));
    let story = trace.lines(&[Ejected, Probation, Restored]);
    assert_eq!(story.len(), 3, "{story:?}");
    assert!(story[0].ends_with("ejected c0@0") && story[1].ends_with("probation c0@0"), "{story:?}");
    assert!(story[2].ends_with("restored c0@0"), "{story:?}");
    let when = |kind| trace.select(&[kind]).map(|(at, _)| at.as_nanos() / 1_000_000).next().unwrap_or_default();
    // The fifth failure comes with the fifth turn after 10 ms; a turn is three requests.
    assert!((22..=26).contains(&when(Ejected)), "{story:?}");
    assert_eq!(when(Probation), when(Ejected) + 100);
    let out = (when(Ejected) + 1)..when(Probation);
    let strays =
        trace.select(&[Picked]).filter(|(at, event)| event.server == 0 && out.contains(&(at.as_nanos() / 1_000_000)));
    assert_eq!(strays.count(), 0);
    assert_eq!(trace.ends()[1], 5, "no more than it took to find out");
    let left_in = Trace::of(&world);
    assert_eq!(left_in.lines(&[Ejected, Probation, Restored]), Vec::<String>::new());
    assert!(left_in.ends()[1] > 10);
}

#[test]
fn a_server_that_refuses_or_is_silent_is_found_alike() {
    for kind in [FaultKind::Crash, FaultKind::Hang] {
        let world = scenario(at(&(0..300).collect::<Vec<_>>()), backends(3)).fault(aimed(server(1), kind, 10, 280));
        let world =
            with_clients(in_turns(world), |clients| clients.outlier(quick()).attempt_timeout(ms(10)).timeout(ms(50)));
        let trace = Trace::of(&world);
        assert!(
            trace.lines(&[Ejected]).first().is_some_and(|line| line.ends_with("c0@1")),
            "{:?}",
            trace.lines(&[Ejected])
        );
    }
}

/// The default preset with ejections of 100 ms, all of the same length at first.
fn quick() -> OutlierConfig {
    let mut config = OutlierConfig::default();
    (config.interval, config.ejection.base_time, config.ejection.jitter_max) = (ms(50), ms(100), ms(0));
    config
}

fn in_turns(mut scenario: Scenario) -> Scenario {
    scenario.strategies = vec![Strategy::RoundRobin];
    scenario
}
