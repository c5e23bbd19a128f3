//! Clusters and sentinels move what they keep from one server to another.
#![expect(clippy::expect_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_testkit::redis::Reply;
use mesh_testkit::{RedisCluster, RedisSentinel, RedisServer};

#[tokio::test]
async fn the_nodes_of_a_cluster_send_clients_to_each_other() {
    let cluster = RedisCluster::start().await;
    assert_eq!((cluster.owner_of(0).await, cluster.owner_of(8000).await, cluster.owner_of(16383).await), (0, 1, 2));
    let slot = cluster.slot_of("foo").await;
    assert_eq!(slot, 12182);
    let refused = answer(&cluster.nodes[0], &["SET", "foo", "1"]).await;
    assert_eq!(refused.error(), Some(format!("MOVED 12182 {}:6379", cluster.nodes[2].ip()).as_str()));
    assert_eq!(answer(&cluster.nodes[2], &["SET", "foo", "1"]).await.text(), Some("OK"));
}

#[tokio::test]
async fn a_slot_moves_with_its_keys() {
    let cluster = RedisCluster::start_with(RedisServer::builder().password("pw")).await;
    let (slot, keys) = (cluster.slot_of("{foo}").await, 250);
    let (from, to) = (cluster.owner_of(slot).await, 0);
    for number in 0..keys {
        assert_eq!(answer(&cluster.nodes[from], &["SET", &format!("{{foo}}{number}"), "1"]).await.text(), Some("OK"));
    }
    cluster.begin_migration(slot, to).await;
    assert_eq!(answer(&cluster.nodes[from], &["GET", "{foo}1"]).await.text(), Some("1"));
    let asked = answer(&cluster.nodes[from], &["GET", "{foo}new"]).await;
    assert_eq!(asked.error(), Some(format!("ASK {slot} {}:6379", cluster.nodes[to].ip()).as_str()));
    cluster.finish_migration(slot, to).await;
    assert_eq!(cluster.owner_of(slot).await, to);
    let count = answer(&cluster.nodes[to], &["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await;
    assert_eq!(count, Reply::Integer(keys));
    assert!(
        answer(&cluster.nodes[from], &["GET", "{foo}1"]).await.error().is_some_and(|error| error.starts_with("MOVED"))
    );
    cluster.migrate_slot(slot, 1).await;
    assert_eq!(answer(&cluster.nodes[1], &["GET", "{foo}1"]).await.text(), Some("1"));
}

#[tokio::test]
async fn a_replica_takes_over_when_its_master_is_killed() {
    let mut cluster = tokio::spawn(RedisCluster::start_with_replicas(RedisServer::builder())).await.expect("no panic");
    assert_eq!((cluster.nodes.len(), cluster.owner_of(0).await), (6, 0));
    cluster.nodes[0].kill();
    let taken_over = tokio::time::timeout(Duration::from_secs(30), async {
        while cluster.owner_of(0).await != 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    taken_over.await.expect("another owner");
    cluster.settle().await;
    cluster.nodes[0].start_again().await;
    cluster.settle().await;
    assert_eq!(cluster.owner_of(0).await, 3);
}

#[tokio::test]
async fn a_cluster_is_settled_when_every_node_knows_who_has_each_slot() {
    let builder = RedisServer::builder().setting("cluster-require-full-coverage", "no");
    let cluster = RedisCluster::start_with(builder).await;
    // Its own, of which no other can tell it.
    let node = &cluster.nodes[0];
    assert_eq!(answer(node, &["CLUSTER", "DELSLOTS", "0"]).await.text(), Some("OK"));
    let early = tokio::time::timeout(Duration::from_millis(300), cluster.settle()).await;
    assert!(early.is_err(), "one does not know who has the first");
    assert_eq!(answer(node, &["CLUSTER", "ADDSLOTS", "0"]).await.text(), Some("OK"));
    cluster.settle().await;
}

#[tokio::test]
async fn sentinels_tell_of_another_master_when_the_first_is_killed() {
    let mut group = tokio::spawn(RedisSentinel::start()).await.expect("no panic");
    assert_eq!((group.name(), group.sentinels().len(), group.master().await), ("mesh", 3, 0));
    // Over one connection: who waits, waits for what was written over the same one.
    let mut client = group.servers[0].connect().await.expect("a connection");
    assert_eq!(client.command(&["SET", "key", "1"]).await.expect("an answer").text(), Some("OK"));
    assert_eq!(client.command(&["WAIT", "1", "5000"]).await.expect("an answer"), Reply::Integer(1));
    assert_eq!(group.failover().await, 1);
    assert_eq!(answer(&group.servers[1], &["GET", "key"]).await.text(), Some("1"));
    group.bring_back(0).await;
    assert_eq!(group.failover().await, 0);
}

#[tokio::test]
async fn one_sentinel_hands_over_and_the_old_master_refuses_to_write() {
    let builder = RedisServer::builder().acl(&["user default off"]);
    let group = RedisSentinel::start_with(builder, 1).await;
    let mut client = group.servers[0].connect().await.expect("a connection");
    assert_eq!(group.hand_over().await, 1);
    assert!(client.command(&["PING"]).await.is_err());
    let refused = answer(&group.servers[0], &["SET", "key", "1"]).await;
    assert!(refused.error().is_some_and(|error| error.starts_with("READONLY")), "{refused:?}");
    assert_eq!(answer(&group.servers[1], &["SET", "key", "1"]).await.text(), Some("OK"));
    assert_eq!(group.hand_over().await, 0);
}

async fn answer(server: &RedisServer, words: &[&str]) -> Reply {
    server.command(words).await.expect("an answer")
}
