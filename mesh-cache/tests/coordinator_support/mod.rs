//! Coordinators on real servers, and what the tests of their faults ask of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::time::Duration;

use mesh_cache::Environment;
use mesh_cache::coordinator_store::{CoordinatorStore as _, RedisCoordinator};
use mesh_cache::mesh_retry::budget::TokenBucketConfig;
use mesh_cache::mesh_retry::coordinator::store::{
    Abandon, Begin, Fence, Fingerprint, Finish, OwnerToken, Probe, ProcessId, ReleaseProbe, Renew, Settle, Settled,
    StateKey, StoreCommand, StoreFailure, StoreReply, TakeSlots, Vote,
};
use mesh_cache::redis::RedisConfig;
use mesh_testkit::RedisServer;
use mesh_testkit::redis::Reply;

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const KEY: StateKey = StateKey::new(0xABC);
pub(crate) const ME: ProcessId = ProcessId::new(0x111);
pub(crate) const OTHER: ProcessId = ProcessId::new(0x222);

/// A coordinator on `url` whose calls may take `deadline`, as soon as it is connected.
pub(crate) async fn connected(url: &str, deadline: Duration) -> RedisCoordinator {
    let store = connecting(url, deadline);
    ready(&store).await;
    store
}

pub(crate) fn connecting(url: &str, deadline: Duration) -> RedisCoordinator {
    let mut config = RedisConfig::at(url).unwrap();
    config.write_deadline = deadline;
    // So that a machine that is busy with other tests is not taken for a server that is silent.
    (config.link.ping_period, config.link.ping_deadline) = (SOON, SOON);
    RedisCoordinator::start("mesh", config, &Environment::system()).unwrap()
}

pub(crate) async fn ready(store: &RedisCoordinator) {
    tokio::time::timeout(SOON, store.client().ready()).await.expect("it does not become ready").unwrap();
}

/// A server, and a coordinator on it.
pub(crate) struct Bench {
    pub(crate) server: RedisServer,
    pub(crate) store: RedisCoordinator,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let server = RedisServer::start().await;
        let store = connected(&server.url(), SOON).await;
        Self { server, store }
    }

    pub(crate) async fn ask(&self, command: StoreCommand) -> StoreReply {
        self.store.apply(command).await.unwrap()
    }

    /// What the server replies to somebody else.
    pub(crate) async fn redis(&self, words: &[&str]) -> Reply {
        let reply = self.server.command(words).await.unwrap();
        reply.accepted().unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

/// What the key of `part` is called.
pub(crate) fn name(part: &str) -> String {
    format!("mesh:v1:{{{KEY}}}:{part}")
}

/// The first settlement with a budget of ten that gains one with each request and nothing with time.
pub(crate) fn first() -> Settle {
    let mut limits = TokenBucketConfig::default();
    (limits.burst_milli, limits.ratio_milli, limits.per_second_milli) = (10_000, 1_000, 0);
    Settle {
        budget: KEY,
        limits,
        process: ME,
        epoch: 1,
        cumulative_requests: 0,
        reported_requests: 0,
        want: 0,
        kept: 0,
        returned: 0,
    }
}

pub(crate) async fn settle(store: &RedisCoordinator, settle: Settle) -> Result<Settled, StoreFailure> {
    let reply = store.apply(StoreCommand::Settle(settle)).await?;
    let StoreReply::Settled(settled) = reply else { panic!("{reply:?}") };
    Ok(settled)
}

/// One command of each kind, all about [`KEY`]; the first of them writes, whatever is there.
pub(crate) fn one_of_each() -> Vec<StoreCommand> {
    let (key, subject, owner, fence) = (KEY, KEY, OwnerToken::new(5), Fence::new(1));
    let (lease, keep) = (Duration::from_secs(60), Duration::from_secs(60));
    vec![
        StoreCommand::Settle(first()),
        StoreCommand::TakeSlots(TakeSlots { counter: KEY, count: 1 }),
        StoreCommand::Begin(Begin { key, fingerprint: Fingerprint::new(7), owner, lease, keep }),
        StoreCommand::Vote(Vote { subject, voter: ME, open: true, live_for: lease }),
        StoreCommand::Probe(Probe { subject, holder: ME, lease }),
        StoreCommand::Renew(Renew { key, owner, fence, lease }),
        StoreCommand::Finish(Finish { key, owner, fence, result: vec![1], keep }),
        StoreCommand::Abandon(Abandon { key, owner, fence }),
        StoreCommand::ReleaseProbe(ReleaseProbe { subject, holder: ME }),
    ]
}

/// How many of [`one_of_each`] write where nothing is there.
pub(crate) const WRITING: usize = 5;

/// How often the server ran scripts that it knew.
pub(crate) async fn scripts_run(server: &RedisServer) -> u64 {
    let info = server.command(&["INFO", "commandstats"]).await.unwrap();
    let line = info.text().unwrap().lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// Asks again and again until `wanted` holds of a reply.
pub(crate) async fn until<T: std::fmt::Debug, F: Future<Output = T>>(
    mut ask: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let asking = async {
        loop {
            let reply = ask().await;
            if wanted(&reply) {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.expect("it never comes")
}
