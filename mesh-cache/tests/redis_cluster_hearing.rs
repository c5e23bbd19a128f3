//! A cluster of which a node is out of reach: what is changed there is not heard, so nothing counts as heard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_cache::Environment;
use mesh_cache::redis::{LinkState, RedisConfig, RedisTier};
use mesh_cache::second::{Listener, News, SecondTier as _};
use mesh_testkit::RedisCluster;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_cluster_is_heard_while_every_primary_is() {
    let mut cluster = RedisCluster::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let config = RedisConfig::at(&format!("redis-cluster://{}", addresses.join(","))).unwrap();
    let tier = RedisTier::start("mesh", config, &Environment::system()).unwrap();
    let mut listener = tier.listen();
    tokio::time::timeout(SOON, tier.client().ready()).await.unwrap().unwrap();
    let News::Hearing(first) = last(&mut listener).await else { panic!("it hears nothing") };

    cluster.nodes[1].kill();
    assert_eq!(last(&mut listener).await, News::Deaf, "what is changed on the node that is lost is not heard");
    assert!(matches!(tier.state(), LinkState::Up { .. }), "the others serve calls all the same");

    cluster.nodes[1].start_again().await;
    tokio::time::timeout(SOON, tier.client().ready()).await.unwrap().unwrap();
    let News::Hearing(again) = last(&mut listener).await else { panic!("it hears nothing again") };
    assert!(again > first);
}

/// What is told last before nothing is for a while.
async fn last(listener: &mut Box<dyn Listener>) -> News {
    let mut last = tokio::time::timeout(SOON, listener.next()).await.unwrap();
    while let Ok(next) = tokio::time::timeout(Duration::from_millis(1_500), listener.next()).await {
        last = next;
    }
    last
}
