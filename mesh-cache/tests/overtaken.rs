//! A load that something overtakes never brings the old value back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use mesh_cache::mesh_core::port::Clock;
use mesh_cache::mesh_core::time::Instant;
use mesh_cache::{Cache, Cached, Found, Freshness, LoadError, Prefix, Scope, Tag, TokioClock};
use tokio::task::JoinHandle;

use support::origin::{Origin, Says};
use support::{builder, cache, cache_with, environment_with, key, ms, pass};

const KEY: &str = "discovery/dc1/api";

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_a_load_begins_it_anew() {
    for scope in scopes() {
        let (cache, origin) = (cache(), slow_origin(Says::Tagged(1, tag())));
        let before = call(&cache, &origin);
        pass(ms(50)).await;
        origin.says(Says::Tagged(2, tag()));
        cache.invalidate(&scope).await.unwrap();
        let after = call(&cache, &origin);
        for caller in [before, after] {
            assert_eq!(shown(caller.await.unwrap()), (Some(2), Freshness::Fresh), "{scope:?}");
        }
        assert_eq!(cache.get(KEY).unwrap().value(), Some(&2), "{scope:?}");
        assert_eq!((origin.loads(), cache.stats().overtaken), (2, 1), "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_a_renewal_keeps_out_what_it_read() {
    for scope in scopes() {
        let (cache, origin) = (cache(), slow_origin(Says::Tagged(1, tag())));
        cache.insert(&key(KEY), Found::new(1).tag(tag()));
        cache.renew(&key(KEY), origin.loader());
        pass(ms(50)).await;
        origin.says(Says::Absent);
        assert_eq!(cache.invalidate(&scope).await.unwrap(), 1, "{scope:?}");
        assert!(cache.get(KEY).is_none(), "{scope:?}");
        pass(ms(50)).await;
        assert!(cache.get(KEY).is_none(), "what the renewal read was true before: {scope:?}");
        pass(ms(100)).await;
        assert_eq!(cache.get(KEY).unwrap().value(), None, "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_elsewhere_overtakes_nothing() {
    let elsewhere = [
        Scope::Key(key("discovery/dc1/db")),
        Scope::Key(key("discovery/dc1")),
        Scope::Prefix(Prefix::new("discovery/dc1/api/").unwrap()),
        Scope::Prefix(Prefix::new("discovery/dc2/").unwrap()),
        Scope::Tag(Tag::new("discovery/dc1/api").unwrap()),
    ];
    let (cache, origin) = (cache(), slow_origin(Says::Tagged(1, tag())));
    let caller = call(&cache, &origin);
    pass(ms(50)).await;
    for scope in &elsewhere {
        cache.invalidate(scope).await.unwrap();
    }
    cache.insert(&key("discovery/dc1/db"), Found::new(9));
    assert_eq!(shown(caller.await.unwrap()), (Some(1), Freshness::Fresh));
    assert_eq!((origin.loads(), cache.stats().overtaken), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_inserted_during_a_load_stays() {
    let (cache, origin) = (cache(), slow_origin(Says::Value(1)));
    let caller = call(&cache, &origin);
    pass(ms(50)).await;
    origin.says(Says::Value(2));
    assert!(cache.insert(&key(KEY), Found::new(2)));
    pass(ms(50)).await;
    assert_eq!(cache.get(KEY).unwrap().value(), Some(&2), "the load has brought 1");
    assert_eq!(shown(caller.await.unwrap()), (Some(2), Freshness::Fresh));
    assert_eq!(cache.get(KEY).unwrap().value(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_brings_nothing_back() {
    let (cache, origin) = (cache(), slow_origin(Says::Fails));
    cache.insert(&key(KEY), Found::new(1));
    cache.renew(&key(KEY), origin.loader());
    let caller = {
        pass(ms(50)).await;
        cache.invalidate(&Scope::All).await.unwrap();
        call(&cache, &origin)
    };
    assert!(caller.await.unwrap().is_err(), "what was there was invalidated");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_overtaken_time_and_again_is_served_as_stale_and_not_kept() {
    let cache = cache_with(|config| config.overtaken_max = 2);
    let origin = slow_origin(Says::Value(1));
    let caller = call(&cache, &origin);
    for _ in 0..3 {
        pass(ms(50)).await;
        cache.invalidate(&Scope::Key(key(KEY))).await.unwrap();
        pass(ms(50)).await;
    }
    assert_eq!(shown(caller.await.unwrap()), (Some(1), Freshness::Stale));
    assert_eq!((origin.loads(), cache.stats().overtaken, cache.stats().entries), (3, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_after_an_invalidation_is_not_served_what_a_load_landed_before() {
    // The clock is read between the moment at which a load's value is kept and the moment at which those who wait for it
    // are told. Whatever is done there is done as another thread would do it.
    for says in [Says::Value(1), Says::Fails] {
        let mut had_its_chance = false;
        for nth in 0..16 {
            let clock = Arc::new(Interrupting::default());
            let environment = environment_with(Arc::clone(&clock) as Arc<dyn Clock>, 1);
            let cache = builder().environment(environment).build().unwrap();
            let origin = slow_origin(says.clone());
            cache.insert(&key(KEY), Found::new(1));
            cache.renew(&key(KEY), origin.loader());
            pass(ms(50)).await;

            let late = Arc::new(Mutex::new(None));
            let (stored, other, after) = (Arc::clone(&late), cache.clone(), origin.clone());
            clock.arm(nth, move || {
                after.says(Says::Value(2));
                other.invalidate_here(&Scope::All);
                let (cache, loader, key) = (other.clone(), after.loader(), key(KEY));
                let mut call = Box::pin(async move { cache.get_or_load(&key, loader).await });
                let polled = pin!(call.as_mut()).poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending(), "{polled:?}");
                *stored.lock().unwrap() = Some(call);
            });
            pass(ms(50)).await;
            let Some(call) = late.lock().unwrap().take() else { continue };
            had_its_chance = true;
            match call.await {
                Ok(served) => assert_eq!(shown(Ok(served)), (Some(2), Freshness::Fresh), "at reading {nth}, {says:?}"),
                Err(error) => assert!(matches!(says, Says::Fails), "at reading {nth}, {error:?}"),
            }
        }
        assert!(had_its_chance);
    }
}

/// Every scope that the key of these tests is in.
fn scopes() -> Vec<Scope> {
    vec![
        Scope::Key(key(KEY)),
        Scope::Prefix(Prefix::new("discovery/dc1/").unwrap()),
        Scope::Prefix(Prefix::new("discovery/").unwrap()),
        Scope::Tag(tag()),
        Scope::All,
    ]
}

fn tag() -> Tag {
    Tag::new("node:db-7").unwrap()
}

fn slow_origin(says: Says) -> Origin {
    let origin = Origin::new(says);
    origin.takes(ms(100));
    origin
}

fn call(cache: &Cache<u64>, origin: &Origin) -> JoinHandle<Result<Cached<u64>, LoadError>> {
    let (cache, loader) = (cache.clone(), origin.loader());
    tokio::spawn(async move { cache.get_or_load(&key(KEY), loader).await })
}

fn shown(served: Result<Cached<u64>, LoadError>) -> (Option<u64>, Freshness) {
    let served = served.unwrap();
    (served.value.as_deref().copied(), served.freshness)
}

/// A clock whose reader can be interrupted.
#[derive(Default)]
struct Interrupting {
    clock: TokioClock,
    until: AtomicI64,
    interruption: Mutex<Option<Interruption>>,
}

type Interruption = Box<dyn FnOnce() + Send>;

impl Interrupting {
    /// After `readings` more readings the next one does `what` first.
    fn arm(&self, readings: i64, what: impl FnOnce() + Send + 'static) {
        *self.interruption.lock().unwrap() = Some(Box::new(what));
        self.until.store(readings, Ordering::SeqCst);
    }
}

impl Clock for Interrupting {
    fn now(&self) -> Instant {
        if self.until.fetch_sub(1, Ordering::SeqCst) == 0 {
            let interruption = self.interruption.lock().unwrap().take();
            interruption.into_iter().for_each(|interruption| interruption());
        }
        self.clock.now()
    }
}

impl std::fmt::Debug for Interrupting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupting")
    }
}
