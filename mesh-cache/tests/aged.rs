//! What an origin has known for a while: it may be older than a change that was told before it was asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use mesh_cache::pattern::{Aside, CacheAside};
use mesh_cache::second::{SecondTier, Store, Stored};
use mesh_cache::{Cache, CacheConfig, Cached, Found, Freshness, Marks, MemoryTier};
use mesh_cache::{Prefix, Scope, Source, Tag, Version};

use support::origin::{Origin, Says};
use support::tiers::{Ask, Frail};
use support::{cache_with, config, environment, key, ms, pass, secs, settle, sharing_builder};

const KEY: &str = "discovery/dc1/api";

#[tokio::test(start_paused = true)]
async fn what_is_older_than_a_change_elsewhere_is_not_fresh_and_not_shared() {
    for scope in scopes() {
        let tier = memory_tier();
        let b = process(tier.another(), 1).await;
        b.invalidate(&scope).await.unwrap();
        pass(secs(10)).await;
        // It was not there to hear it.
        let of_a = Frail::new(tier.another());
        let (a, c) = (process(of_a.clone(), 2).await, process(tier.another(), 3).await);
        assert_eq!(shown(&load(&a, 1, secs(20)).await), (Some(1), Freshness::Stale), "{scope:?}");
        assert_eq!(a.get(KEY).unwrap().freshness(), Freshness::Stale, "{scope:?}");
        assert_eq!(of_a.asked(Ask::Store), 0, "{scope:?}");
        let served = load(&c, 2, Duration::ZERO).await;
        assert_eq!((shown(&served), served.source), ((Some(2), Freshness::Fresh), Source::Origin), "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_younger_than_every_change_is_fresh_and_shared_at_its_age() {
    for scope in scopes() {
        let tier = memory_tier();
        let [a, b, c] = [1, 2, 3].map(|seed| process(tier.another(), seed));
        let (a, b, c) = (a.await, b.await, c.await);
        b.invalidate(&scope).await.unwrap();
        pass(secs(10)).await;
        assert_eq!(shown(&load(&a, 1, secs(9)).await), (Some(1), Freshness::Fresh), "{scope:?}");
        let served = load(&c, 2, Duration::ZERO).await;
        assert_eq!((shown(&served), served.source), ((Some(1), Freshness::Fresh), Source::SecondTier), "{scope:?}");
        assert_eq!((served.age + ms(1)).as_secs(), 9);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_a_change_that_this_process_knows_of_is_not_fresh() {
    for scope in scopes() {
        let cache = cache_with(long);
        pass(secs(100)).await;
        cache.invalidate(&scope).await.unwrap();
        pass(secs(10)).await;
        assert_eq!(shown(&load(&cache, 1, secs(10)).await), (Some(1), Freshness::Stale), "{scope:?}");
        settle().await;
        cache.invalidate_here(&Scope::Key(key("another")));
        cache.renew(&key(KEY), loader(2, ms(9_999)));
        settle().await;
        let hit = cache.get(KEY).unwrap();
        assert_eq!((hit.value(), hit.freshness()), (Some(&2), Freshness::Fresh), "{scope:?}");
        cache.invalidate_here(&scope);
        pass(secs(1)).await;
        assert!(cache.insert(&key(KEY), found(3, secs(2))));
        assert_eq!(cache.get(KEY).unwrap().freshness(), Freshness::Stale, "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_more_changes_than_are_remembered_each_may_have_been_the_one() {
    let cache = cache_with(long);
    pass(secs(100)).await;
    for count in 0..5_000 {
        cache.invalidate_here(&Scope::Key(key(&format!("other/{count}"))));
        tokio::time::advance(ms(1)).await;
    }
    assert_eq!(shown(&load(&cache, 1, secs(6)).await), (Some(1), Freshness::Stale));
    cache.renew(&key(KEY), loader(2, secs(1)));
    settle().await;
    assert_eq!(cache.get(KEY).unwrap().freshness(), Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_before_anybody_could_be_asked_for_changes_is_unheard() {
    for asks in [&[Ask::Fetch][..], &[Ask::Watermarks]] {
        let tier = Frail::new(memory_tier());
        let cache = process(tier.clone(), 1).await;
        tier.fails_at(asks);
        assert_eq!(shown(&load(&cache, 1, secs(5)).await), (Some(1), Freshness::Unheard), "{asks:?}");
    }
    let tier = Frail::new(memory_tier());
    let cache = process(tier.clone(), 1).await;
    tier.withholds_watermarks();
    assert_eq!(shown(&load(&cache, 1, secs(5)).await), (Some(1), Freshness::Unheard));
    assert_eq!(shown(&load(&process(tier, 2).await, 2, Duration::ZERO).await), (Some(2), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn whoever_could_not_ask_may_share_and_others_ask() {
    let tier = Frail::new(memory_tier());
    process(tier.tier.another(), 1).await.invalidate(&Scope::Tag(tag())).await.unwrap();
    pass(secs(10)).await;
    let (a, c) = (process(tier.clone(), 2).await, process(tier.tier.another(), 3).await);
    tier.fails_at(&[Ask::Watermarks]);
    assert_eq!(shown(&load(&a, 1, secs(20)).await), (Some(1), Freshness::Unheard));
    assert_eq!(tier.asked(Ask::Store), 1);
    assert_eq!(shown(&load(&c, 2, Duration::ZERO).await), (Some(2), Freshness::Fresh));
}

#[test]
fn a_tier_keeps_nothing_that_was_true_before_its_key_was_invalidated() {
    let (tier, marks) = (memory_tier(), Marks::new(&key(KEY), &[]));
    let (own, keep_for, version) = (marks.own(), secs(60), Version::NONE);
    let watermark = tier.invalidate_now(own).unwrap();
    let begun_micros = tier.fetch_now(&marks).unwrap().now_micros;
    for (as_of_micros, stored) in [(0, Stored::Overtaken), (watermark, Stored::Overtaken), (watermark + 1, Stored::Yes)]
    {
        let store = Store { own, bytes: b"1", begun_micros, as_of_micros, version, keep_for, replaces: None };
        assert_eq!(tier.store_now(store).unwrap(), stored);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_filled_in_by_hand_is_no_younger() {
    let tier = memory_tier();
    process(tier.another(), 1).await.invalidate(&Scope::Tag(tag())).await.unwrap();
    pass(secs(10)).await;
    for (age, freshness) in [(secs(9), Freshness::Fresh), (secs(20), Freshness::Stale)] {
        let aside = CacheAside::new(process(tier.another(), 2).await);
        let Aside::Miss(filling) = aside.begin(&key("new")).await else { panic!("nobody shared it") };
        let found = Found::new(1).age(age).tag(tag());
        assert_eq!(filling.fill(found).await.unwrap().freshness, freshness);
        aside.cache().invalidate(&Scope::Key(key("new"))).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_is_no_younger() {
    for scope in scopes() {
        for (age, freshness, others) in [(9, Freshness::Fresh, Some(1)), (20, Freshness::Stale, None)] {
            let tier = memory_tier();
            process(tier.another(), 1).await.invalidate(&scope).await.unwrap();
            pass(secs(10)).await;
            let (a, c) = (process(tier.another(), 2).await, process(tier.another(), 3).await);
            assert!(a.offer(&key(KEY), found(1, secs(age))).await);
            assert_eq!(a.get(KEY).unwrap().freshness(), freshness, "{scope:?}");
            let served = c.get_or_load(&key(KEY), Origin::new(Says::Fails).loader()).await.ok();
            assert_eq!(served.and_then(|served| shown(&served).0), others, "{scope:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_a_tier_remembers_is_shared_for_the_case_of_need_only() {
    let tier = memory_tier();
    let (a, c) = (process(tier.another(), 1).await, process(tier.another(), 2).await);
    assert_eq!(shown(&load(&a, 1, secs(90)).await), (Some(1), Freshness::Fresh));
    let failing = Origin::new(Says::Fails);
    let served = c.get_or_load(&key(KEY), failing.loader()).await.unwrap();
    assert_eq!(shown(&served), (Some(1), Freshness::StaleOnError));
    pass(secs(1)).await;
    let d = process(tier.another(), 3).await;
    let served = load(&d, 2, Duration::ZERO).await;
    assert_eq!((shown(&served), served.source), ((Some(2), Freshness::Fresh), Source::Origin));
}

fn scopes() -> [Scope; 4] {
    [Scope::Key(key(KEY)), Scope::Prefix(Prefix::new("discovery/").unwrap()), Scope::Tag(tag()), Scope::All]
}

fn tag() -> Tag {
    Tag::new("node:db-7").unwrap()
}

fn found(value: u64, age: Duration) -> Found<u64> {
    Found::new(value).age(age).tag(tag())
}

fn loader(value: u64, age: Duration) -> impl FnMut() -> std::future::Ready<Result<Found<u64>, Infallible>> + Send {
    move || std::future::ready(Ok(found(value, age)))
}

async fn load(cache: &Cache<u64>, value: u64, age: Duration) -> Cached<u64> {
    let served = cache.get_or_load(&key(KEY), loader(value, age)).await.unwrap();
    settle().await;
    served
}

/// A process that hears, and for which values are fresh for long.
async fn process(tier: impl SecondTier + 'static, seed: u64) -> Cache<u64> {
    let mut config = config();
    long(&mut config);
    let cache = sharing_builder(tier, environment(seed)).config(config).build().unwrap();
    settle().await;
    cache
}

fn long(config: &mut CacheConfig) {
    config.lifetimes.fresh = secs(100);
    config.lifetimes.stale = secs(200);
}

fn memory_tier() -> MemoryTier {
    MemoryTier::new(Arc::clone(&environment(0).clock))
}

fn shown(cached: &Cached<u64>) -> (Option<u64>, Freshness) {
    (cached.value.as_deref().copied(), cached.freshness)
}
