//! Random small scenarios, and an observer that holds a run to what is always so.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::balance::Strategy as Balancing;
use mesh_core::time::Instant;
use mesh_sim::model::scenario::{
    Arrivals, CancelMode, Clients, Direction, Discipline, Distribution, Fault, FaultKind, HealthChecks, Network, Retry,
    Scenario, ServerGroup, Share, Target,
};
use mesh_sim::model::{Event, EventKind, Observer};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn positive(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number.saturating_sub(1))
}

/// Scenarios of a few seconds with everything in them that may be: all of them are valid.
pub(crate) fn any_scenario() -> impl Strategy<Value = Scenario> {
    let servers = proptest::collection::vec(any_group(), 1..3);
    let world = (any_distribution(20), 0..3_u32, any_distribution(500));
    let faults = proptest::collection::vec((0..1900_u64, proptest::option::of(1..1500_u64), any_fault()), 0..4);
    (servers, any_clients(), world, faults, any::<u64>(), select(Balancing::built_in())).prop_map(
        |(groups, clients, (latency, loss, delay), faults, seed, strategy)| {
            let mut scenario = Scenario::new("any", millis(2000), Arrivals::poisson(1.0)).clients(clients).seed(seed);
            for (number, mut group) in groups.into_iter().enumerate() {
                group.group = format!("group-{number}");
                scenario = scenario.servers(group);
            }
            scenario = scenario.network(Network::with_latency(latency)).strategy(strategy).warmup(millis(200));
            scenario.network.loss = f64::from(loss) * 0.05;
            scenario.discovery.delay = delay;
            for (at, lasts, (target, kind)) in faults {
                let mut fault = Fault::new(millis(at), target, kind);
                fault.lasts = lasts.map(millis);
                if fault.fault == FaultKind::RegistryOutage {
                    fault.target = None;
                }
                scenario = scenario.fault(fault);
            }
            scenario
        },
    )
}

fn any_group() -> impl Strategy<Value = ServerGroup> {
    let shape = (1..5_u32, 0..4_u16, 1..4_u32, proptest::option::of(0..4_u32), 0..3_u64);
    let discipline = select(vec![Discipline::Fifo, Discipline::ProcessorSharing, Discipline::Delay]);
    (shape, discipline, any_distribution(40), 1..4_u32).prop_map(
        |((count, weight, workers, limit, concurrent), discipline, service, speed)| {
            let mut group = ServerGroup::new("any", count, service).discipline(discipline).weight(weight);
            group.workers = positive(workers);
            group.queue_limit = limit;
            group.speed = f64::from(speed) * 0.5;
            group.service_time_per_concurrent = millis(concurrent);
            group.zone = Some("a".into());
            group
        },
    )
}

fn any_clients() -> impl Strategy<Value = Clients> {
    let arrivals = prop_oneof![
        (1..400_u32).prop_map(|rate| Arrivals::Poisson { rate: f64::from(rate) }),
        (1..400_u32).prop_map(|rate| Arrivals::Uniform { rate: f64::from(rate) }),
        (1..200_u32).prop_map(|rate| Arrivals::Bursts { rate: f64::from(rate), on: millis(50), off: millis(100) }),
        (0..300_u32, 1..300_u32).prop_map(|(from, to)| Arrivals::Ramp { from: f64::from(from), to: f64::from(to) }),
        (1..20_u32, 1..500_u64, 0..30_u64).prop_map(|(concurrency, requests, think)| Arrivals::Closed {
            concurrency,
            requests,
            think: millis(think)
        }),
        proptest::collection::vec(0..2500_u64, 1..100).prop_map(|mut offsets| {
            offsets.sort_unstable();
            Arrivals::at(offsets.into_iter().map(millis).collect::<Vec<_>>())
        }),
    ];
    let cancel = select(vec![CancelMode::None, CancelMode::Queued, CancelMode::Running]);
    let retry = proptest::option::of(1..5_u32);
    let timeouts = (20..400_u64, proptest::option::of(5..200_u64));
    (arrivals, cancel, retry, timeouts, 1..5_u32, any::<bool>()).prop_map(
        |(arrivals, cancel, retry, (timeout, attempt), count, checks)| {
            let mut clients = Clients::new(arrivals).count(positive(count)).timeout(millis(timeout));
            clients.attempt_timeout = attempt.map(millis);
            clients.cancel = cancel;
            clients.retry = retry.map(|attempts| {
                let mut retry = Retry::default();
                retry.attempts_max = positive(attempts);
                retry
            });
            if checks {
                let mut checks = HealthChecks::default();
                (checks.interval, checks.timeout) = (millis(100), millis(50));
                clients.health_check = Some(checks);
            }
            clients
        },
    )
}

fn any_distribution(most: u64) -> impl Strategy<Value = Distribution> {
    let simple = prop_oneof![
        (0..=most).prop_map(|value| Distribution::constant(millis(value))),
        (0..=most).prop_map(move |min| Distribution::Uniform { min: millis(min), max: millis(most) }),
        (0..=most).prop_map(|mean| Distribution::exponential(millis(mean))),
        (0..=most, 0..=most)
            .prop_map(|(mean, deviation)| Distribution::Normal { mean: millis(mean), std_dev: millis(deviation) }),
        (0..=most).prop_map(|median| Distribution::Lognormal { median: millis(median), sigma: 0.7 }),
        (0..=most).prop_map(|min| Distribution::Pareto { min: millis(min), alpha: 2.5 }),
        (0..=most).prop_map(|mean| Distribution::Hyperexponential { mean: millis(mean), cv2: 4.0 }),
        (0..=most, 1..5_u32).prop_map(|(mean, stages)| Distribution::Erlang { mean: millis(mean), stages }),
        proptest::collection::vec(0..=most, 1..4)
            .prop_map(|values| Distribution::Empirical { values: values.into_iter().map(millis).collect() }),
    ];
    let simple = simple.boxed();
    let part = (1..4_u32, simple.clone()).prop_map(|(weight, of)| Share { weight: f64::from(weight), of });
    prop_oneof![
        4 => simple,
        1 => proptest::collection::vec(part, 1..3).prop_map(|parts| Distribution::Mixture { parts }),
    ]
}

