//! Who may reach a real Redis, and over what: passwords, rights, TLS, Unix sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::redis::{Keys, LinkEvent, RedisConfig, RedisError, RedisLink, Script};
use mesh_cache::{Environment, Secret};
use mesh_testkit::RedisServer;
use redis::Value;
use redis_support::{RIGHTS, get, ready_within, until, why};

const SOON: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_password_is_needed_and_shown_nowhere() {
    let server = RedisServer::builder().password("hunter2").start().await;
    let address = server.address();
    for url in
        [format!("redis://{address}"), format!("redis://:letmein@{address}"), format!("redis://bob:x%40y@{address}")]
    {
        let config = RedisConfig::at(&url).unwrap();
        let shown = format!("{config:?}");
        let link = RedisLink::start(config, &Environment::system(), &[]).unwrap();
        until("it is refused", || why(&link) == "auth").await;
        let error = get(&link, "a").await.unwrap_err();
        let shown = format!("{shown} {link:?} {:?} {error} {error:?}", link.state());
        assert!(!shown.contains("letmein") && !shown.contains("x@y") && !shown.contains("x%40y"), "{shown}");
    }
    let mut config = RedisConfig::at(&format!("redis://{address}")).unwrap();
    config.password = Some(Secret::new("hunter2"));
    ready_within(&start(config), SOON).await;
    ready_within(&start(RedisConfig::at(&format!("redis://:hunter2@{address}/3")).unwrap()), SOON).await;
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_refused() {
    let server = RedisServer::start().await;
    let link = start(RedisConfig::at(&format!("{}/9999", server.url())).unwrap());
    until("it is refused", || why(&link) == "handshake-refused").await;
}

#[tokio::test]
async fn the_rights_that_are_documented_suffice_and_no_more_is_possible() {
    let rights = format!("user mesh on >pw {RIGHTS}");
    let server = RedisServer::builder().acl(&[&rights, "user default off"]).start().await;
    let script = Script::new("redis.call('HSET', KEYS[1], 't', ARGV[1]) return redis.call('TIME')[1] + 0 > 0 and 42");
    let mut config = RedisConfig::at(&format!("redis://mesh:pw@{}", server.address())).unwrap();
    config.tracking_prefix = Some("mesh:v1:".to_owned());
    let link = RedisLink::start(config, &Environment::system(), std::slice::from_ref(&script)).unwrap();
    let mut events = link.events();
    ready_within(&link, SOON).await;
    for allowed in [
        "SET mesh:v1:a value PX 1000",
        "GETRANGE mesh:v1:a 0 3",
        "GET mesh:v1:a",
        "STRLEN mesh:v1:a",
        "PTTL mesh:v1:a",
        "TYPE mesh:v1:a",
        "HSET mesh:v1:h f v",
        "HGET mesh:v1:h f",
        "HMGET mesh:v1:h f g",
        "PEXPIRE mesh:v1:h 1000",
        "ZADD mesh:v1:z 1 m",
        "ZCARD mesh:v1:z",
        "ZREM mesh:v1:z m",
        "ZREMRANGEBYSCORE mesh:v1:z 0 1",
        "DEL mesh:v1:a",
        "TIME",
        "CLIENT ID",
        "PING",
    ] {
        let reply = ask(&link, allowed).await;
        assert!(reply.is_ok(), "{allowed}: {reply:?}");
    }
    assert_eq!(link.invoke(&script, &["mesh:v1:b"], 1, SOON).await, Ok(Value::Int(42)));
    assert!(matches!(events.next().await, Some(LinkEvent::Up { .. })));
    assert!(matches!(events.next().await, Some(LinkEvent::Invalidated { keys: Keys::Some(_), .. })));
    for refused in ["EVAL return 0", "KEYS *", "FLUSHALL", "CONFIG GET *", "GET other", "SET other 1", "CLIENT LIST"] {
        assert_eq!(ask(&link, refused).await, Err(RedisError::NoPerm), "{refused}");
    }
    let foreign = link.invoke(&script, &["other"], 1, SOON).await.unwrap_err();
    assert_eq!((foreign, why(&link)), (RedisError::NoPerm, "up"));
}

#[tokio::test]
async fn who_may_load_no_scripts_runs_those_that_somebody_else_has_loaded() {
    let rights = "user mesh on >pw ~mesh:* resetchannels -@all +hello +auth +ping +evalsha";
    let server = RedisServer::builder().acl(&[rights]).start().await;
    let script = Script::new("return 42");
    let config = RedisConfig::at(&format!("redis://mesh:pw@{}", server.address())).unwrap();
    let link = RedisLink::start(config, &Environment::system(), std::slice::from_ref(&script)).unwrap();
    ready_within(&link, SOON).await;
    assert_eq!(link.invoke(&script, &["mesh:a"], 1, SOON).await, Err(RedisError::NoScript));
    server.command(&["SCRIPT", "LOAD", "return 42"]).await.unwrap();
    assert_eq!(link.invoke(&script, &["mesh:a"], 1, SOON).await, Ok(Value::Int(42)));
}

#[tokio::test]
async fn over_tls_the_certificate_and_its_name_are_checked() {
    let server = RedisServer::builder().tls().start().await;
    let mut config = RedisConfig::at(&server.tls_url()).unwrap();
    config.tls.ca_file = Some(server.ca_file());
    config.tracking_prefix = Some("mesh:".to_owned());
    let link = start(config.clone());
    ready_within(&link, SOON).await;
    assert_eq!(get(&link, "a").await, Ok(Value::Nil));

    let mut strange = config.clone();
    strange.tls.server_name = Some("redis.example".to_owned());
    let link = start(strange);
    until("the name is refused", || why(&link) == "tls").await;

    let other = RedisServer::builder().tls().start().await;
    config.tls.ca_file = Some(other.ca_file());
    let link = start(config);
    until("the authority is refused", || why(&link) == "tls").await;
}

#[tokio::test]
async fn over_mutual_tls_a_client_without_a_certificate_is_refused() {
    let server = RedisServer::builder().mutual_tls().start().await;
    let mut config = RedisConfig::at(&server.tls_url()).unwrap();
    config.tls.ca_file = Some(server.ca_file());
    let link = start(config.clone());
    until("it is refused", || why(&link) == "tls").await;
    let (cert, key) = server.client_files();
    (config.tls.cert_file, config.tls.key_file) = (Some(cert), Some(key));
    ready_within(&start(config), SOON).await;
}

#[tokio::test]
async fn a_unix_socket_is_spoken_to_like_any_other() {
    let mut server = RedisServer::builder().unix_socket().start().await;
    let link = start(RedisConfig::at(&format!("unix://{}?db=2", server.socket_path().display())).unwrap());
    ready_within(&link, SOON).await;
    ask(&link, "SET a 1").await.unwrap();
    server.kill();
    until("the link is down", || why(&link) != "up").await;
    server.start_again().await;
    ready_within(&link, SOON).await;
    assert_eq!(get(&link, "a").await, Ok(Value::Nil));
}

fn start(config: RedisConfig) -> RedisLink {
    RedisLink::start(config, &Environment::system(), &[]).unwrap()
}

async fn ask(link: &RedisLink, words: &str) -> Result<Value, RedisError> {
    let mut words = words.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    link.query(&cmd, SOON).await
}
