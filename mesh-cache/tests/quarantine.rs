//! Entries of the second tier that cannot be read: looked at once, left alone for a while, and replaced as soon as there
//! is something better.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_cache::codec::{Codec, CodecError, JsonCodec};
use mesh_cache::seal::{Header, KeyRing, Limits, Nonces, Place, SealKey, Sealer};
use mesh_cache::second::{Store, Stored};
use mesh_cache::{Cache, Cached, Freshness, Key, Marks, MemoryTier, Source, Version};

use support::origin::{Origin, Says};
use support::{environment, key, pass, sealer, secs, settle, sharing, sharing_builder};

const KEY: &str = "discovery/dc1/api";

/// A codec that counts what it is given to decode, and can make nothing of 13.
#[derive(Clone, Debug)]
struct Fussy(Arc<AtomicU64>);

impl Codec<u64> for Fussy {
    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        JsonCodec::new(1).encode(value)
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        if bytes == b"13" { panic!("the codec panics, as it was told to") } else { JsonCodec::new(1).decode(bytes) }
    }

    fn schema(&self) -> u32 {
        1
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_looked_at_once_in_half_a_minute() {
    let tier = memory_tier();
    load(&sharing(tier.another(), environment(1)), &Origin::new(Says::Value(13))).await.unwrap();
    let decoded = Arc::default();
    let builder = sharing_builder(tier.another(), environment(2));
    let builder = builder.second_tier("tests", tier.another(), Fussy(Arc::clone(&decoded)));
    let (cache, failing) = (builder.build().unwrap(), Origin::new(Says::Fails));
    settle().await;
    for _ in 0..29 {
        assert!(load(&cache, &failing).await.is_err());
        cache.invalidate_here(&mesh_cache::Scope::Key(key(KEY)));
        pass(secs(1)).await;
    }
    let stats = cache.stats();
    assert_eq!((decoded.load(Ordering::SeqCst), stats.tier_refused, stats.tier_quarantined), (1, 1, 28));
    pass(secs(2)).await;
    assert!(load(&cache, &failing).await.is_err());
    assert_eq!((decoded.load(Ordering::SeqCst), cache.stats().tier_refused), (2, 2), "it may have been replaced");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_opened_gives_way_to_what_the_origin_says_whatever_version_it_claims() {
    let tier = memory_tier();
    put(&tier, version(u64::MAX), &forged(version(u64::MAX)));
    let (a, b) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    settle().await;
    let origin = Origin::new(Says::Versioned(1, version(1)));
    assert_eq!(shown(&load(&a, &origin).await.unwrap()), (Some(1), Freshness::Fresh));
    let served = load(&b, &Origin::new(Says::Fails)).await.unwrap();
    assert_eq!((shown(&served), served.source), ((Some(1), Freshness::Fresh), Source::SecondTier));
    // And whoever replaced it looks again at once.
    a.invalidate_here(&mesh_cache::Scope::Key(key(KEY)));
    let served = load(&a, &Origin::new(Says::Fails)).await.unwrap();
    assert_eq!((shown(&served), a.stats().tier_quarantined), ((Some(1), Freshness::Fresh), 0));
}

#[tokio::test(start_paused = true)]
async fn what_another_has_put_in_its_place_meanwhile_is_not_overwritten_by_an_older_version() {
    let tier = memory_tier();
    put(&tier, version(7), &forged(version(7)));
    let (a, b) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    settle().await;
    let lagging = Origin::new(Says::Versioned(3, version(3)));
    lagging.takes(secs(2));
    a.renew(&key(KEY), lagging.loader());
    pass(secs(1)).await;
    load(&b, &Origin::new(Says::Versioned(9, version(9)))).await.unwrap();
    pass(secs(1)).await;
    assert_eq!(a.get(KEY).unwrap().value(), Some(&3));
    let served = load(&sharing(tier, environment(3)), &Origin::new(Says::Fails)).await.unwrap();
    assert_eq!(shown(&served), (Some(9), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_is_taken_away_and_what_others_may_read_is_left() {
    let truncated = { forged(version(1))[..40].to_vec() };
    let too_long = vec![b'x'; Limits::default().envelope_bytes_max() + 1];
    for (what, bytes, is_left) in [
        ("too long", too_long, false),
        ("no envelope", b"garbage".to_vec(), false),
        ("cut off", truncated, false),
        ("sealed with a key that others may have", forged(version(1)), true),
    ] {
        let tier = memory_tier();
        put(&tier, version(1), &bytes);
        let cache = sharing(tier.another(), environment(1));
        settle().await;
        assert!(load(&cache, &Origin::new(Says::Fails)).await.is_err(), "{what}");
        assert_eq!(cache.stats().tier_refused, 1, "{what}");
        assert_eq!(tier.fetch_now(&marks()).unwrap().bytes.is_some(), is_left, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_key_in_quarantine_is_not_another() {
    let tier = memory_tier();
    put(&tier, version(1), &forged(version(1)));
    let (a, b) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    settle().await;
    b.get_or_load(&key("other"), Origin::new(Says::Value(5)).loader()).await.unwrap();
    settle().await;
    assert!(load(&a, &Origin::new(Says::Fails)).await.is_err());
    let served = a.get_or_load(&key("other"), Origin::new(Says::Fails).loader()).await.unwrap();
    assert_eq!(shown(&served), (Some(5), Freshness::Fresh));
}

async fn load(cache: &Cache<u64>, origin: &Origin) -> Result<Cached<u64>, mesh_cache::LoadError> {
    let key: Key = key(KEY);
    let served = cache.get_or_load(&key, origin.loader()).await;
    settle().await;
    served
}

/// What somebody without the key has put there.
fn forged(version: Version) -> Vec<u8> {
    let other = Sealer::with_keys(KeyRing::new(SealKey::new(1, &[8; SealKey::BYTES]).unwrap()));
    assert!(sealer().seals());
    let place = Place { namespace: "tests", key: KEY, schema: 1 };
    let nonce = Nonces::new(Arc::clone(&environment(9).entropy)).draw();
    other.seal(&place, &Header { version, ..Header::default() }, b"666", nonce).unwrap()
}

fn put(tier: &MemoryTier, version: Version, bytes: &[u8]) {
    let begun_micros = tier.fetch_now(&marks()).unwrap().now_micros;
    let (own, as_of_micros, keep_for) = (marks().own(), begun_micros, secs(3_600));
    let store = Store { own, bytes, begun_micros, as_of_micros, version, keep_for, replaces: None };
    assert_eq!(tier.store_now(store).unwrap(), Stored::Yes);
}

fn marks() -> Marks {
    Marks::new(&key(KEY), &[]).shared_in("tests")
}

fn memory_tier() -> MemoryTier {
    MemoryTier::new(Arc::clone(&environment(0).clock))
}

const fn version(index: u64) -> Version {
    Version { epoch: 7, index }
}

fn shown(cached: &Cached<u64>) -> (Option<u64>, Freshness) {
    (cached.value.as_deref().copied(), cached.freshness)
}
