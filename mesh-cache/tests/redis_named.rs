//! Servers that others name: what sentinels and nodes of a cluster say is followed only as far as it may be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesh_cache::redis::{RedisClient, RedisConfig, RedisError};
use redis::Value;
use redis_support::{FakeRedis, Plan, Stopwatch, bulk, client_to, slots, until, why_down};

const SOON: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn a_master_that_sentinels_name_is_not_spoken_to_in_plain_text() {
    let fake = FakeRedis::answering(|words| (words[0] == "SENTINEL").then(|| address("10.0.0.5", "6379")));
    let client = client("redis-sentinel://127.0.0.1/m", &fake);
    until("it is refused", || why(&client) == "plain-text").await;
    assert!(fake.dialled().iter().all(|address| address == "127.0.0.1:26379"), "{:?}", fake.dialled());
}

#[tokio::test(start_paused = true)]
async fn a_master_that_says_it_is_a_replica_is_none_and_the_sentinels_are_asked_again() {
    let fake = FakeRedis::answering(|words| match words[0].as_str() {
        "SENTINEL" => Some(address("127.0.0.2", "7000")),
        "ROLE" => Some([b"*5\r\n".to_vec(), bulk("slave"), b":1\r\n:2\r\n:3\r\n:4\r\n".to_vec()].concat()),
        _ => None,
    });
    let client = client("redis-sentinel://127.0.0.1,127.0.0.3/m", &fake);
    until("it is refused", || why(&client) == "not-master").await;
    fake.answer(|words| match words[0].as_str() {
        "SENTINEL" => Some(address("127.0.0.4", "7000")),
        "ROLE" => Some([b"*3\r\n".to_vec(), bulk("master"), b":1\r\n*0\r\n".to_vec()].concat()),
        _ => None,
    });
    ready(&client).await;
    assert_eq!(fake.dialled().last().map(String::as_str), Some("127.0.0.4:7000"));
}

#[tokio::test(start_paused = true)]
async fn a_sentinel_that_does_not_help_is_not_asked_first_again() {
    let fake = FakeRedis::answering(|words| match words[0].as_str() {
        "SENTINEL" => Some(b"*-1\r\n".to_vec()),
        _ => None,
    });
    let client = client("redis-sentinel://127.0.0.1,127.0.0.2,127.0.0.3/m", &fake);
    until("none knows it", || why(&client) == "no-master").await;
    assert_eq!(fake.dialled()[..3], ["127.0.0.1:26379", "127.0.0.2:26379", "127.0.0.3:26379"]);
    let helped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&helped);
    fake.answer(move |words| match words[0].as_str() {
        // The first one that is asked from now on.
        "SENTINEL" if !seen.swap(true, Ordering::SeqCst) => Some(b"*-1\r\n".to_vec()),
        "SENTINEL" => Some(address("127.0.0.9", "7000")),
        "ROLE" => Some([b"*3\r\n".to_vec(), bulk("master"), b":1\r\n*0\r\n".to_vec()].concat()),
        _ => None,
    });
    ready(&client).await;
    let answered = fake.dialled().iter().rev().nth(1).cloned();
    fake.last().close();
    until("it is lost", || why(&client) != "up").await;
    let dials = fake.dials();
    ready(&client).await;
    assert_eq!(fake.dialled().get(dials), answered.as_ref(), "{:?}", fake.dialled());
}

