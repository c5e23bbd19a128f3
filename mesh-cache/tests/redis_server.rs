//! A link to a real Redis: what it is for, and what becomes of it when the server fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::Environment;
use mesh_cache::redis::{Epoch, Keys, LinkEvent, LinkEvents, RedisConfig, RedisError, RedisLink, Script};
use mesh_testkit::RedisServer;
use redis::Value;
use redis_support::{Stopwatch, get, ready_within, until, why};

const SOON: Duration = Duration::from_secs(15);
const NONE: &[i64] = &[];

#[tokio::test]
async fn a_link_serves_calls_and_tells_changes() {
    let server = RedisServer::start().await;
    let link = tracking_link(&server);
    let mut events = link.events();
    ready_within(&link, SOON).await;
    assert_eq!(soon(&mut events).await, LinkEvent::Up { epoch: Epoch::new(1) });
    assert_eq!(set(&link, "mesh:a").await, Ok(Value::Okay));
    assert_eq!(soon(&mut events).await, changed(1, "mesh:a"), "one's own");
    assert_eq!(get(&link, "mesh:a").await, Ok(Value::BulkString(b"1".to_vec())));
    server.command(&["SET", "other", "2"]).await.unwrap();
    server.command(&["SET", "mesh:b", "2", "PX", "50"]).await.unwrap();
    assert_eq!(soon(&mut events).await, changed(1, "mesh:b"), "another's, and none outside of the prefix");
    assert_eq!(soon(&mut events).await, changed(1, "mesh:b"), "it ran out");
    server.command(&["FLUSHALL"]).await.unwrap();
    assert_eq!(soon(&mut events).await, LinkEvent::Invalidated { epoch: Epoch::new(1), keys: Keys::All });
    assert_eq!((link.stats().odd_pushes, link.stats().foreign_pushes), (0, 0));
}

#[tokio::test]
async fn replies_of_every_kind_come_as_they_are() {
    let server = RedisServer::start().await;
    let link = link_to(&server);
    ready_within(&link, SOON).await;
    set(&link, "text").await.unwrap();
    let push = link.query(redis::cmd("LPUSH").arg("text").arg("x"), SOON).await;
    assert_eq!(push, Err(RedisError::WrongType));
    let unknown = link.query(&redis::cmd("NOSUCHCOMMAND"), SOON).await.unwrap_err();
    assert_eq!(unknown.to_string(), "Redis refuses the command: ERR");
    assert_eq!(link.query(&redis::Cmd::new(), SOON).await, Err(RedisError::Unsendable));
    assert_eq!(link.pipeline(&redis::pipe(), SOON).await, Err(RedisError::Unsendable));

    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg("text").cmd("LPUSH").arg("text").arg("x").cmd("INCR").arg("text");
    let replies = link.pipeline(&pipeline, SOON).await.unwrap();
    let expected = [Ok(Value::BulkString(b"1".to_vec())), Err(RedisError::WrongType), Ok(Value::Int(2))];
    assert_eq!(replies, expected);
    let replies = link.pipeline(redis::pipe().atomic().cmd("INCR").arg("text").cmd("INCR").arg("text"), SOON).await;
    assert_eq!(replies, Ok(vec![Ok(Value::Array(vec![Value::Int(3), Value::Int(4)]))]));
    let replies = link.pipeline(redis::pipe().atomic().cmd("INCR").arg("text").cmd("NOSUCH"), SOON).await;
    assert_eq!(replies.unwrap_err().to_string(), "Redis refuses the command: EXECABORT");
}

#[tokio::test]
async fn a_script_that_fails_half_way_says_that_something_may_have_changed() {
    let server = RedisServer::start().await;
    let link = link_to(&server);
    ready_within(&link, SOON).await;
    let script = Script::new("redis.call('SET', KEYS[1], 'x') return redis.call('LPUSH', KEYS[1], 'y')");
    let error = link.invoke(&script, &["k"], NONE, SOON).await.unwrap_err();
    assert_eq!((error.name(), error.may_have_changed()), ("script", true));
    assert_eq!(get(&link, "k").await, Ok(Value::BulkString(b"x".to_vec())));
}

