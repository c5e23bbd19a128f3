//! An entry's life: fresh, stale while it is renewed, stale because it cannot be renewed, gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::{Cached, Found, Freshness, Lifetimes, LoadError, MemoryTier, Source};

use support::origin::{Origin, Says};
use support::{
    HandClock, Stopwatch, builder, cache, cache_with, config, environment, environment_with, key, lifetimes, ms, pass,
    secs, settle, sharing,
};

#[tokio::test(start_paused = true)]
async fn a_value_is_fresh_until_its_time_and_its_age_is_told() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(7)), key("k"));
    let loaded = cache.get_or_load(&key, origin.loader()).await.unwrap();
    assert_eq!(shown(&loaded), (Some(7), Freshness::Fresh, 0));
    assert_eq!((loaded.source, loaded.generation), (Source::Origin, 1));
    pass(ms(9_999)).await;
    let hit = cache.get("k").unwrap();
    assert_eq!((hit.value(), hit.freshness(), hit.age()), (Some(&7), Freshness::Fresh, ms(9_999)));
    assert_eq!(shown(&cache.get_or_load(&key, origin.loader()).await.unwrap()), (Some(7), Freshness::Fresh, 9_999));
    pass(ms(1)).await;
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Stale);
    assert_eq!(origin.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_as_old_as_the_question_for_it_and_fresh_from_when_it_came() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Aged(7, secs(2))), key("k"));
    origin.takes(secs(3));
    let loaded = cache.get_or_load(&key, origin.loader()).await.unwrap();
    assert_eq!(shown(&loaded), (Some(7), Freshness::Fresh, 5_000), "it may be what was true when it was asked for");
    pass(ms(7_999)).await;
    assert_eq!(shown(&cache.get("k").unwrap().to_cached()), (Some(7), Freshness::Fresh, 12_999));
    pass(ms(1)).await;
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_at_once_and_renewed_once() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    origin.says(Says::Value(2));
    origin.takes(ms(500));
    pass(secs(10)).await;
    for _ in 0..100 {
        let served = cache.get_or_load(&key, origin.loader()).await.unwrap();
        assert_eq!(shown(&served), (Some(1), Freshness::Stale, 10_000), "nobody waits");
        settle().await;
    }
    assert_eq!(origin.loads(), 2);
    pass(ms(500)).await;
    assert_eq!(shown(&cache.get("k").unwrap().to_cached()), (Some(2), Freshness::Fresh, 500));
    assert_eq!((origin.loads(), cache.stats().stale), (2, 100));
}

