//! How a run begins: servers, clients and the registry made from the scenario.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

use mesh_core::balance::Strategy;
use mesh_core::rng::mix;
use mesh_core::service::{Instance, InstanceKey, Zone};
use mesh_core::time::Instant;
use slotmap::SlotMap;

use super::agenda::Agenda;
use super::arrivals::Process;
use super::client::Template;
use super::digest::Digest;
use super::faults::{EffectKind, Schedule, Victims};
use super::fleet::Fleet;
use super::metrics::Metrics;
use super::network::Wire;
use super::random::{Bits as _, Streams};
use super::registry::Registry;
use super::server::{Group, Server};
use super::{Course, Due, Engine};
use crate::model::observe::Observer;
use crate::model::scenario::{Arrivals, ClientZone, Keys, Scenario, ServerGroup};

impl<'a, C: Course, O: Observer> Engine<'a, C, O> {
    pub(super) fn new(scenario: &'a Scenario, strategy: &Strategy, course: &'a C, observer: &'a mut O) -> Self {
        let (seed, clients) = (scenario.seed, &scenario.clients);
        let instances = instances(&scenario.servers);
        let numbers: BTreeMap<InstanceKey, u32> =
            instances.iter().zip(0..).map(|(instance, number)| (instance.key().clone(), number)).collect();
        let template = Template::new(scenario, strategy);
        let zones = zones(scenario);
        let zone = |client: u32| zones.get(client as usize % zones.len().max(1)).cloned();
        let Schedule { effects, edges } = Schedule::new(scenario);
        let groups = (0..).zip(&scenario.servers);
        Self {
            scenario,
            course,
            observer,
            now: Instant::ZERO,
            steps: 0,
            agenda: Agenda::new(),
            digest: Digest::default(),
            metrics: Metrics::new(),
            window: (Instant::ZERO + scenario.warmup, Instant::ZERO + scenario.duration),
            wire: Wire::new(&scenario.network, seed),
            demands: Streams::new(seed, "demand"),
            mishaps: Streams::new(seed, "faults"),
            servers: groups.flat_map(|(at, group)| (0..group.count).map(move |_| Server::new(at))).collect(),
            groups: scenario.servers.iter().map(Group::of).collect(),
            attempts: SlotMap::new(),
            clients: (0..clients.count.get()).map(|number| template.client(number, zone(number))).collect(),
            numbers,
            calls: SlotMap::new(),
            probes: SlotMap::new(),
            probes_made: 0,
            registry: Registry::new(instances, &scenario.discovery, seed),
            fleet: course.fleet().map(|(budgets, _)| Box::new(Fleet::new(budgets, &scenario.store, seed))),
            arrivals: Process::new(&clients.arrivals, scenario.duration, Streams::new(seed, "arrivals").single()),
            choice: Streams::new(seed, "clients").single(),
            keys: clients.keys.as_ref().map(|keys| KeyLaw::new(keys, seed)),
            requests_made: 0,
            sources: 0,
            asked: Vec::new(),
            held: VecDeque::new(),
            effects,
            edges,
            affliction: None,
        }
    }

    /// Lets everybody know everybody, and the first things come.
    pub(super) fn begin(&mut self) {
        // What is so from the start is so before anybody hears of anything.
        let absent = |engine: &Self, edge: usize| {
            let edge = &engine.edges[edge];
            edge.at == Instant::ZERO && matches!(engine.effects[edge.effect].kind, EffectKind::Absent)
        };
        for edge in 0..self.edges.len() {
            if absent(self, edge) {
                self.hide(edge);
            }
        }
        self.introduce();
        self.introduce_coordinators();
        self.expect_edge(0);
        if let Arrivals::Closed { concurrency, .. } = &self.scenario.clients.arrivals {
            self.sources = *concurrency;
            self.asked = vec![0; *concurrency as usize];
            for user in 0..*concurrency {
                self.agenda.push(Instant::ZERO, Due::Asks(user));
            }
        } else {
            self.sources = 1;
            self.expect_arrival();
        }
    }

    /// Takes servers off the list that are not there yet, without a word to anybody.
    fn hide(&mut self, edge: usize) {
        if let Victims::Servers(servers) = self.effects[self.edges[edge].effect].victims.clone() {
            for &server in &*servers {
                self.registry.list(server, false);
            }
        }
    }
}

/// The instances that the registry lists, numbered over all groups.
fn instances(groups: &[ServerGroup]) -> Vec<Arc<Instance>> {
    let servers = groups.iter().flat_map(|group| (0..group.count).map(move |index| (group, index)));
    let built = (0_u32..).zip(servers).filter_map(|(number, (group, index))| group.instance(number, index).ok());
    built.map(Arc::new).collect()
}

/// The zones of the clients, one after the other.
fn zones(scenario: &Scenario) -> Vec<Zone> {
    let named: Vec<&String> = match &scenario.clients.zone {
        None => Vec::new(),
        Some(ClientZone::In(zone)) => vec![zone],
        Some(ClientZone::Spread) => {
            let zones: BTreeSet<_> = scenario.servers.iter().filter_map(|group| group.zone.as_ref()).collect();
            zones.into_iter().collect()
        }
    };
    named.into_iter().filter_map(|zone| zone.parse().ok()).collect()
}

/// How the keys of requests are drawn.
#[derive(Debug)]
pub(super) struct KeyLaw {
    streams: Streams,
    count: u64,
    /// The running sums of the keys' shares; none where all are alike.
    sums: Option<Box<[f64]>>,
}

impl KeyLaw {
    fn new(keys: &Keys, seed: u64) -> Self {
        let streams = Streams::new(seed, "keys");
        match keys {
            Keys::Uniform { count } => Self { streams, count: u64::from(count.get()), sums: None },
            Keys::Zipf { count, exponent } => {
                let mut sum = 0.0;
                let sums = (1..=count.get()).map(|key| {
                    sum += libm::pow(f64::from(key), -exponent);
                    sum
                });
                Self { streams, count: u64::from(count.get()), sums: Some(sums.collect()) }
            }
        }
    }

    /// The hash of the key of `request`.
    pub(super) fn draw(&self, request: u64) -> u64 {
        let mut draws = self.streams.stream(request, 0);
        let key = match &self.sums {
            None => mesh_core::rng::scale(draws.next_u64(), self.count),
            Some(sums) => {
                let drawn = draws.unit() * sums.last().copied().unwrap_or(0.0);
                sums.partition_point(|sum| *sum <= drawn) as u64
            }
        };
        mix(key)
    }
}
