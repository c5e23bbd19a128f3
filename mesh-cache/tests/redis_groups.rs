//! Several real servers that act as one: a master that sentinels replace, and a cluster whose slots move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::net::SocketAddr;
use std::time::Duration;

use mesh_cache::redis::cluster::slot_of;
use mesh_cache::redis::{Keys, LinkEvent, LinkEvents, LinkState, RedisClient, RedisConfig, RedisError, Script};
use mesh_cache::{Environment, Secret};
use mesh_testkit::redis::RedisSentinel;
use mesh_testkit::{RedisCluster, RedisServer};
use redis::Value;
use redis_support::{RIGHTS, Stopwatch};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn after_a_failover_the_link_finds_the_new_master() {
    let mut group = RedisSentinel::start().await;
    let client = sentinel_client(&group);
    let mut events = client.events();
    ready(&client).await;
    put(&client, "mesh:a", "old").await.unwrap();
    assert!(matches!(soon(&mut events).await, LinkEvent::Up { .. }));
    assert_eq!(keys(&soon(&mut events).await), ["mesh:a"]);
    let new = group.failover().await;
    assert!(matches!(soon(&mut events).await, LinkEvent::Down { .. }));
    ready(&client).await;
    until_put(&client, "mesh:b").await;
    assert!(matches!(soon(&mut events).await, LinkEvent::Up { .. }));
    assert_eq!(keys(&soon(&mut events).await), ["mesh:b"], "the tracking is armed on the new master");
    let there = group.servers[new].command(&["GET", "mesh:b"]).await.unwrap();
    assert_eq!(there.text(), Some("1"));
}

#[tokio::test]
async fn a_master_that_steps_down_is_left() {
    let group = RedisSentinel::start().await;
    let client = sentinel_client(&group);
    ready(&client).await;
    put(&client, "mesh:a", "1").await.unwrap();
    let new = group.hand_over().await;
    until_put(&client, "mesh:b").await;
    assert_eq!(group.servers[new].command(&["GET", "mesh:b"]).await.unwrap().text(), Some("1"));
}

#[tokio::test]
async fn one_sentinel_that_answers_is_enough_and_what_none_knows_is_no_master() {
    let mut group = RedisSentinel::start().await;
    for watcher in group.watchers.iter_mut().take(2) {
        watcher.freeze();
    }
    ready(&sentinel_client(&group)).await;
    let mut config = sentinel_config(&group);
    config.url = format!("redis-sentinel://{}/nobody", group.watchers[2].address()).parse().unwrap();
    let client = RedisClient::start(config, &Environment::system(), &[]).unwrap();
    until("it is not found", || why(&client) == "no-master").await;
}

