//! A link whose server or network breaks, in virtual time: what calls see, and how long that takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::redis::{RedisConfig, RedisError};
use redis::Value;
use redis_support::{FakeRedis, Plan, get, link_to, ready_within, until, why};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn calls_are_answered_once_the_link_is_up() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, RedisConfig::default(), &[]);
    assert!(matches!(get(&link, "a").await, Err(RedisError::Down { .. })), "nothing is queued before");
    assert_eq!(ready_within(&link, SOON).await, 1);
    assert_eq!(get(&link, "a").await.unwrap(), Value::BulkString(b"a".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_replaced_after_three_time_outs() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    let old = fake.last();
    old.freeze();
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(get(&link, "a").await, Err(RedisError::Timeout(Duration::from_millis(50))));
    }
    until("the link is down", || why(&link) == "silent").await;
    assert_eq!(ready_within(&link, SOON).await, 2);
    assert!(began.elapsed() < Duration::from_millis(150 + 100 + 10), "{:?}", began.elapsed());
    assert!(get(&link, "a").await.is_ok());
    until("the old connection is closed", || old.is_closed()).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_without_calls_is_replaced_after_a_ping() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    fake.last().freeze();
    until("the link is down", || why(&link) == "ping-missed").await;
    assert_eq!(ready_within(&link, SOON).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_ends_at_the_connect_deadline() {
    let fake = FakeRedis::new();
    fake.plan([Plan::Mute]);
    let link = link_to(&fake, RedisConfig::default(), &[]);
    let began = Instant::now();
    assert_eq!(ready_within(&link, SOON).await, 2);
    assert!((2000..2101).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    until("the silent connection is closed", || fake.open() == 1).await;
}
