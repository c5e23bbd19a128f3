//! What processes share, on masters whose replicas take their place without what was written last: what is known of each
//! command, and what the fleet is granted in all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;
#[path = "coordinator_support/fleet.rs"]
mod fleet;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::coordinator_store::{CoordinatorStore as _, RedisCoordinator};
use mesh_cache::mesh_retry::budget::TokenBucketConfig;
use mesh_cache::mesh_retry::coordinator::budget::{Fallback, FleetBudgetConfig};
use mesh_cache::mesh_retry::coordinator::store::{
    Begin, Begun, Fence, Fingerprint, Finish, Finished, OwnerToken, Settle, Settled, Settlement, StoreCommand,
    StoreFailure, StoreReply, TakeSlots,
};
use mesh_cache::redis::RedisClient;
use mesh_cache::redis::cluster::slot_of;
use mesh_testkit::redis::{RedisSentinel, Reply};
use mesh_testkit::{RedisCluster, RedisServer};

use coordinator_support::{KEY, ME, SOON, connected, first, name, one_of_each, settle, until};
use fleet::Process;

#[tokio::test]
async fn what_a_master_behind_sentinels_takes_with_it_is_granted_again_and_credited_never() {
    let mut group = RedisSentinel::start().await;
    let store = connected(&url_of(&group), SOON).await;
    let before = Before::make(&store).await;
    copied(&group.servers[0], &group.servers[1]).await;
    cut_off(&group.servers[1], &group.servers[0]).await;
    let lost = before.go_on(&store).await;
    group.servers[0].kill();
    group.servers[1].thaw();
    let errors = lost.is_told_nothing_until_there_is_a_master(&store).await;
    assert!(errors > 0);
    lost.is_granted_again(&store).await;
    assert_eq!(group.master().await, 1);
    let stats = store.stats();
    assert_eq!(stats.not_done + stats.unknown, errors, "{stats:?}");
}