#[tokio::test]
async fn calls_go_to_the_node_of_their_key_and_changes_are_told_by_all() {
    let cluster = RedisCluster::start().await;
    let script = Script::new("return redis.call('GET', KEYS[1])");
    let client = cluster_client(&cluster, std::slice::from_ref(&script));
    ready(&client).await;
    let mut events = client.events();
    assert!(matches!(soon(&mut events).await, LinkEvent::Up { .. }));
    for number in 0..30 {
        let key = format!("mesh:{number}");
        assert_eq!(cluster.slot_of(&key).await, slot_of(key.as_bytes()));
        put(&client, &key, "v").await.unwrap();
        assert_eq!(keys(&soon(&mut events).await), [key.as_str()]);
        assert_eq!(client.invoke(&script, &[&key], NONE, SOON).await, Ok(Value::BulkString(b"v".to_vec())));
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg("{mesh:1}").cmd("SET").arg("x{mesh:1}").arg("2");
    let replies = client.pipeline(b"mesh:1", &pipeline, SOON).await.unwrap();
    assert_eq!(replies, [Ok(Value::Nil), Ok(Value::Okay)]);
    let strange = client.invoke(&script, &["mesh:1", "mesh:2"], NONE, SOON).await.unwrap_err();
    assert_eq!(strange.to_string(), "Redis refuses the command: CROSSSLOT");
    assert_eq!(client.invoke(&script, &[] as &[&str], NONE, SOON).await, Err(RedisError::Unsendable));
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_before_and_after_its_move() {
    let cluster = RedisCluster::start().await;
    let client = cluster_client(&cluster, &[]);
    ready(&client).await;
    put(&client, "mesh:a", "1").await.unwrap();
    let (slot, script) = (slot_of(b"mesh:a"), Script::new("return redis.call('GET', KEYS[1])"));
    let to = (cluster.owner_of(slot).await + 1) % 3;
    cluster.begin_migration(slot, to).await;
    assert_eq!(read(&client, "mesh:a").await, Ok(Value::BulkString(b"1".to_vec())), "still where it was");
    assert_eq!(read(&client, "x{mesh:a}").await, Ok(Value::Nil), "ASK");
    put(&client, "y{mesh:a}", "2").await.unwrap();
    assert_eq!(
        cluster.nodes[to].command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await.unwrap().integer(),
        Some(1)
    );
    assert_eq!(client.invoke(&script, &["y{mesh:a}"], NONE, SOON).await, Ok(Value::BulkString(b"2".to_vec())));
    cluster.finish_migration(slot, to).await;
    assert_eq!(read(&client, "mesh:a").await, Ok(Value::BulkString(b"1".to_vec())), "MOVED");
    let mut events = client.events();
    assert!(matches!(soon(&mut events).await, LinkEvent::Up { .. }));
    put(&client, "mesh:a", "3").await.unwrap();
    assert_eq!(keys(&soon(&mut events).await), ["mesh:a"]);
}

#[tokio::test]
async fn the_loss_of_a_node_is_a_flush_and_its_replica_takes_over() {
    let mut cluster = RedisCluster::start_with_replicas(RedisServer::builder()).await;
    let client = cluster_client(&cluster, &[]);
    let mut events = client.events();
    ready(&client).await;
    put(&client, "mesh:a", "1").await.unwrap();
    let mut epoch = 0;
    while keys_of(&soon(&mut events).await).is_none_or(|keys| keys != ["mesh:a"]) {}
    let owner = cluster.owner_of(slot_of(b"mesh:a")).await;
    let other = (0..)
        .map(|number| format!("mesh:{number}"))
        .find(|key| slot_of(key.as_bytes()) / 5462 != slot_of(b"mesh:a") / 5462);
    cluster.nodes[owner].kill();
    let LinkEvent::Down { epoch: lost } = soon(&mut events).await else { panic!("nothing is to be forgotten") };
    let LinkEvent::Up { epoch: next } = soon(&mut events).await else { panic!("the others are not up") };
    assert!(next > lost);
    assert!(matches!(client.state(), LinkState::Up { .. }));
    let other = read(&client, &other.unwrap()).await;
    assert!(
        matches!(other, Ok(Value::Nil)) || other.as_ref().is_err_and(|error| error.to_string().contains("CLUSTERDOWN"))
    );
    until_put(&client, "mesh:a").await;
    while keys_of(&soon(&mut events).await).is_none_or(|keys| keys != ["mesh:a"]) {
        epoch += 1;
        assert!(epoch < 100);
    }
}

#[tokio::test]
async fn the_rights_that_are_documented_suffice_behind_sentinels_and_in_a_cluster() {
    let rights = format!("user mesh on >pw {RIGHTS}");
    let master = RedisServer::builder().acl(&[&format!("{rights} +role")]);
    let node = RedisServer::builder().acl(&[&format!("{rights} +cluster|slots +asking")]);
    let (group, cluster) = tokio::join!(RedisSentinel::start_with(master, 1), RedisCluster::start_with(node));
    let mut config = sentinel_config(&group);
    (config.user, config.password) = (Some("mesh".to_owned()), Some(Secret::new("pw")));
    config.tracking_prefix = Some("mesh:v1:".to_owned());
    let behind_sentinels = RedisClient::start(config.clone(), &Environment::system(), &[]).unwrap();
    config.url = format!("redis-cluster://{}", cluster.nodes[0].address()).parse().unwrap();
    let clustered = RedisClient::start(config, &Environment::system(), &[]).unwrap();
    for client in [&behind_sentinels, &clustered] {
        ready(client).await;
        put(client, "mesh:v1:a", "1").await.unwrap();
    }
    let slot = slot_of(b"mesh:v1:a");
    cluster.begin_migration(slot, (cluster.owner_of(slot).await + 1) % 3).await;
    put(&clustered, "mesh:v1:x{mesh:v1:a}", "1").await.unwrap();
}

#[tokio::test]
async fn passwords_are_told_to_servers_and_nodes_and_not_to_sentinels() {
    let builder = || RedisServer::builder().password("hunter2");
    let (group, cluster) = tokio::join!(RedisSentinel::start_with(builder(), 1), RedisCluster::start_with(builder()));
    let mut config = sentinel_config(&group);
    let other = RedisConfig::at(&format!("redis-cluster://:hunter2@{}", cluster.nodes[0].address())).unwrap();
    config.password = Some(Secret::new("hunter2"));
    for config in [config, other] {
        let client = RedisClient::start(config, &Environment::system(), &[]).unwrap();
        ready(&client).await;
        put(&client, "mesh:a", "1").await.unwrap();
    }
}

const NONE: &[i64] = &[];

fn sentinel_config(group: &RedisSentinel) -> RedisConfig {
    let sentinels = group.sentinels().iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    let mut config = RedisConfig::at(&format!("redis-sentinel://{sentinels}/{}", group.name())).unwrap();
    config.tracking_prefix = Some("mesh:".to_owned());
    config
}

fn sentinel_client(group: &RedisSentinel) -> RedisClient {
    RedisClient::start(sentinel_config(group), &Environment::system(), &[]).unwrap()
}

fn cluster_client(cluster: &RedisCluster, scripts: &[Script]) -> RedisClient {
    let seeds = cluster.nodes.iter().map(|node| node.address().to_string()).collect::<Vec<_>>().join(",");
    let mut config = RedisConfig::at(&format!("redis-cluster://{seeds}")).unwrap();
    config.tracking_prefix = Some("mesh:".to_owned());
    RedisClient::start(config, &Environment::system(), scripts).unwrap()
}

async fn ready(client: &RedisClient) {
    let epoch = tokio::time::timeout(SOON, client.ready()).await;
    epoch.unwrap_or_else(|_| panic!("not up: {:?}", client.state())).unwrap();
}

async fn put(client: &RedisClient, key: &str, value: &str) -> Result<Value, RedisError> {
    client.query(key.as_bytes(), redis::cmd("SET").arg(key).arg(value), SOON).await
}

async fn read(client: &RedisClient, key: &str) -> Result<Value, RedisError> {
    client.query(key.as_bytes(), redis::cmd("GET").arg(key), SOON).await
}

/// Writes until it succeeds, as whoever may try again does.
async fn until_put(client: &RedisClient, key: &str) {
    let began = Stopwatch::start();
    loop {
        match client.query(key.as_bytes(), redis::cmd("SET").arg(key).arg("1"), Duration::from_millis(200)).await {
            Ok(_) => return,
            Err(error) if began.elapsed() > SOON => panic!("never written: {error}, {:?}", client.state()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn soon(events: &mut LinkEvents) -> LinkEvent {
    tokio::time::timeout(SOON, events.next()).await.expect("no event came").expect("the client has ended")
}

fn keys(event: &LinkEvent) -> Vec<String> {
    keys_of(event).unwrap_or_else(|| panic!("no keys: {event:?}"))
}

fn keys_of(event: &LinkEvent) -> Option<Vec<String>> {
    let LinkEvent::Invalidated { keys: Keys::Some(keys), .. } = event else { return None };
    Some(keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect())
}

async fn until(what: &str, condition: impl FnMut() -> bool) {
    redis_support::until(what, condition).await;
}

fn why(client: &RedisClient) -> &'static str {
    redis_support::why_down(client.state())
}