#[tokio::test]
async fn a_link_survives_a_server_that_is_killed_and_scripts_are_known_again() {
    let mut server = RedisServer::start().await;
    let (known, taught) = (Script::new("return ARGV[1] * 2"), Script::new("return ARGV[1] * 3"));
    let config = RedisConfig::at(&server.url()).unwrap();
    let link = RedisLink::start(config, &Environment::system(), std::slice::from_ref(&known)).unwrap();
    let first = ready_within(&link, SOON).await;
    assert_eq!(link.invoke(&taught, &["k"], 14, SOON).await, Ok(Value::Int(42)));
    server.kill();
    until("the link is down", || why(&link) != "up").await;
    assert!(matches!(get(&link, "a").await, Err(RedisError::Down { .. })));
    server.start_empty().await;
    assert!(ready_within(&link, SOON).await > first);
    // Loaded with the connection: no second question is asked.
    let run = link.query(redis::cmd("EVALSHA").arg(known.hash()).arg(0).arg(21), SOON).await;
    assert_eq!(run, Ok(Value::Int(42)));
    let forgotten = link.query(redis::cmd("EVALSHA").arg(taught.hash()).arg(0).arg(14), SOON).await;
    assert_eq!(forgotten, Err(RedisError::NoScript));
    assert_eq!(link.invoke(&taught, &["k"], 14, SOON).await, Ok(Value::Int(42)));
}

