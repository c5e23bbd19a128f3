//! Writing through: the origin first, and no cache that knows better.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;

use mesh_cache::pattern::{PutError, ReadThrough, Sink, WriteError, WriteThrough};
use mesh_cache::{Cache, Found, Freshness, Key, MemoryTier, Scope, Source, Tag, Version};
use tokio::time::timeout;

use support::shelf::{Shelf, Takes};
use support::tiers::{Ask, Frail};
use support::{Stopwatch, cache, environment, key, ms, pass, secs, settle, sharing};

#[tokio::test(start_paused = true)]
async fn a_put_is_at_the_origin_and_in_every_cache() {
    let (shelf, tier) = (Shelf::new(), memory_tier());
    let [a, b] = [1, 2].map(|seed| sharing(tier.another(), environment(seed)));
    settle().await;
    let (through, reader) = (WriteThrough::new(a, shelf.clone()), ReadThrough::new(b, shelf.clone()));
    let k = key("k");
    through.put(&k, Found::new(1)).await.unwrap();
    assert_eq!((shelf.value(&k), seen(through.cache())), (Some(1), Some(1)));
    assert_eq!(reader.get(&k).await.unwrap().value.as_deref(), Some(&1));
    through.put(&k, Found::new(2).tag(Tag::new("t").unwrap())).await.unwrap();
    settle().await;
    let served = reader.get(&k).await.unwrap();
    assert_eq!((served.value.as_deref(), served.source), (Some(&2), Source::SecondTier));
    assert_eq!(served.version, Version { epoch: 0, index: 2 }, "the origin's own");
    assert_eq!(reader.invalidate(&Scope::Tag(Tag::new("t").unwrap())).await.unwrap(), 1);
    settle().await;
    assert_eq!(seen(through.cache()), None);
    through.remove(&k).await.unwrap();
    assert_eq!((shelf.value(&k), reader.get(&k).await.unwrap().value), (None, None));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_changes_nothing() {
    let (shelf, cache) = (Shelf::new(), cache());
    let through = WriteThrough::new(cache.clone(), shelf.clone());
    through.put(&key("k"), Found::new(1)).await.unwrap();
    for takes in [Takes::Nothing, Takes::AllBut(2)] {
        shelf.takes(takes);
        let error = through.put(&key("k"), Found::new(2)).await.unwrap_err();
        assert!(matches!(error, PutError::NotWritten(_)), "{error:?}");
        assert_eq!((shelf.value(&key("k")), seen(&cache)), (Some(1), Some(1)));
        assert_eq!(cache.get("k").unwrap().freshness(), Freshness::Fresh);
    }
    shelf.takes(Takes::Nothing);
    assert!(matches!(through.remove(&key("k")).await, Err(PutError::NotWritten(_))));
    assert_eq!((seen(&cache), cache.stats().invalidations), (Some(1), 0));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_of_is_in_no_cache() {
    for (takes, at_origin) in [(Takes::Unheard, Some(2)), (Takes::Lost, Some(1))] {
        let (shelf, tier) = (Shelf::new(), memory_tier());
        let [a, b] = [1, 2].map(|seed| sharing(tier.another(), environment(seed)));
        settle().await;
        let (through, reader) = (WriteThrough::new(a, shelf.clone()), ReadThrough::new(b, shelf.clone()));
        through.put(&key("k"), Found::new(1)).await.unwrap();
        reader.get(&key("k")).await.unwrap();
        shelf.takes(takes);
        let error = through.put(&key("k"), Found::new(2)).await.unwrap_err();
        assert!(matches!(error, PutError::Unknown(_)), "{error:?}");
        settle().await;
        assert_eq!((seen(through.cache()), seen(reader.cache())), (None, None), "{takes:?}");
        assert_eq!(reader.get(&key("k")).await.unwrap().value.as_deref().copied(), at_origin, "{takes:?}");
        assert!(matches!(through.remove(&key("k")).await, Err(PutError::Unknown(_))));
        settle().await;
        assert_eq!(seen(reader.cache()), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_nobody_waits_for_any_more_leaves_nothing_that_may_be_wrong() {
    for takes in [Takes::Everything, Takes::Hangs] {
        let (shelf, tier) = (Shelf::new(), memory_tier());
        let [a, b] = [1, 2].map(|seed| sharing(tier.another(), environment(seed)));
        settle().await;
        let through = WriteThrough::new(a, shelf.clone());
        through.put(&key("k"), Found::new(1)).await.unwrap();
        b.insert(&key("k"), Found::new(1));
        shelf.takes(takes);
        shelf.takes_time(ms(100));
        assert!(timeout(ms(50), through.put(&key("k"), Found::new(2))).await.is_err());
        assert_eq!(seen(through.cache()), None, "{takes:?}");
        pass(secs(1)).await;
        assert_eq!(seen(&b), None, "others are told: {takes:?}");
        shelf.takes(Takes::Everything);
        through.put(&key("k"), Found::new(3)).await.unwrap();
        assert_eq!(seen(through.cache()), Some(3), "nobody is held up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_leaves_nothing_that_may_be_wrong() {
    let (shelf, cache) = (Shelf::new(), cache());
    let through = WriteThrough::new(cache.clone(), shelf.clone());
    through.put(&key("k"), Found::new(1)).await.unwrap();
    shelf.takes(Takes::Panics);
    let putting = through.clone();
    let put = tokio::spawn(async move { putting.put(&key("k"), Found::new(2)).await });
    assert!(put.await.unwrap_err().is_panic());
    assert_eq!(seen(&cache), None);
    shelf.takes(Takes::Everything);
    through.put(&key("k"), Found::new(3)).await.unwrap();
    assert_eq!(seen(&cache), Some(3));
}

#[tokio::test(start_paused = true)]
async fn puts_of_one_key_go_one_after_another_in_their_order() {
    let (shelf, cache) = (Shelf::new(), cache());
    let through = WriteThrough::new(cache.clone(), shelf.clone());
    shelf.takes_time(ms(10));
    let began = Stopwatch::default();
    let puts: Vec<_> = (0..50)
        .map(|value| {
            let through = through.clone();
            tokio::spawn(async move { through.put(&key("k"), Found::new(value)).await })
        })
        .collect();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    assert_eq!((began.elapsed(), shelf.most_under_way()), (ms(500), 1));
    assert_eq!((shelf.value(&key("k")), seen(&cache)), (Some(49), Some(49)));
    assert!(shelf.log().iter().map(|(_, value)| value.unwrap()).eq(0..50));
}

#[tokio::test(start_paused = true)]
async fn puts_of_other_keys_go_side_by_side() {
    // Of 8 keys some two share one of 1,024 turns with a probability of 3 %; with this seed none do.
    let shelf = Shelf::new();
    let through = WriteThrough::new(cache(), shelf.clone());
    shelf.takes_time(ms(10));
    let puts: Vec<_> = (0..8)
        .map(|number| {
            let through = through.clone();
            tokio::spawn(async move { through.put(&key(&format!("k/{number}")), Found::new(1)).await })
        })
        .collect();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    assert_eq!(shelf.most_under_way(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_read_before_the_write_does_not_win_over_it() {
    let (shelf, cache) = (Shelf::new(), cache());
    shelf.set(&key("k"), 1);
    let (through, reader) =
        (WriteThrough::new(cache.clone(), shelf.clone()), ReadThrough::new(cache.clone(), shelf.clone()));
    shelf.takes_time(ms(100));
    reader.renew(&key("k"));
    pass(ms(50)).await;
    shelf.takes_time(ms(10));
    through.put(&key("k"), Found::new(2)).await.unwrap();
    pass(ms(100)).await;
    assert_eq!(seen(&cache), Some(2));
    assert_eq!(reader.get(&key("k")).await.unwrap().value.as_deref(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn what_others_change_during_a_put_is_not_overwritten_by_it() {
    let (shelf, tier) = (Shelf::new(), memory_tier());
    let [a, b] = [1, 2].map(|seed| WriteThrough::new(sharing(tier.another(), environment(seed)), shelf.clone()));
    settle().await;
    let put = {
        let a = a.clone();
        shelf.takes_time(ms(100));
        tokio::spawn(async move { a.put(&key("k"), Found::new(1)).await })
    };
    pass(ms(100)).await;
    put.await.unwrap().unwrap();
    // The origin takes b's value while a's answer is on its way; which of them is newer a cannot know.
    let slow = WriteThrough::new(a.cache().clone(), Slow(shelf.clone()));
    let put = tokio::spawn(async move { slow.put(&key("k"), Found::new(2)).await });
    pass(ms(10)).await;
    shelf.takes_time(ms(0));
    b.put(&key("k"), Found::new(3)).await.unwrap();
    pass(ms(100)).await;
    put.await.unwrap().unwrap();
    assert_eq!(shelf.value(&key("k")), Some(3));
    assert_eq!(seen(a.cache()), None);
    settle().await;
    let (at_a, at_b) = (ReadThrough::new(a.cache().clone(), shelf.clone()), ReadThrough::new(b.cache().clone(), shelf));
    for reader in [at_a, at_b] {
        assert_eq!(reader.get(&key("k")).await.unwrap().value.as_deref(), Some(&3));
    }
}

#[tokio::test(start_paused = true)]
async fn that_others_may_not_have_been_told_is_said_and_mended() {
    let (shelf, tier) = (Shelf::new(), Frail::new(memory_tier()));
    let (a, b) = (sharing(tier.clone(), environment(1)), sharing(tier.tier.another(), environment(2)));
    settle().await;
    b.insert(&key("k"), Found::new(1));
    let through = WriteThrough::new(a, shelf.clone());
    tier.fails_at(&[Ask::Invalidate]);
    let error = through.put(&key("k"), Found::new(2)).await.unwrap_err();
    assert!(matches!(error, PutError::NotTold(_)), "{error:?}");
    assert_eq!((shelf.value(&key("k")), seen(through.cache()), seen(&b)), (Some(2), Some(2), Some(1)));
    tier.fails_at(&[]);
    pass(secs(1)).await;
    assert_eq!(seen(&b), None);
}

/// A sink that changes its origin at once, and answers late.
struct Slow(Shelf);

impl Sink<u64> for Slow {
    async fn write(&self, key: &Key, value: &u64) -> Result<Version, WriteError> {
        self.0.set(key, *value);
        tokio::time::sleep(ms(100)).await;
        Ok(Version::NONE)
    }

    async fn remove(&self, _: &Key) -> Result<(), WriteError> {
        Ok(())
    }
}

fn memory_tier() -> MemoryTier {
    MemoryTier::new(Arc::clone(&environment(0).clock))
}

fn seen(cache: &Cache<u64>) -> Option<u64> {
    cache.get("k").and_then(|hit| hit.value().copied())
}
