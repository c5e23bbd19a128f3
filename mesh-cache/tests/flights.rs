//! One load a key, whoever comes, goes, or loses patience meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_cache::mesh_core::port::BoxFuture;
use mesh_cache::{Cache, Cached, LoadError};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use support::origin::{Origin, Says};
use support::{Stopwatch, cache, cache_with, key, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_wait_for_one_load() {
    let (cache, origin) = (cache(), slow_origin());
    let callers: Vec<_> = (0..1_000).map(|_| call(&cache, &origin, "k")).collect();
    for caller in callers {
        assert_eq!(value(caller.await.unwrap()), Some(7));
    }
    let stats = cache.stats();
    assert_eq!((origin.loads(), stats.loads, stats.misses, stats.joined), (1, 1, 1_000, 999));
}

#[tokio::test(start_paused = true)]
async fn keys_are_loaded_side_by_side() {
    let (cache, origin) = (cache(), slow_origin());
    let began = Stopwatch::default();
    let callers: Vec<_> = (0..50).map(|number| call(&cache, &origin, &format!("k{number}"))).collect();
    for caller in callers {
        assert_eq!(value(caller.await.unwrap()), Some(7));
    }
    assert_eq!((origin.loads(), began.elapsed()), (50, ms(100)));
}

#[tokio::test(start_paused = true)]
async fn when_the_first_caller_is_cancelled_the_others_still_get_the_value() {
    let (cache, origin) = (cache(), slow_origin());
    let leader = call(&cache, &origin, "k");
    settle().await;
    let others: Vec<_> = (0..10).map(|_| call(&cache, &origin, "k")).collect();
    pass(ms(50)).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    for other in others {
        assert_eq!(value(other.await.unwrap()), Some(7));
    }
    assert_eq!((origin.loads(), origin.ended()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_who_is_not_polled_any_more_holds_nobody_up() {
    let (cache, origin, key) = (cache(), slow_origin(), key("k"));
    let mut leader: BoxFuture<'_, _> = Box::pin(cache.get_or_load(&key, origin.loader()));
    assert!(timeout(Duration::ZERO, &mut leader).await.is_err());
    let began = Stopwatch::default();
    let other = cache.get_or_load(&key, origin.loader()).await;
    assert_eq!((value(other), began.elapsed(), origin.loads()), (Some(7), ms(100), 1));
    assert_eq!(value(leader.await), Some(7));
}

#[tokio::test(start_paused = true)]
async fn callers_who_are_less_patient_than_the_load_still_fill_the_cache() {
    let (cache, origin, key) = (cache(), slow_origin(), key("k"));
    for _ in 0..10 {
        assert!(timeout(ms(10), cache.get_or_load(&key, origin.loader())).await.is_err());
    }
    settle().await;
    assert_eq!(value(timeout(ms(10), cache.get_or_load(&key, origin.loader())).await.unwrap()), Some(7));
    assert_eq!(origin.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_caller_keeps_a_deadline_of_its_own() {
    let (cache, origin) = (cache(), slow_origin());
    let began = Stopwatch::default();
    let callers: Vec<_> = (1..=20)
        .map(|number| {
            let (cache, loader, key) = (cache.clone(), origin.loader(), key("k"));
            tokio::spawn(async move {
                let served = timeout(ms(number * 9), cache.get_or_load(&key, loader)).await;
                (served.is_ok(), began.elapsed())
            })
        })
        .collect();
    for (caller, number) in callers.into_iter().zip(1..) {
        let (is_served, at) = caller.await.unwrap();
        assert_eq!((is_served, at), (number * 9 > 100, ms((number * 9).min(100))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_too_long_is_given_up_for_everybody() {
    let (cache, origin) = (cache(), slow_origin());
    origin.takes(secs(3_600));
    let began = Stopwatch::default();
    let callers: Vec<_> = (0..10).map(|_| call(&cache, &origin, "k")).collect();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert!(matches!(error, LoadError::TimedOut(after) if after == secs(5)), "{error:?}");
    }
    assert_eq!((began.elapsed(), origin.under_way(), origin.ended()), (secs(5), 0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_loads_are_under_way() {
    let cache = cache_with(|config| config.loads_max = NonZeroU32::new(3).unwrap());
    let origin = slow_origin();
    let began = Stopwatch::default();
    let callers: Vec<_> = (0..10).map(|number| call(&cache, &origin, &format!("k{number}"))).collect();
    for caller in callers {
        assert_eq!(value(caller.await.unwrap()), Some(7));
    }
    assert_eq!((origin.most_under_way(), began.elapsed()), (3, ms(400)));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_counts_for_the_loads_deadline() {
    let cache = cache_with(|config| config.loads_max = NonZeroU32::MIN);
    let origin = slow_origin();
    origin.takes(secs(3));
    let began = Stopwatch::default();
    let callers = ["a", "b"].map(|name| call(&cache, &origin, name));
    let [first, second] = callers;
    assert_eq!(value(first.await.unwrap()), Some(7));
    let error = second.await.unwrap().unwrap_err();
    assert!(matches!(error, LoadError::TimedOut(_)), "{error:?}");
    assert_eq!((began.elapsed(), origin.under_way()), (secs(5), 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_serves_whoever_comes_to_need_it() {
    let (cache, origin, key) = (cache(), slow_origin(), key("k"));
    cache.renew(&key, origin.loader());
    cache.renew(&key, origin.loader());
    settle().await;
    assert_eq!(value(cache.get_or_load(&key, origin.loader()).await), Some(7));
    assert_eq!((origin.loads(), cache.stats().joined), (1, 1));
}

fn slow_origin() -> Origin {
    let origin = Origin::new(Says::Value(7));
    origin.takes(ms(100));
    origin
}

fn call(cache: &Cache<u64>, origin: &Origin, name: &str) -> JoinHandle<Result<Cached<u64>, LoadError>> {
    let (cache, loader, key) = (cache.clone(), origin.loader(), key(name));
    tokio::spawn(async move { cache.get_or_load(&key, loader).await })
}

fn value(served: Result<Cached<u64>, LoadError>) -> Option<u64> {
    served.unwrap().value.as_deref().copied()
}
