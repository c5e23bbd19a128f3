//! A cluster whose map is out of date: when it is asked for anew, and where a call goes meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_cache::redis::{RedisClient, RedisConfig, RedisError};
use redis::Value;
use redis_support::{FakeRedis, Plan, Stopwatch, client_to, slots, until, why_down};

/// Far beyond what any of these tests may wait for.
const LONG: Duration = Duration::from_secs(600);
/// After a map was taken in, and before the next is due by itself.
const AT_REST: Duration = Duration::from_millis(300);
/// The slot of "a" is 15495, that of "b" 3300.
const HALVES: [(u16, u16, &str); 2] = [(0, 8_000, "127.0.0.1"), (8_001, 16_383, "127.0.0.2")];
const FIRST_HALF: [(u16, u16, &str); 1] = [(0, 8_000, "127.0.0.1")];
const ONE: [(u16, u16, &str); 1] = [(0, 16_383, "127.0.0.1")];

/// A cluster that says what the test wants.
struct Cluster {
    fake: Arc<FakeRedis>,
    /// What is said of who serves what: one after the other, the last of them from then on.
    maps: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How often it was asked.
    asked: Arc<AtomicUsize>,
    /// What GET is answered, one after the other; then the key itself.
    replies: Arc<Mutex<Vec<&'static str>>>,
    /// How often GET came.
    gets: Arc<AtomicUsize>,
}

impl Cluster {
    fn new(map: &[(u16, u16, &str)]) -> Self {
        let (maps, replies) = (Arc::new(Mutex::new(vec![slots(map)])), Arc::<Mutex<Vec<&str>>>::default());
        let (asked, gets) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (to_say, to_reply) = (Arc::clone(&maps), Arc::clone(&replies));
        let (asks, calls) = (Arc::clone(&asked), Arc::clone(&gets));
        let take = |of: &mut Vec<Vec<u8>>| if of.len() > 1 { of.remove(0) } else { of[0].clone() };
        let fake = FakeRedis::answering(move |words| match words[0].as_str() {
            "CLUSTER" => {
                asks.fetch_add(1, Ordering::SeqCst);
                Some(take(&mut to_say.lock().unwrap()))
            }
            "GET" => {
                calls.fetch_add(1, Ordering::SeqCst);
                let mut replies = to_reply.lock().unwrap();
                (!replies.is_empty()).then(|| format!("-{}\r\n", replies.remove(0)).into_bytes())
            }
            _ => None,
        });
        Self { fake, maps, asked, replies, gets }
    }

    /// One whose client is asked for nothing by a timer but what a map that is not whole makes it ask.
    fn client(&self) -> RedisClient {
        let mut config = RedisConfig::at("redis-cluster://127.0.0.1:7000").unwrap();
        (config.cluster_refresh, config.link.ping_period) = (LONG, LONG);
        client_to(&self.fake, config)
    }

    /// From now on it is as these say, one after the other.
    fn becomes(&self, maps: &[&[(u16, u16, &str)]]) {
        *self.maps.lock().unwrap() = maps.iter().map(|map| slots(map)).collect();
    }

