//! Caches of several processes over a real Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::redis::{RedisClient, RedisConfig, RedisTier};
use mesh_cache::seal::{Header, KeyRing, Nonces, Place, SealKey, Sealer};
use mesh_cache::second::{News, Reach, SecondTier as _, Store, Stored};
use mesh_cache::{
    Cache, CacheBuilder, CacheConfig, Cached, Environment, Found, Freshness, Key, Lifetimes, Marks, Prefix, Scope,
    Source, Tag, Version,
};
use mesh_testkit::{RedisCluster, RedisSentinel, RedisServer};

/// One process: its connection and a cache over it.
struct Process {
    tier: RedisTier,
    cache: Cache<u64>,
    loads: Arc<AtomicU64>,
}

fn tier(url: &str) -> RedisTier {
    RedisTier::start("mesh", RedisConfig::at(url).unwrap(), &Environment::system()).unwrap()
}

fn sealed() -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; 32]).unwrap()))
}

fn builder(tier: &RedisTier) -> CacheBuilder<u64> {
    let mut config = CacheConfig::default();
    config.early_beta = 0.0;
    config.lifetimes = Lifetimes::discovery();
    Cache::builder().config(config).second_tier("test", tier.clone(), JsonCodec::new(1)).seal(sealed())
}

impl Process {
    async fn start(url: &str) -> Self {
        let tier = tier(url);
        let cache = builder(&tier).build().unwrap();
        until("it hears", || cache.is_hearing()).await;
        Self { tier, cache, loads: Arc::default() }
    }

    /// Reads `key`, whose origin has `value`.
    async fn read(&self, key: &str, value: u64) -> Cached<u64> {
        self.read_found(key, move || Found::new(value)).await
    }

    async fn read_found(&self, key: &str, found: impl Fn() -> Found<u64> + Send + 'static) -> Cached<u64> {
        let loads = Arc::clone(&self.loads);
        let load = move || {
            loads.fetch_add(1, Ordering::SeqCst);
            let found = found();
            async move { Ok::<_, Infallible>(found) }
        };
        self.cache.get_or_load(&Key::new(key).unwrap(), load).await.unwrap()
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits until the server has as many keys that begin with `mesh:v1:e:`.
async fn until_shared(server: &RedisServer, count: usize) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while server.command(&["KEYS", "mesh:v1:e:*"]).await.unwrap().items().len() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never {count} entries"));
}

#[tokio::test]
async fn what_one_process_loaded_the_others_need_not() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server.url()).await, Process::start(&server.url()).await);
    assert_eq!(one.read("a/b", 1).await.source, Source::Origin);
    until_shared(&server, 1).await;
    let cached = two.read("a/b", 99).await;
    assert_eq!(
        (cached.value.as_deref(), cached.source, cached.freshness),
        (Some(&1), Source::SecondTier, Freshness::Fresh)
    );
    assert_eq!((one.loads(), two.loads()), (1, 0));
}

#[tokio::test]
async fn every_scope_is_heard_by_the_others_and_believed_of_the_tier() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server.url()).await, Process::start(&server.url()).await);
    let scopes = [
        Scope::Key(Key::new("a/b").unwrap()),
        Scope::Prefix(Prefix::new("a/").unwrap()),
        Scope::Tag(Tag::new("node:7").unwrap()),
        Scope::All,
    ];
    for (round, scope) in (1_u64..).zip(scopes) {
        let found = move || Found::new(round).tag(Tag::new("node:7").unwrap());
        assert_eq!(one.read_found("a/b", found).await.value.as_deref(), Some(&round), "{scope:?}");
        until_shared(&server, 1).await;
        assert_eq!(two.read("a/b", 99).await.value.as_deref(), Some(&round), "{scope:?}");
        one.cache.invalidate(&scope).await.unwrap();
        until("the other hears it", || two.cache.get("a/b").is_none()).await;
        assert!(one.cache.get("a/b").is_none());
        // The entry of the tier may still be there, and is not believed.
        let cached = two.read("a/b", round + 100).await;
        assert_eq!((cached.value.as_deref(), cached.source), (Some(&(round + 100)), Source::Origin), "{scope:?}");
        two.cache.invalidate(&Scope::All).await.unwrap();
        until("the other hears it", || one.cache.get("a/b").is_none()).await;
        server.command(&["FLUSHALL"]).await.unwrap();
        until("all is forgotten", || one.cache.stats().entries == 0).await;
    }
}

