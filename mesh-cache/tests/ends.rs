//! How a cache ends: nothing of it goes on, nobody waits for ever, and nothing is called fresh that nobody listens for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;

use mesh_cache::{Found, Freshness, LoadError, MemoryTier, Scope};
use tokio::runtime;
use tokio::time::timeout;

use support::origin::{Origin, Says};
use support::tiers::Frail;
use support::{cache, environment, key, ms, pass, secs, settle, sharing};

#[tokio::test(start_paused = true)]
async fn with_its_last_clone_all_its_tasks_end() {
    let tier = frail();
    let (cache, origin) = (sharing(tier.clone(), environment(1)), Origin::new(Says::Value(1)));
    origin.takes(secs(3));
    let clone = cache.clone();
    cache.renew(&key("a"), origin.loader());
    cache.renew(&key("b"), origin.loader());
    drop(cache);
    settle().await;
    assert_eq!((origin.under_way(), tier.listeners()), (2, 1), "a clone is as good as the first");
    drop(clone);
    settle().await;
    assert_eq!((origin.under_way(), origin.ended(), tier.listeners()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_loads_and_tells_those_who_wait() {
    let (cache, origin) = (cache(), Origin::new(Says::Value(1)));
    origin.takes(secs(3));
    let waiting = {
        let (cache, loader) = (cache.clone(), origin.loader());
        tokio::spawn(async move { cache.get_or_load(&key("a"), loader).await })
    };
    settle().await;
    cache.shut_down().await;
    assert_eq!(origin.under_way(), 0, "it has ended when that returns");
    let told = waiting.await.unwrap();
    assert!(matches!(told, Err(LoadError::ShutDown)), "{told:?}");
    let told = cache.get_or_load(&key("b"), origin.loader()).await;
    assert!(matches!(told, Err(LoadError::ShutDown)), "{told:?}");
    cache.renew(&key("c"), origin.loader());
    cache.shut_down().await;
    assert_eq!(origin.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_entries_are_served_on_and_not_called_fresh() {
    let tier = frail();
    let (cache, origin) = (sharing(tier.clone(), environment(1)), Origin::new(Says::Value(1)));
    settle().await;
    cache.insert(&key("k"), Found::new(1));
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Fresh);
    cache.shut_down().await;
    assert_eq!(tier.listeners(), 0);
    assert!(!cache.is_hearing());
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Unheard);
    pass(secs(15)).await;
    let served = cache.get_or_load(&key("k"), origin.loader()).await.unwrap();
    assert_eq!((served.value.as_deref(), served.freshness), (Some(&1), Freshness::Stale));
    assert_eq!(origin.loads(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_others_to_hear_entries_stay_fresh_after_a_shutdown() {
    let cache = cache();
    cache.insert(&key("k"), Found::new(1));
    cache.shut_down().await;
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Fresh);
    assert!(cache.is_hearing());
}

#[test]
fn a_cache_whose_runtime_is_gone_hears_nothing() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cache = runtime.block_on(async {
        let cache = sharing(frail(), environment(1));
        while !cache.is_hearing() {
            tokio::task::yield_now().await;
        }
        cache.insert(&key("k"), Found::new(1));
        cache
    });
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Fresh);
    drop(runtime);
    assert_eq!((cache.is_hearing(), cache.get("k").unwrap().freshness()), (false, Freshness::Unheard));
    cache.invalidate_here(&Scope::All);
}

#[test]
fn when_the_runtime_of_a_load_ends_who_waits_on_another_is_told() {
    let [one, other] = [(); 2].map(|()| runtime::Builder::new_current_thread().enable_time().build().unwrap());
    let (cache, origin, key) = (cache(), Origin::new(Says::Value(1)), key("k"));
    origin.takes(secs(60));
    one.block_on(async {
        cache.renew(&key, origin.loader());
        settle().await;
    });
    other.block_on(async {
        let mut waiting = Box::pin(cache.get_or_load(&key, origin.loader()));
        assert!(timeout(ms(0), &mut waiting).await.is_err());
        assert_eq!(origin.under_way(), 1);
        one.shutdown_background();
        let told = waiting.await;
        assert!(matches!(told, Err(LoadError::ShutDown)), "{told:?}");
        origin.takes(ms(0));
        cache.invalidate_here(&Scope::Key(key.clone()));
        assert!(cache.get_or_load(&key, origin.loader()).await.is_ok(), "the next load has a runtime of its own");
    });
}

fn frail() -> Frail {
    Frail::new(MemoryTier::new(Arc::clone(&environment(0).clock)))
}
