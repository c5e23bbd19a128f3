//! What this process told a Redis that forgot it: it is told again before anything counts as heard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::redis::{RedisClient, RedisConfig, RedisTier};
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_cache::{Cache, CacheConfig, Cached, Environment, Found, Freshness, Key, Lifetimes, Scope, TokioClock};
use mesh_core::port::Clock;
use mesh_core::time::Instant;
use mesh_testkit::{Fault, FaultProxy, RedisCluster, RedisServer};

use redis_support::until;

/// A clock that can be put forward: nobody waits for an outage.
#[derive(Debug)]
struct Ahead(TokioClock, AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Instant {
        self.0.now() + Duration::from_millis(self.1.load(Ordering::SeqCst))
    }
}

fn clock() -> (Arc<Ahead>, Environment) {
    let clock = Arc::new(Ahead(TokioClock::new(), AtomicU64::new(0)));
    (Arc::clone(&clock), Environment { clock, ..Environment::system() })
}

fn config(url: &str) -> RedisConfig {
    let mut config = RedisConfig::at(url).unwrap();
    // Trouble lasts no longer than it must.
    config.link.retry_max = Duration::from_millis(200);
    config
}

fn tier(url: &str, environment: &Environment) -> RedisTier {
    RedisTier::start("mesh", config(url), environment).unwrap()
}

/// A cache of values that are fresh for longer than any outage here.
async fn cache(namespace: &str, tier: &RedisTier, environment: &Environment) -> Cache<u64> {
    let mut config = CacheConfig::default();
    config.early_beta = 0.0;
    config.lifetimes = Lifetimes::ttl(Duration::from_secs(3_600));
    let builder = Cache::builder().config(config).environment(environment.clone());
    let sealer = Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; 32]).unwrap()));
    let cache = builder.second_tier(namespace, tier.clone(), JsonCodec::new(1)).seal(sealer).build().unwrap();
    until("it hears", || cache.is_hearing()).await;
    cache
}

/// Two caches of one tier, and its server, which begins with nothing whenever it comes back.
async fn two_caches() -> (RedisServer, Cache<u64>, Cache<u64>) {
    let server = RedisServer::start().await;
    let environment = Environment::system();
    let tier = tier(&server.url(), &environment);
    let (one, two) = (cache("one", &tier, &environment).await, cache("two", &tier, &environment).await);
    save(&server).await;
    (server, one, two)
}

async fn read(cache: &Cache<u64>, key: &str, value: u64) -> Cached<u64> {
    let load = move || async move { Ok::<_, Infallible>(Found::new(value)) };
    cache.get_or_load(&Key::new(key).unwrap(), load).await.unwrap()
}

async fn invalidate(cache: &Cache<u64>, key: &str) {
    cache.invalidate(&Scope::Key(Key::new(key).unwrap())).await.unwrap();
}

async fn count(server: &RedisServer, pattern: &str) -> usize {
    server.command(&["KEYS", pattern]).await.unwrap().items().len()
}

async fn until_shared(server: &RedisServer) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while count(server, "mesh:v1:e:*").await == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("nothing is shared");
}

/// From now on it begins with what it has now, whatever comes.
async fn save(server: &RedisServer) {
    server.command(&["SAVE"]).await.unwrap().accepted().unwrap();
}

/// Lets the server hear of a change that it will have lost when it begins again, and lets it die.
async fn invalidate_and_kill(cache: &Cache<u64>, server: &mut RedisServer) {
    save(server).await;
    invalidate(cache, "k").await;
    server.kill();
    until("it is deaf", || !cache.is_hearing()).await;
}

#[tokio::test]
async fn what_was_told_just_before_the_server_was_lost_is_told_again_however_long_it_is_away() {
    for away in [3, 12, 600] {
        let mut server = RedisServer::start().await;
        let (ahead, environment) = clock();
        let tier = tier(&server.url(), &environment);
        let cache = cache("test", &tier, &environment).await;
        read(&cache, "k", 1).await;
        until_shared(&server).await;
        invalidate_and_kill(&cache, &mut server).await;
        ahead.1.fetch_add(away * 1_000, Ordering::SeqCst);
        server.start_again().await;
        until("it hears again", || cache.is_hearing()).await;
        let cached = read(&cache, "k", 2).await;
        let served = (cached.value.as_deref(), cached.freshness);
        assert_eq!(served, (Some(&2), Freshness::Fresh), "after {away} s");
    }
}

#[tokio::test]
async fn what_an_outage_kept_from_being_told_again_is_told_after_the_next() {
    let mut server = RedisServer::start().await;
    let (ahead, environment) = clock();
    let tier = tier(&server.url(), &environment);
    let cache = cache("test", &tier, &environment).await;
    read(&cache, "k", 1).await;
    until_shared(&server).await;
    save(&server).await;
    invalidate(&cache, "k").await;
    for _ in 0..3 {
        server.kill();
        until("it is deaf", || !cache.is_hearing()).await;
        ahead.1.fetch_add(30_000, Ordering::SeqCst);
        // One that takes connections and does nothing else.
        server.launch();
        server.freeze();
    }
    server.thaw();
    server.become_ready().await;
    until("it hears again", || cache.is_hearing()).await;
    assert_eq!(read(&cache, "k", 2).await.value.as_deref(), Some(&2));
}

