//! A link to a real Redis: what it is for, and what becomes of it when the server fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::Environment;
use mesh_cache::redis::{Keys, LinkEvent, RedisConfig, RedisError, RedisLink, Script};
use mesh_testkit::RedisServer;
use redis::Value;
use redis_support::{get, ready_within, until, why};

const SOON: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_link_serves_calls_and_tells_changes() {
    let server = RedisServer::start().await;
    let mut config = RedisConfig::at(&server.url()).unwrap();
    config.tracking_prefix = Some("mesh:".to_owned());
    let link = RedisLink::start(config, &Environment::system(), &[]).unwrap();
    let mut events = link.events();
    ready_within(&link, SOON).await;
    let set = link.query(redis::cmd("SET").arg("mesh:a").arg("1"), SOON).await;
    assert_eq!(set.unwrap(), Value::Okay);
    assert_eq!(get(&link, "mesh:a").await.unwrap(), Value::BulkString(b"1".to_vec()));
    assert!(matches!(events.next().await, Some(LinkEvent::Up { .. })));
    let Some(LinkEvent::Invalidated { keys: Keys::Some(keys), .. }) = events.next().await else { panic!("no keys") };
    assert_eq!(keys, ["mesh:a"]);
}

#[tokio::test]
async fn a_link_survives_a_server_that_is_killed() {
    let mut server = RedisServer::start().await;
    let double = Script::new("return ARGV[1] * 2");
    let scripts = [double.clone()];
    let config = RedisConfig::at(&server.url()).unwrap();
    let link = RedisLink::start(config, &Environment::system(), &scripts).unwrap();
    let first = ready_within(&link, SOON).await;
    assert_eq!(link.invoke(&double, &["k"], 21, SOON).await.unwrap(), Value::Int(42));
    server.kill();
    until("the link is down", || why(&link) != "up").await;
    assert!(matches!(get(&link, "a").await, Err(RedisError::Down { .. })));
    server.start_empty().await;
    assert!(ready_within(&link, SOON).await > first);
    assert_eq!(link.invoke(&double, &["k"], 21, SOON).await.unwrap(), Value::Int(42));
}
