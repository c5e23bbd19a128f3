//! Misses: a new key for each operation, loaded under the rule of one load a key, in a cache that is full.
//!
//! The origin answers at once, so that all that is left is the cost of asking. Ours loads on a task of its own, with a
//! deadline, which is why it goes on when its caller is cancelled; the others load in the caller's future.

use std::convert::Infallible;
use std::sync::Arc;

use criterion::BenchmarkId;
use mesh_benches::timing::alone;
use mesh_cache::{Found, Key};
use tokio::runtime::Runtime;

use crate::Group;
use crate::subjects::{self, MokaFuture, keys, value};

const KEYS: usize = 10_000;
const STREAM: usize = 100_000;

pub(crate) fn measure(group: &mut Group<'_>) {
    let stream = keys(0..STREAM);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kept = value();

    let cache = subjects::mesh(KEYS);
    loads(group, "mesh/load", &runtime, &stream, async |key: &str| {
        let (key, kept) = (Key::new(key).expect("a key"), Arc::clone(&kept));
        let load = move || std::future::ready(Ok::<_, Infallible>(Found::new(Arc::clone(&kept))));
        cache.get_or_load(&key, load).await.expect("loaded");
    });

    let cache = MokaFuture::new(KEYS as u64);
    loads(group, "moka/get-with-load", &runtime, &stream, async |key: &str| {
        cache.get_with(key.to_owned(), std::future::ready(Arc::clone(&kept))).await;
    });

    let cache = subjects::quick_cache(KEYS);
    loads(group, "quick_cache/guard-load", &runtime, &stream, async |key: &str| {
        if let Err(guard) = cache.get_value_or_guard_async(key).await {
            guard.insert(std::future::ready(Arc::clone(&kept)).await).expect("nobody invalidates");
        }
    });
}

/// Loads the keys of `stream`, one after another, over and over.
fn loads(group: &mut Group<'_>, subject: &str, runtime: &Runtime, stream: &[String], load: impl AsyncFn(&str)) {
    let mut coming = stream.iter().cycle();
    group.bench_function(BenchmarkId::new(subject, format!("{KEYS}/1")), |bencher| {
        bencher.iter_custom(|ops| {
            alone(ops, |ops| {
                runtime.block_on(async {
                    for key in coming.by_ref().take(ops as usize) {
                        load(key).await;
                    }
                });
            })
        });
    });
}
