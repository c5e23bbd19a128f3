//! When requests come and to whom: every law of arrivals, closed loops, and that no strategy changes any of it.

#[path = "support/exact.rs"]
mod exact;

use std::collections::BTreeMap;

use exact::{Trace, aimed, at, backend, backends, fault, ms, number, retry, scenario, server, with_clients};
use mesh_core::balance::Strategy;
use mesh_sim::model::EventKind::{Arrived, Picked, Served, Started};
use mesh_sim::model::scenario::{
    Arrivals, Discipline, Distribution, Fault, FaultKind, Network, RateStep, Scenario, ServerGroup,
};

#[test]
fn a_trace_comes_at_its_times_and_what_lies_at_the_end_or_later_does_not_come() {
    let trace = Trace::of(&scenario(at(&[0, 7, 7, 999, 1000, 1001]), backend()));
    assert_eq!(trace.lines(&[Arrived]), ["0ns arrived r0", "7ms arrived r1", "7ms arrived r2", "999ms arrived r3"]);
    assert_eq!(trace.run.requests.offered, 4);
}

#[test]
fn uniform_arrivals_are_evenly_spaced_from_the_start_and_none_comes_at_the_end() {
    for (rate, spacing) in [(1.0, 1_000_000_000), (100.0, 10_000_000), (1000.0, 1_000_000), (1600.0, 625_000)] {
        let times = times(&lasting(Arrivals::Uniform { rate }, 10));
        assert_eq!(times.len(), 10 * rate as usize, "{rate}");
        assert!((0..).zip(&times).all(|(number, at)| *at == number * spacing), "{rate}");
    }
    // Where no whole nanosecond is right the nearest one is, however late.
    let times = times(&lasting(Arrivals::Uniform { rate: 300.0 }, 100));
    assert_eq!(times.len(), 30_000);
    assert!((0_u64..).zip(&times).all(|(number, at)| *at == (number * 10_000_000 + 1) / 3));
}

#[test]
fn poisson_arrivals_come_at_their_rate_with_exponential_gaps() {
    let times = times(&lasting(Arrivals::poisson(200.0), 100));
    within("requests", times.len() as f64, 20_000.0, 20_000.0_f64.sqrt());
    exponential(&times, 5e6);
}

#[test]
fn poisson_arrivals_of_one_window_say_nothing_of_the_next() {
    let times = times(&lasting(Arrivals::poisson(200.0), 100));
    let mut windows = vec![0.0; 1000];
    for at in &times {
        windows[(at / 100_000_000) as usize] += 1.0;
    }
    let (mean, variance) = moments(&windows);
    // The variance of a Poisson count is its mean; of 1,000 windows its standard error is 20 × sqrt(2 / 1,000).
    within("variance", variance / mean, 1.0, 0.045);
    let pairs: Vec<_> = windows.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean) / variance).collect();
    within("correlation", moments(&pairs).0, 0.0, 0.032);
}

#[test]
fn steps_change_the_rate_at_their_times_and_before_the_first_nothing_comes() {
    let step = |at: u64, rate| RateStep { at: ms(at * 1000), rate };
    let steps = vec![step(5, 100.0), step(20, 0.0), step(30, 500.0), step(50, 10.0)];
    let times = times(&lasting(Arrivals::Steps { steps }, 150));
    for (from, until, expected) in [(0, 5, 0.0), (5, 20, 1500.0), (20, 30, 0.0), (30, 50, 10_000.0), (50, 150, 1000.0)]
    {
        within("requests", f64::from(count(&times, from, until)), expected, f64::sqrt(expected));
    }
    let middle: Vec<_> = times.iter().copied().filter(|at| (30_000_000_000..50_000_000_000).contains(at)).collect();
    exponential(&middle, 2e6);
}

#[test]
fn a_last_step_without_a_rate_ends_the_arrivals() {
    let steps = vec![RateStep { at: ms(0), rate: 100.0 }, RateStep { at: ms(2000), rate: 0.0 }];
    let scenario = lasting(Arrivals::Steps { steps }, 1000);
    let times = times(&scenario);
    within("requests", times.len() as f64, 200.0, 14.0);
    assert!(times.iter().all(|at| *at < 2_000_000_000));
}

