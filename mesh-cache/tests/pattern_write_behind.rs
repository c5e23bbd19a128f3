//! Writing behind: what is put is seen at once, is written in batches, and is never lost in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;

use mesh_cache::pattern::{NotFlushed, NotQueued, WriteBehind, WriteBehindConfig};
use mesh_cache::{Cache, Cached, Found, Freshness, MemoryTier, Scope, Source};
use tokio::time::timeout;

use support::shelf::{Shelf, Takes};
use support::tiers::Frail;
use support::{Stopwatch, cache, cache_with, environment, key, ms, pass, secs, settle, sharing};

#[tokio::test(start_paused = true)]
async fn what_is_put_is_seen_at_once_and_written_later() {
    let World { behind, shelf } = World::new();
    behind.put(&key("k"), Found::new(1)).unwrap();
    pass(ms(600)).await;
    let served = behind.get(&key("k")).unwrap();
    assert_eq!((value(&served), served.freshness, served.age), (Some(1), Freshness::Fresh, ms(600)));
    assert_eq!(behind.cache().get("k").unwrap().value(), Some(&1), "in this process the cache has it too");
    assert_eq!((shelf.value(&key("k")), behind.stats().queued), (None, 1));
    pass(ms(399)).await;
    assert_eq!(shelf.tries(), 0);
    pass(ms(1)).await;
    assert_eq!((shelf.value(&key("k")), behind.stats().queued, behind.stats().written), (Some(1), 0, 1));
    let hit = behind.cache().get("k").unwrap();
    assert_eq!((hit.version().index, hit.source(), hit.age()), (1, Source::Inserted, ms(0)));
}

