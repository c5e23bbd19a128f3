//! A budget for retries that meshes share through a real Redis: dead half-way, back again, and at the end.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh::mesh_cache::coordinator_store::{CoordinatorStore as _, RedisCoordinator, state_key};
use mesh::mesh_cache::redis::RedisConfig;
use mesh::mesh_core::health::outlier::OutlierConfig;
use mesh::mesh_core::port::Clock as _;
use mesh::mesh_retry::backoff::Jitter;
use mesh::mesh_retry::budget::TokenBucketConfig;
use mesh::mesh_retry::coordinator::budget::{Fallback, FleetBudgetConfig};
use mesh::mesh_retry::coordinator::store::{ProcessId, Settle, StoreCommand, StoreReply};
use mesh::{Attempt, CallPolicy, Environment, MeshConfig, RetryPolicy, ServiceConfig, ServiceMesh, TokioClock};
use mesh_testkit::RedisServer;

use support::recorder::Notes;
use support::{eventually, ms, secs};

const CHANGES: &str = "mesh.client.budget.transitions";
const SETTLED: &str = "mesh.client.budget.settlement.duration";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_meshes_share_a_budget_and_know_of_each_other() {
    let server = RedisServer::start().await;
    let limits = limits(40_000, 40_000);
    let (hot, idle) = (Process::start(&server, limits).await, Process::start(&server, limits).await);
    idle.fail().await;
    hot.fail().await;
    let callers: Vec<_> = (0..8).map(|_| tokio::spawn(hot.clone().fails_for(secs(5)))).collect();
    let began = hot.clock.now();
    for caller in callers {
        caller.await.unwrap();
    }
    let (made, passed) = (hot.retries() + idle.retries(), hot.clock.now().since(began).as_secs_f64());
    // How much of it comes is said where the time is paused; a machine that others use may take its time.
    let most = 40.0 * passed + 40.0 + 2.0;
    assert!(made as f64 <= most && hot.retries() > 0, "{made} retries in {passed} s");
    let settled = hot.notes.of(SETTLED);
    assert!(settled.last().unwrap().ends_with("for 2"), "{settled:?}");
    assert!(!hot.notes.of("mesh.coordinator.skew").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_dead_calls_go_by_the_share_and_afterwards_by_the_lease() {
    let mut server = RedisServer::start().await;
    let limits = limits(1_000, 1_000_000);
    let process = Process::start(&server, limits).await;
    process.fail().await;
    eventually("it has a lease", async || process.changes().last().is_some_and(|change| change.contains("to leased")))
        .await;
    server.kill();
    let caller = tokio::spawn(process.clone().fails_for(secs(600)));
    let goes_alone = async || process.changes().last().is_some_and(|change| change.contains("to local-fallback"));
    eventually("it goes alone", goes_alone).await;
    let before = process.retries();
    // Its share of one process among one is what the fleet has.
    eventually("it pays by itself", async || process.retries() > before).await;
    caller.abort();
    server.start_again().await;
    eventually("it is leased again", async || {
        // Whoever makes no calls needs no lease.
        process.fail().await;
        process.changes().last().is_some_and(|change| change == "local-fallback to leased by answered")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_gives_tokens_back_and_leaves_neither_task_nor_connection() {
    let server = RedisServer::start().await;
    let limits = limits(0, 100_000);
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let clients = async || {
        let reply = server.command(&["CLIENT", "LIST"]).await.unwrap();
        format!("{reply:?}").matches("addr=").count() / 2
    };
    let (tasks, connections) = (alive(), clients().await);
    let process = Process::start(&server, limits).await;
    for _ in 0..5 {
        process.fail().await;
    }
    // Whether there is a token for it or one is asked for, nobody uses it.
    process.clone().leave().await;
    assert!(process.mesh.shutdown(secs(5)).await.is_clean());
    assert_eq!(left(&server, limits).await, 100_000 - 1_000 * process.retries(), "all that was not used");
    let last = process.notes.of(SETTLED).pop().unwrap();
    assert!(!last.contains(", 0 back,"), "{last}");
    drop(process);
    eventually("every task has ended", async || alive() <= tasks).await;
    eventually("every connection has ended", async || clients().await <= connections).await;
}

/// What the store has left for all, in thousandths of a retry.
async fn left(server: &RedisServer, limits: TokenBucketConfig) -> u64 {
    let config = RedisConfig::at(&server.url()).unwrap();
    let store = RedisCoordinator::start("mesh", config, &Environment::system()).unwrap();
    store.client().ready().await.unwrap();
    let settle = Settle {
        budget: state_key(&["mesh", "api", "retry-budget"]),
        limits,
        process: ProcessId::new(1),
        epoch: 1,
        cumulative_requests: 0,
        reported_requests: 0,
        want: 0,
        kept: 0,
        returned: 0,
    };
    let reply = store.apply(StoreCommand::Settle(settle)).await.unwrap();
    let StoreReply::Settled(settled) = reply else { panic!("{reply:?}") };
    u64::from(settled.left_milli)
}

/// A process whose calls all fail.
#[derive(Clone)]
struct Process {
    mesh: ServiceMesh,
    clock: TokioClock,
    notes: Notes,
    retries: Arc<AtomicU64>,
}

impl Process {
    async fn start(server: &RedisServer, limits: TokenBucketConfig) -> Self {
        let mut budget = FleetBudgetConfig::default();
        (budget.limits, budget.fallback) = (limits, Fallback::Safe);
        // Before the store has answered nothing is paid by a share.
        budget.processes_assumed = 1_000_000;
        let mut config = MeshConfig::default();
        config.calls.fleet = Some(budget);
        config.service.outlier = OutlierConfig::off();
        let mut redis = RedisConfig::at(&server.url()).unwrap();
        redis.link.retry_max = ms(500);
        let notes = Notes::default();
        let builder = ServiceMesh::builder().config(config).recorder(notes.clone()).redis_config(redis);
        let mesh = builder.build().await.unwrap();
        let instance = ServiceConfig::builder("api", "127.0.0.1", 9).without_check().build().unwrap();
        mesh.register_service(instance).await.unwrap();
        Self { mesh, clock: TokioClock::new(), notes, retries: Arc::default() }
    }

    fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    fn changes(&self) -> Vec<String> {
        self.notes.of(CHANGES)
    }

    /// A call that is retried once if it may be.
    async fn fail(&self) {
        let attempt = |attempt: Attempt| {
            self.retries.fetch_add(u64::from(attempt.number() > 1), Ordering::Relaxed);
            async { Err::<(), _>("failed") }
        };
        self.mesh.call("api", &policy(), attempt).await.unwrap_err();
    }

    async fn fails_for(self, time: Duration) {
        let until = self.clock.now() + time;
        while self.clock.now() < until {
            self.fail().await;
            tokio::time::sleep(ms(5)).await;
        }
    }

    /// A call whose caller leaves while it waits for its retry.
    async fn leave(self) {
        let policy = policy();
        let call = self.mesh.call("api", &policy, |_| async { Err::<(), _>("failed") });
        let _ = tokio::time::timeout(BACKOFF / 2, call).await;
    }
}

fn policy() -> CallPolicy {
    let mut retry = RetryPolicy::default();
    retry.attempts_max = 2.try_into().unwrap();
    retry.backoff.jitter = Jitter::None;
    CallPolicy::new(retry).unwrap()
}

/// So many thousandths of a retry a second, and at once.
fn limits(per_second_milli: u32, burst_milli: u32) -> TokenBucketConfig {
    let mut limits = TokenBucketConfig::default();
    (limits.ratio_milli, limits.per_second_milli, limits.burst_milli) = (0, per_second_milli, burst_milli);
    limits
}

/// The first wait of the default policy.
const BACKOFF: Duration = Duration::from_millis(100);
