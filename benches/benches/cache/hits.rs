//! Hits: keys drawn evenly from those that are there, and one hot key, on one thread and on two.
//!
//! What others clone at each hit (an `Arc`, and a count), ours lends; `mesh/get-at/owned` clones as well.

use std::hint::black_box;
use std::pin::pin;
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use mesh_benches::timing::WyRand;
use mesh_cache::mesh_core::port::Clock as _;
use mesh_cache::mesh_core::rng::scale;
use mesh_cache::mesh_core::time::Instant;
use mesh_cache::{Found, Key};

use crate::subjects::{self, MachineClock, MokaFuture, Value, at_once, keys, value};
use crate::{Bench, Group};

/// One hot key, and as many as the cache of a process has by default.
const KEYS: [usize; 2] = [1, 10_000];
/// Room for twice as many: caches in parts of fixed sizes would lose some of them otherwise.
const ROOM: usize = 20_000;
const THREADS: [usize; 2] = [1, 2];
/// A time at which all is fresh.
const NOW: Instant = Instant::from_millis(60_000);

pub(crate) fn measure(group: &mut Group<'_>) {
    for size in KEYS {
        let keys = keys(0..size);
        for threads in THREADS {
            let mut bench = Bench { group, keys: size, threads };
            mesh(&mut bench, &keys);
            quick_cache(&mut bench, &keys);
            moka(&mut bench, &keys);
            foyer(&mut bench, &keys);
            long_keys(&mut bench, &keys);
            dashmap(&mut bench, &keys);
            floor_rwlock(&mut bench, &keys);
            floor_arc_swap(&mut bench, &keys);
        }
    }
}

/// A worker that reads keys at random, each from a beginning of its own.
fn reads<'a, K>(keys: &'a [K], thread: u64, read: impl Fn(&K) + 'a) -> impl FnMut(u64) + 'a {
    let mut rng = WyRand::new(thread);
    move |ops| (0..ops).for_each(|_| read(&keys[scale(rng.next_u64(), keys.len() as u64) as usize]))
}

/// Ours: with the time passed in and the value lent, with the value cloned, with the clock read, and through the call
/// that would load, polled in place.
fn mesh(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let cache = subjects::mesh(ROOM);
    let own: Vec<Key> = keys.iter().map(|key| Key::new(key).expect("a key")).collect();
    own.iter().for_each(|key| assert!(cache.insert(key, Found::new(value())), "there is room"));
    bench.run("mesh/get-at", |thread| {
        reads(keys, thread, |key| {
            black_box(cache.get_at(key, NOW).expect("kept").value());
        })
    });
    bench.run("mesh/get-at/owned", |thread| {
        reads(keys, thread, |key| drop(black_box(cache.get_at(key, NOW).expect("kept").to_cached().value)))
    });
    bench.run("mesh/get", |thread| {
        reads(keys, thread, |key| {
            black_box(cache.get(key).expect("kept").value());
        })
    });
    bench.run("mesh/get-or-load", |thread| {
        reads(&own, thread, |key| {
            let hit = pin!(cache.get_or_load(key, || async { Err::<Found<Vec<u8>>, &str>("nothing is to be loaded") }));
            assert!(black_box(at_once(hit)).is_ok(), "kept");
        })
    });
}

/// As it is, with the clock read as those do who keep the time of an entry in its value, and through the call that would
/// load.
fn quick_cache(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let cache = subjects::quick_cache(ROOM);
    keys.iter().for_each(|key| cache.insert(key.clone(), value()));
    bench.run("quick_cache/get", |thread| {
        reads(keys, thread, |key| drop(black_box(cache.get(key.as_str()).expect("kept"))))
    });
    let clock = MachineClock::new();
    bench.run("quick_cache/get-and-clock", |thread| {
        reads(keys, thread, |key| {
            black_box(clock.now());
            drop(black_box(cache.get(key.as_str()).expect("kept")));
        })
    });
    bench.run("quick_cache/get-or-insert-async", |thread| {
        reads(keys, thread, |key| {
            let hit = pin!(cache.get_or_insert_async(key.as_str(), async { Err::<Value, ()>(()) }));
            assert!(black_box(at_once(hit)).is_ok(), "kept");
        })
    });
}

/// Keys of 40 bytes, which ours does not keep within an entry.
fn long_keys(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let keys: Vec<String> = keys.iter().map(|key| format!("{key}/that-is-longer/x")).collect();
    let (mesh, quick_cache) = (subjects::mesh(ROOM), subjects::quick_cache(ROOM));
    keys.iter().for_each(|key| subjects::insert(&mesh, key, value()));
    keys.iter().for_each(|key| quick_cache.insert(key.clone(), value()));
    bench.run("mesh/get-at/40-byte-keys", |thread| {
        reads(&keys, thread, |key| {
            black_box(mesh.get_at(key, NOW).expect("kept").value());
        })
    });
    bench.run("quick_cache/get/40-byte-keys", |thread| {
        reads(&keys, thread, |key| drop(black_box(quick_cache.get(key.as_str()).expect("kept"))))
    });
}

fn moka(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let cache = subjects::moka(ROOM);
    keys.iter().for_each(|key| cache.insert(key.clone(), value()));
    cache.run_pending_tasks();
    bench.run("moka/get", |thread| reads(keys, thread, |key| drop(black_box(cache.get(key.as_str()).expect("kept")))));
    let cache = MokaFuture::new(ROOM as u64);
    keys.iter().for_each(|key| at_once(pin!(cache.insert(key.clone(), value()))));
    at_once(pin!(cache.run_pending_tasks()));
    bench.run("moka/get-with", |thread| {
        reads(keys, thread, |key| {
            drop(black_box(at_once(pin!(cache.get_with_by_ref(key.as_str(), async { value() })))))
        })
    });
}

fn foyer(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let cache = subjects::foyer(ROOM);
    keys.iter().for_each(|key| drop(cache.insert(key.clone(), value())));
    bench.run("foyer/get", |thread| reads(keys, thread, |key| drop(black_box(cache.get(key.as_str()).expect("kept")))));
}

/// A map, which keeps all and forgets nothing.
fn dashmap(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let map: dashmap::DashMap<String, Value> = keys.iter().map(|key| (key.clone(), value())).collect();
    bench.run("dashmap/get", |thread| {
        reads(keys, thread, |key| drop(black_box(map.get(key.as_str()).map(|value| Arc::clone(&value)).expect("kept"))))
    });
}

type Map = hashbrown::HashMap<String, Value, foldhash::fast::RandomState>;

/// The least behind a lock: one map, read where it is.
fn floor_rwlock(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let map: RwLock<Map> = RwLock::new(keys.iter().map(|key| (key.clone(), value())).collect());
    bench.run("floor/rwlock-map", |thread| {
        reads(keys, thread, |key| {
            black_box(map.read().expect("nobody panics").get(key.as_str()).expect("kept"));
        })
    });
}

/// The least without a lock: one map that is replaced as a whole.
fn floor_arc_swap(bench: &mut Bench<'_, '_>, keys: &[String]) {
    let map: ArcSwap<Map> = ArcSwap::from_pointee(keys.iter().map(|key| (key.clone(), value())).collect());
    bench.run("floor/arc-swap-map", |thread| {
        reads(keys, thread, |key| {
            black_box(map.load().get(key.as_str()).expect("kept"));
        })
    });
}