/// On the same connection: the number of the connection would call fresh again what was loaded before.
#[tokio::test]
async fn whoever_is_told_too_much_at_once_begins_to_hear_anew() {
    let server = RedisServer::start().await;
    let mut config = RedisConfig::at(&server.url()).unwrap();
    config.events_max = 2.try_into().unwrap();
    let slow = RedisTier::start("mesh", config, &Environment::system()).unwrap();
    let mut listener = slow.listen();
    let News::Hearing(first) = listener.next().await else { panic!("it hears nothing") };
    let other = Process::start(&server.url()).await;
    let RedisClient::Link(link) = slow.client() else { panic!("one server is one link") };
    while link.stats().overflows == 0 {
        other.cache.invalidate(&Scope::All).await.unwrap();
    }
    assert_eq!(listener.next().await, News::Deaf);
    let News::Hearing(second) = listener.next().await else { panic!("it hears nothing") };
    assert!(second > first, "{second} after {first}");
}

#[tokio::test]
async fn a_value_that_is_published_is_what_the_others_read_next() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server.url()).await, Process::start(&server.url()).await);
    two.read("k", 1).await;
    assert!(one.cache.publish(&Key::new("k").unwrap(), Found::new(2)).await.unwrap());
    assert_eq!(one.cache.get("k").unwrap().value(), Some(&2), "whoever publishes is not told to forget it");
    until("the other hears it", || two.cache.get("k").is_none()).await;
    let cached = two.read("k", 99).await;
    assert_eq!((cached.value.as_deref(), cached.source), (Some(&2), Source::SecondTier));
}

#[tokio::test]
async fn a_server_that_is_gone_delays_no_cached_answer_and_fails_no_call() {
    let mut server = RedisServer::start().await;
    let one = Process::start(&server.url()).await;
    one.read("k", 1).await;
    server.kill();
    until("it is deaf", || !one.cache.is_hearing()).await;
    assert_eq!(one.cache.get("k").unwrap().freshness(), Freshness::Unheard);
    let cached = one.read("other", 2).await;
    assert_eq!((cached.value.as_deref(), cached.freshness), (Some(&2), Freshness::Unheard));
    let not_told = one.cache.invalidate(&Scope::Key(Key::new("k").unwrap())).await.unwrap_err();
    assert!(!not_told.source.may_have_changed());
    assert!(one.cache.get("k").is_none(), "here it is done");
    server.start_again().await;
    until("it hears again", || one.cache.is_hearing()).await;
    assert_eq!(one.cache.get("other").unwrap().freshness(), Freshness::Unheard, "something may have been missed");
}

#[tokio::test]
async fn a_change_that_could_not_be_told_is_told_when_the_server_is_back() {
    let mut server = RedisServer::builder().append_only().start().await;
    let (one, two) = (Process::start(&server.url()).await, Process::start(&server.url()).await);
    one.read("k", 1).await;
    until_shared(&server, 1).await;
    server.kill();
    until("it is deaf", || !one.cache.is_hearing()).await;
    one.cache.invalidate(&Scope::Key(Key::new("k").unwrap())).await.unwrap_err();
    server.start_again().await;
    until("they hear again", || one.cache.is_hearing() && two.cache.is_hearing()).await;
    until_shared(&server, 0).await;
    assert_eq!(two.read("k", 2).await.value.as_deref(), Some(&2));
}

#[tokio::test]
async fn a_frozen_server_costs_a_miss_its_deadline_and_a_hit_nothing() {
    let server = RedisServer::start().await;
    let one = Process::start(&server.url()).await;
    one.read("k", 1).await;
    server.freeze();
    // Until it is noticed, a miss waits for the deadline of the read; afterwards for nothing.
    assert_eq!(one.read("other", 2).await.value.as_deref(), Some(&2));
    assert_eq!(one.cache.get("k").unwrap().value(), Some(&1));
    until("it is deaf", || !one.cache.is_hearing()).await;
    server.thaw();
    until("it hears again", || one.cache.is_hearing()).await;
}