#[test]
fn a_ramp_changes_its_rate_linearly_over_the_duration() {
    // From 0 to 200 in 100 s the k-th second has 2k + 1 requests; downwards the other way round.
    for (from, to) in [(0.0, 200.0), (200.0, 0.0), (50.0, 150.0), (100.0, 100.0)] {
        let times = times(&lasting(Arrivals::Ramp { from, to }, 100));
        for window in 0..10 {
            let middle = from + (to - from) * (f64::from(window) + 0.5) / 10.0;
            let found = count(&times, window * 10, window * 10 + 10);
            within("requests", f64::from(found), middle * 10.0, f64::sqrt(middle * 10.0));
        }
    }
}

#[test]
fn bursts_keep_the_average_rate_and_begin_on() {
    let bursts = Arrivals::Bursts { rate: 100.0, on: ms(100), off: ms(300) };
    let times = times(&lasting(bursts, 2000));
    // The share of "on" time in 2,000 s has a standard deviation of 1.9 % (5,000 cycles); Poisson adds little.
    within("requests", times.len() as f64, 200_000.0, 4000.0);
    // The rate is 400 while it is on: a gap is longer than 30 ms only if an "off" period lies in it, as it does in
    // 1 of 41, and those are short with probability 1 - exp(-0.1) or less.
    let long = times.windows(2).filter(|pair| pair[1] - pair[0] > 30_000_000).count();
    let share = long as f64 / times.len() as f64;
    assert!((0.0205..0.0244).contains(&share), "{share}");
    // Within a burst gaps are exponential: of those of at most 5 ms (2 means) so many are at most 2.5 ms.
    let short = |most: u64| times.windows(2).filter(|pair| pair[1] - pair[0] <= most).count() as f64;
    within("share", short(2_500_000) / short(5_000_000), 0.632_1 / 0.864_7, 0.001_5);
    assert!((1..=10).all(|seed| first(&seed) < 60_000_000), "the first request comes soon: it begins on");
}

#[test]
fn users_of_a_closed_loop_start_at_once_and_think_after_each_answer() {
    let trace = Trace::of(&closed(3, 7, 5, backend().discipline(Discipline::Delay)));
    let times: Vec<_> = trace.select(&[Arrived]).map(|(at, _)| at.as_nanos() / 1_000_000).collect();
    assert_eq!(times, [0, 0, 0, 15, 15, 15, 30]);
    assert_eq!((trace.run.requests.offered, trace.ends()), (7, [7, 0, 0, 0, 0]));
    // With one worker they wait for each other: answers at 10, 20 and 30 ms, then every 10 ms.
    let trace = Trace::of(&closed(3, 6, 5, backend()));
    let times: Vec<_> = trace.select(&[Arrived]).map(|(at, _)| at.as_nanos() / 1_000_000).collect();
    assert_eq!(times, [0, 0, 0, 15, 25, 35]);
}

#[test]
fn the_requests_of_a_closed_loop_are_those_of_all_users_together() {
    for (concurrency, requests) in [(1, 1), (5, 3), (4, 100), (7, 50)] {
        let trace = Trace::of(&closed(concurrency, requests, 0, backend().discipline(Discipline::Delay)));
        assert_eq!(trace.run.requests.offered, requests);
        let numbers: std::collections::BTreeSet<_> = trace.select(&[Arrived]).map(|(_, event)| event.request).collect();
        assert_eq!(numbers.len() as u64, requests);
    }
}

#[test]
fn a_user_belongs_to_the_client_of_his_number() {
    let scenario = closed(5, 5, 0, backend());
    let trace = Trace::of(&with_clients(scenario, |clients| clients.count(number(2))));
    let clients: Vec<_> = trace.select(&[Arrived]).map(|(_, event)| event.client).collect();
    assert_eq!(clients, [0, 1, 0, 1, 0]);
}

#[test]
fn a_user_whose_request_failed_thinks_and_asks_again() {
    let scenario = closed(1, 3, 5, backend()).fault(fault(FaultKind::Errors { rate: 1.0, latency: ms(2) }, 0, 1000));
    let times = times(&scenario);
    assert_eq!(times, [0, 7_000_000, 14_000_000]);
    // With nobody to pick he asks after his thought.
    let scenario = closed(1, 3, 5, backend()).fault(Fault::new(ms(12), exact::all(), FaultKind::Join));
    assert_eq!(Trace::of(&scenario).lines(&[Arrived]), ["0ns arrived r0", "5ms arrived r1", "10ms arrived r2"]);
}

