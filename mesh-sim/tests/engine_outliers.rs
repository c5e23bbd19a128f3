//! Outlier detection by each client: who is out for how requests to it ended, when it is tried again, and that it costs
//! nothing where nobody asks for it.

#[path = "support/exact.rs"]
mod exact;

use std::num::NonZeroU32;

use exact::{Trace, aimed, at, backends, ms, scenario, server, with_clients};
use mesh_core::health::outlier::OutlierConfig;
use mesh_sim::model::EventKind::{Ejected, Picked, Probation, Restored};
use mesh_sim::model::scenario::{Arrivals, FaultKind};

#[test]
fn five_failures_in_a_row_take_a_server_out_and_one_success_brings_it_back() {
    // A request every 10 ms, in turns to three servers; the first fails what comes from 100 ms on, until 260 ms.
    let broken = FaultKind::Errors { rate: 1.0, latency: ms(0) };
    let world = scenario(requests(), backends(3)).fault(aimed(server(0), broken, 100, 260));
    let trace = Trace::of(&with_clients(world.clone(), |clients| clients.outlier(quick())));
    let story = trace.lines(&[Ejected, Probation, Restored]);
    assert_eq!(story.len(), 3, "{story:?}");
    assert!(story[0].ends_with("ejected c0@0") && story[1].ends_with("probation c0@0"), "{story:?}");
    assert!(story[2].ends_with("restored c0@0"), "{story:?}");
    let when = |kind| trace.select(&[kind]).map(|(at, _)| at.as_nanos() / 1_000_000).next().unwrap_or_default();
    // The fifth failure comes with the fifth turn from 100 ms on; a turn takes 30 ms.
    assert!((220..=250).contains(&when(Ejected)), "{story:?}");
    assert_eq!(when(Probation), when(Ejected) + 100);
    let out = (when(Ejected) + 1)..when(Probation);
    let strays =
        trace.select(&[Picked]).filter(|(at, event)| event.server == 0 && out.contains(&(at.as_nanos() / 1_000_000)));
    assert_eq!(strays.count(), 0);
    assert_eq!(trace.ends()[1], 5, "no more than it took to find out");
    let left_in = Trace::of(&world);
    assert_eq!(left_in.lines(&[Ejected, Probation, Restored]), Vec::<String>::new());
    assert!(left_in.ends()[1] > 5);
}

#[test]
fn a_server_that_refuses_or_is_silent_is_found_alike() {
    for kind in [FaultKind::Crash, FaultKind::Hang] {
        let world = scenario(requests(), backends(3)).fault(aimed(server(1), kind, 100, 900));
        let world = with_clients(world, |clients| clients.outlier(quick()).attempt_timeout(ms(25)).timeout(ms(50)));
        let ejections = Trace::of(&world).lines(&[Ejected]);
        assert!(!ejections.is_empty() && ejections.iter().all(|line| line.ends_with("c0@1")), "{ejections:?}");
    }
}

#[test]
fn a_run_that_no_endpoint_counts_is_refused() {
    let mut config = quick();
    config.failures_in_row.as_mut().unwrap().threshold = NonZeroU32::new(1_024).unwrap();
    let world = with_clients(scenario(at(&[0]), backends(3)), |clients| clients.outlier(config));
    let error = world.validate().unwrap_err().to_string();
    assert!(error.contains("clients.outlier.failures_in_row") && error.contains("1024"), "{error}");
}

/// The default preset with ejections of 100 ms, all of the same length at first.
fn quick() -> OutlierConfig {
    let mut config = OutlierConfig::default();
    (config.interval, config.ejection.base_time, config.ejection.jitter_max) = (ms(50), ms(100), ms(0));
    config
}

/// One every 10 ms.
fn requests() -> Arrivals {
    at(&(0..90).map(|number| number * 10).collect::<Vec<_>>())
}
