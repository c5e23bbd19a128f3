//! Values are their owners' code when they are dropped: they may use the cache that drops them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use mesh_cache::{Cache, Found, Loaded, Scope, Version};

use support::{config, environment, key, ms};

#[tokio::test(start_paused = true)]
async fn a_value_may_use_the_cache_that_drops_it() {
    let house = Arc::new(House::default());
    let cache = cache(&house);
    let put = |name: &str, index: u64| {
        let found = Found::new(house.value()).version(Version { epoch: 1, index });
        cache.insert(&key(name), found)
    };
    assert!(put("a", 2));
    assert!(put("a", 3), "one is replaced");
    house.has_seen(1);
    assert!(!put("a", 1), "one is older");
    house.has_seen(2);
    assert!(put("b", 1) && put("c", 1), "one is evicted");
    house.has_seen(3);
    cache.invalidate_here(&Scope::Key(key("c")));
    house.has_seen(4);
    assert!(!put("heavy", 1), "one is too heavy");
    house.has_seen(5);
    cache.insert(&key("b"), Loaded::Absent);
    house.has_seen(6);
    cache.publish(&key("d"), Found::new(house.value())).await.unwrap();
    cache.invalidate(&Scope::All).await.unwrap();
    house.has_seen(7);

    let origin = Arc::clone(&house);
    let loading = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let load = move || {
                let found = Found::new(origin.value());
                async move {
                    tokio::time::sleep(ms(10)).await;
                    Ok::<_, Infallible>(found)
                }
            };
            cache.get_or_load(&key("e"), load).await
        })
    };
    tokio::time::sleep(ms(5)).await;
    cache.invalidate_here(&Scope::All);
    drop(loading.await.unwrap().unwrap());
    house.has_seen(8);
}

/// Where values live.
#[derive(Default)]
struct House {
    cache: OnceLock<Cache<Guest>>,
    gone: AtomicU64,
}

/// A value that asks the cache about itself when it goes.
struct Guest(Weak<House>);

impl House {
    fn value(self: &Arc<Self>) -> Guest {
        Guest(Arc::downgrade(self))
    }

    fn has_seen(&self, gone: u64) {
        assert_eq!(self.gone.load(Ordering::SeqCst), gone);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(house) = self.0.upgrade() else { return };
        let cache = house.cache.get().unwrap();
        // Both take the locks that writers take.
        let _ = cache.stats();
        cache.invalidate_here(&Scope::Key(key("unrelated")));
        house.gone.fetch_add(1, Ordering::SeqCst);
    }
}

/// A cache of two entries, in which "heavy" is too heavy.
fn cache(house: &Arc<House>) -> Cache<Guest> {
    let mut config = config();
    config.entries_max = NonZeroU32::new(2).unwrap();
    let weigh = |name: &mesh_cache::Key, _: &Guest| if name.as_str() == "heavy" { 1 << 40 } else { 1 };
    let cache = Cache::builder().config(config).environment(environment(1)).weigh(weigh).build().unwrap();
    assert!(house.cache.set(cache.clone()).is_ok());
    cache
}
