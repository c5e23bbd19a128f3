//! How operations are timed on one thread and on several, and the randomness that all subjects draw from.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The time that `threads` threads take for `ops` operations together, as if the wall time were shared out
/// among the operations of all of them: with perfect scaling, half of one thread's at two threads.
///
/// Every thread makes a worker of its own, which runs as many operations as it is told. With two threads and
/// more each is pinned to a core where there are enough; where pinning is refused they run as they are put.
pub fn shared<W: FnMut(u64)>(threads: usize, ops: u64, make: impl Fn(u64) -> W + Sync) -> Duration {
    let each = ops.div_ceil(threads.max(1) as u64).max(1);
    let cores = core_affinity::get_core_ids().filter(|cores| cores.len() >= threads).unwrap_or_default();
    let start = Barrier::new(threads);
    let spans = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let (make, start, core) = (&make, &start, cores.get(thread).copied());
            scope.spawn(move || {
                let _ = core.map(core_affinity::set_for_current);
                let mut worker = make(thread as u64);
                // The first operations of a fresh thread fill its caches; they are not counted.
                worker(each.min(WARM_UP_OPS));
                start.wait();
                let began = now();
                worker(each);
                (began, now())
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    let began = spans.iter().map(|span| span.0).min();
    let ended = spans.iter().map(|span| span.1).max();
    let wall = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended.duration_since(began));
    wall.mul_f64(ops as f64 / (each * threads.max(1) as u64) as f64)
}

/// The time that `worker` takes for `ops` operations on this thread.
pub fn alone(ops: u64, mut worker: impl FnMut(u64)) -> Duration {
    let began = now();
    worker(ops);
    began.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "a bench is what reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Wyrand, the generator that every subject draws from, so that none is faster for its randomness: an addition
/// and a wide multiplication a draw (Wang Yi, wyhash, public domain; constants of its final version 4).
#[derive(Clone, Debug)]
pub struct WyRand(u64);

impl WyRand {
    /// The generator of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xA076_1D64_78BD_642F);
        let wide = u128::from(self.0) * u128::from(self.0 ^ 0xE703_7ED1_A0B4_28DB);
        (wide >> 64) as u64 ^ wide as u64
    }
}

const WARM_UP_OPS: u64 = 1_000;
