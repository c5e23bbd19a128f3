//! A fleet of processes that share what their breakers find out, over a store that can be told to fail, on paused time.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::mesh_cache::coordinator_store::{CoordinatorStore, MemoryCoordinator, state_key};
use mesh::mesh_core::port::BoxFuture;
use mesh::mesh_retry::breaker::{BreakerConfig, OpenJitter, ProbeRule};
use mesh::mesh_retry::coordinator::store::{StateKey, StoreCommand, StoreFailure, StoreReply};
use mesh::mesh_retry::coordinator::votes::VotesConfig;
use mesh::{Attempt, CallPolicy, MeshConfig, RetryPolicy, ServiceMesh, Strategy};

use crate::support::recorder::Notes;
use crate::support::{Lab, api, healthy, ms, number_of, pass, secs};

pub(crate) const BREAKER: &str = "mesh.client.breaker.transitions";
pub(crate) const VOTES: &str = "mesh.client.votes.duration";
pub(crate) const EVIDENCE: &str = "mesh.client.evidence.transitions";
pub(crate) const RIGHTS: &str = "mesh.client.probe.rights";
pub(crate) const FAILURES: &str = "mesh.client.votes.failures";

/// Failures in a row at which a breaker opens by itself.
pub(crate) const ALONE: u32 = 20;
/// And while there is a quorum.
pub(crate) const LOWERED: u32 = 3;

/// A fleet, and the instances that it calls.
pub(crate) struct Fleet {
    pub(crate) lab: Lab,
    pub(crate) store: Store,
    pub(crate) callee: Arc<Callee>,
}

/// The instances of `api`, as those who call them meet them.
#[derive(Debug, Default)]
pub(crate) struct Callee {
    /// How long an attempt takes, in milliseconds, at this instance or, where it is 0, at any.
    takes: AtomicU64,
    slow: AtomicU16,
    /// How many attempts are under way, and how many were at once at most.
    now: AtomicU32,
    most: AtomicU32,
    reached: AtomicU32,
}

/// A process of the fleet.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) mesh: ServiceMesh,
    pub(crate) notes: Notes,
    callee: Arc<Callee>,
}

impl Fleet {
    /// A fleet that votes on `api` as a whole, which has one instance.
    pub(crate) async fn of_service() -> Self {
        let fleet = Self::new(1).await;
        fleet.with(|config| {
            config.calls.breaker = Some(breaker());
            config.calls.votes = Some(VotesConfig::default());
        })
    }

    /// A fleet that votes on the instances of `api`.
    pub(crate) async fn of_instances(instances: u16) -> Self {
        let fleet = Self::new(instances).await;
        fleet.with(|config| {
            config.calls.instance_breaker = Some(breaker());
            config.calls.instance_votes = Some(VotesConfig::default());
            // Others prefer those that have not failed lately.
            config.service.strategy = Strategy::RoundRobin;
        })
    }

    async fn new(instances: u16) -> Self {
        let lab = Lab::new();
        for number in 1..=instances {
            lab.registry.put(&api(number)).await;
        }
        let store = Store::new(MemoryCoordinator::new(Arc::new(lab.clock)));
        Self { lab, store, callee: Arc::default() }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut MeshConfig)) -> Self {
        change(&mut self.lab.config);
        self
    }

    /// Another process, which follows `api`, and whose own clock, entropy and notes these are.
    pub(crate) async fn process(&self, number: u64) -> Process {
        self.process_in(number, None).await
    }

    pub(crate) async fn process_in(&self, number: u64, zone: Option<&str>) -> Process {
        let mut config = self.lab.config.clone();
        config.zone = zone.map(|zone| zone.parse().unwrap());
        let notes = Notes::default();
        let builder =
            self.lab.builder().environment(self.lab.environment(number)).config(config).recorder(notes.clone());
        let mesh = builder.coordinator(self.store.clone()).build().await.unwrap();
        healthy(&mesh, "api").await;
        pass(ms(1)).await;
        Process { mesh, notes, callee: Arc::clone(&self.callee) }
    }

    /// So many processes.
    pub(crate) async fn processes(&self, count: u64) -> Vec<Process> {
        let mut processes = Vec::new();
        for number in 1..=count {
            processes.push(self.process(number).await);
        }
        processes
    }
}

impl Callee {
    /// From now on attempts take so long.
    pub(crate) fn takes(&self, time: Duration) {
        self.takes.store(time.as_millis() as u64, Ordering::Relaxed);
        self.slow.store(0, Ordering::Relaxed);
    }

    /// As [`Callee::takes`], at the instance `number` alone; at the others none.
    pub(crate) fn takes_at(&self, number: u16, time: Duration) {
        self.takes(time);
        self.slow.store(number, Ordering::Relaxed);
    }