fn any_fault() -> impl Strategy<Value = (Target, FaultKind)> {
    let servers = prop_oneof![
        Just(Target::Group("group-0".into())),
        Just(Target::Server { group: "group-0".into(), index: 0 }),
        Just(Target::Fraction { group: "group-0".into(), fraction: 1.0 }),
        Just(Target::Zone("a".into())),
    ];
    let of_servers = prop_oneof![
        Just(FaultKind::Crash),
        Just(FaultKind::Hang),
        any_distribution(200).prop_map(FaultKind::ServiceTime),
        (1..50_u32).prop_map(|factor| FaultKind::Slowdown { factor: f64::from(factor) }),
        (0..=10_u32, 0..5_u64)
            .prop_map(|(rate, latency)| FaultKind::Errors { rate: f64::from(rate) / 10.0, latency: millis(latency) }),
        (1..300_u64, 1..300_u64).prop_map(|(up, down)| FaultKind::Flap { up: millis(up), down: millis(down) }),
        select(vec![
            FaultKind::ChecksFail,
            FaultKind::ChecksPass,
            FaultKind::Join,
            FaultKind::Drain,
            FaultKind::Deregister,
            FaultKind::RegistryOutage
        ]),
    ];
    let of_both = prop_oneof![
        select(vec![Direction::Both, Direction::In, Direction::Out])
            .prop_map(|direction| FaultKind::Partition { direction }),
        (0..50_u64).prop_map(|add| FaultKind::Latency { add: millis(add) }),
        (0..=10_u32).prop_map(|rate| FaultKind::Loss { rate: f64::from(rate) / 10.0 }),
        Just(FaultKind::Pause),
    ];
    let skew = (0..500_u64).prop_map(|by| FaultKind::ClockSkew { by: millis(by) });
    let of_both = of_both.boxed();
    prop_oneof![
        4 => (servers.clone(), of_servers),
        2 => (servers, of_both.clone()),
        1 => (Just(Target::Clients), of_both),
        1 => (Just(Target::Clients), skew),
    ]
}

/// Holds a run to what is always so, event by event; `finish` to what is so at its end.
#[derive(Debug, Default)]
pub(crate) struct Auditor {
    pub(crate) events: u64,
    last: Option<Instant>,
    under_way: BTreeSet<u64>,
    seen: BTreeSet<u64>,
    /// Of each attempt under way: its client's side is open.
    open: BTreeSet<(u64, u32)>,
    started: BTreeSet<(u64, u32)>,
    served: BTreeSet<(u64, u32)>,
    in_flight: BTreeMap<(u32, u32), i64>,
    pub(crate) ends: BTreeMap<&'static str, u64>,
    pub(crate) problems: Vec<String>,
}

impl Auditor {
    fn claim(&mut self, holds: bool, at: Instant, event: &Event, what: &str) {
        if !holds && self.problems.len() < 10 {
            self.problems.push(format!("{at:?} {event:?}: {what}"));
        }
    }

    /// What is so at the end of a run.
    pub(crate) fn finish(mut self) -> Self {
        if !self.under_way.is_empty() {
            self.problems.push(format!("requests never ended: {:?}", self.under_way));
        }
        if !self.open.is_empty() || self.in_flight.values().any(|count| *count != 0) {
            self.problems.push(format!("still in flight: {:?} {:?}", self.open, self.in_flight));
        }
        self
    }
}

impl Observer for Auditor {
    fn occurred(&mut self, at: Instant, event: &Event) {
        self.events += 1;
        self.claim(self.last.is_none_or(|last| last <= at), at, event, "time went back");
        self.last = Some(at);
        let attempt = (event.request, event.attempt);
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is nothing to an auditor")]
        match event.kind {
            EventKind::Arrived => {
                let new = self.seen.insert(event.request);
                self.claim(new, at, event, "came twice");
                self.under_way.insert(event.request);
            }
            EventKind::Succeeded | EventKind::GaveUp => {
                let ends = self.under_way.remove(&event.request);
                self.claim(ends, at, event, "ended twice, or before it came");
                *self.ends.entry(event.kind.name()).or_default() += 1;
            }
            EventKind::Picked => {
                let new = self.open.insert(attempt);
                self.claim(new, at, event, "the attempt was made twice");
                *self.in_flight.entry((event.client, event.server)).or_default() += 1;
            }
            EventKind::Replied | EventKind::Failed | EventKind::TimedOut => {
                let ends = self.open.remove(&attempt);
                self.claim(ends, at, event, "the attempt ended twice");
                *self.in_flight.entry((event.client, event.server)).or_default() -= 1;
            }
            EventKind::Started => {
                let new = self.started.insert(attempt);
                self.claim(new, at, event, "its service began twice");
            }
            EventKind::Served => {
                let new = self.served.insert(attempt);
                self.claim(new, at, event, "it was served twice");
                self.claim(self.started.contains(&attempt), at, event, "it was served before its service began");
            }
            _ => {}
        }
    }
}