    fn replies(&self, replies: &[&'static str]) {
        *self.replies.lock().unwrap() = replies.to_vec();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }
}

async fn get(client: &RedisClient, key: &str) -> Result<Value, RedisError> {
    client.query(key.as_bytes(), redis::cmd("GET").arg(key), LONG).await
}

async fn get_by_pipeline(client: &RedisClient, key: &str) -> Result<Value, RedisError> {
    client.pipeline(key.as_bytes(), redis::pipe().cmd("GET").arg(key), LONG).await?.remove(0)
}

/// Waits until calls of some keys are served and nothing is asked any more.
async fn at_rest(client: &RedisClient) {
    until("it is up", || why_down(client.state()) == "up").await;
    tokio::time::sleep(AT_REST).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_nobody_for_its_key_has_the_map_asked_for_at_once() {
    type Case = (&'static [(u16, u16, &'static str)], &'static [&'static str], &'static str);
    let cases: [Case; 4] = [
        (&FIRST_HALF, &[], "there is no connection to Redis: slot-unassigned"),
        (&HALVES, &[], "there is no connection to Redis: unreachable"),
        (&ONE, &["CLUSTERDOWN The cluster is down"], "Redis refuses the command: CLUSTERDOWN"),
        (&ONE, &["CLUSTERDOWN Hash slot not served"], "Redis refuses the command: CLUSTERDOWN"),
    ];
    for (map, replies, expected) in cases {
        for by_pipeline in [false, true] {
            let cluster = Cluster::new(map);
            cluster.fake.plan_of("127.0.0.2", Plan::Refuse);
            let client = cluster.client();
            at_rest(&client).await;
            let (asked, began) = (cluster.asked(), Stopwatch::start());
            cluster.replies(replies);
            let reply = if by_pipeline { get_by_pipeline(&client, "a").await } else { get(&client, "a").await };
            assert_eq!(reply.unwrap_err().to_string(), expected);
            until("it is asked for", || cluster.asked() > asked).await;
            assert!(began.elapsed() <= Duration::from_millis(10), "{expected}: {:?}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_failures_and_nodes_that_were_only_just_named_have_it_asked_for_by_nobody() {
    for reply in ["WRONGTYPE x", "NOPERM x", "TRYAGAIN x", "NOREPLICAS x", "ERR x"] {
        let cluster = Cluster::new(&ONE);
        let client = cluster.client();
        at_rest(&client).await;
        let asked = cluster.asked();
        cluster.replies(&[reply]);
        get(&client, "a").await.unwrap_err();
        tokio::time::sleep(AT_REST).await;
        assert_eq!(cluster.asked(), asked, "{reply}");
    }
    let cluster = Cluster::new(&HALVES);
    cluster.fake.plan_of("127.0.0.2", Plan::Hang);
    let client = cluster.client();
    at_rest(&client).await;
    let asked = cluster.asked();
    assert_eq!(get(&client, "a").await.unwrap_err().to_string(), "there is no connection to Redis: starting");
    tokio::time::sleep(AT_REST).await;
    assert_eq!(cluster.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn calls_that_find_nobody_do_not_flood_the_nodes() {
    let cluster = Cluster::new(&FIRST_HALF);
    let client = cluster.client();
    at_rest(&client).await;
    let (asked, began) = (cluster.asked(), Stopwatch::start());
    while began.elapsed() < Duration::from_secs(1) {
        get(&client, "a").await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!((5..=11).contains(&(cluster.asked() - asked)), "{} times in a second", cluster.asked() - asked);
}

#[tokio::test]
async fn whoever_asks_again_and_again_without_a_pause_does_not_keep_the_map_from_being_asked_for() {
    let cluster = Cluster::new(&FIRST_HALF);
    let client = cluster.client();
    until("it is up", || why_down(client.state()) == "up").await;
    cluster.becomes(&[&HALVES]);
    let began = Stopwatch::start();
    while get(&client, "a").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody came to ask for it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_map_with_holes_is_asked_for_again_soon_and_is_neither_ready_nor_heard_before_it_has_none() {
    let cluster = Cluster::new(&FIRST_HALF);
    let client = cluster.client();
    at_rest(&client).await;
    assert!(tokio::time::timeout(Duration::from_secs(5), client.ready()).await.is_err(), "not all keys are served");
    assert!(!client.hears_all(), "whoever serves the others is not heard");
    assert_eq!(get(&client, "b").await, Ok(Value::BulkString(b"b".to_vec())), "those that have a node are");
    cluster.becomes(&[&HALVES]);
    let began = Stopwatch::start();
    tokio::time::timeout(LONG / 2, client.ready()).await.unwrap().unwrap();
    assert!(client.hears_all());
    assert!(began.elapsed() <= Duration::from_millis(1_200), "{:?}", began.elapsed());
    assert_eq!(get(&client, "a").await, Ok(Value::BulkString(b"a".to_vec())));
    tokio::time::sleep(AT_REST).await;
    let asked = cluster.asked();
    tokio::time::sleep(LONG / 2).await;
    assert_eq!(cluster.asked(), asked, "then it rests");
}

#[tokio::test(start_paused = true)]
async fn while_a_node_is_not_connected_the_map_is_asked_for_again_soon_whatever_the_pings() {
    for (refresh, times) in [(LONG, 9..=10), (Duration::from_millis(200), 30..=34)] {
        let cluster = Cluster::new(&HALVES);
        cluster.fake.plan_of("127.0.0.2", Plan::Refuse);
        let mut config = RedisConfig::at("redis-cluster://127.0.0.1:7000").unwrap();
        (config.cluster_refresh, config.link.ping_period) = (refresh, LONG);
        let client = client_to(&cluster.fake, config);
        at_rest(&client).await;
        let asked = cluster.asked();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let asked = cluster.asked() - asked;
        assert!(times.contains(&asked), "{asked} times in ten seconds, every {refresh:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirection_to_a_node_that_is_down_is_followed_to_who_has_taken_its_place() {
    let moved_on = [(0, 8_000, "127.0.0.1"), (8_001, 16_383, "127.0.0.3")];
    // What comes first may have been asked for before.
    for maps in [&[&moved_on[..]][..], &[&HALVES, &moved_on]] {
        for redirection in ["MOVED 15495 127.0.0.2:7000", "ASK 15495 127.0.0.2:7000"] {
            // That node is known, and "a" is still looked for on the other one.
            let known = [(0, 7_999, "127.0.0.1"), (8_000, 8_000, "127.0.0.2"), (8_001, 16_383, "127.0.0.1")];
            let cluster = Cluster::new(&known);
            cluster.fake.plan_of("127.0.0.2", Plan::Refuse);
            let client = cluster.client();
            at_rest(&client).await;
            cluster.becomes(maps);
            cluster.replies(&[redirection]);
            let began = Stopwatch::start();
            assert_eq!(get(&client, "a").await, Ok(Value::BulkString(b"a".to_vec())), "{redirection}");
            assert!(began.elapsed() <= Duration::from_millis(300), "{redirection}: {:?}", began.elapsed());
            assert_eq!(cluster.gets(), 2, "{redirection}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_only_just_named_is_waited_for_until_it_is_connected() {
    for redirection in ["MOVED 15495 127.0.0.2:7000", "ASK 15495 127.0.0.2:7000"] {
        let cluster = Cluster::new(&ONE);
        cluster.fake.plan_of("127.0.0.2", Plan::ServeLate);
        let client = cluster.client();
        at_rest(&client).await;
        cluster.becomes(&[&HALVES]);
        cluster.replies(&[redirection]);
        assert_eq!(get(&client, "a").await, Ok(Value::BulkString(b"a".to_vec())), "{redirection}");
        assert_eq!(cluster.gets(), 2, "{redirection}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirection_that_leads_nowhere_fails_long_before_the_deadline_and_is_followed_once() {
    let known = [(0, 7_999, "127.0.0.1"), (8_000, 8_000, "127.0.0.2"), (8_001, 16_383, "127.0.0.1")];
    for (redirection, expected) in [
        ("MOVED 15495 127.0.0.2:7000", "there is no connection to Redis: unreachable"),
        ("ASK 15495 127.0.0.2:7000", "there is no connection to Redis: unreachable"),
        ("MOVED 15495 127.0.0.9:7000", "the slot 15495 has moved to another node"),
        ("ASK 15495 127.0.0.9:7000", "the slot 15495 is moving to another node"),
        ("MOVED 15495 :7000", "the slot 15495 has moved to another node"),
        ("MOVED 15495 127.0.0.1:7000", "the slot 15495 has moved to another node"),
    ] {
        for somebody_answers in [true, false] {
            let cluster = Cluster::new(&known);
            cluster.fake.plan_of("127.0.0.2", Plan::Refuse);
            let client = cluster.client();
            at_rest(&client).await;
            if !somebody_answers {
                *cluster.maps.lock().unwrap() = vec![b"-ERR nobody knows\r\n".to_vec()];
            }
            cluster.replies(&[redirection]);
            let error = tokio::time::timeout(LONG / 2, get(&client, "a")).await.expect("long before").unwrap_err();
            assert_eq!(error.to_string(), expected, "{redirection}");
            assert!(!error.may_have_changed());
            assert_eq!(cluster.gets(), 1, "{redirection}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_a_redirection_hears_that_the_cluster_is_closed() {
    let cluster = Cluster::new(&ONE);
    let client = cluster.client();
    at_rest(&client).await;
    cluster.replies(&["MOVED 15495 127.0.0.9:7000"]);
    let calling = client.clone();
    let call = tokio::spawn(async move { get(&calling, "a").await });
    until("it is redirected", || cluster.gets() == 1).await;
    client.close().await;
    let error = tokio::time::timeout(LONG / 2, call).await.expect("long before").unwrap().unwrap_err();
    assert_eq!(error.to_string(), "there is no connection to Redis: closed");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_cluster_that_is_connected_and_busy_leaves_the_others_their_turn() {
    let cluster = Cluster::new(&ONE);
    let client = cluster.client();
    at_rest(&client).await;
    cluster.replies(&["BUSY Redis is busy running a script."]);
    assert_eq!(get(&client, "a").await, Err(RedisError::Busy));
    assert_ne!(why_down(client.state()), "up");
    let early = tokio::time::timeout(AT_REST, client.ready()).await;
    assert!(early.is_err(), "{early:?}");
    // The next ping tells that it is not busy any more.
    tokio::time::timeout(LONG * 2, client.ready()).await.unwrap().unwrap();
}