    fn time(&self, number: u16) -> Duration {
        let slow = self.slow.load(Ordering::Relaxed);
        if slow == 0 || slow == number { ms(self.takes.load(Ordering::Relaxed)) } else { Duration::ZERO }
    }

    /// How many attempts have reached it since this was asked last, and how many were at once at most.
    pub(crate) fn reached(&self) -> (u32, u32) {
        (self.reached.swap(0, Ordering::Relaxed), self.most.swap(0, Ordering::Relaxed))
    }
}

/// One attempt under way.
struct Visit<'a>(&'a Callee);

impl<'a> Visit<'a> {
    fn begin(callee: &'a Callee) -> Self {
        callee.reached.fetch_add(1, Ordering::Relaxed);
        let now = callee.now.fetch_add(1, Ordering::Relaxed) + 1;
        callee.most.fetch_max(now, Ordering::Relaxed);
        Self(callee)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Process {
    /// Makes a call of one attempt, which ends well at the instances that `is_well` says; tells whether it did.
    pub(crate) async fn call(&self, is_well: impl Fn(u16) -> bool) -> bool {
        let attempt = |attempt: Attempt| {
            let number = number_of(&attempt);
            let (is_well, takes) = (is_well(number), self.callee.time(number));
            async move {
                let _visit = Visit::begin(&self.callee);
                tokio::time::sleep(takes).await;
                if is_well { Ok(()) } else { Err("failed") }
            }
        };
        self.mesh.call("api", &CallPolicy::new(RetryPolicy::never()).unwrap(), attempt).await.is_ok()
    }

    /// Makes so many calls, one after another, that fail.
    pub(crate) async fn fail(&self, times: u32) {
        for _ in 0..times {
            self.call(|_| false).await;
        }
    }

    /// Fails until its breaker has opened.
    pub(crate) async fn open(&self) {
        self.fail(ALONE).await;
        assert!(self.last(BREAKER).contains("closed to open"), "{}", self.last(BREAKER));
        pass(ms(1)).await;
    }

    /// The last word of the metric; empty where there was none.
    pub(crate) fn last(&self, metric: &str) -> String {
        self.notes.of(metric).pop().unwrap_or_default()
    }
}

/// The memory of this process as a store that can be told to fail; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    store: MemoryCoordinator,
    mode: Arc<Mutex<Mode>>,
    commands: Arc<Mutex<Vec<StoreCommand>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Answers,
    Refuses,
    Silent,
    Panics,
}

impl Store {
    fn new(store: MemoryCoordinator) -> Self {
        Self { store, mode: Arc::new(Mutex::new(Mode::Answers)), commands: Arc::default() }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// How many hold it, the test included: a connection lives as long as anybody does.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.commands)
    }

    /// What it was asked since this was asked last.
    pub(crate) fn commands(&self) -> Vec<StoreCommand> {
        std::mem::take(&mut *self.commands.lock().unwrap())
    }

    /// The subjects that were voted on since this was asked last.
    pub(crate) fn subjects(&self) -> Vec<StateKey> {
        let votes = self.commands().into_iter().filter_map(|command| {
            let StoreCommand::Vote(vote) = command else { return None };
            Some(vote.subject)
        });
        let mut subjects: Vec<_> = votes.collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }
}

impl CoordinatorStore for Store {
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        let mode = *self.mode.lock().unwrap();
        self.commands.lock().unwrap().push(command.clone());
        Box::pin(async move {
            match mode {
                Mode::Answers => self.store.apply(command).await,
                Mode::Refuses => Err(StoreFailure::NotDone),
                Mode::Silent => std::future::pending().await,
                Mode::Panics => panic!("a store of somebody's own"),
            }
        })
    }
}

/// Open after [`ALONE`] failures in a row, for 5 s, closed by one probe that is well.
pub(crate) fn breaker() -> BreakerConfig {
    let mut breaker = BreakerConfig::consecutive(NonZeroU32::new(ALONE).unwrap());
    (breaker.open.base, breaker.open.max, breaker.open.jitter) = (secs(5), secs(5), OpenJitter::None);
    (breaker.half_open.probes, breaker.half_open.rule) = (NonZeroU32::MIN, ProbeRule::NoneFails);
    breaker
}

/// What the store knows `api` by, and its instance `number`.
pub(crate) fn service_subject() -> StateKey {
    state_key(&["mesh", "api", "votes"])
}

pub(crate) fn instance_subject(number: u16, port: u16) -> StateKey {
    let (id, at) = (format!("api-{number}"), format!("127.0.0.1:{port}"));
    state_key(&["mesh", "api", "instance-votes", "", &id, &at])
}

/// How many tasks there are.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
