//! Which of two values of a key is kept: the larger version, whichever comes first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh_cache::{Cache, Found, Freshness, Version};

use support::origin::{Origin, Says};
use support::{cache, key, ms, pass, secs, settle};

#[test]
fn of_two_of_one_count_the_larger_wins() {
    let cache = cache();
    assert!(put(&cache, 1, version(3, 7)));
    assert!(!put(&cache, 2, version(3, 6)), "an older one is refused");
    assert_eq!((value(&cache), cache.stats().older), (Some(1), 1));
    assert!(put(&cache, 3, version(3, 8)));
    assert!(put(&cache, 4, version(3, 8)), "of two that are the same the later to come wins");
    assert_eq!(value(&cache), Some(4));
}

#[test]
fn of_two_counts_the_later_to_come_wins() {
    let cache = cache();
    put(&cache, 1, version(3, 700));
    assert!(put(&cache, 2, version(9, 1)));
    assert!(put(&cache, 3, version(4, 5)), "epochs are not ordered");
    assert_eq!((value(&cache), cache.get("k").unwrap().version()), (Some(3), version(4, 5)));
}

#[test]
fn what_has_no_version_wins_over_what_came_before() {
    let cache = cache();
    put(&cache, 1, version(0, 7));
    assert!(put(&cache, 2, Version::NONE));
    assert_eq!(value(&cache), Some(2));
    assert!(put(&cache, 3, version(0, 1)));
    assert_eq!(value(&cache), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_load_from_a_replica_that_lags_changes_nothing() {
    let (cache, origin) = (cache(), Origin::new(Says::Versioned(2, version(0, 8))));
    cache.get_or_load(&key("k"), origin.loader()).await.unwrap();
    origin.says(Says::Versioned(1, version(0, 7)));
    pass(secs(30)).await;
    let served = cache.get_or_load(&key("k"), origin.loader()).await.unwrap();
    assert_eq!((served.value.as_deref(), served.freshness), (Some(&2), Freshness::Stale), "it is not made younger");
    assert_eq!((served.version, cache.stats().older), (version(0, 8), 1));
}

#[tokio::test(start_paused = true)]
async fn a_load_from_a_replica_that_lags_is_no_failed_one() {
    let (cache, origin) = (cache(), Origin::new(Says::Versioned(2, version(0, 8))));
    cache.get_or_load(&key("k"), origin.loader()).await.unwrap();
    pass(secs(10)).await;
    origin.says(Says::Fails);
    cache.renew(&key("k"), origin.loader());
    settle().await;
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::StaleOnError);
    origin.says(Says::Versioned(1, version(0, 7)));
    pass(ms(100)).await;
    cache.renew(&key("k"), origin.loader());
    settle().await;
    assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_its_origin_has_no_more_goes_whatever_its_version() {
    let (cache, origin) = (cache(), Origin::new(Says::Versioned(2, version(0, 8))));
    cache.get_or_load(&key("k"), origin.loader()).await.unwrap();
    origin.says(Says::Absent);
    pass(secs(30)).await;
    let served = cache.get_or_load(&key("k"), origin.loader()).await.unwrap();
    assert_eq!((served.value, served.freshness), (None, Freshness::Fresh));
    assert_eq!(value(&cache), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_says_nothing_about_what_comes() {
    let cache = cache();
    put(&cache, 2, version(0, 8));
    pass(secs(70)).await;
    assert!(put(&cache, 1, version(0, 7)), "what is dead is not there");
}

fn version(epoch: u64, index: u64) -> Version {
    Version { epoch, index }
}

fn put(cache: &Cache<u64>, value: u64, version: Version) -> bool {
    cache.insert(&key("k"), Found::new(value).version(version))
}

fn value(cache: &Cache<u64>) -> Option<u64> {
    cache.get("k").and_then(|hit| hit.value().copied())
}