#[tokio::test(start_paused = true)]
async fn past_its_staleness_it_is_served_only_after_a_load_failed() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    pass(secs(30)).await;
    assert!(cache.get("k").is_none(), "nobody knows yet that it cannot be renewed");
    origin.says(Says::Fails);
    origin.takes(ms(50));
    let began = Stopwatch::default();
    let served = cache.get_or_load(&key, origin.loader()).await.unwrap();
    assert_eq!(began.elapsed(), ms(50), "the load was waited for");
    assert_eq!(shown(&served), (Some(1), Freshness::StaleOnError, 30_050));
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::StaleOnError);
    pass(secs(39)).await;
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::StaleOnError);
    pass(ms(950)).await;
    assert!(cache.get("k").is_none(), "70 s after it was loaded it is gone");
    pass(secs(30)).await;
    let error = cache.get_or_load(&key, origin.loader()).await.unwrap_err();
    assert!(matches!(error, LoadError::Failed(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn past_its_staleness_it_is_not_served_while_its_origin_answers() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    pass(secs(30)).await;
    origin.says(Says::Value(2));
    assert_eq!(shown(&cache.get_or_load(&key, origin.loader()).await.unwrap()), (Some(2), Freshness::Fresh, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_told_and_mended_by_the_next() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    origin.says(Says::Fails);
    pass(secs(10)).await;
    assert_eq!(cache.get_or_load(&key, origin.loader()).await.unwrap().freshness, Freshness::Stale);
    settle().await;
    assert_eq!(cache.get_or_load(&key, origin.loader()).await.unwrap().freshness, Freshness::StaleOnError);
    origin.says(Says::Value(2));
    pass(ms(100)).await;
    assert_eq!(cache.get_or_load(&key, origin.loader()).await.unwrap().freshness, Freshness::StaleOnError);
    settle().await;
    assert_eq!(shown(&cache.get("k").unwrap().to_cached()), (Some(2), Freshness::Fresh, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_renew_what_is_fresh_leaves_it_fresh() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    origin.says(Says::Fails);
    cache.renew(&key, origin.loader());
    settle().await;
    assert_eq!((origin.loads(), cache.get("k").unwrap().freshness()), (2, Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn what_its_origin_has_known_for_a_while_is_fresh_for_the_rest() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Aged(1, secs(6))), key("k"));
    assert_eq!(shown(&cache.get_or_load(&key, origin.loader()).await.unwrap()), (Some(1), Freshness::Fresh, 6_000));
    pass(ms(3_999)).await;
    assert_eq!(shown(&cache.get("k").unwrap().to_cached()), (Some(1), Freshness::Fresh, 9_999));
    pass(ms(1)).await;
    assert_eq!(shown(&cache.get("k").unwrap().to_cached()), (Some(1), Freshness::Stale, 10_000));
    pass(secs(20)).await;
    assert!(cache.get("k").is_none());
}

#[test]
fn what_is_older_than_the_clock_keeps_its_age() {
    let clock = Arc::new(HandClock::default());
    let cache = builder().environment(environment_with(Arc::clone(&clock) as Arc<_>, 1)).build().unwrap();
    cache.insert(&key("k"), Found::new(1).age(secs(6)));
    clock.advance(secs(1));
    assert_eq!(shown(&cache.get("k").unwrap().to_cached()), (Some(1), Freshness::Fresh, 7_000));
    clock.advance(secs(3));
    assert_eq!(shown(&cache.get("k").unwrap().to_cached()), (Some(1), Freshness::Stale, 10_000));
}

#[tokio::test(start_paused = true)]
async fn what_is_old_when_it_comes_is_never_called_fresh() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Aged(1, secs(12))), key("k"));
    assert_eq!(shown(&cache.get_or_load(&key, origin.loader()).await.unwrap()), (Some(1), Freshness::Stale, 12_000));
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Stale);
    cache.insert(&key, Found::new(2).age(secs(70)));
    assert!(cache.get("k").is_none(), "past its time altogether");
}

#[tokio::test(start_paused = true)]
async fn lifetimes_are_shortened_at_random_by_the_jitter_and_no_more() {
    let cache = cache_with(|config| config.lifetimes.jitter_percent = 10);
    let keys: Vec<String> = (0..2_000).map(|number| format!("k{number}")).collect();
    for name in &keys {
        assert!(cache.insert(&key(name), Found::new(1)));
    }
    let fresh = || keys.iter().filter(|name| cache.get(name).unwrap().freshness() == Freshness::Fresh).count();
    pass(ms(8_999)).await;
    assert_eq!(fresh(), 2_000);
    for (after_ms, share) in [(251, 0.75), (250, 0.5), (250, 0.25)] {
        pass(ms(after_ms)).await;
        let off = fresh() as f64 / 2_000.0 - share;
        assert!(off.abs() < 0.05, "{off} from {share}");
    }
    pass(ms(250)).await;
    assert_eq!(fresh(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_often_is_renewed_before_its_time() {
    let served_stale = |beta: f64| async move {
        let mut config = config();
        config.early_beta = beta;
        let cache = builder().config(config).environment(environment(3)).build().unwrap();
        let (origin, key) = (Origin::new(Says::Value(1)), key("k"));
        origin.takes(ms(100));
        cache.get_or_load(&key, origin.loader()).await.unwrap();
        for _ in 0..10_000 {
            cache.get_or_load(&key, origin.loader()).await.unwrap();
            tokio::time::advance(ms(10)).await;
        }
        assert!(origin.loads() <= 13, "{} loads in ten lifetimes", origin.loads());
        cache.stats().stale
    };
    let (never_early, early) = (served_stale(0.0).await, served_stale(1.0).await);
    assert!(never_early >= 80, "each renewal is waited for by ten reads: {never_early}");
    assert!(early * 10 < never_early, "{early} against {never_early}");
}

#[tokio::test(start_paused = true)]
async fn an_absence_is_served_for_its_own_short_time() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Absent), key("k"));
    assert_eq!(shown(&cache.get_or_load(&key, origin.loader()).await.unwrap()), (None, Freshness::Fresh, 0));
    pass(ms(2_999)).await;
    assert_eq!(shown(&cache.get_or_load(&key, origin.loader()).await.unwrap()), (None, Freshness::Fresh, 2_999));
    assert_eq!((cache.get("k").unwrap().value(), origin.loads(), cache.stats().absent), (None, 1, 2));
    origin.says(Says::Fails);
    pass(ms(1)).await;
    assert!(cache.get("k").is_none());
    assert!(cache.get_or_load(&key, origin.loader()).await.is_err(), "it is not served because its origin fails");
    origin.says(Says::Value(1));
    pass(secs(1)).await;
    assert_eq!(cache.get_or_load(&key, origin.loader()).await.unwrap().value.as_deref(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_never_taken_for_an_absence() {
    let (cache, origin, key) = (cache(), Origin::new(Says::Fails), key("k"));
    for _ in 0..3 {
        let error = cache.get_or_load(&key, origin.loader()).await.unwrap_err();
        let LoadError::Failed(error) = error else { panic!("{error:?}") };
        assert_eq!(error.to_string(), "the origin is unwilling");
        assert!(cache.get("k").is_none());
    }
    assert_eq!((cache.stats().entries, cache.stats().absent), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_absence_without_a_lifetime_is_told_and_takes_no_room() {
    let mut lifetimes = lifetimes();
    lifetimes.absent = secs(0);
    let cache = builder().lifetimes(lifetimes).build().unwrap();
    let (origin, key) = (Origin::new(Says::Value(1)), key("k"));
    cache.get_or_load(&key, origin.loader()).await.unwrap();
    origin.says(Says::Absent);
    pass(secs(30)).await;
    assert_eq!(shown(&cache.get_or_load(&key, origin.loader()).await.unwrap()), (None, Freshness::Fresh, 0));
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
    assert_eq!(cache.get_or_load(&key, origin.loader()).await.unwrap().value, None);
    assert_eq!(origin.loads(), 3);
}

/// Its value, what it is worth, and its age in milliseconds.
#[tokio::test(start_paused = true)]
async fn lifetimes_of_a_single_value_are_cut_to_what_is_allowed() {
    let clock = Arc::new(HandClock::default());
    let cache = sharing(MemoryTier::new(clock.clone()), environment_with(clock.clone(), 1));
    settle().await;
    for seed in 0..20 {
        let mut wild = Lifetimes::ttl(Duration::MAX);
        (wild.stale, wild.stale_on_error, wild.absent) = (Duration::MAX, Duration::MAX, Duration::MAX);
        wild.jitter_percent = u8::MAX;
        let (name, found) = (key(&format!("k/{seed}")), Found::new(seed).lifetimes(wild));
        assert!(cache.publish(&name, found).await.unwrap());
    }
    clock.advance(Lifetimes::LONGEST / 2 - secs(1));
    for seed in 0..20 {
        let hit = cache.get(&format!("k/{seed}")).unwrap();
        assert_eq!((hit.value(), hit.freshness()), (Some(&seed), Freshness::Fresh), "at most half of it is jitter");
    }
    clock.advance(Lifetimes::LONGEST * 5 / 2 + secs(2));
    assert!(cache.get("k/0").is_none(), "whatever was asked for, 1,098 days are the most");
    let mut steep = Lifetimes::ttl(secs(100));
    steep.jitter_percent = 200;
    for seed in 0..100 {
        cache.insert(&key("k"), Found::new(seed).lifetimes(steep.clone()));
        clock.advance(ms(49_999));
        assert_eq!(cache.get("k").map(|hit| hit.freshness()), Some(Freshness::Fresh));
    }
}

fn shown(cached: &Cached<u64>) -> (Option<u64>, Freshness, u128) {
    (cached.value.as_deref().copied(), cached.freshness, cached.age.as_millis())
}
