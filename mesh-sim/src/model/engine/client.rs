//! One client: the production balancer, service machine and randomness of one process.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use mesh_core::balance::{
    Balancer, EndpointId, Explanation, Handle, Lease, PickContext, PickError, Strategy, Tried, View,
};
use mesh_core::health::outlier::OutlierConfig;
use mesh_core::machine::{ServiceMachine, ServiceMachineConfig};
use mesh_core::rng::{Rng, scale};
use mesh_core::service::{InstanceKey, Zone};
use mesh_core::time::Instant;

use super::random::Streams;
use crate::model::scenario::Scenario;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) machine: ServiceMachine,
    pub(super) rng: Rng,
    /// When the machine is to be woken next, in virtual time.
    pub(super) due: Option<Instant>,
    /// The latest version of the registry's list that it has heard.
    pub(super) heard: u64,
    balancer: Balancer,
    /// One for each of its threads.
    handles: Vec<Handle>,
    /// The server of each endpoint, by the endpoint's number.
    servers: Vec<u32>,
    zone: Option<Zone>,
}

/// Where an attempt goes.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) lease: Lease,
    pub(super) server: u32,
    /// Why, where it was asked.
    pub(super) why: Option<Explanation>,
}

/// What all clients of a run are made from.
#[derive(Debug)]
pub(super) struct Template {
    config: ServiceMachineConfig,
    threads: u32,
    policies: Streams,
    machines: Streams,
}

impl Template {
    pub(super) fn new(scenario: &Scenario, strategy: &Strategy) -> Self {
        let mut config = ServiceMachineConfig::default();
        config.strategy = strategy.clone();
        config.outlier = scenario.clients.outlier.clone().unwrap_or_else(OutlierConfig::off);
        if let Some(checks) = &scenario.clients.health_check {
            config.check = checks.build().ok();
            config.checks.in_flight_max = checks.in_flight_max;
            config.checks.stagger_max = checks.stagger_max;
            config.checks.jitter_percent = checks.jitter_percent;
        }
        let threads = scenario.clients.threads;
        config.count_window = threads.window;
        let (threads, seed) = (threads.count.get(), scenario.seed);
        Self { config, threads, policies: Streams::new(seed, "policy"), machines: Streams::new(seed, "machine") }
    }

    /// The client `number`.
    pub(super) fn client(&self, number: u32, zone: Option<Zone>) -> Client {
        let number = u64::from(number);
        let balancer = Balancer::with_window(self.config.count_window);
        Client {
            machine: ServiceMachine::new(self.config.clone(), self.machines.seed(number)),
            rng: Rng::from_seed(self.policies.seed(number)),
            due: None,
            heard: 0,
            handles: (0..self.threads).map(|_| balancer.handle()).collect(),
            balancer,
            servers: Vec::new(),
            zone,
        }
    }
}

impl Client {
    /// Picks a server for an attempt, and says why if that is wanted.
    #[inline]
    pub(super) fn pick(
        &mut self,
        now: Instant,
        excluded: &Tried,
        hash_key: Option<u64>,
        explained: bool,
    ) -> Result<Picked, PickError> {
        let thread = if self.handles.len() > 1 { scale(self.rng.next_u64(), self.handles.len() as u64) } else { 0 };
        let (handle, word) = (&mut self.handles[thread as usize], self.rng.next_u64());
        let context = PickContext { hash_key, zone: self.zone.as_ref(), excluded, ..PickContext::default() };
        let (lease, why) = if explained {
            let (lease, why) = handle.pick_explained(now, &context, word)?;
            (lease, Some(why))
        } else {
            (handle.pick_owned(now, &context, word)?, None)
        };
        let server = self.server(lease.endpoint().id());
        Ok(Picked { lease, server, why })
    }

    /// The number of an endpoint's server.
    #[inline]
    pub(super) fn server(&self, endpoint: EndpointId) -> u32 {
        self.servers[place(endpoint)]
    }

    /// Publishes a view, and takes note of which endpoint is which server.
    pub(super) fn publish(&mut self, view: Arc<View>, numbers: &BTreeMap<InstanceKey, u32>) {
        for endpoint in view.endpoints() {
            let at = place(endpoint.id());
            if at >= self.servers.len() {
                self.servers.resize(at + 1, u32::MAX);
            }
            if self.servers[at] == u32::MAX {
                self.servers[at] = numbers.get(endpoint.key()).copied().unwrap_or(u32::MAX);
            }
        }
        self.balancer.publish(view);
    }
}

/// The number of an endpoint as a place in a table: endpoints are numbered in the order in which they are made.
#[inline]
const fn place(id: EndpointId) -> usize {
    id.number() as usize
}
