//! What processes share, on a real Redis and on a cluster of three.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_suite;

use std::sync::Arc;
use std::time::Duration;

use coordinator_suite::conforms;
use mesh_cache::Environment;
use mesh_cache::coordinator_store::RedisCoordinator;
use mesh_cache::redis::RedisConfig;
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_testkit::{RedisCluster, RedisServer};

const SOON: Duration = Duration::from_secs(20);

async fn store(url: &str) -> RedisCoordinator {
    let mut config = RedisConfig::at(url).unwrap();
    config.write_deadline = SOON;
    let store = RedisCoordinator::start("mesh", config, &Environment::system()).unwrap();
    tokio::time::timeout(SOON, store.client().ready()).await.unwrap().unwrap();
    store
}

fn sealer() -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; 32]).unwrap()))
}

#[tokio::test]
async fn a_redis_does_what_every_store_must() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    conforms(Arc::new(store.clone())).await;
    let stats = store.stats();
    assert!(stats.done > 200 && stats.unknown == 0 && stats.not_done == 1, "{stats:?}");
}

#[tokio::test]
async fn a_redis_whose_results_are_sealed_does_so_too() {
    let server = RedisServer::start().await;
    conforms(Arc::new(store(&server.url()).await.seal(sealer()))).await;
}

#[tokio::test]
async fn a_cluster_does_what_every_store_must() {
    let cluster = RedisCluster::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    conforms(Arc::new(store(&format!("redis-cluster://{}", addresses.join(","))).await)).await;
    for node in &cluster.nodes {
        let keys = node.command(&["DBSIZE"]).await.unwrap().integer();
        assert!(keys > Some(5), "every node has some of it: {keys:?}");
    }
}