#[test]
fn a_closed_loop_asks_nothing_at_the_end_or_later() {
    let trace = Trace::of(&closed(2, 1_000_000, 0, backend().discipline(Discipline::Delay)));
    assert_eq!((trace.run.requests.offered, trace.ends()), (200, [200, 0, 0, 0, 0]));
}

#[test]
fn any_client_alike_gets_the_next_request() {
    let scenario = lasting(Arrivals::Uniform { rate: 1000.0 }, 10);
    let trace = Trace::of(&with_clients(scenario, |clients| clients.count(number(4))));
    let mut counts = [0.0; 4];
    let clients: Vec<_> = trace.select(&[Arrived]).map(|(_, event)| event.client as usize).collect();
    for client in &clients {
        counts[*client] += 1.0;
    }
    for count in counts {
        within("requests", count, 2500.0, 43.3);
    }
    let again = clients.windows(2).filter(|pair| pair[0] == pair[1]).count();
    within("repetitions", again as f64, 2500.0, 43.3);
}

#[test]
fn every_strategy_sees_the_same_arrivals_the_same_clients_and_the_same_work() {
    let scenario = compared();
    let runs: Vec<_> = (0..scenario.strategies.len()).map(|index| Trace::of_strategy(&scenario, index)).collect();
    let arrivals = |trace: &Trace| trace.select(&[Arrived]).copied().collect::<Vec<_>>();
    for other in &runs[1..] {
        assert!(arrivals(&runs[0]) == arrivals(other));
        assert!(runs[0].picks() != other.picks(), "they differ in what they pick");
        let (ours, theirs) = (demands(&runs[0]), demands(other));
        let both = ours.iter().filter_map(|(attempt, demand)| Some((attempt, demand, theirs.get(attempt)?)));
        let both: Vec<_> = both.collect();
        assert!(both.len() > 2500 && both.iter().filter(|(attempt, ..)| attempt.1 > 1).count() > 10);
        for (attempt, ours, theirs) in both {
            assert_eq!(ours, theirs, "attempt {attempt:?}");
        }
    }
}

#[test]
fn one_demand_is_mapped_through_the_law_of_the_server_that_serves_it() {
    // The same request at a server twice as slow takes exactly twice as long.
    let demands_at = |mean| {
        let mut scenario = compared();
        scenario.servers[0].service_time = Distribution::exponential(ms(mean));
        demands(&Trace::of(&scenario))
    };
    let (fast, slow) = (demands_at(4), demands_at(8));
    let both: Vec<_> = fast.iter().filter_map(|(attempt, fast)| Some((*fast, *slow.get(attempt)?))).collect();
    assert!(both.len() > 3000);
    // Each is rounded to whole nanoseconds.
    assert!(both.iter().all(|(fast, slow)| (2 * fast).abs_diff(*slow) <= 1));
}

#[test]
fn every_attempt_of_a_request_draws_its_own_demand() {
    let demands = demands(&Trace::of(&compared()));
    let pairs: Vec<_> = demands.iter().filter(|((_, attempt), _)| *attempt == 2).collect();
    let same = pairs.iter().filter(|((request, _), demand)| demands.get(&(*request, 1)) == Some(demand)).count();
    assert!(!pairs.is_empty() && same == 0);
    let distinct: std::collections::BTreeSet<_> = demands.values().collect();
    assert!(distinct.len() * 100 > demands.len() * 99);
}

#[test]
fn users_of_a_closed_loop_bring_the_same_work_to_every_strategy() {
    let mut scenario = closed(8, 2000, 1, backends(4));
    scenario.servers[0].service_time = Distribution::exponential(ms(2));
    scenario.duration = ms(60_000);
    scenario.strategies = vec![Strategy::Random, exact::least_loaded_without_hold()];
    let (one, other) = (Trace::of_strategy(&scenario, 0), Trace::of_strategy(&scenario, 1));
    let (ours, theirs) = (demands(&one), demands(&other));
    let both = ours.iter().filter(|(attempt, demand)| theirs.get(attempt) == Some(demand)).count();
    // The last requests may be asked by other users.
    assert!(
        both > 1900 && ours.iter().all(|(attempt, demand)| theirs.get(attempt).is_none_or(|other| other == demand))
    );
}

