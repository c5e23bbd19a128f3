//! What is believed of a second tier, and what a broken one costs: nothing but its help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;

use mesh_cache::codec::JsonCodec;
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_cache::{Cache, Cached, Found, Freshness, Lifetimes, MemoryTier, Scope, Source, Tag};

use support::origin::{Origin, Says};
use support::tiers::{Ask, Frail};
use support::{builder, environment, key, ms, pass, sealer, secs, settle, sharing, sharing_builder};

const KEY: &str = "discovery/dc1/api";

#[tokio::test(start_paused = true)]
async fn hints_without_a_key_are_used_only_while_the_origin_fails() {
    let tier = memory_tier();
    let a = hinting(&tier, 1).await;
    load(&a, &Origin::new(Says::Value(1))).await;
    settle().await;
    let (b, origin) = (hinting(&tier, 2).await, Origin::new(Says::Value(2)));
    assert_eq!(shown(&load(&b, &origin).await), (Some(2), Freshness::Fresh));
    let (c, failing) = (hinting(&tier, 3).await, Origin::new(Says::Fails));
    settle().await;
    let served = load(&c, &failing).await;
    assert_eq!((shown(&served), served.source), ((Some(2), Freshness::StaleOnError), Source::SecondTier));
    assert_eq!(c.get(KEY).unwrap().freshness(), Freshness::StaleOnError, "however young it says that it is");
    failing.says(Says::Value(3));
    pass(ms(100)).await;
    load(&c, &failing).await;
    settle().await;
    assert_eq!(shown(&load(&c, &failing).await), (Some(3), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn a_hint_does_not_take_the_place_of_what_this_process_knows() {
    let tier = memory_tier();
    let (a, b) = (hinting(&tier, 1).await, hinting(&tier, 2).await);
    let origin = Origin::new(Says::Value(1));
    load(&b, &origin).await;
    pass(secs(20)).await;
    load(&a, &Origin::new(Says::Value(666))).await;
    pass(secs(11)).await;
    origin.says(Says::Fails);
    assert_eq!(shown(&load(&b, &origin).await), (Some(1), Freshness::StaleOnError));
}

#[tokio::test(start_paused = true)]
async fn hints_are_believed_where_that_is_asked_for() {
    let tier = memory_tier();
    load(&hinting(&tier, 1).await, &Origin::new(Says::Value(1))).await;
    settle().await;
    let trusting = builder().environment(environment(2)).second_tier("tests", tier.another(), JsonCodec::new(1));
    let trusting = trusting.trust_unsealed().build().unwrap();
    settle().await;
    assert_eq!(shown(&load(&trusting, &Origin::new(Says::Fails)).await), (Some(1), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn what_was_sealed_elsewhere_is_refused_and_counted() {
    let tier = sealed_one().await;
    let with = |namespace: &str, sealer: Sealer, schema: u32| {
        let builder = builder().environment(environment(2));
        builder.second_tier(namespace, tier.clone(), JsonCodec::new(schema)).seal(sealer).build().unwrap()
    };
    let another_key = Sealer::with_keys(KeyRing::new(SealKey::new(1, &[8; SealKey::BYTES]).unwrap()));
    for (what, cache, name) in [
        ("another namespace", with("other", sealer(), 1), KEY),
        ("another schema", with("tests", sealer(), 2), KEY),
        ("another place", with("tests", sealer(), 1), "discovery/dc1/db"),
        ("another key of the same id", with("tests", another_key, 1), KEY),
        ("no key at all", with("tests", Sealer::open_hints(), 1), KEY),
    ] {
        let served = cache.get_or_load(&key(name), Origin::new(Says::Fails).loader()).await;
        assert!(served.is_err(), "{what}: {served:?}");
        assert_eq!((cache.stats().tier_refused, cache.stats().tier_hits), (1, 0), "{what}");
    }
    let at_home = with("tests", sealer(), 1);
    assert_eq!(shown(&load(&at_home, &Origin::new(Says::Fails)).await), (Some(1), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_on_its_way_is_refused() {
    let tier = sealed_one().await;
    let mut flipped = tier.stored();
    *flipped.last_mut().unwrap() ^= 1;
    for bytes in [&flipped[..], b"garbage", b""] {
        tier.forges(bytes);
        let b = sharing(tier.clone(), environment(2));
        let served = load(&b, &Origin::new(Says::Value(5))).await;
        assert_eq!((served.value.as_deref(), served.source), (Some(&5), Source::Origin));
        assert_eq!(b.stats().tier_refused, 1);
    }
}

/// A tier in which everybody finds what one process has sealed as 1.
async fn sealed_one() -> Frail {
    let tier = Frail::new(memory_tier());
    load(&sharing(tier.clone(), environment(1)), &Origin::new(Says::Value(1))).await;
    settle().await;
    tier.forges(&tier.stored());
    tier
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_fails_fails_no_call() {
    for asks in [&[Ask::Fetch][..], &[Ask::Watermarks], &[Ask::Store], &[Ask::Fetch, Ask::Store]] {
        let tier = Frail::new(memory_tier());
        load(&sharing(tier.tier.another(), environment(1)), &Origin::new(Says::Tagged(1, tag()))).await;
        settle().await;
        tier.fails_at(asks);
        let (cache, origin) = (sharing(tier.clone(), environment(2)), Origin::new(Says::Value(2)));
        settle().await;
        let served = load(&cache, &origin).await;
        assert!(served.value.is_some() && served.freshness == Freshness::Fresh, "{asks:?}");
        settle().await;
        // What cannot be dated is not shared, so what fails first is all that fails.
        let expected = if asks == [Ask::Store] { (Some(1), 0) } else { (Some(2), 1) };
        assert_eq!((shown(&served).0, cache.stats().tier_errors), expected, "{asks:?}");
        // The entry that it has no longer is as good as what was loaded.
        assert_eq!(shown(&load(&cache, &origin).await).1, Freshness::Fresh);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_about_which_not_everything_is_told_is_not_believed() {
    let tier = Frail::new(memory_tier());
    load(&sharing(tier.tier.another(), environment(1)), &Origin::new(Says::Value(1))).await;
    settle().await;
    tier.withholds_watermarks();
    let served = load(&sharing(tier, environment(2)), &Origin::new(Says::Value(2))).await;
    assert_eq!((served.value.as_deref(), served.source), (Some(&2), Source::Origin));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_have_been_told_is_said() {
    let tier = Frail::new(memory_tier());
    let cache = sharing(tier.clone(), environment(1));
    settle().await;
    tier.fails_at(&[Ask::Invalidate]);
    cache.insert(&key(KEY), Found::new(1));
    assert!(cache.invalidate(&Scope::Key(key(KEY))).await.is_err());
    assert!(cache.get(KEY).is_none(), "in this process it is done");
    assert!(cache.publish(&key(KEY), Found::new(2)).await.is_err());
    assert_eq!(cache.get(KEY).unwrap().value(), Some(&2), "in this process it is kept");
    assert_eq!(cache.stats().tier_errors, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_tier_could_not_be_told_is_not_undone_by_what_it_has() {
    for scope in [Scope::Key(key(KEY)), Scope::Tag(tag()), Scope::All] {
        let tier = Frail::new(memory_tier());
        let (cache, origin) = (sharing(tier.clone(), environment(1)), Origin::new(Says::Tagged(1, tag())));
        settle().await;
        load(&cache, &origin).await;
        settle().await;
        tier.fails_at(&[Ask::Invalidate]);
        origin.says(Says::Tagged(2, tag()));
        assert!(cache.invalidate(&scope).await.is_err());
        assert_eq!(shown(&load(&cache, &origin).await), (Some(2), Freshness::Fresh), "{scope:?}");
        assert_eq!(origin.loads(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_tier_could_not_be_told_it_is_told_as_soon_as_it_listens() {
    let tier = Frail::new(memory_tier());
    let (a, b) = (sharing(tier.clone(), environment(1)), sharing(tier.tier.another(), environment(2)));
    settle().await;
    b.insert(&key(KEY), Found::new(1));
    tier.fails_at(&[Ask::Invalidate]);
    assert!(a.invalidate(&Scope::Key(key(KEY))).await.is_err());
    for _ in 0..50 {
        pass(ms(100)).await;
    }
    assert_eq!(b.get(KEY).unwrap().value(), Some(&1), "nobody has told b");
    let asked = tier.asked(Ask::Invalidate);
    assert!((4..=11).contains(&asked), "{asked} times in 5 s");
    tier.fails_at(&[]);
    pass(secs(1)).await;
    assert!(b.get(KEY).is_none());
    let asked = tier.asked(Ask::Invalidate);
    pass(secs(60)).await;
    assert_eq!(tier.asked(Ask::Invalidate), asked, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_while_the_tier_was_away_others_hear_when_it_is_back() {
    let tier = memory_tier();
    let (a, b) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    settle().await;
    a.insert(&key(KEY), Found::new(1));
    b.insert(&key(KEY), Found::new(1));
    tier.set_away(true);
    settle().await;
    assert!(a.invalidate(&Scope::All).await.is_err());
    tier.set_away(false);
    pass(secs(2)).await;
    assert!(b.get(KEY).is_none());
}

async fn load(cache: &Cache<u64>, origin: &Origin) -> Cached<u64> {
    cache.get_or_load(&key(KEY), origin.loader()).await.unwrap()
}

/// A process without a key.
async fn hinting(tier: &MemoryTier, seed: u64) -> Cache<u64> {
    let cache = sharing_builder(tier.another(), environment(seed)).seal(Sealer::open_hints()).build().unwrap();
    settle().await;
    cache
}

fn memory_tier() -> MemoryTier {
    MemoryTier::new(Arc::clone(&environment(0).clock))
}

fn tag() -> Tag {
    Tag::new("node:db-7").unwrap()
}

fn shown(cached: &Cached<u64>) -> (Option<u64>, Freshness) {
    (cached.value.as_deref().copied(), cached.freshness)
}

#[tokio::test(start_paused = true)]
async fn a_value_is_good_for_as_long_as_its_loader_says_in_every_process() {
    let tier = memory_tier();
    let (one, two) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    settle().await;
    let brief = || async { Ok::<_, Infallible>(Found::new(1).lifetimes(Lifetimes::ttl(secs(2)))) };
    one.get_or_load(&key(KEY), brief).await.unwrap();
    settle().await;
    let served = two.get_or_load(&key(KEY), Origin::new(Says::Value(9)).loader()).await.unwrap();
    assert_eq!((served.value.as_deref(), served.source), (Some(&1), Source::SecondTier));
    tokio::time::advance(secs(2)).await;
    for cache in [&one, &two] {
        assert!(cache.get(KEY).is_none(), "it is gone, whatever the cache keeps others for");
    }
    let served = two.get_or_load(&key(KEY), Origin::new(Says::Value(9)).loader()).await.unwrap();
    assert_eq!((served.value.as_deref(), served.source), (Some(&9), Source::Origin));
}
