//! What processes share, on a real Redis and on a cluster of three.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_suite;
mod coordinator_support;

use std::sync::Arc;

use coordinator_suite::conforms;
use coordinator_support::{SOON, connected};
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
