//! A budget for retries that meshes share, on paused time: what it pays, what it does without its store, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mesh::mesh_cache::coordinator_store::{CoordinatorStore, MemoryCoordinator};
use mesh::mesh_core::port::BoxFuture;
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::coordinator::budget::{Fallback, FleetBudgetConfig};
use mesh::mesh_retry::coordinator::store::{StoreCommand, StoreFailure, StoreReply};
use mesh::{Attempt, BuildError, CallPolicy, MeshConfig, ServiceMesh};

use support::logs::Logs;
use support::{Lab, api, ms, pass, retries, secs, settle};

const CHANGES: &str = "mesh.client.budget.transitions";
const SETTLED: &str = "mesh.client.budget.settlement.duration";
const FAILURES: &str = "mesh.client.budget.failures";

#[tokio::test(start_paused = true)]
async fn the_processes_of_a_fleet_make_as_many_retries_together_as_one_might() {
    let world = World::new(10, 0);
    let (first, second) = (world.mesh(1).await, world.mesh(2).await);
    for _ in 0..40 {
        fail(&world, &first).await;
        fail(&world, &second).await;
        pass(ms(100)).await;
    }
    let all = world.retries();
    assert_eq!(all, 10, "each alone would have made as many");
}

#[tokio::test(start_paused = true)]
async fn what_one_process_leaves_another_has_within_a_second() {
    let world = World::new(10, 20_000);
    let (hot, idle) = (world.mesh(1).await, world.mesh(2).await);
    fail(&world, &idle).await;
    let caller = async || {
        while world.lab.now() < Instant::from_millis(7_000) {
            fail(&world, &hot).await;
            tokio::time::sleep(ms(5)).await;
        }
    };
    let counting = async {
        pass(ms(1_500)).await;
        let before = world.retries();
        pass(secs(5)).await;
        world.retries() - before
    };
    let (_, _, _, _, made) = tokio::join!(caller(), caller(), caller(), caller(), counting);
    assert!((80..=120).contains(&made), "20 a second are for both, and it made {made} in 5 s");
    assert!(world.lab.notes.of(SETTLED).last().unwrap().ends_with("for 2"), "{:?}", world.lab.notes.of(SETTLED));
}

