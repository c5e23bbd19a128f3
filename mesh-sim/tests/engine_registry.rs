//! What the registry lists, when clients hear of it, and what they do while they do not.

#[path = "support/exact.rs"]
mod exact;

use std::collections::BTreeMap;

use exact::{Trace, aimed, all, at, backend, backends, constant, ms, number, scenario, server, with_clients};
use mesh_sim::model::EventKind::{Discovered, Picked, Published, Refused, RegistryLost, Served, Unavailable};
use mesh_sim::model::scenario::{Arrivals, Distribution, Fault, FaultKind, Scenario};

#[test]
fn every_client_knows_the_list_before_anything_happens() {
    let trace = Trace::of(&delayed(scenario(at(&[0]), backend()), constant(500)));
    assert_eq!(trace.ends(), [1, 0, 0, 0, 0]);
}

#[test]
fn one_that_joins_is_absent_before_and_each_client_hears_of_it_after_the_delay() {
    let join = Fault::new(ms(100), server(1), FaultKind::Join);
    let scenario = with_clients(scenario(at(&[10, 10, 110, 110, 119]), backends(2)).fault(join), |clients| {
        clients.count(number(2))
    });
    let trace = Trace::of(&delayed(scenario, constant(20)));
    assert_eq!(trace.lines(&[Discovered]), ["120ms discovered c0", "120ms discovered c1"]);
    assert_eq!(trace.picks(), [0, 0, 0, 0, 0]);
    assert_eq!(trace.ends(), [5, 0, 0, 0, 0]);
}

#[test]
fn one_that_has_joined_is_picked_like_the_others() {
    let join = Fault::new(ms(100), server(1), FaultKind::Join);
    let arrivals = at(&[0, 50, 119, 120, 140, 160, 180]);
    let trace = Trace::of(&delayed(scenario(arrivals, backends(2)).fault(join), constant(20)));
    let picks = trace.picks();
    assert_eq!(picks[..3], [0, 0, 0]);
    assert_eq!(picks[3..].iter().sum::<u32>(), 2, "{picks:?}");
}

#[test]
fn before_anyone_has_joined_there_is_no_instance_to_pick() {
    let join = Fault::new(ms(100), all(), FaultKind::Join);
    let trace = Trace::of(&delayed(scenario(at(&[0, 110, 120]), backends(2)).fault(join), constant(20)));
    assert_eq!(
        trace.lines(&[Unavailable, Served]),
        ["0ns unavailable r0.1", "110ms unavailable r1.1", "130ms served r2.1@0"]
    );
    assert_eq!(trace.ends(), [1, 0, 0, 0, 2]);
    assert_eq!(trace.run.attempts, 1);
}

#[test]
fn one_that_drains_finishes_its_work_and_takes_no_more() {
    let drain = Fault::new(ms(5), server(0), FaultKind::Drain);
    let scenario = scenario(at(&[0, 1, 2, 3, 6, 7, 30, 31]), backends(2)).fault(drain);
    let trace = Trace::of(&delayed(scenario, constant(20)));
    // Its clients hear of it at 25 ms.
    assert_eq!(trace.lines(&[Refused]), ["6ms refused r4.1@0"]);
    assert_eq!(trace.picks(), [0, 1, 0, 1, 0, 1, 1, 1]);
    let served: Vec<_> = trace.lines(&[Served]).into_iter().filter(|line| line.ends_with("@0")).collect();
    assert_eq!(served, ["10ms served r0.1@0", "20ms served r2.1@0"]);
}

#[test]
fn a_drain_that_ends_brings_the_server_back() {
    let drain = aimed(server(0), FaultKind::Drain, 5, 55);
    let scenario = scenario(at(&[30, 50, 70, 76, 90]), backends(2)).fault(drain);
    let trace = Trace::of(&delayed(scenario, constant(20)));
    assert_eq!(trace.lines(&[Discovered]), ["25ms discovered c0", "75ms discovered c0"]);
    assert_eq!(trace.picks()[..3], [1, 1, 1]);
    assert_eq!(trace.picks()[3..].iter().sum::<u32>(), 1);
    assert_eq!(trace.ends(), [5, 0, 0, 0, 0]);
}

#[test]
fn one_that_is_deregistered_still_serves() {
    let leave = Fault::new(ms(5), server(0), FaultKind::Deregister);
    let scenario = scenario(at(&[0, 1, 6, 7, 30, 31]), backends(2)).fault(leave);
    let trace = Trace::of(&delayed(scenario, constant(20)));
    assert_eq!(trace.picks(), [0, 1, 0, 1, 1, 1]);
    assert_eq!(trace.ends(), [6, 0, 0, 0, 0]);
}

#[test]
fn a_crash_changes_nothing_in_the_registry() {
    let trace = Trace::of(&scenario(at(&[5, 5]), backends(2)).fault(aimed(server(0), FaultKind::Crash, 1, 100)));
    assert_eq!(trace.count(Discovered), 0);
    assert_eq!(trace.ends(), [1, 1, 0, 0, 0]);
}

#[test]
fn a_change_that_changes_nothing_is_not_told() {
    let (leave, drain) = (aimed(server(0), FaultKind::Deregister, 5, 50), aimed(server(0), FaultKind::Drain, 10, 30));
    let trace = Trace::of(&scenario(at(&[999]), backends(2)).fault(leave).fault(drain));
    assert_eq!(trace.lines(&[Discovered]), ["5ms discovered c0", "50ms discovered c0"]);
}