#[tokio::test]
async fn every_cache_of_a_tier_waits_until_all_is_told_again() {
    const COUNT: usize = 1_500;
    let (mut server, one, two) = two_caches().await;
    for number in 0..COUNT / 2 {
        invalidate(&one, &format!("k/{number}")).await;
        invalidate(&two, &format!("k/{number}")).await;
    }
    server.kill();
    until("they are deaf", || !one.is_hearing() && !two.is_hearing()).await;
    server.start_again().await;
    until("one hears again", || one.is_hearing() || two.is_hearing()).await;
    assert_eq!(count(&server, "mesh:v1:w:*").await, COUNT);
    until("both hear again", || one.is_hearing() && two.is_hearing()).await;
}

#[tokio::test]
async fn what_one_cache_began_to_tell_again_and_did_not_end_another_tells() {
    const COUNT: usize = 1_500;
    let (mut server, one, two) = two_caches().await;
    for number in 0..COUNT {
        invalidate(&one, &format!("k/{number}")).await;
    }
    server.kill();
    until("they are deaf", || !one.is_hearing() && !two.is_hearing()).await;
    server.start_again().await;
    while count(&server, "mesh:v1:w:*").await == 0 {}
    one.shut_down().await;
    until("the other hears again", || two.is_hearing()).await;
    assert_eq!(count(&server, "mesh:v1:w:*").await, COUNT);
}

#[tokio::test]
async fn nothing_is_heard_before_what_could_not_be_told_again_is() {
    let mut server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let environment = Environment::system();
    let tier = tier(&format!("redis://{}", proxy.address()), &environment);
    let cache = cache("test", &tier, &environment).await;
    read(&cache, "k", 1).await;
    until_shared(&server).await;
    invalidate_and_kill(&cache, &mut server).await;
    // Later than a write may be, and soon enough for a PING.
    proxy.set(Fault::Latency(Duration::from_millis(150)));
    server.start_again().await;
    let RedisClient::Link(link) = tier.client() else { panic!("one server is one link") };
    let before = link.stats().link.timeouts;
    until("it was tried more than once", || {
        assert!(!cache.is_hearing(), "it was not told again");
        link.stats().link.timeouts >= before + 2
    })
    .await;
    proxy.set(Fault::None);
    until("it hears again", || cache.is_hearing()).await;
    assert_eq!(read(&cache, "k", 2).await.value.as_deref(), Some(&2));
}

#[tokio::test]
async fn a_server_that_was_busy_before_it_was_lost_is_told_again() {
    let mut server = RedisServer::builder().setting("lua-time-limit", "20").start().await;
    let environment = Environment::system();
    let tier = tier(&server.url(), &environment);
    let cache = cache("test", &tier, &environment).await;
    let mut script = server.connect().await.unwrap();
    script.send(&["EVAL", "while true do end", "0"]).await.unwrap();
    until("it is deaf", || !cache.is_hearing()).await;
    while server.command(&["SCRIPT", "KILL"]).await.unwrap().error().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    until("it hears again", || cache.is_hearing()).await;
    let RedisClient::Link(link) = tier.client() else { panic!("one server is one link") };
    assert_eq!(link.stats().link.losses, 0, "it is the same connection");
    read(&cache, "k", 1).await;
    until_shared(&server).await;
    invalidate_and_kill(&cache, &mut server).await;
    server.start_again().await;
    until("it hears again", || cache.is_hearing()).await;
    let cached = read(&cache, "k", 2).await;
    assert_eq!((cached.value.as_deref(), cached.freshness), (Some(&2), Freshness::Fresh));
}

#[tokio::test]
async fn a_node_that_cannot_be_told_keeps_no_other_from_being_told_again() {
    const COUNT: usize = 30;
    let cluster = RedisCluster::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let environment = Environment::system();
    let tier = tier(&format!("redis-cluster://{}", addresses.join(",")), &environment);
    let cache = cache("test", &tier, &environment).await;
    for number in 0..COUNT {
        invalidate(&cache, &format!("k/{number}")).await;
    }
    for (full, node) in cluster.nodes.iter().enumerate() {
        let others = || cluster.nodes.iter().enumerate().filter(|(other, _)| *other != full).map(|(_, node)| node);
        let mut counts = Vec::new();
        for other in others() {
            counts.push(count(other, "mesh:v1:w:*").await);
            other.command(&["FLUSHALL"]).await.unwrap();
        }
        node.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap().accepted().unwrap();
        let deafened = cache.stats().deafened;
        node.kill_clients().await.unwrap();
        until("it is deaf", || cache.stats().deafened > deafened).await;
        for (other, before) in others().zip(counts) {
            let told = tokio::time::timeout(Duration::from_secs(10), async {
                while count(other, "mesh:v1:w:*").await != before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            told.await.expect("it was never told again");
        }
        assert!(!cache.is_hearing(), "not all was told");
        node.command(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap().accepted().unwrap();
        until("it hears again", || cache.is_hearing()).await;
    }
}
