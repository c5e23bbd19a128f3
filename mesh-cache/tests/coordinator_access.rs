//! The rights that a coordinator's user needs on Redis, and that it has no others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_suite;
mod coordinator_support;

use std::sync::Arc;

use coordinator_suite::conforms;
use mesh_cache::coordinator_store::{CoordinatorStore as _, RedisCoordinator};
use mesh_cache::mesh_retry::coordinator::store::{
    Begin, Begun, Fingerprint, Finish, OwnerToken, Renew, StateKey, StoreCommand, StoreFailure, StoreReply, Vote,
};
use mesh_cache::redis::{RedisClient, RedisError, Script};
use mesh_testkit::{RedisCluster, RedisServer};

use coordinator_support::{KEY, ME, SOON, connected, first, name, one_of_each, settle};

/// As the documentation of `RedisCoordinator` and README.md have it.
const RIGHTS: &str = "resetkeys ~mesh:v1:{* resetchannels -@all +hello +auth +ping +evalsha +script|load +time +pttl \
    +pexpire +del +get +set +hget +hmget +hset +zadd +zcard +zrem +zremrangebyscore";

fn user(rights: &str) -> String {
    format!("user mesh on >pw {rights}")
}

async fn ask(client: &RedisClient, words: &str) -> Result<redis::Value, RedisError> {
    let mut words = words.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    client.query(name("rb").as_bytes(), &cmd, SOON).await
}

/// Forgets everything, and does all of it; whether each was done.
async fn does_all(server: &RedisServer, store: &RedisCoordinator) -> bool {
    server.command(&["FLUSHALL"]).await.unwrap();
    server.command(&["RPUSH", &name("vl"), "of another type"]).await.unwrap();
    let mut all = true;
    for command in one_of_each() {
        all &= store.apply(command).await.is_ok();
    }
    let (key, owner, lease) = (StateKey::new(0xD0), OwnerToken::new(5), SOON);
    let begin = StoreCommand::Begin(Begin { key, fingerprint: Fingerprint::new(7), owner, lease, keep: lease });
    let Ok(StoreReply::Begun(Begun::Fresh { fence })) = store.apply(begin.clone()).await else { return false };
    let renew = StoreCommand::Renew(Renew { key, owner, fence, lease });
    let finish = StoreCommand::Finish(Finish { key, owner, fence, result: vec![], keep: lease });
    let closed = StoreCommand::Vote(Vote { subject: KEY, voter: ME, open: false, live_for: lease });
    for command in [renew, finish, begin, closed] {
        all &= store.apply(command).await.is_ok();
    }
    all
}

#[tokio::test]
async fn the_rights_that_are_documented_are_those_that_are_tested() {
    let plain = |text: &str| text.replace("///", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for documented in [include_str!("../src/coordinator_store/redis.rs"), include_str!("../README.md")] {
        assert!(plain(documented).contains(&plain(RIGHTS)));
    }
}

#[tokio::test]
async fn with_the_rights_that_are_documented_all_is_done_and_nothing_else() {
    let server = RedisServer::builder().acl(&[&user(RIGHTS), "user default off"]).start().await;
    let store = connected(&format!("redis://mesh:pw@{}", server.address()), SOON).await;
    conforms(Arc::new(store.clone())).await;
    let foreign = format!("mesh:v1:e:{{{KEY}}}");
    let refused =
        ["EVAL return 0", "KEYS *", "SCAN 0", "FLUSHALL", "CONFIG GET *", "CLIENT LIST", "SCRIPT FLUSH", "ACL LIST"];
    let foreign =
        [format!("GET {foreign}"), format!("SET {foreign} 1"), "GET other".to_owned(), "DEL mesh:v2:{x}".to_owned()];
    for refused in refused.iter().map(|words| (*words).to_owned()).chain(foreign) {
        assert_eq!(ask(store.client(), &refused).await, Err(RedisError::NoPerm), "{refused}");
    }
    for command in
        ["MONITOR", "SUBSCRIBE a", "PUBLISH a b", "INFO", "DEBUG SLEEP 0", "SHUTDOWN NOSAVE", "REPLICAOF NO ONE"]
    {
        assert_eq!(ask(store.client(), command).await, Err(RedisError::NoPerm), "{command}");
    }
    // Nor by a script of one's own.
    let script = Script::new("return redis.call('GET', KEYS[1])");
    let none: &[&str] = &[];
    assert_eq!(store.client().invoke(&script, &["other"], none, SOON).await, Err(RedisError::NoPerm));
    let undeclared = Script::new("return redis.call('GET', 'other')");
    assert!(store.client().invoke(&undeclared, &[name("rb")], none, SOON).await.is_err());
}

#[tokio::test]
async fn none_of_these_rights_can_be_left_out() {
    let server = RedisServer::builder().acl(&[&user(RIGHTS)]).start().await;
    let store = connected(&format!("redis://mesh:pw@{}", server.address()), SOON).await;
    assert!(does_all(&server, &store).await);
    let commands = RIGHTS.split(' ').filter_map(|right| right.strip_prefix('+'));
    // Those of every connection are told apart by whether there is one.
    for right in commands.filter(|right| !["hello", "auth", "ping", "script|load"].contains(right)) {
        server.command(&["ACL", "SETUSER", "mesh", &format!("-{right}")]).await.unwrap().accepted().unwrap();
        assert!(!does_all(&server, &store).await, "{right}");
        server.command(&["ACL", "SETUSER", "mesh", &format!("+{right}")]).await.unwrap().accepted().unwrap();
    }
    assert!(does_all(&server, &store).await);
}

#[tokio::test]
async fn who_may_load_no_scripts_runs_those_that_somebody_else_has_loaded() {
    let server = RedisServer::builder().acl(&[&user(&RIGHTS.replace("+script|load ", ""))]).start().await;
    let administrator = connected(&server.url(), SOON).await;
    let store = connected(&format!("redis://mesh:pw@{}", server.address()), SOON).await;
    settle(&store, first()).await.unwrap();
    server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
    let failed = settle(&store, first()).await;
    assert_eq!(failed, Err(StoreFailure::NotDone));
    settle(&administrator, first()).await.unwrap();
    settle(&store, first()).await.unwrap();
}

#[tokio::test]
async fn in_a_cluster_two_more_rights_are_needed() {
    let rights = user(&format!("{RIGHTS} +cluster|slots +asking"));
    let cluster = RedisCluster::start_with(RedisServer::builder().acl(&[&rights])).await;
    let store = connected(&format!("redis-cluster://mesh:pw@{}", cluster.nodes[0].address()), SOON).await;
    let slot = mesh_cache::redis::cluster::slot_of(name("rb").as_bytes());
    for command in one_of_each() {
        store.apply(command).await.unwrap();
    }
    cluster.migrate_slot(slot, (cluster.owner_of(slot).await + 1) % 3).await;
    for command in one_of_each() {
        store.apply(command).await.unwrap();
    }
}