#[test]
fn another_seed_brings_other_arrivals_other_clients_and_other_work() {
    let scenario = compared();
    let (one, other) = (Trace::of(&scenario), Trace::of(&scenario.clone().seed(2)));
    let of =
        |trace: &Trace| -> (Vec<_>, Vec<_>) { trace.select(&[Arrived]).map(|(at, event)| (*at, event.client)).unzip() };
    assert!(of(&one).0 != of(&other).0 && of(&one).1 != of(&other).1 && demands(&one) != demands(&other));
}

#[test]
fn what_is_done_to_requests_changes_nothing_in_their_arrivals() {
    let base = compared();
    let changed = [
        base.clone().network(Network::with_latency(Distribution::exponential(ms(3)))),
        base.clone().fault(aimed(server(0), FaultKind::Crash, 100, 500)),
        with_clients(base.clone(), |clients| clients.attempt_timeout(ms(30))),
    ];
    let arrivals = |scenario: &Scenario| Trace::of(scenario).select(&[Arrived]).copied().collect::<Vec<_>>();
    let expected = arrivals(&base);
    assert!(changed.iter().all(|scenario| arrivals(scenario) == expected));
}

/// Servers that err now and then, clients who retry, and three strategies.
fn compared() -> Scenario {
    let group = backends(5).discipline(Discipline::Delay);
    let mut scenario = scenario(Arrivals::poisson(4000.0), group);
    scenario.servers[0].service_time = Distribution::exponential(ms(5));
    scenario = scenario.fault(aimed(server(1), FaultKind::Errors { rate: 0.5, latency: ms(1) }, 0, 1000));
    scenario.strategies = vec![Strategy::Random, Strategy::RoundRobin, exact::least_loaded_without_hold()];
    with_clients(scenario, |clients| clients.count(number(3)).retry(retry(3)))
}

/// How long each attempt that was served was worked on, in nanoseconds.
fn demands(trace: &Trace) -> BTreeMap<(u64, u32), u64> {
    let mut began = BTreeMap::new();
    let mut demands = BTreeMap::new();
    for (at, event) in trace.select(&[Started, Served]) {
        let attempt = (event.request, event.attempt);
        if event.kind == Started {
            began.insert(attempt, at.as_nanos());
        } else {
            demands.insert(attempt, at.as_nanos() - began[&attempt]);
        }
    }
    assert!(trace.count(Picked) >= demands.len());
    demands
}

/// A closed loop of a second.
fn closed(concurrency: u32, requests: u64, think: u64, group: ServerGroup) -> Scenario {
    scenario(Arrivals::Closed { concurrency, requests, think: ms(think) }, group)
}

/// So many seconds of requests that take no time.
fn lasting(arrivals: Arrivals, seconds: u64) -> Scenario {
    let mut group = backend().discipline(Discipline::Delay);
    group.service_time = Distribution::default();
    let mut scenario = scenario(arrivals, group);
    scenario.duration = ms(seconds * 1000);
    scenario
}

/// When the requests come, in nanoseconds.
fn times(scenario: &Scenario) -> Vec<u64> {
    Trace::of(scenario).select(&[Arrived]).map(|(at, _)| at.as_nanos()).collect()
}

/// When the first request of a bursty scenario with this seed comes.
fn first(seed: &u64) -> u64 {
    let bursts = Arrivals::Bursts { rate: 100.0, on: ms(10_000), off: ms(30_000) };
    times(&lasting(bursts, 10).seed(*seed))[0]
}

/// How many come between these seconds.
fn count(times: &[u64], from: u32, until: u32) -> u32 {
    let second = |second: u32| u64::from(second) * 1_000_000_000;
    times.iter().filter(|at| (second(from)..second(until)).contains(at)).count() as u32
}

/// Holds the gaps between `times` to the exponential law of this mean.
fn exponential(times: &[u64], mean: f64) {
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / mean).collect();
    let root = (gaps.len() as f64).sqrt();
    let (found, variance) = moments(&gaps);
    within("mean", found, 1.0, 1.0 / root);
    // The variance of the sample variance of the exponential law is 8 / n.
    within("variance", variance, 1.0, 2.83 / root);
    let longer = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / gaps.len() as f64;
    within("share of long gaps", longer, 0.367_88, 0.482 / root);
}

fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count)
}

/// Holds a number to what is expected of it, within four standard errors.
fn within(what: &str, found: f64, expected: f64, error: f64) {
    assert!((found - expected).abs() <= 4.0 * error, "{what}: {found} for {expected} ± {error}");
}
