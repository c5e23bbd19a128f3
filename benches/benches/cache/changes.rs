//! Changes: new keys in a full cache, new values of old keys, and what is invalidated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::BenchmarkId;
use mesh_benches::timing::WyRand;
use mesh_cache::mesh_core::rng::scale;
use mesh_cache::{Key, Prefix, Scope};

use crate::subjects::{self, PREFIX_KEYS, keys, prefix, value};
use crate::{Bench, Group};

/// As many as the cache of a process has by default.
const KEYS: usize = 10_000;
/// So many that a key that comes again has long been forgotten.
const STREAM: usize = 100_000;

pub(crate) fn measure(group: &mut Group<'_>) {
    let stream = keys(0..STREAM);
    let mut bench = Bench { group, keys: KEYS, threads: 1 };
    let kept = value();
    inserts(&mut bench, "mesh", &stream, subjects::mesh, |cache, key| subjects::insert(cache, key, Arc::clone(&kept)));
    inserts(&mut bench, "quick_cache", &stream, subjects::quick_cache, |cache, key| {
        cache.insert(key.to_owned(), Arc::clone(&kept));
    });
    inserts(&mut bench, "moka", &stream, subjects::moka, |cache, key| cache.insert(key.to_owned(), Arc::clone(&kept)));
    inserts(&mut bench, "foyer", &stream, subjects::foyer, |cache, key| {
        drop(cache.insert(key.to_owned(), Arc::clone(&kept)));
    });
    mesh(bench.group, &stream[..KEYS]);
    quick_cache(bench.group, &stream[..KEYS]);
    moka(bench.group, &stream[..KEYS]);
    foyer(bench.group, &stream[..KEYS]);
}

/// A new key for each operation in a cache that is full, then keys at random that are all there.
fn inserts<C: Sync>(
    bench: &mut Bench<'_, '_>,
    subject: &str,
    stream: &[String],
    make: impl Fn(usize) -> C,
    insert: impl Fn(&C, &str) + Sync,
) {
    let cache = make(KEYS);
    stream[..KEYS].iter().for_each(|key| insert(&cache, key));
    bench.run(&format!("{subject}/insert-new"), |_| {
        let (cache, insert) = (&cache, &insert);
        let mut coming = stream.iter().cycle().skip(KEYS);
        move |ops| coming.by_ref().take(ops as usize).for_each(|key| insert(cache, key))
    });
    // Room for all, as for hits.
    let cache = make(2 * KEYS);
    let keys = &stream[..KEYS];
    keys.iter().for_each(|key| insert(&cache, key));
    bench.run(&format!("{subject}/overwrite"), |thread| {
        let (cache, insert, mut rng) = (&cache, &insert, WyRand::new(thread));
        move |ops| (0..ops).for_each(|_| insert(cache, &keys[scale(rng.next_u64(), KEYS as u64) as usize]))
    });
}

fn mesh(group: &mut Group<'_>, keys: &[String]) {
    let cache = subjects::mesh(2 * KEYS);
    let fill = |keys: &[String]| keys.iter().for_each(|key| subjects::insert(&cache, key, value()));
    let gone = |scope: Scope, entries| assert_eq!(cache.invalidate_here(&scope), entries, "{scope:?}");
    by_key(group, "mesh", keys, fill, |key| gone(Scope::Key(Key::new(key).expect("a key")), 1));
    by_prefix(group, "mesh", keys, fill, |prefix| gone(Scope::Prefix(Prefix::new(prefix).expect("a prefix")), 100));
    all(group, "mesh", keys, fill, || gone(Scope::All, KEYS as u64));
}

/// It knows of no prefixes: all entries are looked at.
fn quick_cache(group: &mut Group<'_>, keys: &[String]) {
    let cache = subjects::quick_cache(2 * KEYS);
    let fill = |keys: &[String]| keys.iter().for_each(|key| cache.insert(key.clone(), value()));
    by_key(group, "quick_cache", keys, fill, |key| assert!(cache.remove(key).is_some(), "kept"));
    by_prefix(group, "quick_cache", keys, fill, |prefix| cache.retain(|key, _| !key.starts_with(prefix)));
    all(group, "quick_cache", keys, fill, || cache.clear());
}

/// It puts off what it is told to do; a round of its pending tasks is counted. What it is told of a prefix it puts off for
/// so long that there is nothing to measure.
fn moka(group: &mut Group<'_>, keys: &[String]) {
    let cache = subjects::moka(2 * KEYS);
    let fill = |keys: &[String]| {
        keys.iter().for_each(|key| cache.insert(key.clone(), value()));
        cache.run_pending_tasks();
    };
    by_key(group, "moka", keys, fill, |key| cache.invalidate(key));
    all(group, "moka", keys, fill, || {
        cache.invalidate_all();
        cache.run_pending_tasks();
    });
}

/// It knows of no prefixes; and when all is cleared its usage stays as it was, so that it keeps ever less.
fn foyer(group: &mut Group<'_>, keys: &[String]) {
    let cache = subjects::foyer(2 * KEYS);
    let fill = |keys: &[String]| keys.iter().for_each(|key| drop(cache.insert(key.clone(), value())));
    by_key(group, "foyer", keys, fill, |key| drop(cache.remove(key)));
}

/// A hundred keys of as many prefixes, one after another, which are put back where no clock runs.
fn by_key(group: &mut Group<'_>, subject: &str, keys: &[String], fill: impl Fn(&[String]), go: impl Fn(&str)) {
    let some: Vec<String> = keys.iter().step_by(PREFIX_KEYS).cloned().collect();
    fill(keys);
    rounds(
        group,
        &format!("{subject}/invalidate-key"),
        some.len(),
        |_| some.iter().for_each(|key| go(key)),
        |_| {
            fill(&some);
        },
    );
}

fn by_prefix(group: &mut Group<'_>, subject: &str, keys: &[String], fill: impl Fn(&[String]), go: impl Fn(&str)) {
    let branches: Vec<&[String]> = keys.chunks(PREFIX_KEYS).collect();
    let prefixes: Vec<String> = (0..branches.len()).map(prefix).collect();
    fill(keys);
    rounds(
        group,
        &format!("{subject}/invalidate-prefix"),
        1,
        |round| go(&prefixes[round % prefixes.len()]),
        |round| {
            fill(branches[round % branches.len()]);
        },
    );
}

fn all(group: &mut Group<'_>, subject: &str, keys: &[String], fill: impl Fn(&[String]), go: impl Fn()) {
    fill(keys);
    rounds(group, &format!("{subject}/invalidate-all"), 1, |_| go(), |_| fill(keys));
}

/// Rounds of `each` operations, undone after each round where no clock runs.
fn rounds(group: &mut Group<'_>, subject: &str, each: usize, work: impl Fn(usize), undo: impl Fn(usize)) {
    let mut round = 0;
    let mut one = || {
        round += 1;
        let began = now();
        work(round);
        let took = now().duration_since(began);
        undo(round);
        took
    };
    group.bench_function(BenchmarkId::new(subject, format!("{KEYS}/1")), |bencher| {
        bencher.iter_custom(|ops| {
            let rounds = ops.div_ceil(each as u64);
            let took: Duration = (0..rounds).map(|_| one()).sum();
            took.mul_f64(ops as f64 / (rounds * each as u64) as f64)
        });
    });
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}
