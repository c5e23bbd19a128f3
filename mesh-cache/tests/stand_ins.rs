//! What the second tier gives for an origin that fails: how it is served, and what it must give way to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::pattern::{Aside, CacheAside, Filling};
use mesh_cache::seal::{Header, Nonces, Place, Sealer};
use mesh_cache::{Cache, CacheConfig, Cached, Found, Freshness, MemoryTier, Source, Version};

use support::origin::{Origin, Says};
use support::tiers::Frail;
use support::{config, environment, key, ms, pass, sealer, secs, settle, sharing, sharing_builder};

const KEY: &str = "discovery/dc1/api";

#[tokio::test(start_paused = true)]
async fn an_origin_that_is_well_again_is_believed_whatever_version_a_hint_claims() {
    let (tier, origin) = (hint(666, version(7, u64::MAX)), Origin::new(Says::Fails));
    let cache = hinting(&tier).await;
    assert_eq!(shown(&load(&cache, &origin).await), (Some(666), Freshness::StaleOnError));
    assert_eq!(cache.get(KEY).unwrap().version(), Version::NONE, "a hint is of no count");
    origin.says(Says::Versioned(1, version(7, 3)));
    pass(secs(1)).await;
    load(&cache, &origin).await;
    settle().await;
    assert_eq!(shown(&load(&cache, &origin).await), (Some(1), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn a_hint_keeps_out_nothing_that_is_offered() {
    let tier = hint(666, version(u64::MAX, u64::MAX));
    let cache = hinting(&tier).await;
    load(&cache, &Origin::new(Says::Fails)).await;
    assert!(cache.offer(&key(KEY), Found::new(1)).await);
    assert_eq!(cache.get(KEY).unwrap().value(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_does_not_win_by_its_version() {
    let tier = Frail::new(memory_tier());
    load(&sharing(tier.clone(), environment(1)), &Origin::new(Says::Versioned(9, version(7, 9)))).await;
    pass(secs(11)).await;
    let (cache, origin) = (sharing(tier, environment(2)), Origin::new(Says::Fails));
    settle().await;
    let served = load(&cache, &origin).await;
    assert_eq!((shown(&served), served.version), ((Some(9), Freshness::StaleOnError), version(7, 9)));
    origin.says(Says::Versioned(3, version(7, 3)));
    pass(secs(1)).await;
    load(&cache, &origin).await;
    settle().await;
    assert_eq!(shown(&load(&cache, &origin).await), (Some(3), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_and_finds_no_room_is_not_called_fresh() {
    let tier = memory_tier();
    let a = sharing(tier.another(), environment(1));
    load(&a, &Origin::new(Says::Value(1))).await;
    pass(secs(40)).await;
    let crowded = || async {
        let cache = tight(&tier, |config| config.entries_max = 1.try_into().unwrap()).await;
        let other = Origin::new(Says::Value(5));
        cache.get_or_load(&key("other"), other.loader()).await.unwrap();
        other.says(Says::Fails);
        pass(secs(11)).await;
        cache.renew(&key("other"), other.loader());
        settle().await;
        assert_eq!(cache.get("other").unwrap().freshness(), Freshness::StaleOnError);
        cache
    };
    let cache = crowded().await;
    let served = load(&cache, &Origin::new(Says::Fails)).await;
    assert_eq!(shown(&served), (Some(1), Freshness::StaleOnError), "{:?}", served.age);
    assert_eq!((served.generation, cache.stats().refused, cache.stats().entries), (0, 1, 1));
    let (aside, _) = (CacheAside::new(crowded().await), ());
    let served = missed(&aside).await.give_up().unwrap();
    assert_eq!(shown(&served), (Some(1), Freshness::StaleOnError), "{:?}", served.age);
}

#[tokio::test(start_paused = true)]
async fn what_is_old_and_finds_no_room_is_not_called_fresh() {
    let cache = tight(&memory_tier(), |config| config.bytes_max = 1.try_into().unwrap()).await;
    let origin = Origin::new(Says::Aged(1, secs(15)));
    assert_eq!(shown(&load(&cache, &origin).await), (Some(1), Freshness::Stale));
    origin.says(Says::Aged(2, secs(9)));
    let served = load(&cache, &origin).await;
    assert_eq!((shown(&served), served.age), ((Some(2), Freshness::Fresh), secs(9)));
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_while_nothing_is_heard_is_unheard() {
    let tier = memory_tier();
    let cache = tight(&tier, |config| config.bytes_max = 1.try_into().unwrap()).await;
    tier.set_away(true);
    settle().await;
    let served = load(&cache, &Origin::new(Says::Value(1))).await;
    assert_eq!(shown(&served), (Some(1), Freshness::Unheard));
    let served = load(&cache, &Origin::new(Says::Absent)).await;
    assert_eq!(shown(&served), (None, Freshness::Unheard));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_hangs_or_panics_is_stood_in_for_like_one_that_fails() {
    let tier = memory_tier();
    load(&sharing(tier.another(), environment(1)), &Origin::new(Says::Value(1))).await;
    pass(secs(15)).await;
    for (seed, says, takes, age) in [(2, Says::Fails, 0, 15), (3, Says::Panics, 0, 15), (4, Says::Value(2), 3_600, 20)]
    {
        let (cache, origin) = (sharing(tier.another(), environment(seed)), Origin::new(says.clone()));
        settle().await;
        origin.takes(secs(takes));
        let served = load(&cache, &origin).await;
        assert_eq!(
            (shown(&served), served.source),
            ((Some(1), Freshness::StaleOnError), Source::SecondTier),
            "{says:?}"
        );
        assert_eq!((served.age + ms(1)).as_secs(), age, "{says:?}");
        assert_eq!(cache.get(KEY).unwrap().freshness(), Freshness::StaleOnError, "{says:?}");
        assert_eq!(cache.stats().load_errors, 1, "{says:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_stand_in_and_is_out_of_date_by_then_does_not() {
    let tier = memory_tier();
    let (a, cache) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    settle().await;
    load(&a, &Origin::new(Says::Value(1))).await;
    pass(secs(15)).await;
    let origin = Origin::new(Says::Fails);
    origin.takes(secs(2));
    cache.renew(&key(KEY), origin.loader());
    pass(secs(1)).await;
    a.invalidate(&mesh_cache::Scope::Key(key(KEY))).await.unwrap();
    pass(secs(1)).await;
    assert!(cache.get(KEY).is_none());
    // And where it would be past all use by then.
    load(&a, &Origin::new(Says::Value(1))).await;
    pass(secs(67)).await;
    origin.takes(secs(4));
    assert!(cache.get_or_load(&key(KEY), origin.loader()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_puts_nothing_over_what_the_process_learnt_meanwhile() {
    let sealed = Frail::new(memory_tier());
    load(&sharing(sealed.clone(), environment(1)), &Origin::new(Says::Value(666))).await;
    pass(secs(12)).await;
    for (what, cache) in
        [("a hint", hinting(&hint(666, Version::NONE)).await), ("sealed", sharing(sealed, environment(2)))]
    {
        settle().await;
        let origin = Origin::new(Says::Fails);
        origin.takes(secs(2));
        cache.renew(&key(KEY), origin.loader());
        pass(secs(1)).await;
        assert!(cache.offer(&key(KEY), Found::new(1)).await, "{what}");
        pass(secs(1)).await;
        assert_eq!(cache.stats().load_errors, 1, "{what}");
        let hit = cache.get(KEY).unwrap();
        assert_eq!((hit.value(), hit.freshness()), (Some(&1), Freshness::Fresh), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_filled_in_by_hand_stays_when_another_gives_up() {
    let aside = CacheAside::new(hinting(&hint(666, Version::NONE)).await);
    let (slow, quick) = (missed(&aside).await, missed(&aside).await);
    pass(secs(1)).await;
    quick.fill(Found::new(1)).await.unwrap();
    assert_eq!(shown(&slow.give_up().unwrap()), (Some(1), Freshness::Fresh));
    let hit = aside.cache().get(KEY).unwrap();
    assert_eq!((hit.value(), hit.freshness()), (Some(&1), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_takes_the_place_of_what_is_clearly_older() {
    let tier = memory_tier();
    let (a, b) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    settle().await;
    let origin = Origin::new(Says::Value(1));
    load(&b, &origin).await;
    pass(secs(4)).await;
    assert!(a.offer(&key(KEY), Found::new(2)).await);
    pass(secs(11)).await;
    origin.says(Says::Fails);
    b.renew(&key(KEY), origin.loader());
    settle().await;
    let served = b.get(KEY).unwrap();
    assert_eq!((served.value(), served.freshness()), (Some(&2), Freshness::StaleOnError));
}

/// A tier in which everybody finds this hint, which was written at its beginning.
fn hint(value: u64, version: Version) -> Frail {
    let mut header = Header { version, ..Header::default() };
    (header.fresh_for, header.stale_for) = (secs(30), secs(300));
    header.stale_on_error_for = Duration::from_secs(259_200);
    let place = Place { namespace: "tests", key: KEY, schema: 1 };
    let nonce = Nonces::new(Arc::clone(&environment(9).entropy)).draw();
    let tier = Frail::new(memory_tier());
    tier.forges(&Sealer::open_hints().seal(&place, &header, value.to_string().as_bytes(), nonce).unwrap());
    tier
}

/// A process that has keys to seal with, and reads hints.
async fn hinting(tier: &Frail) -> Cache<u64> {
    let sealer = sealer().accept_hints();
    let cache = sharing_builder(tier.clone(), environment(5)).seal(sealer).build().unwrap();
    settle().await;
    cache
}

/// A process with little room.
async fn tight(tier: &MemoryTier, change: impl FnOnce(&mut CacheConfig)) -> Cache<u64> {
    let mut config = config();
    change(&mut config);
    let cache = sharing_builder(tier.another(), environment(6)).config(config).build().unwrap();
    settle().await;
    pass(ms(1)).await;
    cache
}

async fn missed(aside: &CacheAside<u64>) -> Filling<u64> {
    match aside.begin(&key(KEY)).await {
        Aside::Miss(filling) => filling,
        Aside::Hit(hit) => panic!("{hit:?} is there"),
    }
}

async fn load(cache: &Cache<u64>, origin: &Origin) -> Cached<u64> {
    let served = cache.get_or_load(&key(KEY), origin.loader()).await.unwrap();
    settle().await;
    served
}

fn memory_tier() -> MemoryTier {
    MemoryTier::new(Arc::clone(&environment(0).clock))
}

const fn version(epoch: u64, index: u64) -> Version {
    Version { epoch, index }
}

fn shown(cached: &Cached<u64>) -> (Option<u64>, Freshness) {
    (cached.value.as_deref().copied(), cached.freshness)
}