#[test]
fn each_client_waits_for_its_own_draw_of_the_delay() {
    let leave = Fault::new(ms(100), server(0), FaultKind::Deregister);
    let scenario = with_clients(scenario(at(&[999]), backends(2)).fault(leave), |clients| clients.count(number(500)));
    let trace = Trace::of(&delayed(scenario, Distribution::Uniform { min: ms(100), max: ms(300) }));
    let heard: Vec<_> = trace.select(&[Discovered]).map(|(at, _)| at.as_nanos() as f64 / 1e6).collect();
    assert_eq!(heard.len(), 500);
    assert!(heard.iter().all(|at| (200.0..=400.0).contains(at)));
    // The mean of 500 has a standard error of 200 / sqrt(12 × 500) = 2.6 ms.
    let mean = heard.iter().sum::<f64>() / 500.0;
    assert!((mean - 300.0).abs() < 10.0, "{mean}");
}

#[test]
fn a_list_that_a_newer_one_overtook_says_nothing() {
    let leave = aimed(server(0), FaultKind::Deregister, 100, 110);
    let arrivals = Arrivals::Uniform { rate: 1000.0 };
    let scenario = with_clients(scenario(arrivals, backends(2)).fault(leave), |clients| clients.count(number(20)));
    let trace = Trace::of(&delayed(scenario, Distribution::Empirical { values: vec![ms(1), ms(100)] }));
    // A client that heard of the return at 111 ms does not hear of the departure at 200 ms any more.
    let heard = trace.select(&[Discovered]).filter(|(at, _)| at.as_nanos() >= 200_000_000).count();
    let mut lists: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (at, event) in trace.select(&[Discovered]) {
        lists.entry(event.client).or_default().push(at.as_nanos() / 1_000_000);
    }
    assert!(lists.values().any(|times| *times == [111]) && heard > 0, "{lists:?}");
    assert!(lists.values().all(|times| [&[101, 111][..], &[101, 210], &[200, 210], &[111]].contains(&&times[..])));
    let mut after: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (_, event) in trace.select(&[Picked]).filter(|(at, _)| at.as_nanos() > 211_000_000) {
        *after.entry((event.client, event.server)).or_default() += 1;
    }
    assert_eq!(after.len(), 40, "each client picks both servers again");
}

#[test]
fn clients_keep_their_list_while_the_registry_is_out_and_hear_of_the_changes_when_it_is_back() {
    let outage = Fault::registry_outage(ms(50)).lasting(ms(200));
    let (leave, join) =
        (Fault::new(ms(100), server(0), FaultKind::Deregister), Fault::new(ms(120), server(2), FaultKind::Join));
    let arrivals = at(&[60, 110, 130, 230, 269, 270, 290, 310, 330]);
    let scenario = scenario(arrivals, backends(3)).fault(leave).fault(join).fault(outage);
    let trace = Trace::of(&delayed(scenario, constant(20)));
    assert_eq!(trace.lines(&[Discovered, RegistryLost]), ["50ms registry-lost c0", "270ms discovered c0"]);
    let picks = trace.picks();
    assert_eq!(picks[..5], [0, 1, 0, 1, 0]);
    assert!(picks[5..].iter().all(|picked| [1, 2].contains(picked)), "{picks:?}");
    assert!(picks[5..].contains(&1) && picks[5..].contains(&2), "{picks:?}");
    assert_eq!(trace.ends(), [9, 0, 0, 0, 0]);
}

#[test]
fn news_that_was_on_the_way_when_the_registry_went_out_comes_when_it_is_back() {
    let outage = Fault::registry_outage(ms(50)).lasting(ms(200));
    let leave = Fault::new(ms(40), server(0), FaultKind::Deregister);
    let trace = Trace::of(&delayed(scenario(at(&[999]), backends(2)).fault(leave).fault(outage), constant(20)));
    assert_eq!(trace.lines(&[Discovered]), ["270ms discovered c0"]);
}

#[test]
fn two_outages_that_overlap_end_with_the_last_of_them() {
    let outage = |from, until| Fault::registry_outage(ms(from)).lasting(ms(until - from));
    let leave = Fault::new(ms(210), server(0), FaultKind::Deregister);
    for [one, other] in [[(50, 300), (100, 200)], [(50, 200), (100, 300)]] {
        let scenario = scenario(at(&[999]), backends(2)).fault(leave.clone());
        let trace = Trace::of(&scenario.fault(outage(one.0, one.1)).fault(outage(other.0, other.1)));
        assert_eq!(trace.lines(&[Discovered, RegistryLost]), ["50ms registry-lost c0", "300ms discovered c0"]);
    }
}

#[test]
fn an_outage_without_an_end_is_never_over() {
    let leave = Fault::new(ms(100), server(0), FaultKind::Deregister);
    let scenario = scenario(at(&[110, 120, 999]), backends(2)).fault(Fault::registry_outage(ms(50))).fault(leave);
    let trace = Trace::of(&scenario);
    assert_eq!((trace.count(Discovered), trace.picks()), (0, vec![0, 1, 0]));
}

#[test]
fn a_list_that_is_suddenly_empty_is_doubted_for_the_librarys_thirty_seconds() {
    let leave = Fault::new(ms(100), all(), FaultKind::Deregister);
    let mut scenario = scenario(at(&[50, 200, 30_099, 30_101]), backend()).fault(leave);
    scenario.duration = ms(40_000);
    let trace = Trace::of(&scenario);
    assert_eq!(
        trace.lines(&[Served, Unavailable]),
        ["60ms served r0.1@0", "210ms served r1.1@0", "30.101s unavailable r3.1", "30.109s served r2.1@0"]
    );
    assert_eq!(trace.lines(&[Published])[1..], ["30.1s published c0"]);
}

fn delayed(mut scenario: Scenario, delay: Distribution) -> Scenario {
    scenario.discovery.delay = delay;
    scenario
}