#[tokio::test]
async fn a_frozen_server_is_noticed_by_calls_and_by_pings() {
    for with_calls in [true, false] {
        let server = RedisServer::start().await;
        let link = tracking_link(&server);
        let mut events = link.events();
        ready_within(&link, SOON).await;
        server.freeze();
        let began = Stopwatch::start();
        while with_calls && why(&link) == "up" {
            assert!(get(&link, "a").await.is_err());
        }
        until("the link is down", || why(&link) != "up").await;
        let within = if with_calls { Duration::from_millis(700) } else { Duration::from_millis(2_500) };
        assert!(began.elapsed() < within, "{:?}", began.elapsed());
        server.thaw();
        let second = ready_within(&link, SOON).await;
        set(&link, "mesh:a").await.unwrap();
        assert_eq!(soon(&mut events).await, LinkEvent::Up { epoch: Epoch::new(1) });
        assert_eq!(soon(&mut events).await, LinkEvent::Down { epoch: Epoch::new(1) });
        assert_eq!(soon(&mut events).await, LinkEvent::Up { epoch: Epoch::new(second) });
        assert_eq!(soon(&mut events).await, changed(second, "mesh:a"), "the tracking is armed again");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_kills_is_replaced_and_tracks_again() {
    let server = RedisServer::start().await;
    let link = tracking_link(&server);
    let mut events = link.events();
    ready_within(&link, SOON).await;
    server.kill_clients().await.unwrap();
    until("the link is down", || link.stats().link.losses == 1).await;
    ready_within(&link, SOON).await;
    server.command(&["SET", "mesh:a", "1"]).await.unwrap();
    let expected = [LinkEvent::Up { epoch: Epoch::new(1) }, LinkEvent::Down { epoch: Epoch::new(1) }];
    assert_eq!([soon(&mut events).await, soon(&mut events).await], expected);
    let LinkEvent::Up { epoch } = soon(&mut events).await else { panic!("it is not up") };
    assert_eq!(soon(&mut events).await, changed(epoch.get(), "mesh:a"));
}

#[tokio::test]
async fn a_server_that_sleeps_for_a_moment_is_not_given_up_by_one_burst_of_calls() {
    let server = RedisServer::start().await;
    let link = link_to(&server);
    ready_within(&link, SOON).await;
    server.debug_sleep(Duration::from_millis(400)).await.unwrap();
    let burst = (0..50).map(|_| {
        let link = link.clone();
        tokio::spawn(async move { get(&link, "a").await })
    });
    for call in burst.collect::<Vec<_>>() {
        call.await.unwrap().ok();
    }
    until("it answers again", || link.stats().link.losses == 0 && why(&link) == "up").await;
    answers(&link).await;
    let stats = link.stats().link;
    assert!(stats.losses <= 1 && stats.timeouts <= 8, "{stats:?}");
}

#[tokio::test]
async fn a_script_without_end_is_reported_and_the_link_recovers() {
    // After five seconds, as it is by default, the link would have found the server silent, and be down.
    let server = RedisServer::builder().setting("busy-reply-threshold", "1").start().await;
    let link = link_to(&server);
    ready_within(&link, SOON).await;
    let mut other = server.connect().await.unwrap();
    other.send(&["EVAL", "while true do end", "0"]).await.unwrap();
    let mut seen = Ok(Value::Nil);
    let began = Stopwatch::start();
    while seen != Err(RedisError::Busy) && began.elapsed() < SOON {
        seen = get(&link, "a").await;
    }
    assert_eq!(seen, Err(RedisError::Busy));
    assert_eq!(why(&link), "up", "a busy server is still the right one");
    assert_eq!(link.query(redis::cmd("SCRIPT").arg("KILL"), SOON).await, Ok(Value::Okay));
    answers(&link).await;
}

#[tokio::test]
async fn a_link_that_connects_to_a_busy_server_is_not_up() {
    let server = RedisServer::builder().setting("busy-reply-threshold", "1").start().await;
    let mut other = server.connect().await.unwrap();
    other.send(&["EVAL", "while true do end", "0"]).await.unwrap();
    let link = link_to(&server);
    until("it has heard", || why(&link) == "busy").await;
    server.command(&["SCRIPT", "KILL"]).await.unwrap();
    ready_within(&link, SOON).await;
}

#[tokio::test]
async fn a_link_to_a_server_that_loads_is_up_once_it_has_loaded() {
    // As slow as a large file, 0.5 ms for each key; it looks at its clients after every 1,024 of them.
    let mut server = RedisServer::builder().append_only().setting("key-load-delay", "500").start().await;
    let fill = "for i = 1, 6000 do redis.call('SET', 'mesh:' .. i, 'x') end return 1";
    server.command(&["EVAL", fill, "0"]).await.unwrap();
    server.kill();
    let link = link_to(&server);
    server.launch();
    until("it loads", || why(&link) == "loading").await;
    assert_eq!(get(&link, "mesh:1").await.unwrap_err().name(), "down");
    ready_within(&link, SOON).await;
    assert!(matches!(get(&link, "mesh:600").await, Ok(Value::BulkString(_))));
}

#[tokio::test]
async fn a_full_server_refuses_writes_and_stays_connected() {
    let server = RedisServer::builder().max_memory(1, "noeviction").start().await;
    let link = link_to(&server);
    ready_within(&link, SOON).await;
    let error = set(&link, "a").await.unwrap_err();
    assert_eq!((error.name(), error.may_have_changed(), error.blames_the_store()), ("out-of-memory", false, true));
    let script = Script::new("redis.call('SET', KEYS[1], 'x') return 1");
    assert_eq!(link.invoke(&script, &["k"], NONE, SOON).await, Err(RedisError::Oom));
    assert_eq!(get(&link, "a").await, Ok(Value::Nil));
    assert_eq!((why(&link), link.stats().link.losses), ("up", 0));
}

fn link_to(server: &RedisServer) -> RedisLink {
    RedisLink::start(RedisConfig::at(&server.url()).unwrap(), &Environment::system(), &[]).unwrap()
}

fn tracking_link(server: &RedisServer) -> RedisLink {
    let mut config = RedisConfig::at(&server.url()).unwrap();
    config.tracking_prefix = Some("mesh:".to_owned());
    RedisLink::start(config, &Environment::system(), &[]).unwrap()
}

async fn set(link: &RedisLink, key: &str) -> Result<Value, RedisError> {
    link.query(redis::cmd("SET").arg(key).arg("1"), SOON).await
}

/// Reads until that succeeds, for at most so long.
async fn answers(link: &RedisLink) {
    let began = Stopwatch::start();
    while let Err(error) = get(link, "a").await {
        assert!(began.elapsed() < SOON, "{error}, {:?}", link.stats());
    }
}

fn changed(epoch: u64, key: &str) -> LinkEvent {
    let keys = Keys::Some(vec![bytes::Bytes::copy_from_slice(key.as_bytes())]);
    LinkEvent::Invalidated { epoch: Epoch::new(epoch), keys }
}

async fn soon(events: &mut LinkEvents) -> LinkEvent {
    tokio::time::timeout(SOON, events.next()).await.expect("no event came").expect("the link has ended")
}