#[tokio::test(start_paused = true)]
async fn of_one_key_the_last_value_is_written_in_the_order_of_the_first_ones() {
    let World { behind, shelf } = World::new();
    for (name, value) in [("c", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)] {
        behind.put(&key(name), Found::new(value)).unwrap();
    }
    behind.remove(&key("b")).unwrap();
    pass(secs(1)).await;
    assert_eq!(shelf.log(), [("c".into(), Some(4)), ("a".into(), Some(5)), ("b".into(), None)]);
    let stats = behind.stats();
    assert_eq!((stats.puts, stats.coalesced, stats.written), (6, 3, 3));
    assert!(behind.get(&key("b")).is_none(), "it is gone, and invalidated");
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_is_written_without_waiting() {
    let World { behind, shelf } = World::with(|config| config.batch_max = NonZeroU32::new(3).unwrap());
    for number in 0..7 {
        behind.put(&key(&format!("k/{number}")), Found::new(number)).unwrap();
    }
    settle().await;
    assert_eq!((shelf.log().len(), behind.stats().queued), (6, 1));
    pass(secs(1)).await;
    assert_eq!(shelf.log().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_is_gone_at_once() {
    let World { behind, shelf } = World::new();
    shelf.set(&key("k"), 1);
    behind.cache().insert(&key("k"), Found::new(1));
    behind.remove(&key("k")).unwrap();
    assert_eq!(value(&behind.get(&key("k")).unwrap()), None);
    let loaded = behind.get_or_load(&key("k"), || async { Ok::<_, std::io::Error>(Found::new(1)) }).await.unwrap();
    assert_eq!(value(&loaded), None);
    behind.flush().await.unwrap();
    assert_eq!(shelf.value(&key("k")), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_seen_even_when_the_cache_has_it_no_more() {
    let World { behind, shelf } = World::new();
    shelf.takes(Takes::Nothing);
    behind.put(&key("k"), Found::new(2)).unwrap();
    behind.cache().invalidate_here(&Scope::All);
    assert_eq!(value(&behind.get(&key("k")).unwrap()), Some(2));
    pass(secs(100)).await;
    let old = || async { Ok::<_, std::io::Error>(Found::new(1)) };
    assert_eq!(value(&behind.get_or_load(&key("k"), old).await.unwrap()), Some(2));
    assert!(shelf.tries() > 0 && shelf.value(&key("k")).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_put_during_a_load_is_newer() {
    let World { behind, .. } = World::new();
    let loading = {
        let behind = behind.clone();
        tokio::spawn(async move {
            let slow = || async {
                tokio::time::sleep(ms(50)).await;
                Ok::<_, std::io::Error>(Found::new(1))
            };
            behind.get_or_load(&key("k"), slow).await.unwrap()
        })
    };
    pass(ms(10)).await;
    behind.put(&key("k"), Found::new(2)).unwrap();
    assert_eq!(value(&loading.await.unwrap()), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_is_tried_again_with_what_came_meanwhile() {
    let World { behind, shelf } = World::new();
    for takes in [Takes::Nothing, Takes::Lost, Takes::Panics, Takes::Hangs] {
        let tries = shelf.tries();
        shelf.takes(takes);
        behind.put(&key("a"), Found::new(1)).unwrap();
        behind.put(&key("b"), Found::new(2)).unwrap();
        assert!(matches!(behind.flush().await, Err(NotFlushed::Failed(_))), "{takes:?}");
        for _ in 0..80 {
            pass(ms(100)).await;
        }
        behind.put(&key("b"), Found::new(3)).unwrap();
        assert_eq!((shelf.log().len(), behind.stats().queued), (0, 2), "{takes:?}");
        let tried = shelf.tries() - tries;
        assert!((2..40).contains(&tried) || takes == Takes::Hangs && tried >= 1, "{tried} tries, {takes:?}");
    }
    shelf.takes(Takes::Everything);
    // The one that hangs is given up.
    pass(secs(5)).await;
    behind.flush().await.unwrap();
    assert_eq!(shelf.log(), [("a".into(), Some(1)), ("b".into(), Some(3))]);
    assert_eq!((behind.stats().written, behind.stats().failures > 4), (2, true));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_keeps_failing_is_tried_ever_more_rarely() {
    let World { behind, shelf } = World::new();
    shelf.takes(Takes::Nothing);
    behind.put(&key("k"), Found::new(1)).unwrap();
    for _ in 0..6_000 {
        pass(ms(100)).await;
    }
    let tries = shelf.tries();
    assert!((25..90).contains(&tries), "{tries} tries in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_written_again() {
    let World { behind, shelf } = World::new();
    shelf.takes(Takes::Unheard);
    behind.put(&key("k"), Found::new(1)).unwrap();
    pass(secs(1)).await;
    assert_eq!((shelf.value(&key("k")), behind.stats().queued), (Some(1), 1));
    shelf.takes(Takes::Everything);
    behind.flush().await.unwrap();
    assert_eq!((behind.stats().written, behind.stats().queued), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_origin_refuses_for_good_holds_up_nobody() {
    let World { behind, shelf } = World::new();
    shelf.takes(Takes::AllBut(666));
    for (name, value) in [("a", 1), ("bad", 666), ("c", 3)] {
        behind.put(&key(name), Found::new(value)).unwrap();
    }
    behind.flush().await.unwrap();
    assert_eq!(shelf.log(), [("a".into(), Some(1)), ("c".into(), Some(3))]);
    assert_eq!((behind.stats().refused, behind.stats().written, behind.stats().failures), (1, 2, 0));
    assert!(behind.get(&key("bad")).is_none(), "nobody is served what its origin has not");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_so_and_changes_nothing() {
    let World { behind, shelf } = World::with(|config| {
        config.queue_max = NonZeroU32::new(2).unwrap();
        config.batch_max = NonZeroU32::new(2).unwrap();
    });
    shelf.takes(Takes::Nothing);
    for name in ["a", "b"] {
        behind.put(&key(name), Found::new(1)).unwrap();
    }
    assert!(matches!(behind.put(&key("c"), Found::new(1)), Err(NotQueued::Full(_))));
    assert!(matches!(behind.remove(&key("c")), Err(NotQueued::Full(_))));
    assert!(behind.get(&key("c")).is_none() && behind.cache().get("c").is_none());
    behind.put(&key("a"), Found::new(2)).unwrap();
    assert_eq!((behind.stats().turned_away, behind.stats().queued), (2, 2));
    let waiting = {
        let behind = behind.clone();
        tokio::spawn(async move { behind.put_wait(&key("c"), Found::new(3)).await })
    };
    pass(secs(5)).await;
    assert!(!waiting.is_finished());
    shelf.takes(Takes::Everything);
    waiting.await.unwrap().unwrap();
    behind.flush().await.unwrap();
    assert_eq!(shelf.value(&key("c")), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_put_before_it_and_for_nothing_else() {
    let World { behind, shelf } = World::with(|config| config.batch_max = NonZeroU32::new(2).unwrap());
    shelf.takes_time(ms(100));
    behind.put(&key("k"), Found::new(0)).unwrap();
    let began = Stopwatch::default();
    let busy = {
        let behind = behind.clone();
        tokio::spawn(async move {
            for number in 1.. {
                behind.put(&key("k"), Found::new(number)).unwrap();
                tokio::time::sleep(ms(10)).await;
            }
        })
    };
    behind.flush().await.unwrap();
    assert!(began.elapsed() <= ms(200), "{:?}", began.elapsed());
    assert!(shelf.value(&key("k")).is_some());
    busy.abort();
    pass(secs(2)).await;
    shelf.takes(Takes::Nothing);
    behind.put(&key("k"), Found::new(0)).unwrap();
    assert!(matches!(behind.flush().await, Err(NotFlushed::Failed(_))));
    assert_eq!(behind.stats().queued, 1, "it is still to be written");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_writes_what_it_can() {
    let World { behind, shelf } = World::new();
    shelf.takes_time(ms(10));
    for number in 0..250 {
        behind.put(&key(&format!("k/{number}")), Found::new(number)).unwrap();
    }
    let flushed = behind.shut_down(secs(5)).await;
    assert_eq!((flushed.written, flushed.left, shelf.log().len()), (250, vec![], 250));
    assert_eq!(behind.put(&key("k"), Found::new(1)), Err(NotQueued::ShutDown));
    assert_eq!(behind.put_wait(&key("k"), Found::new(1)).await, Err(NotQueued::ShutDown));
    assert_eq!(behind.get(&key("k/7")).map(|served| value(&served)), Some(Some(7)), "reads go on");
    behind.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_names_what_it_could_not_write() {
    let tier = MemoryTier::new(Arc::clone(&environment(0).clock));
    let (a, b) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    let shelf = Shelf::new();
    let behind = WriteBehind::new(a, shelf.clone(), WriteBehindConfig::default()).unwrap();
    settle().await;
    b.insert(&key("x"), Found::new(1));
    shelf.takes(Takes::Lost);
    for name in ["x", "y"] {
        behind.put(&key(name), Found::new(2)).unwrap();
    }
    pass(secs(20)).await;
    let waiting = {
        let behind = behind.clone();
        tokio::spawn(async move { behind.flush().await })
    };
    let tries = shelf.tries();
    let began = Stopwatch::default();
    let flushed = behind.shut_down(secs(5)).await;
    assert_eq!((flushed.written, &flushed.left[..]), (0, &[key("x"), key("y")][..]));
    assert_eq!(began.elapsed(), secs(5));
    assert!(shelf.tries() >= tries + 4, "it tried: {} times", shelf.tries() - tries);
    assert!(waiting.await.unwrap().is_err(), "who flushes is told");
    assert!(matches!(behind.flush().await, Err(NotFlushed::ShutDown)));
    assert_eq!(behind.get(&key("x")).map(|served| value(&served)), Some(Some(2)), "what is left can still be got");
    assert!(behind.cache().get("x").is_none(), "and is not served as if it were written");
    let tries = shelf.tries();
    pass(secs(60)).await;
    assert_eq!(shelf.tries(), tries, "nothing goes on");
    assert!(b.get("x").is_none(), "it may have been written, so others were told");
    assert_eq!(behind.shut_down(secs(5)).await.left.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_frees_who_waits_for_room() {
    let World { behind, shelf } = World::with(|config| {
        config.queue_max = NonZeroU32::MIN;
        config.batch_max = NonZeroU32::MIN;
    });
    shelf.takes(Takes::Nothing);
    behind.put(&key("a"), Found::new(1)).unwrap();
    let waiting = {
        let behind = behind.clone();
        tokio::spawn(async move { behind.put_wait(&key("b"), Found::new(3)).await })
    };
    settle().await;
    behind.shut_down(ms(1)).await;
    assert_eq!(waiting.await.unwrap(), Err(NotQueued::ShutDown));
}

#[tokio::test(start_paused = true)]
async fn others_see_a_value_when_it_is_written() {
    let tier = MemoryTier::new(Arc::clone(&environment(0).clock));
    let (a, b) = (sharing(tier.another(), environment(1)), sharing(tier.another(), environment(2)));
    let shelf = Shelf::new();
    let behind = WriteBehind::new(a, shelf.clone(), WriteBehindConfig::default()).unwrap();
    settle().await;
    b.insert(&key("k"), Found::new(1));
    behind.put(&key("k"), Found::new(2)).unwrap();
    pass(ms(999)).await;
    assert_eq!(b.get("k").unwrap().value(), Some(&1));
    pass(ms(1)).await;
    let none = || async { Err::<Found<u64>, _>("not asked") };
    let served = b.get_or_load(&key("k"), none).await.unwrap();
    assert_eq!((value(&served), served.source), (Some(2), Source::SecondTier));
}

#[tokio::test(start_paused = true)]
async fn what_is_put_while_others_are_told_of_the_value_before_stays() {
    let tier = Frail::new(MemoryTier::new(Arc::clone(&environment(0).clock)));
    let cache = sharing(tier.clone(), environment(1));
    let behind = WriteBehind::new(cache, Shelf::new(), WriteBehindConfig::default()).unwrap();
    settle().await;
    tier.answers_after(ms(50));
    behind.put(&key("k"), Found::new(1)).unwrap();
    pass(secs(1)).await;
    pass(ms(20)).await;
    assert_eq!(behind.stats().written, 1, "others are being told");
    behind.put(&key("k"), Found::new(2)).unwrap();
    pass(ms(100)).await;
    assert_eq!(behind.cache().get("k").unwrap().value(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn with_the_last_clone_the_task_ends() {
    let World { behind, shelf } = World::new();
    behind.put(&key("k"), Found::new(1)).unwrap();
    drop(behind.clone());
    pass(secs(1)).await;
    assert_eq!(shelf.log().len(), 1);
    shelf.takes(Takes::Nothing);
    behind.put(&key("k"), Found::new(2)).unwrap();
    drop(behind);
    let tries = shelf.tries();
    pass(secs(60)).await;
    assert_eq!(shelf.tries(), tries);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_keeps_nothing_loses_nothing() {
    let shelf = Shelf::new();
    let small = cache_with(|config| config.bytes_max = 1.try_into().unwrap());
    let behind = WriteBehind::new(small, shelf.clone(), WriteBehindConfig::default()).unwrap();
    for number in 0..50 {
        behind.put(&key(&format!("k/{number}")), Found::new(number)).unwrap();
    }
    assert_eq!(behind.get(&key("k/7")).map(|served| value(&served)), Some(Some(7)));
    assert!(timeout(secs(2), behind.flush()).await.unwrap().is_ok());
    assert_eq!(shelf.log().len(), 50);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut WriteBehindConfig)| {
        let mut config = WriteBehindConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(&|config| config.batch_max = 20_000.try_into().unwrap()).contains("batch_max"));
    assert!(refused(&|config| config.write_deadline = secs(0)).contains("write_deadline"));
    assert!(refused(&|config| config.failure_backoff.first = secs(31)).contains("failure_backoff"));
}

struct World {
    behind: WriteBehind<u64>,
    shelf: Shelf,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut WriteBehindConfig)) -> Self {
        let mut config = WriteBehindConfig::default();
        change(&mut config);
        let (cache, shelf): (Cache<u64>, Shelf) = (cache(), Shelf::new());
        Self { behind: WriteBehind::new(cache, shelf.clone(), config).unwrap(), shelf }
    }
}

fn value(cached: &Cached<u64>) -> Option<u64> {
    cached.value.as_deref().copied()
}