#[tokio::test(start_paused = true)]
async fn many_sentinels_that_are_silent_do_not_hide_one_that_answers() {
    let fake = FakeRedis::answering(|words| match words[0].as_str() {
        "SENTINEL" => Some(address("127.0.0.9", "7000")),
        "ROLE" => Some([b"*3\r\n".to_vec(), bulk("master"), b":1\r\n*0\r\n".to_vec()].concat()),
        _ => None,
    });
    // Four of them take up all the time that one attempt has.
    for number in 1..=6 {
        fake.plan_of(&format!("127.0.0.{number}"), Plan::Hang);
    }
    let sentinels: Vec<String> = (1..=7).map(|number| format!("127.0.0.{number}")).collect();
    let client = client(&format!("redis-sentinel://{}/m", sentinels.join(",")), &fake);
    tokio::time::timeout(Duration::from_secs(10), client.ready()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn nodes_of_a_cluster_are_not_spoken_to_in_plain_text_either() {
    let fake = FakeRedis::answering(|words| (words[0] == "CLUSTER").then(|| slots(&[(0, 16_383, "10.0.0.5")])));
    let client = client("redis-cluster://127.0.0.1:7000", &fake);
    until("it is refused", || why(&client) == "plain-text").await;
    let error = client.query(b"a", redis::cmd("GET").arg("a"), DEADLINE).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no connection to Redis: plain-text");
    assert!(fake.dialled().iter().all(|address| address == "127.0.0.1:7000"), "{:?}", fake.dialled());
}

#[tokio::test(start_paused = true)]
async fn seeds_are_asked_one_after_the_other_until_one_makes_sense() {
    let answers = [b"-ERR This instance has cluster support disabled\r\n".to_vec(), b"*0\r\n".to_vec()];
    for answer in answers.into_iter().chain([slots(&[(0, 20_000, "127.0.0.1")]), slots(&[(0, 1, "no host")])]) {
        let fake = FakeRedis::answering(move |words| (words[0] == "CLUSTER").then(|| answer.clone()));
        let client = client("redis-cluster://127.0.0.1:7000,127.0.0.2:7000", &fake);
        until("nobody knows", || why(&client) == "no-topology").await;
        assert_eq!(fake.dialled()[..2], ["127.0.0.1:7000", "127.0.0.2:7000"]);
        fake.answer(|words| (words[0] == "CLUSTER").then(|| slots(&[(0, 100, "127.0.0.1")])));
        until("it is up", || why(&client) == "up").await;
        // The slot of "a" is 15495.
        let error = client.query(b"a", redis::cmd("GET").arg("a"), DEADLINE).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no connection to Redis: slot-unassigned");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_moved_to_an_unknown_node_is_found_and_never_waited_for_beyond_the_deadline() {
    let moved = |words: &[String]| match words[0].as_str() {
        "CLUSTER" => Some(slots(&[(0, 16_383, "127.0.0.1")])),
        "GET" => Some(b"-MOVED 15495 127.0.0.2:7000\r\n".to_vec()),
        _ => None,
    };
    let fake = FakeRedis::answering(moved);
    let client = client("redis-cluster://127.0.0.1:7000", &fake);
    ready(&client).await;
    let began = Stopwatch::start();
    let error = client.query(b"a", redis::cmd("GET").arg("a"), DEADLINE).await.unwrap_err();
    assert!(matches!(error, RedisError::Moved(_)), "{error:?}");
    assert!(began.elapsed() <= DEADLINE + Duration::from_millis(1), "{:?}", began.elapsed());

    let calls = AtomicBool::new(false);
    fake.answer(move |words| match words[0].as_str() {
        "CLUSTER" => Some(slots(&[(0, 8_000, "127.0.0.1"), (8_001, 16_383, "127.0.0.2")])),
        "GET" if !calls.swap(true, Ordering::SeqCst) => moved(words),
        _ => None,
    });
    let reply = client.query(b"a", redis::cmd("GET").arg("a"), Duration::from_secs(1)).await;
    assert_eq!(reply, Ok(Value::BulkString(b"a".to_vec())));
    assert!(fake.dialled().contains(&"127.0.0.2:7000".to_owned()), "{:?}", fake.dialled());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_ends_with_its_last_clone_and_when_it_is_closed() {
    let fake = FakeRedis::answering(|words| (words[0] == "CLUSTER").then(|| slots(&[(0, 16_383, "127.0.0.1")])));
    for close in [true, false] {
        let client = client("redis-cluster://127.0.0.1:7000", &fake);
        let mut events = client.events();
        ready(&client).await;
        if close {
            client.close().await;
            let error = client.query(b"a", redis::cmd("GET").arg("a"), DEADLINE).await.unwrap_err();
            assert_eq!(error.to_string(), "there is no connection to Redis: closed");
            assert!(client.ready().await.is_err());
        }
        drop(client);
        until("the connections are closed", || fake.open() == 0).await;
        assert!(events.next().await.is_some() && events.next().await.is_some(), "up and down");
        assert_eq!(events.next().await, None);
        let dials = fake.dials();
        tokio::time::advance(Duration::from_secs(120)).await;
        assert_eq!(fake.dials(), dials);
    }
}

fn client(url: &str, fake: &Arc<FakeRedis>) -> RedisClient {
    client_to(fake, RedisConfig::at(url).unwrap())
}

async fn ready(client: &RedisClient) {
    let epoch = tokio::time::timeout(SOON, client.ready()).await;
    epoch.unwrap_or_else(|_| panic!("not up: {:?}", client.state())).unwrap();
}

fn why(client: &RedisClient) -> &'static str {
    why_down(client.state())
}

/// What a sentinel says of a master.
fn address(host: &str, port: &str) -> Vec<u8> {
    [b"*2\r\n".to_vec(), bulk(host), bulk(port)].concat()
}
