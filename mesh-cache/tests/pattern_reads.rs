//! Reading through, aside, and ahead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;

use mesh_cache::pattern::{Aside, CacheAside, Filling, Overtaken, ReadThrough, RefreshAhead, RefreshAheadConfig};
use mesh_cache::{Cache, Cached, Found, Freshness, Key, Loaded, MemoryTier, Prefix, Scope, Source, Tag, Version};

use support::origin::{Origin, Says};
use support::shelf::Shelf;
use support::{Stopwatch, builder, cache, cache_with, config, environment, key, ms, pass, secs, settle, sharing};

#[tokio::test(start_paused = true)]
async fn reading_through_is_getting_or_loading() {
    let shelf = Shelf::new();
    shelf.set(&key("a"), 1);
    let through = ReadThrough::new(cache(), shelf.clone());
    assert_eq!(value(&through.get(&key("a")).await.unwrap()), Some(1));
    assert_eq!(value(&through.get(&key("b")).await.unwrap()), None);
    shelf.set(&key("a"), 2);
    through.renew(&key("a"));
    settle().await;
    assert_eq!(value(&through.get(&key("a")).await.unwrap()), Some(2));
    shelf.set(&key("a"), 3);
    assert_eq!(through.invalidate(&Scope::Key(key("a"))).await.unwrap(), 1);
    assert_eq!(value(&through.clone().get(&key("a")).await.unwrap()), Some(3));
    assert_eq!(through.cache().stats().loads, 4);
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_loaded_side_by_side_and_come_in_their_order() {
    let shelf = Shelf::new();
    let keys: Vec<Key> = (0..20).map(|number| key(&format!("k/{number}"))).collect();
    keys.iter().zip(0..).for_each(|(key, number)| shelf.set(key, number));
    let through = ReadThrough::new(cache(), shelf.clone());
    through.get(&keys[3]).await.unwrap();
    shelf.takes_time(ms(100));
    let began = Stopwatch::default();
    let found: Vec<_> = through.get_many(&keys).await.into_iter().map(|found| value(&found.unwrap())).collect();
    assert_eq!(found, (0..20).map(Some).collect::<Vec<_>>());
    assert_eq!((began.elapsed(), through.cache().stats().loads), (ms(100), 20));
    assert!(through.get_many(&[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_a_loader() {
    let through = ReadThrough::new(cache(), |key: Key| async move {
        if key.as_str() == "bad" { Err("no such thing") } else { Ok(Found::new(key.as_str().len() as u64)) }
    });
    assert_eq!(value(&through.get(&key("four")).await.unwrap()), Some(4));
    let failed = through.get_many(&[key("bad"), key("five5")]).await;
    assert!(failed[0].is_err() && failed[1].is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_read_aside_is_kept_and_shared() {
    let tier = MemoryTier::new(Arc::clone(&environment(0).clock));
    let [a, b] = [1, 2].map(|seed| CacheAside::new(sharing(tier.another(), environment(seed))));
    settle().await;
    let filling = miss(a.look(&key("k")).await);
    pass(ms(100)).await;
    let filled = filling.fill(Found::new(7).tag(Tag::new("t").unwrap())).await.unwrap();
    assert_eq!((value(&filled), filled.freshness), (Some(7), Freshness::Fresh));
    let (hit, other) = (hit(a.look(&key("k")).await), hit(b.look(&key("k")).await));
    assert_eq!((value(&hit), hit.source), (Some(7), Source::Origin));
    assert_eq!((value(&other), other.source), (Some(7), Source::SecondTier));
    assert!(other.age >= ms(99), "as old as the moment before it was read: {:?}", other.age);
    a.cache().invalidate(&Scope::Tag(Tag::new("t").unwrap())).await.unwrap();
    settle().await;
    drop((miss(a.look(&key("k")).await), miss(b.look(&key("k")).await)));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_change_does_not_fill_the_cache() {
    let tag = || Tag::new("node:db-7").unwrap();
    let scopes =
        [Scope::Key(key("branch/k")), Scope::Prefix(Prefix::new("branch/").unwrap()), Scope::Tag(tag()), Scope::All];
    for scope in scopes {
        let aside = CacheAside::new(cache());
        let filling = miss(aside.look(&key("branch/k")).await);
        aside.cache().invalidate(&scope).await.unwrap();
        assert_eq!(filling.fill(Found::new(1).tag(tag())).await.unwrap_err(), Overtaken, "{scope:?}");
        assert!(aside.cache().get("branch/k").is_none(), "{scope:?}");
        let filling = miss(aside.look(&key("branch/k")).await);
        assert!(filling.fill(Found::new(2).tag(tag())).await.is_ok(), "what began after it is kept: {scope:?}");
    }
    let aside = CacheAside::new(cache());
    let filling = miss(aside.look(&key("branch/k")).await);
    aside.cache().insert(&key("branch/k"), Found::new(2));
    assert!(filling.fill(Found::new(1)).await.is_err());
    assert_eq!(aside.cache().get("branch/k").unwrap().value(), Some(&2), "what was inserted stays");
    assert_eq!(aside.cache().stats().overtaken, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_a_hit_that_whoever_cares_fills_anew() {
    let aside = CacheAside::new(cache());
    aside.cache().insert(&key("k"), Found::new(1));
    pass(secs(10)).await;
    assert_eq!(hit(aside.look(&key("k")).await).freshness, Freshness::Stale);
    let filling = miss(aside.begin(&key("k")).await);
    assert_eq!(filling.key(), &key("k"));
    let served = filling.give_up().unwrap();
    assert_eq!((value(&served), served.freshness), (Some(1), Freshness::StaleOnError));
    pass(secs(30)).await;
    assert_eq!(hit(aside.look(&key("k")).await).freshness, Freshness::StaleOnError);
    let filling = miss(aside.begin(&key("k")).await);
    assert_eq!(filling.fill(Found::new(2)).await.unwrap().freshness, Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn an_older_version_is_not_kept_and_the_newer_one_is_returned() {
    let aside = CacheAside::new(cache());
    let version = |index| Version { epoch: 1, index };
    let (first, second) = (miss(aside.look(&key("k")).await), miss(aside.look(&key("k")).await));
    second.fill(Found::new(2).version(version(9))).await.unwrap();
    assert_eq!(value(&first.fill(Found::new(1).version(version(8))).await.unwrap()), Some(2));
    drop(miss(aside.look(&key("other")).await));
    assert_eq!(miss(aside.look(&key("other")).await).fill(Loaded::Absent).await.unwrap().value, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_warm_never_goes_stale() {
    let (cache, origin) = (cache(), Origin::new(Says::Value(1)));
    origin.takes(ms(200));
    let ahead = refresh_ahead(cache.clone(), &origin, RefreshAheadConfig::default());
    let keys: Vec<Key> = (0..30).map(|number| key(&format!("k/{number}"))).collect();
    ahead.keep_warm(keys.clone()).unwrap();
    for _ in 0..20 {
        pass(ms(100)).await;
    }
    for step in 0..1_000 {
        for key in &keys {
            let hit = cache.get(key.as_str()).unwrap();
            assert_eq!(hit.freshness(), Freshness::Fresh, "after {step} steps, {:?} old", hit.age());
        }
        pass(ms(100)).await;
    }
    // In 102 s, each in the last fifth of its 10 s but for the last tenth.
    let loads = origin.loads();
    assert!((330..=390).contains(&loads), "{loads} loads of 30 keys");
    assert!(origin.most_under_way() <= 8);
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_at_once_is_not_renewed_at_once() {
    let (cache, origin) = (cache(), Origin::new(Says::Value(1)));
    let mut config = RefreshAheadConfig::default();
    config.renewals_max = NonZeroU32::new(1_000).unwrap();
    let ahead = refresh_ahead(cache, &origin, config);
    ahead.keep_warm((0..500).map(|number| key(&format!("k/{number}")))).unwrap();
    pass(ms(1)).await;
    assert_eq!(origin.loads(), 500);
    let (mut before, mut most, mut busy) = (500, 0, 0);
    for _ in 0..110 {
        pass(ms(100)).await;
        let loads = origin.loads() - before;
        (before, most, busy) = (origin.loads(), most.max(loads), busy + u64::from(loads > 0));
    }
    assert_eq!(before, 1_000);
    assert!(most <= 100 && busy >= 9, "{most} in a tenth of a second, {busy} tenths with any");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_renewed_is_served_on_and_tried_again() {
    let (cache, origin) = (cache(), Origin::new(Says::Value(1)));
    let ahead = refresh_ahead(cache.clone(), &origin, RefreshAheadConfig::default());
    ahead.keep_warm([key("k")]).unwrap();
    pass(ms(1)).await;
    origin.says(Says::Fails);
    for _ in 0..400 {
        pass(ms(100)).await;
    }
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::StaleOnError);
    assert!((5..100).contains(&origin.loads()), "{} loads in 40 s", origin.loads());
    origin.says(Says::Value(2));
    for _ in 0..350 {
        pass(ms(100)).await;
    }
    assert_eq!((cache.get("k").unwrap().value(), cache.get("k").unwrap().freshness()), (Some(&2), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_is_warm_again_soon() {
    let (cache, origin) = (cache(), Origin::new(Says::Value(1)));
    let ahead = refresh_ahead(cache.clone(), &origin, RefreshAheadConfig::default());
    ahead.keep_warm([key("k")]).unwrap();
    pass(secs(1)).await;
    origin.says(Says::Value(2));
    cache.invalidate_here(&Scope::All);
    pass(ms(500)).await;
    assert_eq!(cache.get("k").unwrap().value(), Some(&2));
    ahead.let_cool(&key("k"));
    cache.invalidate_here(&Scope::All);
    pass(secs(5)).await;
    assert!(cache.get("k").is_none());
    assert_eq!(ahead.warm_keys(), 0);
    assert_eq!(value(&ahead.get(&key("k")).await.unwrap()), Some(2));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_keys_are_kept_warm_and_not_longer_than_somebody_wants_it() {
    let (cache, origin) = (cache_with(|_| {}), Origin::new(Says::Value(1)));
    let mut config = RefreshAheadConfig::default();
    config.keys_max = NonZeroU32::new(2).unwrap();
    let ahead = refresh_ahead(cache, &origin, config);
    ahead.keep_warm([key("a"), key("a")]).unwrap();
    assert!(ahead.keep_warm([key("a"), key("b"), key("c")]).is_err());
    assert_eq!(ahead.warm_keys(), 1, "none of them was added");
    ahead.keep_warm([key("a"), key("b")]).unwrap();
    pass(ms(1)).await;
    assert_eq!(origin.loads(), 2);
    drop(ahead.clone());
    pass(secs(10)).await;
    let loads = origin.loads();
    assert!(loads >= 4);
    drop(ahead);
    pass(secs(30)).await;
    assert_eq!(origin.loads(), loads, "its task has ended");
}

#[tokio::test]
async fn what_lives_too_short_cannot_be_kept_warm() {
    let mut config = config();
    config.lifetimes.fresh = ms(99);
    let cache = builder().config(config).build().unwrap();
    let refused = RefreshAhead::new(cache, Shelf::new(), RefreshAheadConfig::default());
    assert!(refused.is_err_and(|error| error.to_string().contains("fresh")));
}

fn refresh_ahead(
    cache: Cache<u64>,
    origin: &Origin,
    config: RefreshAheadConfig,
) -> RefreshAhead<u64, impl mesh_cache::pattern::Loader<u64> + use<>> {
    let origin = origin.clone();
    RefreshAhead::new(cache, move |_: Key| origin.loader()(), config).unwrap()
}

fn miss(aside: Aside<u64>) -> Filling<u64> {
    match aside {
        Aside::Miss(filling) => filling,
        Aside::Hit(cached) => panic!("{cached:?} is there"),
    }
}

fn hit(aside: Aside<u64>) -> Cached<u64> {
    match aside {
        Aside::Hit(cached) => cached,
        Aside::Miss(filling) => panic!("{filling:?}"),
    }
}

fn value(cached: &Cached<u64>) -> Option<u64> {
    cached.value.as_deref().copied()
}
