//! What holds of the patterns that write, whatever is done to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_cache::mesh_core::rng::Rng;
use mesh_cache::pattern::{NotQueued, ReadThrough, WriteBehind, WriteBehindConfig, WriteThrough};
use mesh_cache::{Found, Key, Scope};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime;

use support::shelf::{Shelf, Takes};
use support::{cache, cache_with, key, ms, pass, secs};

#[derive(Clone, Copy, Debug)]
enum Op {
    Put(usize, u64),
    Remove(usize),
    Pass(u64),
    Takes(Takes),
    /// Something makes the cache forget.
    Forget,
    Flush,
}

fn ops() -> impl Strategy<Value = Op> {
    let takes = prop_oneof![Just(Takes::Everything), Just(Takes::Nothing), Just(Takes::Unheard), Just(Takes::Lost)];
    prop_oneof![
        8 => (0..6_usize, 0..1_000_u64).prop_map(|(at, value)| Op::Put(at, value)),
        2 => (0..6_usize).prop_map(Op::Remove),
        4 => (0..1_500_u64).prop_map(Op::Pass),
        2 => takes.prop_map(Op::Takes),
        1 => Just(Op::Forget),
        1 => Just(Op::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn what_was_put_last_is_read_at_once_and_written_in_the_end(
        ops in vec(ops(), 1..60), batch_max in 1_u32..4, queue_max in 4_u32..8, takes_ms in 0_u64..300,
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(ops, batch_max, queue_max, takes_ms))?;
    }
}

async fn play(ops: Vec<Op>, batch_max: u32, queue_max: u32, takes_ms: u64) -> Result<(), TestCaseError> {
    let mut config = WriteBehindConfig::default();
    (config.batch_max, config.queue_max) = (NonZeroU32::new(batch_max).unwrap(), NonZeroU32::new(queue_max).unwrap());
    // So few entries that some are evicted while they are queued.
    let shelf = Shelf::new();
    let cache = cache_with(|config| config.entries_max = NonZeroU32::new(3).unwrap());
    let behind = WriteBehind::new(cache, shelf.clone(), config).unwrap();
    shelf.takes_time(ms(takes_ms));
    let mut last: BTreeMap<Key, Option<u64>> = BTreeMap::new();
    for op in ops {
        let put = match op {
            Op::Put(at, value) => Some((at, Some(value))),
            Op::Remove(at) => Some((at, None)),
            Op::Pass(millis) => {
                pass(ms(millis)).await;
                None
            }
            Op::Takes(takes) => {
                shelf.takes(takes);
                None
            }
            Op::Forget => {
                behind.cache().invalidate_here(&Scope::All);
                None
            }
            Op::Flush => {
                let _ = behind.flush().await;
                None
            }
        };
        if let Some((at, value)) = put {
            let key = key(&format!("k/{at}"));
            let queued = value.map_or_else(|| behind.remove(&key), |value| behind.put(&key, Found::new(value)));
            match queued {
                Ok(()) => drop(last.insert(key, value)),
                Err(error) => prop_assert!(matches!(error, NotQueued::Full(_)) && queue_max < 6, "{}", error),
            }
        }
        prop_assert!(behind.stats().queued <= u64::from(queue_max));
        for (key, value) in &last {
            let (shelf, asked) = (shelf.clone(), key.clone());
            // It has read before anything else is done.
            let load = move || {
                std::future::ready(Ok::<_, std::io::Error>(
                    shelf.value(&asked).map_or(mesh_cache::Loaded::Absent, |value| Found::new(value).into()),
                ))
            };
            let read = behind.get_or_load(key, load).await.unwrap();
            prop_assert_eq!((key, read.value.as_deref().copied()), (key, *value));
        }
    }
    shelf.takes(Takes::Everything);
    let flushed = behind.shut_down(secs(60)).await;
    prop_assert_eq!(flushed.left, vec![]);
    for (key, value) in &last {
        prop_assert_eq!((key, shelf.value(key)), (key, *value));
    }
    prop_assert_eq!(behind.stats().queued, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn origin_and_cache_end_with_the_same_value() {
    let (shelf, cache, count) = (Shelf::new(), cache(), Arc::new(AtomicU64::new(0)));
    let through = WriteThrough::new(cache.clone(), shelf.clone());
    let reader = ReadThrough::new(cache.clone(), shelf.clone());
    let tasks: Vec<_> = (0..4)
        .map(|seed| {
            let (through, reader, count) = (through.clone(), reader.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let mut rng = Rng::from_seed(seed);
                for _ in 0..1_500 {
                    let key = key(&format!("k/{}", rng.below(4)));
                    match rng.below(6) {
                        0 => drop(reader.invalidate(&Scope::Key(key)).await.unwrap()),
                        1 | 2 => drop(reader.get(&key).await.unwrap()),
                        3 => through.remove(&key).await.unwrap(),
                        4.. => {
                            let value = count.fetch_add(1, Ordering::SeqCst);
                            through.put(&key, Found::new(value)).await.unwrap();
                        }
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut agreed = 0;
    for at in 0..4 {
        let key = key(&format!("k/{at}"));
        if let Some(hit) = cache.get(key.as_str()) {
            assert_eq!(hit.value().copied(), shelf.value(&key));
            agreed += 1;
        }
    }
    assert!(agreed > 0, "nothing is kept");
}
