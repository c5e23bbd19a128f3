//! A fleet whose processes share budgets and slots in a store that answers as a test wants it to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::mesh_cache::coordinator_store::{CoordinatorStore, MemoryCoordinator};
use mesh::mesh_core::port::{BoxFuture, Clock};
use mesh::mesh_core::recorder::{Measurement, Recorder};
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::coordinator::budget::{Fallback, FleetBudgetConfig};
use mesh::mesh_retry::coordinator::slots::SlotsConfig;
use mesh::mesh_retry::coordinator::store::{Settle, Slots, StoreCommand, StoreFailure, StoreReply, StoreTime, Voted};
use mesh::{Attempt, CallPolicy, ServiceMesh, TokioClock};

use crate::support::{Lab, healthy, instance_of, ms, retries};

/// Fleets over one store, whose answers a test chooses, and whose clock it sets.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) store: Store,
    pub(crate) store_ahead: Ahead,
    pub(crate) budget: FleetBudgetConfig,
    pub(crate) has_budget: bool,
    pub(crate) services_max: u32,
    pub(crate) told: Told,
}

impl World {
    /// A hundred retries are there, nothing comes with time, and alone nobody may make any.
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let mut budget = FleetBudgetConfig::default();
        let limits = &mut budget.limits;
        (limits.ratio_milli, limits.per_second_milli, limits.burst_milli) = (0, 0, 100_000);
        budget.fallback = Fallback::Pessimistic;
        let store_ahead = Ahead(Arc::default(), lab.clock);
        let store = Store::new(MemoryCoordinator::new(Arc::new(store_ahead.clone())), lab.clock);
        Self { lab, store, store_ahead, budget, has_budget: true, services_max: 100, told: Told::default() }
    }

    /// A process of the fleet `namespace`, which follows `api`.
    pub(crate) async fn mesh(&self, number: u64, namespace: &str) -> ServiceMesh {
        self.mesh_told(number, namespace, self.told.clone()).await
    }

    /// As [`World::mesh`], with a `recorder` of its own.
    pub(crate) async fn mesh_told(
        &self,
        number: u64,
        namespace: &str,
        recorder: impl Recorder + 'static,
    ) -> ServiceMesh {
        for service in ["api", "web"] {
            self.lab.registry.put(&instance_of(service, 1).build().unwrap()).await;
        }
        let mut config = self.lab.config.clone();
        config.calls.fleet = self.has_budget.then_some(self.budget);
        config.calls.retry_slots = Some(SlotsConfig::default());
        config.services_max = self.services_max.try_into().unwrap();
        config.memory.namespace = namespace.to_owned();
        let builder = self.lab.builder().environment(self.lab.environment(number)).config(config).recorder(recorder);
        let mesh = builder.coordinator(self.store.clone()).build().await.unwrap();
        healthy(&mesh, "api").await;
        mesh
    }

    /// What the recorder was told of `kind`, as it shows itself.
    pub(crate) fn told(&self, kind: &str) -> Vec<String> {
        let told = self.told.0.lock().unwrap();
        told.iter().filter(|told| told.split(' ').next() == Some(kind)).cloned().collect()
    }

    pub(crate) fn settles(&self) -> Vec<Settle> {
        let settles = |command| if let StoreCommand::Settle(settle) = command { Some(settle) } else { None };
        self.store.commands().into_iter().filter_map(settles).collect()
    }

    /// When commands of a kind came to the store.
    pub(crate) fn times(&self, kind: impl Fn(&StoreCommand) -> bool) -> Vec<Instant> {
        let asked = self.store.asked.lock().unwrap();
        asked.iter().filter(|(_, command)| kind(command)).map(|(at, _)| *at).collect()
    }

    /// How many retries were made in the place of attempts that failed.
    pub(crate) fn retries(&self) -> usize {
        self.told("AttemptEnded").len() - self.told("CallEnded").len()
    }
}

/// A call of which every attempt fails, and which is retried once if it may be.
pub(crate) async fn fail(mesh: &ServiceMesh, service: &str) {
    mesh.call(service, &policy(), |_: Attempt| async { Err::<(), _>("failed") }).await.unwrap_err();
}

pub(crate) async fn failing(mesh: ServiceMesh) {
    fail(&mesh, "api").await;
}

pub(crate) fn policy() -> CallPolicy {
    CallPolicy::new(retries(2)).unwrap()
}

/// The memory of this process as a store that can be told how to answer; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) store: MemoryCoordinator,
    mode: Arc<Mutex<Mode>>,
    clock: TokioClock,
    pub(crate) asked: Arc<Mutex<Vec<(Instant, StoreCommand)>>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Answers,
    /// With something else.
    Confused,
    Fails(StoreFailure),
    /// As long after it was done.
    Slow(Duration),
    Silent,
}

impl Store {
    pub(crate) fn new(store: MemoryCoordinator, clock: TokioClock) -> Self {
        Self { store, mode: Arc::new(Mutex::new(Mode::Answers)), clock, asked: Arc::default() }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub(crate) fn commands(&self) -> Vec<StoreCommand> {
        self.asked.lock().unwrap().iter().map(|(_, command)| command.clone()).collect()
    }
}

impl CoordinatorStore for Store {
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        self.asked.lock().unwrap().push((self.clock.now(), command.clone()));
        let mode = *self.mode.lock().unwrap();
        Box::pin(async move {
            match mode {
                Mode::Answers => self.store.apply(command).await,
                Mode::Confused => {
                    let reply = self.store.apply(command).await?;
                    let at = StoreTime::from_micros(1);
                    Ok(if let StoreReply::Settled(_) = reply {
                        StoreReply::Slots(Slots { at, first: 0 })
                    } else {
                        StoreReply::Voted(Voted { live: 1, open: 0 })
                    })
                }
                Mode::Fails(failure) => Err(failure),
                Mode::Slow(takes) => {
                    let reply = self.store.apply(command).await;
                    tokio::time::sleep(takes).await;
                    reply
                }
                Mode::Silent => std::future::pending().await,
            }
        })
    }
}

/// The clock of the store: so many milliseconds ahead of that of the processes.
#[derive(Clone, Debug)]
pub(crate) struct Ahead(pub(crate) Arc<AtomicU64>, TokioClock);

impl Clock for Ahead {
    fn now(&self) -> Instant {
        self.1.now() + ms(1_000_000 + self.0.load(Ordering::Relaxed))
    }
}

/// Keeps all that it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// All of it, in order.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Recorder for Told {
    fn record(&self, measurement: &Measurement<'_>) {
        self.0.lock().unwrap().push(format!("{measurement:?}"));
    }
}
