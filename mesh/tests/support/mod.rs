//! What several test files of the facade share: a laboratory in which every part of the world can be told to
//! fail, and questions about a mesh in one line each.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod backend;
pub(crate) mod dial;
pub(crate) mod logs;
pub(crate) mod recorder;
pub(crate) mod registry;
pub(crate) mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh::mesh_core::balance::Tried;
use mesh::mesh_core::port::{Clock, Entropy};
use mesh::mesh_core::rng::mix;
use mesh::mesh_core::service::{ConfigError, ServiceConfigBuilder};
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::backoff::Jitter;
use mesh::{
    Environment, Instance, InstanceId, Lease, MeshConfig, PickContext, PickError, RetryPolicy, ServiceConfig,
    ServiceMesh, ServiceMeshBuilder, SystemWallClock, TokioClock,
};

use dial::ScriptedDial;
use recorder::Notes;
use registry::ScriptedRegistry;

/// A world in which nothing is left to chance: scripted registry and network, seeded entropy, tokio's clock.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) registry: ScriptedRegistry,
    pub(crate) dial: ScriptedDial,
    pub(crate) notes: Notes,
    pub(crate) clock: TokioClock,
    pub(crate) config: MeshConfig,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            registry: ScriptedRegistry::default(),
            dial: ScriptedDial::default(),
            notes: Notes::default(),
            clock: TokioClock::showing(Instant::ZERO),
            config: plain(),
        }
    }

    /// A mesh in this world; a second one is another process's.
    pub(crate) async fn mesh(&self) -> ServiceMesh {
        self.builder().build().await.unwrap()
    }

    /// A mesh in this world in whose registry `api` has the instances 1 to `instances`, without checks.
    pub(crate) async fn mesh_with(&self, instances: u16) -> ServiceMesh {
        for number in 1..=instances {
            self.registry.put(&api(number)).await;
        }
        self.mesh().await
    }

    pub(crate) fn builder(&self) -> ServiceMeshBuilder {
        ServiceMesh::builder()
            .registry(self.registry.clone())
            .environment(self.environment(0))
            .recorder(self.notes.clone())
            .config(self.config.clone())
    }

    /// The environment of the process `number`: its words are not those of another, and the same in every run.
    pub(crate) fn environment(&self, number: u64) -> Environment {
        Environment {
            clock: Arc::new(self.clock),
            entropy: Arc::new(Seeded(AtomicU64::new(number << 32))),
            dial: Arc::new(self.dial.clone()),
            wall: Arc::new(SystemWallClock),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }
}

/// Words that are the same in every run.
#[derive(Debug)]
struct Seeded(AtomicU64);

impl Entropy for Seeded {
    fn next_u64(&self) -> u64 {
        mix(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Instance `number` of the service `api`, called `api-<number>`, without a check.
pub(crate) fn api(number: u16) -> ServiceConfig {
    instance_of("api", number).build().unwrap()
}

/// Instance `number` of `service`, without a check, to be changed.
pub(crate) fn instance_of(service: &str, number: u16) -> ServiceConfigBuilder {
    ServiceConfig::builder(service, "127.0.0.1", PORTS_BEGIN + number).id(id(service, number)).without_check()
}

pub(crate) fn id(service: &str, number: u16) -> InstanceId {
    format!("{service}-{number}").parse().unwrap()
}

/// The number of an instance made by [`instance_of`].
pub(crate) fn number_of(instance: &Instance) -> u16 {
    instance.port() - PORTS_BEGIN
}

pub(crate) fn port(number: u16) -> u16 {
    PORTS_BEGIN + number
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Retries without jitter: waits of 100 ms, 200 ms and so on.
pub(crate) fn retries(attempts_max: u32) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.attempts_max = attempts_max.try_into().unwrap();
    retry.backoff.jitter = Jitter::None;
    retry
}

/// The requests in flight to `service` with at most eight instances, found out by picking each of them once.
pub(crate) async fn in_flight(mesh: &ServiceMesh, service: &str) -> u32 {
    every(mesh, service).await.iter().map(|lease| lease.endpoint().in_flight() - 1).sum()
}

/// A lease on every instance of `service`, of which there are at most eight.
pub(crate) async fn every(mesh: &ServiceMesh, service: &str) -> Vec<Lease> {
    let mut tried = Tried::new();
    let mut leases = Vec::new();
    loop {
        let context = PickContext { excluded: &tried, ..PickContext::default() };
        match mesh.pick(service, &context).await {
            Ok(lease) => {
                tried.insert(lease.endpoint().id());
                leases.push(lease);
            }
            Err(error) if matches!(error.pick(), Some(PickError::AllExcluded { .. })) => return leases,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The numbers of the healthy instances of `service`, in order; empty where there is none.
pub(crate) async fn healthy(mesh: &ServiceMesh, service: &str) -> Vec<u16> {
    match mesh.get_healthy_services(service).await {
        Ok(instances) => {
            let mut numbers: Vec<_> = instances.iter().map(|instance| number_of(instance)).collect();
            numbers.sort_unstable();
            numbers
        }
        Err(error) if error.pick().is_some() => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

/// Polls until `condition` holds; panics when it has not after a while.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(ms(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, holds).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

/// Lets `duration` of paused time pass, and everything that is due in it happen.
pub(crate) async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
    settle().await;
}

/// Lets every task that has something to do now do it.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// The text of the refusal of a configuration.
pub(crate) fn refusal(result: Result<ServiceConfig, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

const PORTS_BEGIN: u16 = 10_000;
/// Virtual where time is paused; else long enough for the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The defaults, but for outlier detection: what tests let fail is to stay.
pub(crate) fn plain() -> MeshConfig {
    let mut config = MeshConfig::default();
    config.calls.budget = None;
    config.service.outlier = mesh::mesh_core::health::outlier::OutlierConfig::off();
    config
}