#[tokio::test(start_paused = true)]
async fn the_recorder_and_the_log_are_told_of_the_budget() {
    let (logs, _listening) = Logs::listen();
    let world = World::new(10, 1_000);
    let mesh = world.mesh(1).await;
    fail(&world, &mesh).await;
    pass(secs(2)).await;
    fail(&world, &mesh).await;
    assert_eq!(world.lab.notes.of(CHANGES), ["no-assignment to leased by answered"]);
    assert_eq!(world.lab.notes.of(SETTLED)[0], "1 of 1, 0 back, 9000 left for 1");
    let skew = world.lab.notes.of("mesh.coordinator.skew");
    assert!(skew.iter().all(|reading| reading == "0 us, set: false") && !skew.is_empty(), "{skew:?}");
    world.store.set(Mode::Refuses);
    for _ in 0..20 {
        fail(&world, &mesh).await;
        pass(ms(100)).await;
    }
    assert_eq!(world.lab.notes.of(FAILURES)[0], "not-done: 1 in a row");
    let changes = world.lab.notes.of(CHANGES);
    assert_eq!(changes[1..], ["leased to expired by lease-over", "expired to local-fallback by failures"]);
    let text = logs.text();
    let lost = "the store of the fleet's retries is lost, going by the share service=api from=\"expired\"";
    assert_eq!(text.matches(lost).count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_for_a_store_that_is_silent_and_the_share_answers_until_it_speaks() {
    let mut world = World::new(10, 100_000);
    world.budget.fallback = Fallback::Safe;
    let mesh = world.mesh(1).await;
    fail(&world, &mesh).await;
    world.store.set(Mode::Silent);
    for _ in 0..30 {
        let began = world.lab.now();
        fail(&world, &mesh).await;
        let took = world.lab.now().since(began);
        assert!(took == ms(0) || took == ms(100), "its backoff is 100 ms, and it took {took:?}");
        pass(ms(100)).await;
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks <= 4, "{tasks} tasks: what is given up goes on behind");
    let changes = world.lab.notes.of(CHANGES);
    assert!(changes.last().unwrap().starts_with("expired to local-fallback"), "{changes:?}");
    assert!(world.lab.notes.of(FAILURES).iter().all(|failure| failure.starts_with("unknown")));
    let before = world.retries();
    for _ in 0..10 {
        fail(&world, &mesh).await;
        pass(ms(400)).await;
    }
    assert_eq!(world.retries() - before, 10, "the share of one is all that there is");
    world.store.set(Mode::Answers);
    pass(secs(2)).await;
    assert_eq!(world.lab.notes.of(CHANGES).last().unwrap(), "local-fallback to leased by answered");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_one_that_does_not_answer() {
    let world = World::new(10, 0);
    let mesh = world.mesh(1).await;
    fail(&world, &mesh).await;
    world.store.set(Mode::Panics);
    for _ in 0..30 {
        fail(&world, &mesh).await;
        pass(ms(100)).await;
    }
    assert!(world.lab.notes.of(FAILURES).iter().all(|failure| failure.starts_with("unknown")));
    world.store.set(Mode::Answers);
    pass(secs(3)).await;
    assert_eq!(world.lab.notes.of(CHANGES).last().unwrap(), "local-fallback to leased by answered");
}

#[tokio::test(start_paused = true)]
async fn what_a_process_holds_goes_back_when_it_ends() {
    let world = World::new(100, 0);
    let (first, second) = (world.mesh(1).await, world.mesh(2).await);
    // Ten calls at once ask for ten tokens, and those that gave up did not use theirs.
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(given_up(first.clone()))).collect();
    for call in calls {
        call.await.unwrap();
    }
    settle().await;
    let held = world.held();
    assert!(held > 0, "there is something to give back");
    assert!(first.shutdown(secs(5)).await.is_clean());
    assert_eq!(world.held(), 0);
    assert_eq!(world.lab.notes.of(CHANGES).last().unwrap(), "leased to local-fallback by shutdown");
    for _ in 0..120 {
        fail(&world, &second).await;
    }
    assert_eq!(world.retries(), 100, "nothing was lost");
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_does_not_outlast_its_reply_nor_the_grace_of_a_shutdown() {
    for (grace, least, most) in [(secs(10), ms(499), ms(501)), (ms(200), ms(199), ms(200)), (ms(0), ms(0), ms(0))] {
        let world = World::new(100, 0);
        let mesh = world.mesh(1).await;
        fail(&world, &mesh).await;
        given_up(mesh.clone()).await;
        world.store.set(Mode::Silent);
        let began = world.lab.now();
        assert!(mesh.shutdown(grace).await.is_clean());
        let took = world.lab.now().since(began);
        assert!((least..=most).contains(&took), "{grace:?} of grace, and it took {took:?}");
        drop(mesh);
        settle().await;
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "no task is left");
    }
}

#[tokio::test(start_paused = true)]
async fn services_have_budgets_of_their_own_and_those_of_names_that_were_made_up_end() {
    let mut world = World::new(10, 0);
    world.services_max = 2;
    let mesh = world.mesh(1).await;
    world.lab.registry.put(&support::instance_of("web", 1).build().unwrap()).await;
    for _ in 0..20 {
        pass(ms(100)).await;
        fail(&world, &mesh).await;
        fail_at(&world, &mesh, "web").await;
    }
    assert_eq!(world.retries(), 20);
    let mesh = world.mesh(2).await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut most = 0;
    for number in 0..20 {
        let _ = mesh.get_service(&format!("made-up-{number}")).await;
        settle().await;
        most = most.max(alive());
        pass(secs(1)).await;
    }
    assert!(alive() <= most && most < 12, "{most} tasks, of two services of each mesh at most");
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_the_fleet_wants_a_store_and_numbers_that_keep_their_rules() {
    let mut config = MeshConfig::default();
    config.calls.fleet = Some(FleetBudgetConfig::default());
    let refused = |built: Result<ServiceMesh, BuildError>| built.err().unwrap().to_string();
    let without = refused(ServiceMesh::builder().config(config.clone()).build().await);
    assert!(without.starts_with("calls.fleet: ") && without.contains("ServiceMeshBuilder::redis"), "{without}");

    let store = || MemoryCoordinator::new(Arc::new(mesh::TokioClock::new()));
    let with = ServiceMesh::builder().config(config.clone()).coordinator(Arc::new(store())).build().await.unwrap();
    assert!(with.shutdown(secs(1)).await.is_clean());
    config.calls.fleet.as_mut().unwrap().lease_max = 0;
    let wrong = refused(ServiceMesh::builder().config(config).coordinator(store()).build().await);
    assert!(wrong.contains("calls.fleet") && wrong.contains("lease_max"), "{wrong}");

    let text = "[calls.fleet]\nfallback = \"pessimistic\"\nlimits = { ratio_milli = 100 }";
    let read: MeshConfig = toml::from_str(text).unwrap();
    let fleet = read.calls.fleet.unwrap();
    assert_eq!((fleet.fallback, fleet.limits.ratio_milli), (Fallback::Pessimistic, 100));
    let off: MeshConfig = toml::from_str("[calls]\nfleet = \"off\"").unwrap();
    assert_eq!(off, MeshConfig::default());
}

/// A fleet whose store can be told to fail.
struct World {
    lab: Lab,
    store: Store,
    budget: FleetBudgetConfig,
    services_max: u32,
    retries: AtomicU64,
}

impl World {
    /// A fleet that may make `burst` retries at once and so many thousandths of one a second; alone nobody may make any.
    fn new(burst: u32, per_second_milli: u32) -> Self {
        let lab = Lab::new();
        let mut budget = FleetBudgetConfig::default();
        let limits = &mut budget.limits;
        (limits.ratio_milli, limits.per_second_milli, limits.burst_milli) = (0, per_second_milli, burst * 1_000);
        budget.fallback = Fallback::Pessimistic;
        let store = Store::new(MemoryCoordinator::new(Arc::new(lab.clock)));
        Self { lab, store, budget, services_max: 100, retries: AtomicU64::new(0) }
    }

    /// A process of the fleet, which knows an instance of `api`.
    async fn mesh(&self, number: u64) -> ServiceMesh {
        self.lab.registry.put(&api(1)).await;
        let mut config = self.lab.config.clone();
        config.calls.fleet = Some(self.budget);
        config.services_max = NonZeroU32::new(self.services_max).unwrap();
        let builder = self.lab.builder().environment(self.lab.environment(number)).config(config);
        builder.coordinator(self.store.clone()).build().await.unwrap()
    }

    fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// How many tokens processes hold.
    fn held(&self) -> i64 {
        self.store.out.load(Ordering::Relaxed) - self.retries() as i64
    }
}

/// A call of which every attempt fails, and which is retried once if it may be.
async fn fail(world: &World, mesh: &ServiceMesh) {
    fail_at(world, mesh, "api").await;
}

async fn fail_at(world: &World, mesh: &ServiceMesh, service: &str) {
    let attempt = |attempt: Attempt| {
        world.retries.fetch_add(u64::from(attempt.number() > 1), Ordering::Relaxed);
        async { Err::<(), _>("failed") }
    };
    mesh.call(service, &CallPolicy::new(retries(2)).unwrap(), attempt).await.unwrap_err();
}

/// A call whose caller leaves while it waits for its retry.
async fn given_up(mesh: ServiceMesh) {
    let policy = CallPolicy::new(retries(2)).unwrap();
    let call = mesh.call("api", &policy, |_| async { Err::<(), _>("failed") });
    tokio::time::timeout(ms(50), call).await.unwrap_err();
}

/// The memory of this process as a store that can be told to fail; clones share it.
#[derive(Clone, Debug)]
struct Store {
    store: MemoryCoordinator,
    mode: Arc<Mutex<Mode>>,
    /// Tokens that were granted and did not come back.
    out: Arc<AtomicI64>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Answers,
    Refuses,
    Silent,
    Panics,
}

impl Store {
    fn new(store: MemoryCoordinator) -> Self {
        Self { store, mode: Arc::new(Mutex::new(Mode::Answers)), out: Arc::default() }
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

impl CoordinatorStore for Store {
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        let mode = *self.mode.lock().unwrap();
        Box::pin(async move {
            match mode {
                Mode::Answers => {
                    let StoreCommand::Settle(settle) = command else { panic!("{command:?}") };
                    let reply = self.store.apply(command).await?;
                    let StoreReply::Settled(settled) = reply else { panic!("{reply:?}") };
                    let change = i64::from(settled.granted) - i64::from(settle.returned);
                    self.out.fetch_add(change, Ordering::Relaxed);
                    Ok(reply)
                }
                Mode::Refuses => Err(StoreFailure::NotDone),
                Mode::Silent => std::future::pending().await,
                Mode::Panics => panic!("a store of somebody's own"),
            }
        })
    }
}
