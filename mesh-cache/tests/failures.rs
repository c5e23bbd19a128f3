//! Loads that fail: what callers are told, and how long the origin is left alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::time::Duration;

use mesh_cache::{Cache, Cached, Found, Freshness, Key, LoadError, Scope};
use support::origin::{Origin, Says};
use support::{Stopwatch, builder, cache, environment, key, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_to_everybody_and_the_next_load_is_as_good_as_any() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Panics), key("k"));
    origin.takes(ms(10));
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let (cache, loader, key) = (cache.clone(), origin.loader(), key.clone());
            tokio::spawn(async move { cache.get_or_load(&key, loader).await })
        })
        .collect();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert!(matches!(error, LoadError::Panicked), "{error:?}");
    }
    assert_eq!((origin.loads(), cache.stats().load_errors), (1, 1));
    origin.says(Says::Value(1));
    pass(ms(100)).await;
    assert_eq!(cache.get_or_load(&key, origin.loader()).await.unwrap().value.as_deref(), Some(&1));
    cache.insert(&key, Found::new(2));
    assert_eq!(cache.get("k").unwrap().value(), Some(&2), "nothing that it held is held on");
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_panics_before_its_future_is_made_is_no_different() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    let load = || -> std::future::Ready<Result<Found<u64>, std::io::Error>> { panic!("before it began") };
    let error = cache.get_or_load(&key, load).await.unwrap_err();
    assert!(matches!(error, LoadError::Panicked), "{error:?}");
    pass(ms(100)).await;
    assert!(cache.get_or_load(&key, origin.loader()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_what_was_there() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    origin.says(Says::Panics);
    pass(secs(30)).await;
    let served = cache.get_or_load(&key, origin.loader()).await.unwrap();
    assert_eq!((served.value.as_deref(), served.freshness), (Some(&1), Freshness::StaleOnError));
}

#[tokio::test(start_paused = true)]
async fn twenty_calls_one_after_another_make_few_loads() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Fails), key("k"));
    for _ in 0..20 {
        let error = cache.get_or_load(&key, origin.loader()).await.unwrap_err();
        assert!(matches!(error, LoadError::Failed(_)), "the load's own error: {error:?}");
    }
    assert!(origin.loads() <= 2, "{}", origin.loads());
    assert_eq!(cache.stats().backed_off, 20 - origin.loads());
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_keeps_failing_is_asked_ever_more_rarely() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Fails), key("k"));
    let waits = waits(&cache, &origin, &key, 60).await;
    for (wait, count) in waits.iter().zip(0..) {
        let bound = ms(100).saturating_mul(1 << count.min(20)).min(secs(30));
        assert!(*wait <= bound + ms(10), "{wait:?} after {count} waits");
    }
    let sum: Duration = waits.iter().skip(10).sum();
    // Half of 30 s each, give or take: the deviation of the mean of 50 draws is 1.2 s.
    let mean = sum / 50;
    assert!(mean > secs(10) && mean < secs(20), "{mean:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_differ_between_processes() {
    let mut firsts = Vec::new();
    for seed in 0..20 {
        let cache = builder().environment(environment(seed * 1_000)).build().unwrap();
        firsts.push(waits(&cache, &Origin::new(Says::Fails), &key("k"), 4).await);
    }
    let count = firsts.len();
    firsts.sort();
    firsts.dedup();
    assert_eq!(firsts.len(), count);
}

#[tokio::test(start_paused = true)]
async fn one_keys_failures_are_not_anothers() {
    let (cache, origin) = (cache(), Origin::new(Says::Fails));
    assert!(cache.get_or_load(&key("a"), origin.loader()).await.is_err());
    origin.says(Says::Value(1));
    assert!(cache.get_or_load(&key("b"), origin.loader()).await.is_ok());
    assert!(cache.get_or_load(&key("a"), origin.loader()).await.is_err(), "it is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_success_makes_up_for_all_failures() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Fails), key("k"));
    waits(&cache, &origin, &key, 20).await;
    origin.says(Says::Value(1));
    pass(secs(30)).await;
    assert!(cache.get_or_load(&key, origin.loader()).await.is_ok());
    cache.invalidate_here(&Scope::Key(key.clone()));
    origin.says(Says::Fails);
    assert!(cache.get_or_load(&key, origin.loader()).await.is_err());
    let wait = waits(&cache, &origin, &key, 1).await[0];
    assert!(wait <= ms(110), "the first wait again: {wait:?}");
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_key_makes_it_worth_another_try() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Fails), key("k"));
    waits(&cache, &origin, &key, 10).await;
    cache.get_or_load(&key, origin.loader()).await.unwrap_err();
    origin.says(Says::Value(1));
    cache.invalidate_here(&Scope::Key(key.clone()));
    assert!(cache.get_or_load(&key, origin.loader()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_the_origin_is_left_alone_what_there_is_is_served() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    origin.says(Says::Fails);
    pass(secs(10)).await;
    let mut last: Option<Cached<u64>> = None;
    for _ in 0..100 {
        last = Some(cache.get_or_load(&key, origin.loader()).await.unwrap());
        pass(ms(500)).await;
    }
    assert_eq!(last.unwrap().freshness, Freshness::StaleOnError);
    assert!(origin.loads() < 20, "{} loads in 50 s", origin.loads());
}

/// How long the origin was left alone after each of `count` failures, to ten milliseconds.
async fn waits(cache: &Cache<u64>, origin: &Origin, key: &Key, count: usize) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut loads = origin.loads();
    let mut began = Stopwatch::default();
    while waits.len() < count {
        let _ = cache.get_or_load(key, origin.loader()).await;
        if origin.loads() > loads {
            if loads > 0 {
                waits.push(began.elapsed());
            }
            (loads, began) = (origin.loads(), Stopwatch::default());
        }
        tokio::time::advance(ms(10)).await;
    }
    settle().await;
    waits
}