#[tokio::test]
async fn entries_that_are_forged_moved_or_of_another_type_are_not_believed() {
    let server = RedisServer::start().await;
    let one = Process::start(&server.url()).await;
    one.read("a", 1).await;
    until_shared(&server, 1).await;
    let name = server.command(&["KEYS", "mesh:v1:e:*"]).await.unwrap().items()[0].text().unwrap().to_string();
    for poison in [["SET", &name, "MSH1 and nothing that makes sense"], ["LPUSH", &name, "x"], ["SET", &name, ""]] {
        server.command(&["DEL", &name]).await.unwrap();
        server.command(&poison).await.unwrap();
        let two = Process::start(&server.url()).await;
        let cached = two.read("a", 2).await;
        assert_eq!((cached.value.as_deref(), cached.source), (Some(&2), Source::Origin), "{poison:?}");
        let three = Process::start(&server.url()).await;
        let healed = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                three.cache.invalidate_here(&Scope::All);
                if three.read("a", 3).await.source == Source::SecondTier {
                    return;
                }
                // What is asked here is stored again otherwise.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        healed.await.unwrap_or_else(|_| panic!("never put right after {poison:?}"));
    }
}

#[tokio::test]
async fn watermarks_that_make_no_sense_keep_out_and_are_put_right() {
    let server = RedisServer::start().await;
    let one = Process::start(&server.url()).await;
    one.read("a", 1).await;
    until_shared(&server, 1).await;
    let entry = server.command(&["KEYS", "mesh:v1:e:*"]).await.unwrap().items()[0].text().unwrap().to_string();
    let name = entry.replace(":e:", ":w:");
    for poison in ["inf", "-inf", "-5", "1e308", "99999999999999999", "garbage"] {
        server.command(&["DEL", &name]).await.unwrap();
        match poison {
            "garbage" => server.command(&["SET", &name, poison]).await.unwrap(),
            score => server.command(&["ZADD", &name, score, "t"]).await.unwrap(),
        };
        let two = Process::start(&server.url()).await;
        assert_eq!(two.read("a", 2).await.value.as_deref(), Some(&2), "{poison:?}");
        two.cache.invalidate(&Scope::Key(Key::new("a").unwrap())).await.unwrap();
        assert_eq!(two.read("a", 3).await.value.as_deref(), Some(&3), "{poison:?}");
        until_shared(&server, 1).await;
        let three = Process::start(&server.url()).await;
        let cached = three.read("a", 99).await;
        assert_eq!((cached.value.as_deref(), cached.source), (Some(&3), Source::SecondTier), "{poison:?}");
    }
}

#[tokio::test]
async fn the_larger_version_stays_whoever_stores_last() {
    let server = RedisServer::start().await;
    let process = Process::start(&server.url()).await;
    let marks = Marks::new(&Key::new("k").unwrap(), &[]);
    let place = Place { namespace: "test", key: "k", schema: 1 };
    let nonces = Nonces::new(Environment::system().entropy);
    let mut header = Header::default();
    // As text, as floats, or by their last bytes alone these would be ordered otherwise.
    let (low, high) = ((1 << 53) + 255, (1 << 53) + 256);
    for (epoch, index, stored) in [
        (1, high, Stored::Yes),
        (1, low, Stored::Older),
        (1, 9, Stored::Older),
        (1, high, Stored::Yes),
        (2, low, Stored::Yes),
        (1, 3, Stored::Yes),
        (1, u64::MAX, Stored::Yes),
        (1, 1 << 63, Stored::Older),
        (0, 7, Stored::Yes),
        (0, 0, Stored::Yes),
    ] {
        let begun_micros = process.tier.fetch(&marks).await.unwrap().now_micros;
        let version = Version { epoch, index };
        header.version = version;
        let bytes = Sealer::open_hints().seal(&place, &header, b"1", nonces.draw()).unwrap();
        let keep_for = Duration::from_secs(60);
        let store = Store {
            own: marks.own(),
            bytes: &bytes,
            begun_micros,
            as_of_micros: begun_micros,
            version,
            keep_for,
            replaces: None,
        };
        assert_eq!(process.tier.store(store).await.unwrap(), stored, "{version:?}");
    }
}

#[tokio::test]
async fn what_was_true_before_its_key_was_invalidated_is_not_kept_however_late_it_was_read() {
    let server = RedisServer::start().await;
    let process = Process::start(&server.url()).await;
    let marks = Marks::new(&Key::new("k").unwrap(), &[]);
    let (own, keep_for, version) = (marks.own(), Duration::from_secs(60), Version::NONE);
    let watermark = process.tier.invalidate(own, Reach::Entry).await.unwrap();
    let begun_micros = process.tier.fetch(&marks).await.unwrap().now_micros;
    for (as_of_micros, stored) in [(0, Stored::Overtaken), (watermark, Stored::Overtaken), (watermark + 1, Stored::Yes)]
    {
        let store = Store { own, bytes: b"1", begun_micros, as_of_micros, version, keep_for, replaces: None };
        assert_eq!(process.tier.store(store).await.unwrap(), stored);
    }
}

