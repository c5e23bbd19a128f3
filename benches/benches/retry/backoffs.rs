//! Backoffs: the next wait of a call. Every fourth is the first of another call, whose generator has a seed of its own.

use std::hint::black_box;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use mesh_retry::Rng;
use mesh_retry::backoff::{Backoff, Cause, Jitter, Waits};

use crate::bench::Bench;

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    for (kind, jitter) in [("none", Jitter::None), ("full", Jitter::Full), ("decorrelated", Jitter::Decorrelated)] {
        let mut backoff = Backoff::default();
        backoff.jitter = jitter;
        bench.run(&format!("mesh/backoff/{kind}"), |_| ours(backoff));
    }
    let plain = ExponentialBuilder::new().with_max_times(WAITS as usize);
    bench.run("backon/exponential", |_| backon(plain));
    bench.run("backon/exponential/jitter", |_| backon(plain.with_jitter()));
}

fn ours(backoff: Backoff) -> impl FnMut(u64) {
    let mut seed = 0;
    let (mut rng, mut waits) = (Rng::from_seed(seed), Waits::new());
    move |ops| {
        for _ in 0..ops {
            if waits.retries() == WAITS {
                seed += 1;
                (rng, waits) = (Rng::from_seed(seed), Waits::new());
            }
            black_box(black_box(&backoff).delay(&mut waits, Cause::Failed, &mut rng));
        }
    }
}

fn backon(builder: ExponentialBuilder) -> impl FnMut(u64) {
    let mut seed = 0;
    let mut waits = builder.with_jitter_seed(seed).build();
    let mut drawn = 0;
    move |ops| {
        for _ in 0..ops {
            if drawn == WAITS {
                (seed, drawn) = (seed + 1, 0);
                waits = black_box(&builder).with_jitter_seed(seed).build();
            }
            drawn += 1;
            black_box(waits.next());
        }
    }
}

/// How many waits a call makes.
const WAITS: u32 = 4;
