//! What the caches of one process have in common on one Redis, how large entries may be there, and how long they are
//! waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::redis::{RedisConfig, RedisTier};
use mesh_cache::seal::{KeyRing, Limits, SealKey, Sealer};
use mesh_cache::second::SecondTier as _;
use mesh_cache::{Cache, CacheBuilder, CacheConfig, Cached, Dial, Environment, Found, Key, Lifetimes, Scope, Source};
use mesh_cache::{Marks, Prefix, Stream, Tag, TcpDial, TokioClock};
use mesh_core::port::{BoxFuture, Clock as _};
use mesh_core::service::Host;
use mesh_testkit::{Fault, FaultProxy, RedisCluster, RedisServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use redis_support::{Stopwatch, until};

fn tier(url: &str) -> RedisTier {
    RedisTier::start("mesh", RedisConfig::at(url).unwrap(), &Environment::system()).unwrap()
}

fn builder(tier: &RedisTier) -> CacheBuilder<String> {
    let mut config = CacheConfig::default();
    config.early_beta = 0.0;
    config.lifetimes = Lifetimes::ttl(Duration::from_secs(3_600));
    let mut codec = JsonCodec::new(1);
    codec.bytes_max = 16 * MIB;
    let sealer = Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; 32]).unwrap()));
    Cache::builder().config(config).second_tier("test", tier.clone(), codec).seal(sealer)
}

async fn built(builder: CacheBuilder<String>) -> Cache<String> {
    let cache = builder.build().unwrap();
    until("it hears", || cache.is_hearing()).await;
    cache
}

async fn read(cache: &Cache<String>, key: &str, value: impl Into<String>) -> Cached<String> {
    let value = value.into();
    let load = move || {
        let found = Found::new(value.clone()).tag(Tag::new("tag").unwrap());
        async move { Ok::<_, Infallible>(found) }
    };
    cache.get_or_load(&Key::new(key).unwrap(), load).await.unwrap()
}

async fn until_shared(server: &RedisServer) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while server.command(&["KEYS", "mesh:v1:e:*"]).await.unwrap().items().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("nothing is shared");
}

#[tokio::test]
async fn what_one_cache_invalidates_another_of_the_process_forgets() {
    let server = RedisServer::start().await;
    let tier = tier(&server.url());
    let (one, two) = (built(builder(&tier)).await, built(builder(&tier)).await);
    let scopes = [
        Scope::Key(Key::new("a/b").unwrap()),
        Scope::Prefix(Prefix::new("a/").unwrap()),
        Scope::Tag(Tag::new("tag").unwrap()),
        Scope::All,
    ];
    for scope in scopes {
        read(&two, "a/b", "old").await;
        one.invalidate(&scope).await.unwrap();
        until("the other forgets it", || two.get("a/b").is_none()).await;
        assert_eq!(read(&two, "a/b", "new").await.value.as_deref().map(String::as_str), Some("new"), "{scope:?}");
        two.invalidate(&Scope::All).await.unwrap();
    }
}

#[tokio::test]
async fn what_one_cache_publishes_it_keeps_and_another_of_the_process_reads() {
    let server = RedisServer::start().await;
    let tier = tier(&server.url());
    let (one, two) = (built(builder(&tier)).await, built(builder(&tier)).await);
    read(&two, "k", "old").await;
    assert!(one.publish(&Key::new("k").unwrap(), Found::new("new".to_owned())).await.unwrap());
    until("the other forgets it", || two.get("k").is_none()).await;
    let cached = read(&two, "k", "other").await;
    assert_eq!((cached.value.as_deref().map(String::as_str), cached.source), (Some("new"), Source::SecondTier));
    assert_eq!(one.get("k").unwrap().source(), Source::Inserted, "whoever publishes is not told to forget it");
}

#[tokio::test]
async fn a_server_that_is_away_keeps_no_cache_of_the_process_from_being_told() {
    let mut server = RedisServer::start().await;
    let tier = tier(&server.url());
    let (one, two) = (built(builder(&tier)).await, built(builder(&tier)).await);
    read(&two, "k", "old").await;
    server.kill();
    until("they are deaf", || !one.is_hearing() && !two.is_hearing()).await;
    one.invalidate(&Scope::All).await.unwrap_err();
    until("the other forgets it", || two.get("k").is_none()).await;
}

#[tokio::test]
async fn as_much_is_read_as_the_cache_allows_and_no_more_is_stored() {
    let server = RedisServer::start().await;
    for bytes_max in [64 * 1024, MIB, 3 * MIB] {
        let mut limits = Limits::default();
        limits.value_bytes_max = bytes_max;
        let mut config = RedisConfig::at(&server.url()).unwrap();
        (config.read_deadline, config.write_deadline) = (SOON, SOON);
        let start = || RedisTier::start("mesh", config.clone(), &Environment::system()).unwrap();
        let one = built(builder(&start()).limits(limits)).await;
        let two = built(builder(&start()).limits(limits)).await;
        // In JSON it is in quotes.
        let longest = "x".repeat(bytes_max - 2);
        read(&one, "k", longest.as_str()).await;
        until_shared(&server).await;
        let cached = read(&two, "k", "other").await;
        assert_eq!((cached.source, two.stats().tier_refused), (Source::SecondTier, 0), "{bytes_max} bytes");
        server.command(&["FLUSHALL"]).await.unwrap();
        until("all is forgotten", || one.stats().entries + two.stats().entries == 0).await;
        read(&one, "k", format!("{longest}x")).await;
        until("it is refused", || one.stats().tier_refused == 1).await;
        let keys = server.command(&["KEYS", "mesh:v1:e:*"]).await.unwrap();
        assert_eq!(keys.items().len(), 0, "what nobody would read is not stored");
    }
}