#[tokio::test]
async fn the_rights_that_are_documented_suffice() {
    let rights = "user mesh on >pw resetkeys ~mesh:v1:* resetchannels -@all +hello +auth +select +ping \
                  +client|tracking +time +getrange +set +del +zadd +zscore +pexpire +evalsha +script|load";
    let server = RedisServer::builder().acl(&[rights, "user default off"]).start().await;
    let url = format!("redis://mesh:pw@{}", server.address());
    let (one, two) = (Process::start(&url).await, Process::start(&url).await);
    one.read("a/b", 1).await;
    until_shared(&server, 1).await;
    assert_eq!(two.read("a/b", 99).await.source, Source::SecondTier);
    one.cache.invalidate(&Scope::Prefix(Prefix::new("a/").unwrap())).await.unwrap();
    until("the other hears it", || two.cache.get("a/b").is_none()).await;
}

#[tokio::test]
async fn no_key_says_what_it_is_about_and_each_expires() {
    let server = RedisServer::start().await;
    let one = Process::start(&server.url()).await;
    one.read_found("secret/name", || Found::new(1).tag(Tag::new("secret-tag").unwrap())).await;
    until_shared(&server, 1).await;
    for scope in
        [Scope::All, Scope::Tag(Tag::new("secret-tag").unwrap()), Scope::Prefix(Prefix::new("secret/").unwrap())]
    {
        one.cache.invalidate(&scope).await.unwrap();
    }
    let keys = server.command(&["KEYS", "*"]).await.unwrap();
    let names: Vec<_> = keys.items().iter().map(|key| key.text().unwrap().to_string()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        assert!(name.starts_with("mesh:v1:") && !name.contains("secret"), "{name}");
        assert!(server.command(&["PTTL", &name]).await.unwrap().integer().unwrap() > 0, "{name}");
    }
}

#[tokio::test]
async fn a_cluster_serves_as_well() {
    let cluster = RedisCluster::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    let url = format!("redis-cluster://{}", addresses.join(","));
    let (one, two) = (Process::start(&url).await, Process::start(&url).await);
    for round in 0..20_u64 {
        let key = format!("a/{round}");
        one.read(&key, round).await;
        let shared = tokio::time::timeout(Duration::from_secs(10), async {
            while two.read(&key, round).await.source != Source::SecondTier {
                two.cache.invalidate_here(&Scope::All);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        shared.await.unwrap_or_else(|_| panic!("{key} is never shared"));
    }
    one.cache.invalidate(&Scope::Prefix(Prefix::new("a/").unwrap())).await.unwrap();
    until("the other hears it", || two.cache.stats().entries == 0).await;
    let cached = two.read("a/1", 100).await;
    assert_eq!((cached.value.as_deref(), cached.source), (Some(&100), Source::Origin));
}

#[tokio::test]
async fn a_failover_that_loses_an_invalidation_is_told_of_it_again() {
    let mut group = RedisSentinel::start().await;
    let sentinels: Vec<String> = group.sentinels().iter().map(ToString::to_string).collect();
    let url = format!("redis-sentinel://{}/{}", sentinels.join(","), group.name());
    let process = Process::start(&url).await;
    process.read("k", 1).await;
    let master = group.master().await;
    let replica = 1 - master;
    until_shared(&group.servers[replica], 1).await;
    // The replica hears no more of its master, who acknowledges and dies: not even what the kernel would keep for it.
    group.servers[replica].freeze();
    group.servers[master].command(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap();
    process.cache.invalidate(&Scope::Key(Key::new("k").unwrap())).await.unwrap();
    group.servers[master].kill();
    group.servers[replica].thaw();
    until("it is deaf", || !process.cache.is_hearing()).await;
    let promoted = group.master().await;
    assert_eq!(promoted, replica);
    until("it hears again", || process.cache.is_hearing()).await;
    until_shared(&group.servers[promoted], 0).await;
    assert_eq!(process.read("k", 2).await.value.as_deref(), Some(&2));
}
