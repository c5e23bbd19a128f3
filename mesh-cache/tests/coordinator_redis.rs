//! What processes share, on a real Redis and on a cluster of three.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_suite;
mod coordinator_support;

use std::sync::Arc;
use std::time::Duration;

use coordinator_suite::conforms;
use coordinator_support::{SOON, connected, first, settle};
use mesh_cache::coordinator_store::CoordinatorStore as _;
use mesh_cache::mesh_retry::coordinator::store::{
    Begin, Begun, Fingerprint, Finish, OwnerToken, Probe, ProcessId, Renew, Settle, Settlement, StateKey, StoreCommand,
    StoreReply, Vote,
};
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_testkit::{RedisCluster, RedisServer};

fn sealer() -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; 32]).unwrap()))
}

#[tokio::test]
async fn a_redis_does_what_every_store_must() {
    let server = RedisServer::start().await;
    let store = connected(&server.url(), SOON).await;
    conforms(Arc::new(store.clone())).await;
    let stats = store.stats();
    let keys = server.command(&["KEYS", "*"]).await.unwrap();
    assert!(keys.items().len() > 100);
    for key in keys.items().iter().map(|key| key.text().unwrap()) {
        assert!(key.starts_with("mesh:v1:{") && key.as_bytes()[41..43] == *b"}:", "{key}");
        let left = server.command(&["PTTL", key]).await.unwrap().integer().unwrap();
        assert!(left == -2 || (1..=86_400_000).contains(&left), "{key} lives for {left} ms");
    }
    assert!(stats.done > 200 && stats.unknown == 0 && stats.not_done == 1, "{stats:?}");
}

#[tokio::test]
async fn a_redis_whose_results_are_sealed_does_so_too() {
    let server = RedisServer::start().await;
    conforms(Arc::new(connected(&server.url(), SOON).await.seal(sealer()))).await;
}

#[tokio::test]
async fn a_cluster_does_what_every_store_must() {
    let cluster = RedisCluster::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    conforms(Arc::new(connected(&format!("redis-cluster://{}", addresses.join(",")), SOON).await)).await;
    for node in &cluster.nodes {
        let keys = node.command(&["DBSIZE"]).await.unwrap().integer();
        assert!(keys > Some(5), "every node has some of it: {keys:?}");
    }
}

#[tokio::test]
async fn numbers_beyond_what_a_script_counts_are_the_largest_that_it_does() {
    let server = RedisServer::start().await;
    let store = connected(&server.url(), SOON).await;
    let most =
        Settle { epoch: u64::MAX, cumulative_requests: u64::MAX, reported_requests: u64::MAX, want: 2, ..first() };
    let settled = settle(&store, most).await.unwrap();
    assert_eq!((settled.settlement, settled.granted), (Settlement::Applied, 2));
    let again = settle(&store, most).await.unwrap();
    assert_eq!((again.settlement, again.granted, again.left_milli), (Settlement::Repeated, 2, settled.left_milli));
}

#[tokio::test]
async fn no_time_is_too_short_or_too_long_and_nothing_lives_for_ever() {
    let server = RedisServer::start().await;
    let store = connected(&server.url(), SOON).await;
    let (key, owner, fingerprint) = (StateKey::new(1), OwnerToken::new(2), Fingerprint::new(3));
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let (lease, keep, live_for) = (time, time, time);
        let begun = store.apply(StoreCommand::Begin(Begin { key, fingerprint, owner, lease, keep })).await.unwrap();
        let StoreReply::Begun(Begun::Fresh { fence } | Begun::TakenOver { fence }) = begun else { panic!("{begun:?}") };
        let operation = format!("mesh:v1:{{{key}}}:id");
        let left = server.command(&["PTTL", &operation]).await.unwrap().integer().unwrap();
        assert!(left <= 30 * DAY + HOUR, "{left} ms");
        let vote = Vote { subject: key, voter: ProcessId::new(1), open: true, live_for };
        for command in [
            StoreCommand::Renew(Renew { key, owner, fence, lease }),
            StoreCommand::Finish(Finish { key, owner, fence, result: vec![], keep }),
            StoreCommand::Vote(vote),
            StoreCommand::Probe(Probe { subject: key, holder: ProcessId::new(1), lease }),
        ] {
            store.apply(command).await.unwrap();
            for name in server.command(&["KEYS", "*"]).await.unwrap().items() {
                let left = server.command(&["PTTL", name.text().unwrap()]).await.unwrap().integer().unwrap();
                let most = if name.text().unwrap().ends_with(":id") { 30 * DAY + HOUR } else { HOUR };
                assert!(left == -2 || (0..=most).contains(&left), "{name:?} lives for {left} ms");
            }
        }
        server.command(&["FLUSHALL"]).await.unwrap();
    }
}

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