#[tokio::test]
async fn a_cache_without_a_limit_reads_what_redis_can_hold() {
    let server = RedisServer::start().await;
    let mut limits = Limits::default();
    limits.value_bytes_max = usize::MAX;
    let one = built(builder(&tier(&server.url())).limits(limits)).await;
    let two = built(builder(&tier(&server.url())).limits(limits)).await;
    read(&one, "k", "one").await;
    until_shared(&server).await;
    assert_eq!(read(&two, "k", "two").await.source, Source::SecondTier);
}

#[tokio::test]
async fn a_look_takes_no_longer_than_one_deadline() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let one = built(builder(&tier(&server.url()))).await;
    let mut config = RedisConfig::at(&format!("redis://{}", proxy.address())).unwrap();
    config.read_deadline = Duration::from_millis(300);
    let two = built(builder(&RedisTier::start("mesh", config, &Environment::system()).unwrap())).await;
    read(&one, "a/b", "one").await;
    until_shared(&server).await;
    assert_eq!(read(&two, "a/b", "two").await.source, Source::SecondTier);
    two.invalidate_here(&Scope::All);
    // For the entry, and for the watermark of the tag that it turns out to have.
    proxy.set(Fault::Latency(Duration::from_millis(200)));
    let began = Stopwatch::start();
    let cached = read(&two, "a/b", "two").await;
    assert_eq!((cached.source, two.stats().tier_errors), (Source::Origin, 1));
    assert!(began.elapsed() < Duration::from_millis(390), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_cluster_is_asked_for_all_watermarks_at_once() {
    let cluster = RedisCluster::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let mut config = RedisConfig::at(&format!("redis-cluster://{}", addresses.join(","))).unwrap();
    let one = built(builder(&tier(&config.url.to_string()))).await;
    config.read_deadline = Duration::from_millis(600);
    let environment = Environment { dial: Arc::new(FarAway(Duration::from_millis(100))), ..Environment::system() };
    let two = built(builder(&RedisTier::start("mesh", config, &environment).unwrap())).await;
    let key = "a/b/c/d/e/f/g/h";
    read(&one, key, "one").await;
    let shared = tokio::time::timeout(Duration::from_secs(20), async {
        while read(&two, key, "two").await.source != Source::SecondTier {
            two.invalidate_here(&Scope::All);
        }
    });
    shared.await.expect("it is never shared");
    two.invalidate_here(&Scope::All);
    let began = Stopwatch::start();
    // Nine watermarks with the entry's own, and that of the tag after them.
    assert_eq!(read(&two, key, "two").await.source, Source::SecondTier);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_look_at_a_cluster_takes_no_longer_than_one_deadline() {
    let cluster = RedisCluster::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let mut config = RedisConfig::at(&format!("redis-cluster://{}", addresses.join(","))).unwrap();
    config.read_deadline = Duration::from_millis(300);
    let environment = Environment { dial: Arc::new(FarAway(Duration::from_millis(200))), ..Environment::system() };
    let tier = RedisTier::start("mesh", config, &environment).unwrap();
    let cache = built(builder(&tier)).await;
    let (began, key) = (Stopwatch::start(), Key::new("a/b/c/d").unwrap());
    let fetched = tier.fetch(&Marks::new(&key, &[])).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(350), "{took:?}, {fetched:?}");
    drop(cache);
}

/// A network on which every answer is on its way for that long.
#[derive(Debug)]
struct FarAway(Duration);

impl Dial for FarAway {
    fn dial<'a>(&'a self, host: &'a Host, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let delay = self.0;
            let far = TcpDial::new().dial(host, port).await?;
            let (near, inner) = tokio::io::duplex(MIB);
            let (mut from_far, mut to_far) = tokio::io::split(far);
            let (mut from_near, mut to_near) = tokio::io::split(inner);
            let clock = Arc::new(TokioClock::new());
            let there = Arc::clone(&clock);
            let (sender, mut under_way) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = from_far.read(&mut bytes).await {
                    let due = clock.now() + delay;
                    if sender.send((due, bytes[..count].to_vec())).is_err() {
                        return;
                    }
                }
            });
            tokio::spawn(async move {
                while let Some((due, bytes)) = under_way.recv().await {
                    tokio::time::sleep(due.since(there.now())).await;
                    if to_near.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}

const MIB: usize = 1024 * 1024;
const SOON: Duration = Duration::from_secs(10);