#[tokio::test]
async fn what_a_master_of_a_cluster_takes_with_it_is_granted_again_and_credited_never() {
    let mut cluster = RedisCluster::start_with_replicas(RedisServer::builder()).await;
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let store = connected(&format!("redis-cluster://{}", nodes.join(",")), SOON).await;
    let before = Before::make(&store).await;
    let slot = slot_of(name("rb").as_bytes());
    // A replica that asks for it is given all there is, and its master sends those away who come to it.
    let (old, new) = (cluster.owner_of(slot).await, cluster.owner_of(slot).await + 3);
    copied(&cluster.nodes[old], &cluster.nodes[new]).await;
    cluster.nodes[new].command(&["CLUSTER", "FAILOVER"]).await.unwrap().accepted().unwrap();
    until(|| cluster.owner_of(slot), |owner| *owner == new).await;
    let again = until(|| settle(&store, before.0), Result::is_ok).await.unwrap();
    assert_eq!((again.settlement, again.left_milli), (Settlement::Repeated, 30_000), "nothing is lost");

    until(|| follows(&cluster.nodes[old]), |follows| *follows).await;
    cut_off(&cluster.nodes[old], &cluster.nodes[new]).await;
    let lost = before.go_on(&store).await;
    cluster.nodes[new].kill();
    cluster.nodes[old].thaw();
    assert!(lost.is_told_nothing_until_there_is_a_master(&store).await > 0);
    lost.is_granted_again(&store).await;
    until(|| cluster.owner_of(slot), |owner| *owner == old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_steps_down_is_left_and_refuses_and_no_more_is_granted_again_than_it_granted_meanwhile() {
    let group = RedisSentinel::start().await;
    let store = connected(&url_of(&group), Duration::from_millis(500)).await;
    let RedisClient::Link(link) = store.client().clone() else { panic!("there is one master") };
    let granted = Arc::new(AtomicU64::new(0));
    let asking = tokio::spawn(take_all(store.clone(), Arc::clone(&granted)));
    until(|| async { store.stats().done }, |done| *done >= 10).await;
    let before = granted.load(Ordering::Relaxed);
    copied(&group.servers[0], &group.servers[1]).await;
    // Nothing of what was granted before can be lost now.
    let new = group.hand_over().await;
    // From here on whoever reaches the new one is known to it alone.
    let epoch = async || group.servers[new].command(&["HGET", &name(&format!("p:{ME}")), "e"]).await.unwrap();
    let known = epoch().await;
    until(epoch, |now| now.text() != known.text() && now.text().is_some()).await;
    assert!(link.stats().link.losses > 0, "the connection to the old one has ended");
    let meanwhile = granted.load(Ordering::Relaxed) - before;
    let done = store.stats().done;
    until(|| async { store.stats().done }, |now| *now >= done + 10).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());

    let old = connected(&group.servers[1 - new].url(), SOON).await;
    let last = Settle { limits: plenty(), epoch: 1_000_000_000, want: PLENTY, ..first() };
    assert_eq!(settle(&old, last).await, Err(StoreFailure::NotDone));
    let rest = until(|| settle(&store, last), Result::is_ok).await.unwrap();
    assert!(rest.granted > 0 && rest.left_milli == 0, "the bucket was never empty, and is now: {rest:?}");
    // What nobody heard of is granted all the same: a token each, of which one may have been under way at the end.
    let (granted, unheard) = (granted.load(Ordering::Relaxed) + u64::from(rest.granted), store.stats().unknown + 1);
    let plenty = u64::from(PLENTY);
    assert!(granted <= plenty + meanwhile, "{granted} of {plenty}, of which the old one granted {meanwhile} at most");
    assert!(granted + unheard >= plenty, "{granted} of {plenty}, and {unheard} that nobody heard of");
}

#[tokio::test]
async fn a_master_without_enough_replicas_carries_nothing_out_and_goes_on_when_it_has_them() {
    let (master, replica) = tokio::join!(
        RedisServer::builder().setting("min-replicas-to-write", "1").setting("min-replicas-max-lag", "1").start(),
        RedisServer::start()
    );
    let store = connected(&master.url(), SOON).await;
    for command in one_of_each() {
        if let Err(failure) = store.apply(command.clone()).await {
            assert_eq!(failure, StoreFailure::NotDone, "{command:?}");
        }
    }
    assert_eq!(settle(&store, first()).await, Err(StoreFailure::NotDone));
    assert_eq!(master.command(&["DBSIZE"]).await.unwrap().integer(), Some(0));
    let (ip, port) = (master.ip().to_string(), master.port().to_string());
    replica.command(&["REPLICAOF", &ip, &port]).await.unwrap();
    let settled = until(|| settle(&store, Settle { want: 10, ..first() }), Result::is_ok).await.unwrap();
    assert_eq!((settled.settlement, settled.granted), (Settlement::Applied, 10), "none of it was done before");
    cut_off(&replica, &master).await;
    let two = Settle { epoch: 2, cumulative_requests: 7, ..first() };
    _ = until(|| settle(&store, two), |reply| *reply == Err(StoreFailure::NotDone)).await;
    replica.thaw();
    let settled = until(|| settle(&store, two), Result::is_ok).await.unwrap();
    assert_eq!(settled.left_milli, 7_000, "once: {settled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_retries_through_a_failover_is_granted_a_burst_more_at_most() {
    let mut group = RedisSentinel::start().await;
    let mut config = FleetBudgetConfig::default();
    config.fallback = Fallback::Pessimistic;
    config.limits.ratio_milli = 0;
    config.limits.per_second_milli = 0;
    config.limits.burst_milli = 40_000;
    let mut processes = Vec::new();
    for number in 0..4 {
        let store = connected(&url_of(&group), Duration::from_millis(500)).await;
        processes.push(Process::start(number, KEY, &config, store));
    }
    processes[0].call(Duration::from_millis(50)).await;
    copied(&group.servers[0], &group.servers[1]).await;
    cut_off(&group.servers[1], &group.servers[0]).await;
    let granted = || processes.iter().map(|process| process.granted.load(Ordering::Relaxed)).sum::<u64>();
    let calls: Vec<_> = processes.iter().map(|process| tokio::spawn(calls(Arc::clone(process)))).collect();
    until(|| async { granted() }, |granted| *granted >= 30).await;
    assert!(granted() <= 40, "{}", granted());
    group.servers[0].kill();
    group.servers[1].thaw();
    // What was lost is granted once more.
    until(|| async { granted() }, |granted| *granted > 60).await;
    // Many more are wanted, and not granted.
    let wanted = || processes.iter().map(|process| process.wanted.load(Ordering::Relaxed)).sum::<u64>();
    let before = wanted();
    until(|| async { wanted() }, |wanted| *wanted >= before + 1_000).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(granted() <= 80, "{} of a burst of 40 and one loss", granted());
}

/// Takes tokens of a budget that has plenty, in settlements that are each answered or not before the next.
async fn take_all(store: RedisCoordinator, granted: Arc<AtomicU64>) {
    let mut next = Settle { limits: plenty(), want: 1, ..first() };
    loop {
        if let Ok(settled) = settle(&store, next).await {
            next.kept += settled.granted;
            granted.fetch_add(u64::from(settled.granted), Ordering::Relaxed);
        }
        next.epoch += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A call every few milliseconds, each of which fails.
async fn calls(process: Arc<Process>) {
    loop {
        let process = Arc::clone(&process);
        tokio::spawn(async move { process.call(Duration::from_millis(50)).await });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What was shared before a replica no longer heard of it: the last settlement that it has.
struct Before(Settle);

/// What only the master knew when it was killed.
struct Lost {
    latest: Settle,
    begun: Begin,
    fence: Fence,
    slots: u64,
}

impl Before {
    /// A budget of forty that gains one with each request, of which ten are granted; and a counter.
    async fn make(store: &RedisCoordinator) -> Self {
        let one = Settle { limits: limits(), want: 10, ..first() };
        let settled = settle(store, one).await.unwrap();
        assert_eq!((settled.granted, settled.left_milli), (10, 30_000));
        assert_eq!(take(store).await, 0);
        Self(one)
    }

    /// Five requests are told of, and thirty more are granted; an operation begins; a number is taken.
    async fn go_on(&self, store: &RedisCoordinator) -> Lost {
        let two = Settle { epoch: 2, cumulative_requests: 5, kept: 10, want: 30, ..self.0 };
        let settled = settle(store, two).await.unwrap();
        assert_eq!((settled.granted, settled.left_milli), (30, 5_000));
        let begun = begin(OwnerToken::new(1));
        let StoreReply::Begun(Begun::Fresh { fence }) = store.apply(StoreCommand::Begin(begun)).await.unwrap() else {
            panic!("it is not the first")
        };
        Lost { latest: two, begun, fence, slots: take(store).await }
    }
}

impl Lost {
    /// Settles on and on until somebody answers; says how often nobody did.
    async fn is_told_nothing_until_there_is_a_master(&self, store: &RedisCoordinator) -> u64 {
        let (mut errors, mut next) = (0, Settle { reported_requests: 5, want: 0, kept: 40, ..self.latest });
        let asking = async {
            loop {
                next.epoch += 1;
                match settle(store, next).await {
                    Ok(settled) => return settled,
                    Err(StoreFailure::NotDone | StoreFailure::Unknown) => errors += 1,
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let settled = tokio::time::timeout(SOON + SOON, asking).await.expect("no replica takes over");
        let Settled { settlement, left_milli, .. } = settled;
        assert_eq!((settlement, left_milli), (Settlement::Applied, 30_000), "as it was, and nothing is credited twice");
        errors
    }

    /// What the replica did not know is granted once more, and what was not told before it was lost counts.
    async fn is_granted_again(&self, store: &RedisCoordinator) {
        let mut last = self.latest;
        (last.epoch, last.cumulative_requests, last.reported_requests) = (1_000_000, 6, 5);
        (last.kept, last.want) = (40, 100);
        let settled = settle(store, last).await.unwrap();
        assert_eq!((settled.granted, settled.left_milli), (31, 0));
        let granted = 10 + 30 + settled.granted;
        assert!(granted <= 40 * 2 + 6, "{granted} of a burst of 40, one loss and six requests");

        assert_eq!(take(store).await, self.slots, "a number is given twice");
        let again = store.apply(StoreCommand::Begin(begin(OwnerToken::new(2)))).await.unwrap();
        let StoreReply::Begun(Begun::Fresh { fence }) = again else { panic!("{again:?}") };
        assert!(fence > self.fence, "an operation begins twice, and the second owner comes after the first");
        let Begin { key, owner, keep, .. } = self.begun;
        let finish = Finish { key, owner, fence: self.fence, result: vec![], keep };
        let finished = store.apply(StoreCommand::Finish(finish)).await.unwrap();
        assert_eq!(finished, StoreReply::Finished(Finished::Fenced));
    }
}

const fn begin(owner: OwnerToken) -> Begin {
    Begin { key: KEY, fingerprint: Fingerprint::new(7), owner, lease: SOON, keep: SOON }
}

/// Forty at once, one with each request, and nothing with time.
fn limits() -> TokenBucketConfig {
    let mut limits = first().limits;
    limits.burst_milli = 40_000;
    limits
}

/// More at once than anybody asks for, one by one, while masters change.
fn plenty() -> TokenBucketConfig {
    let mut limits = first().limits;
    limits.burst_milli = PLENTY * 1_000;
    limits
}

/// The number that is taken from a counter.
async fn take(store: &RedisCoordinator) -> u64 {
    let reply = store.apply(StoreCommand::TakeSlots(TakeSlots { counter: KEY, count: 1 })).await.unwrap();
    let StoreReply::Slots(slots) = reply else { panic!("{reply:?}") };
    slots.first
}

fn url_of(group: &RedisSentinel) -> String {
    let sentinels = group.sentinels().iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    format!("redis-sentinel://{sentinels}/{}", group.name())
}

/// Waits until the replica has all that the master was told.
async fn copied(master: &RedisServer, replica: &RedisServer) {
    let offset = async |server: &RedisServer, field: &str| {
        let info = server.command(&["INFO", "replication"]).await.unwrap();
        let line = info.text().unwrap().lines().find_map(|line| line.strip_prefix(field).map(str::to_owned));
        line.expect("it tells how far it is")
    };
    let told = offset(master, "master_repl_offset:").await.parse::<u64>().unwrap();
    until(|| async { offset(replica, "slave_repl_offset:").await.parse::<u64>().unwrap() }, |heard| *heard >= told)
        .await;
}

/// From now on `replica` hears nothing of `master` any more: it is frozen, and what it would read later is not kept for it.
async fn cut_off(replica: &RedisServer, master: &RedisServer) {
    replica.freeze();
    master.command(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap().accepted().unwrap();
}

/// Whether the server is a replica that hears its master.
async fn follows(server: &RedisServer) -> bool {
    let role = server.command(&["ROLE"]).await.unwrap();
    role.items().get(3).and_then(Reply::text) == Some("connected")
}

/// How many tokens are plenty.
const PLENTY: u32 = 4_000_000;
