//! Many threads at once: no read sees what was out of date before it began, and the books are right in the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use mesh_cache::mesh_core::rng::Rng;
use mesh_cache::{Cache, Found, Freshness, Prefix, Scope, Tag, Version};

use support::{cache, cache_with, key};

const KEYS: u64 = 8;
const ROUNDS: u64 = 3_000;

/// For each key the value at its origin, which only grows, and the least that whoever reads from now on may be served.
#[derive(Debug, Default)]
struct Truth {
    written: [AtomicU64; KEYS as usize],
    floor: [AtomicU64; KEYS as usize],
    /// How many reads were judged.
    judged: AtomicU64,
    is_over: AtomicBool,
}

#[test]
fn readers_never_see_a_value_that_was_replaced_before_they_began() {
    let (cache, truth) = (cache(), Truth::default());
    // Two writers of the same keys, whose versions put them in order.
    truth.play(&cache, |_, rng| {
        let at = rng.below(KEYS) as usize;
        let value = truth.written[at].fetch_add(1, Ordering::SeqCst) + 1;
        cache.insert(&key(&name(at)), Found::new(value).version(Version { epoch: 0, index: value }));
        truth.floor[at].fetch_max(value, Ordering::SeqCst);
    });
    for (at, written) in truth.written.iter().enumerate() {
        assert_eq!(cache.get(&name(at)).unwrap().value(), Some(&written.load(Ordering::SeqCst)));
    }
}

#[test]
fn readers_never_see_what_was_invalidated_before_they_began() {
    // Fewer than the keys of one writer, so that something is evicted even where the two do not meet.
    let cache = cache_with(|config| config.entries_max = NonZeroU32::new(3).unwrap());
    let truth = Truth::default();
    // Each writer has keys of its own: what was evicted has no version any more that would put two in order.
    truth.play(&cache, |writer, rng| {
        let at = (rng.below(KEYS / 2) * 2 + writer) as usize;
        let value = truth.written[at].fetch_add(1, Ordering::SeqCst) + 1;
        if rng.below(3) == 0 {
            cache.invalidate_here(&scope(at, rng));
        } else {
            cache.insert(&key(&name(at)), Found::new(value).tag(tag()));
        }
        truth.floor[at].store(value, Ordering::SeqCst);
    });
    let stats = cache.stats();
    assert!(stats.entries <= 3 && stats.evicted > 0, "{stats:?}");
    cache.invalidate_here(&Scope::All);
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
}

#[test]
fn what_stays_is_found_at_any_moment_whatever_comes_and_goes_around_it() {
    let cache = cache_with(|config| config.entries_max = NonZeroU32::new(300).unwrap());
    let is_over = AtomicBool::new(false);
    let names: Vec<String> = (0..300).map(|at| format!("branch/{at}")).collect();
    let (staying, others) = names.split_at(100);
    staying.iter().for_each(|name| assert!(cache.insert(&key(name), Found::new(0))));
    thread::scope(|scope| {
        let readers = [5, 6].map(|seed| {
            let (cache, is_over) = (&cache, &is_over);
            scope.spawn(move || {
                let (mut rng, mut reads) = (Rng::from_seed(seed), 0);
                while !is_over.load(Ordering::Relaxed) || reads < ROUNDS {
                    let name = &staying[rng.below(100) as usize];
                    assert!(cache.get(name).is_some(), "{name} was missed");
                    reads += 1;
                }
            })
        });
        let mut rng = Rng::from_seed(7);
        for round in 0..10 * ROUNDS {
            let name = &others[rng.below(200) as usize];
            match rng.below(5) {
                0 => assert!(cache.insert(&key(&staying[rng.below(100) as usize]), Found::new(round))),
                1..3 => assert!(cache.insert(&key(name), Found::new(round))),
                3.. => drop(cache.invalidate_here(&Scope::Key(key(name)))),
            }
        }
        is_over.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert_eq!(cache.stats().evicted, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_bring_nothing_back_that_was_invalidated_before_they_were_asked_for() {
    let (cache, truth) = (cache(), Arc::new(Truth::default()));
    let callers: Vec<_> = (0..3).map(|seed| tokio::spawn(load(cache.clone(), Arc::clone(&truth), seed))).collect();
    let mut rng = Rng::from_seed(99);
    // Until there were races; how soon depends on the machine.
    for rounds in 0..ROUNDS * 200 {
        if rounds >= ROUNDS && cache.stats().overtaken >= 30 {
            break;
        }
        let at = rng.below(KEYS) as usize;
        let value = truth.written[at].fetch_add(1, Ordering::SeqCst) + 1;
        cache.invalidate(&scope(at, &mut rng)).await.unwrap();
        truth.floor[at].store(value, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    truth.is_over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    let stats = cache.stats();
    assert!(truth.judged.load(Ordering::SeqCst) > 0 && stats.load_errors == 0, "{stats:?}");
}

/// Asks for keys until it is over, and judges what it is served.
async fn load(cache: Cache<u64>, truth: Arc<Truth>, seed: u64) {
    let mut rng = Rng::from_seed(seed);
    while !truth.is_over.load(Ordering::SeqCst) {
        let at = rng.below(KEYS) as usize;
        let floor = truth.floor[at].load(Ordering::SeqCst);
        let origin = Arc::clone(&truth);
        let load = move || {
            let origin = Arc::clone(&origin);
            async move {
                let value = origin.written[at].load(Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Found::new(value).tag(tag()))
            }
        };
        let served = cache.get_or_load(&key(&name(at)), load).await.unwrap();
        // One that was overtaken time and again is served as stale.
        if served.freshness == Freshness::Fresh {
            let value = *served.value.unwrap();
            assert!(value >= floor, "{value} was served where {floor} had been announced");
            truth.judged.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Truth {
    /// Two threads write and two read.
    fn play(&self, cache: &Cache<u64>, write: impl Fn(u64, &mut Rng) + Sync) {
        thread::scope(|scope| {
            let writers = [0, 1].map(|writer| {
                let write = &write;
                scope.spawn(move || {
                    let mut rng = Rng::from_seed(writer);
                    (0..ROUNDS).for_each(|_| write(writer, &mut rng));
                })
            });
            for seed in 2..4 {
                scope.spawn(move || self.read(cache, &mut Rng::from_seed(seed)));
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            self.is_over.store(true, Ordering::SeqCst);
        });
        assert!(self.judged.load(Ordering::SeqCst) > 0);
    }

    fn read(&self, cache: &Cache<u64>, rng: &mut Rng) {
        let mut seen = [0; KEYS as usize];
        while !self.is_over.load(Ordering::SeqCst) {
            let at = rng.below(KEYS) as usize;
            let floor = self.floor[at].load(Ordering::SeqCst).max(seen[at]);
            let Some(hit) = cache.get(&name(at)) else { continue };
            let value = *hit.value().unwrap();
            assert!(value >= floor, "{value} was read where {floor} had been before");
            seen[at] = value;
            self.judged.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn scope(at: usize, rng: &mut Rng) -> Scope {
    match rng.below(8) {
        0 => Scope::All,
        1 => Scope::Prefix(Prefix::new("branch/").unwrap()),
        2 => Scope::Tag(tag()),
        3.. => Scope::Key(key(&name(at))),
    }
}

fn tag() -> Tag {
    Tag::new("tag").unwrap()
}

fn name(at: usize) -> String {
    format!("branch/{at}")
}
