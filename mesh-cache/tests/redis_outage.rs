//! A link whose server or network breaks, in virtual time: what calls see, and how long that takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::redis::{RedisConfig, RedisError};
use redis::Value;
use redis_support::{FakeRedis, Plan, Stopwatch, get, link_to, ready_within, until, why};

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
    let began = Stopwatch::start();
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
    let began = Stopwatch::start();
    assert_eq!(ready_within(&link, SOON).await, 2);
    assert!((2000..2101).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    until("the silent connection is closed", || fake.open() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_took_too_long_is_closed_at_once_and_not_when_the_next_one_begins() {
    let fake = FakeRedis::new();
    fake.plan([Plan::Mute]);
    let mut config = RedisConfig::default();
    (config.link.retry, config.link.retry_max) = (Duration::from_mins(10), Duration::from_mins(10));
    let link = link_to(&fake, config, &[]);
    until("it took too long", || link.stats().link.connect_failures == 1).await;
    let mute = fake.last();
    let began = Stopwatch::start();
    until("the silent connection is closed", || mute.is_closed()).await;
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_the_dialler_panics_the_link_is_closed_and_nobody_waits_for_it() {
    let fake = FakeRedis::new();
    fake.plan([Plan::Serve, Plan::Panic]);
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    fake.last().close();
    until("the link is closed", || why(&link) == "closed").await;
    assert!(tokio::time::timeout(SOON, link.ready()).await.unwrap().is_err());
    link.close().await;
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_of_nine_seconds_no_call_waits_longer_than_its_deadline() {
    for plan in [Plan::Refuse, Plan::Hang, Plan::Mute] {
        let fake = FakeRedis::new();
        let link = link_to(&fake, RedisConfig::default(), &[]);
        ready_within(&link, SOON).await;
        fake.plan_for_good(plan);
        fake.last().freeze();
        let began = Stopwatch::start();
        let mut failures = Vec::new();
        while began.elapsed() < Duration::from_secs(9) {
            let asked = Stopwatch::start();
            failures.push(get(&link, "a").await.unwrap_err().name());
            assert!(asked.elapsed() <= Duration::from_millis(51), "{plan:?}: {:?}", asked.elapsed());
            tokio::time::advance(Duration::from_millis(20)).await;
        }
        failures.dedup();
        assert_eq!(failures, ["timeout", "down"], "{plan:?}: only the first calls wait at all");
        fake.plan_for_good(Plan::Serve);
        ready_within(&link, Duration::from_secs(14)).await;
        assert!(get(&link, "a").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_in_the_middle_of_a_reply_fails_the_calls_under_way_at_once() {
    let fake = FakeRedis::answering(|words| (words[0] == "GET").then(|| b"$100\r\nhalf a rep".to_vec()));
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    let (one, other) = (get(&link, "a"), get(&link, "b"));
    let reset = async {
        until("both calls have come", || fake.last().commands().len() == 4).await;
        fake.answer(|_| None);
        fake.last().reset();
    };
    let began = Stopwatch::start();
    let (one, other, ()) = tokio::join!(one, other, reset);
    assert_eq!((one, other), (Err(RedisError::Disconnected), Err(RedisError::Disconnected)));
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    until("the link is down", || why(&link) == "disconnected").await;
    assert_eq!(ready_within(&link, SOON).await, 2);
    assert!(get(&link, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_fail_at_once_when_the_connection_is_given_up() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    fake.last().freeze();
    let began = Stopwatch::start();
    let reply = link.query(redis::cmd("GET").arg("a"), Duration::from_secs(60)).await;
    assert_eq!(reply, Err(RedisError::Disconnected));
    assert!(began.elapsed() <= Duration::from_millis(1510), "a PING a second, and half of one for its answer");
}

#[tokio::test(start_paused = true)]
async fn hostile_replies_end_in_an_error_and_a_new_connection() {
    for hostile in [
        &b"*2147483647\r\n"[..],
        b"$536870912\r\n",
        b"%9223372036854775807\r\n",
        b"$-9223372036854775808\r\n$9223372036854775807\r\n",
        b"|4611686018427387904\r\n",
        b">2147483647\r\n",
        b"!nonsense\r\n",
        b"\x00\xFF\xFE\r\n",
        b"=3\r\nabc\r\n",
    ] {
        let fake = FakeRedis::new();
        let link = link_to(&fake, RedisConfig::default(), &[]);
        ready_within(&link, SOON).await;
        let reply = hostile.to_vec();
        fake.answer(move |words| (words[0] == "GET").then(|| reply.clone()));
        let shown = String::from_utf8_lossy(hostile);
        let first = fake.last();
        let error = get(&link, "a").await;
        assert!(matches!(error, Err(_) | Ok(Value::Nil)), "{shown:?}: {error:?}");
        until("the connection is given up", || first.is_closed()).await;
        fake.answer(|_| None);
        ready_within(&link, SOON).await;
        assert_eq!(get(&link, "a").await, Ok(Value::BulkString(b"a".to_vec())), "{shown:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_nested_without_end_is_refused() {
    let fake = FakeRedis::answering(|words| (words[0] == "GET").then(|| b"*1\r\n".repeat(200_000)));
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    assert_eq!(get(&link, "a").await, Err(RedisError::Hostile));
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_are_allowed_are_refused_at_once_and_room_comes_back() {
    let fake = FakeRedis::new();
    let mut config = RedisConfig::default();
    config.in_flight_max = 2.try_into().unwrap();
    let link = link_to(&fake, config, &[]);
    ready_within(&link, SOON).await;
    let (first, second, third) = tokio::join!(biased; get(&link, "a"), get(&link, "b"), get(&link, "c"));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!((third, link.stats().overloads), (Err(RedisError::Overloaded), 1));
    for _ in 0..10 {
        // A call that is dropped makes room as well.
        drop(tokio::time::timeout(Duration::ZERO, get(&link, "a")).await);
        assert!(get(&link, "a").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_between_time_outs_keeps_the_connection() {
    let fake = FakeRedis::answering(|words| (words == ["GET", "slow"]).then(Vec::new));
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    // Not so many that a PING comes in between, whose reply would take the place of a late one.
    for _ in 0..10 {
        let late = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            fake.last().write(b"$4\r\nslow\r\n");
        };
        let (slow, ()) = tokio::join!(get(&link, "slow"), late);
        assert_eq!(slow, Err(RedisError::Timeout(Duration::from_millis(50))));
        assert_eq!(get(&link, "a").await, Ok(Value::BulkString(b"a".to_vec())));
    }
    assert_eq!(link.stats().link.losses, 0);
}

#[tokio::test(start_paused = true)]
async fn what_listens_and_is_no_redis_is_not_up() {
    for (answer, reason) in [
        (&b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"[..], "protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (b"$2\r\nhi\r\n", "protocol"),
        (b"-NOAUTH Authentication required.\r\n", "auth"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
        (b"-BUSY Redis is busy running a script.\r\n", "busy"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "master-down"),
        (b"-ERR something else\r\n", "handshake-refused"),
    ] {
        let fake = FakeRedis::answering(move |_| Some(answer.to_vec()));
        let link = link_to(&fake, RedisConfig::default(), &[]);
        until("an attempt has failed", || link.stats().link.connect_failures > 0).await;
        assert_eq!(why(&link), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_loads_is_up_once_it_has_loaded() {
    let fake = FakeRedis::answering(|words| (words[0] == "PING").then(|| b"-LOADING soon\r\n".to_vec()));
    let link = link_to(&fake, RedisConfig::default(), &[]);
    until("five attempts have failed", || link.stats().link.connect_failures == 5).await;
    assert_eq!(get(&link, "a").await.unwrap_err().to_string(), "there is no connection to Redis: loading");
    fake.answer(|_| None);
    ready_within(&link, Duration::from_secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_left_and_a_busy_server_is_not() {
    let fake = FakeRedis::answering(|words| match words[0].as_str() {
        "SET" => Some(b"-READONLY You can't write against a read only replica.\r\n".to_vec()),
        "GET" => Some(b"-BUSY Redis is busy running a script.\r\n".to_vec()),
        _ => None,
    });
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    assert_eq!(get(&link, "a").await, Err(RedisError::Busy));
    until("the link has heard of it", || link.stats().link.unfit == 1).await;
    assert_eq!(why(&link), "up");
    let set = link.query(redis::cmd("SET").arg("a").arg("b"), Duration::from_millis(50)).await;
    assert_eq!(set, Err(RedisError::ReadOnly));
    until("the link is down", || why(&link) == "read-only").await;
    assert_eq!(ready_within(&link, SOON).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_with_its_last_clone_and_when_it_is_closed() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    let mut events = link.events();
    let clone = link.clone();
    drop(link);
    assert!(get(&clone, "a").await.is_ok());
    clone.close().await;
    assert_eq!(why(&clone), "closed");
    assert_eq!(get(&clone, "a").await.unwrap_err().to_string(), "there is no connection to Redis: closed");
    until("the connection is closed", || fake.open() == 0).await;
    assert!(matches!((events.next().await, events.next().await), (Some(_), Some(_))));
    assert_eq!(events.next().await, None);

    let link = link_to(&fake, RedisConfig::default(), &[]);
    ready_within(&link, SOON).await;
    drop(link);
    until("the connection is closed", || fake.open() == 0).await;
    let dials = fake.dials();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(fake.dials(), dials, "nobody tries any more");
}
