//! How operations are timed on one thread and on several, and the randomness that all subjects draw from.
//!
//! A sample whose thread had to wait for its processor says more of the neighbours than of the subject: it is
//! taken again, a few times at most, and the least disturbed one counts.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The time that `threads` threads take for `ops` operations together, as if the wall time were shared out
/// among the operations of all of them: with perfect scaling, half of one thread's at two threads.
///
/// Every thread makes a worker of its own, which runs as many operations as it is told. Each is pinned to a core
/// where there are enough; where pinning is refused they run as they are put.
pub fn shared<W: FnMut(u64)>(threads: usize, ops: u64, make: impl Fn(u64) -> W + Sync) -> Duration {
    let each = ops.div_ceil(threads.max(1) as u64).max(1);
    let wall = least_disturbed(0.05, || race(threads, each, &make));
    wall.mul_f64(ops as f64 / (each * threads.max(1) as u64) as f64)
}

/// The time that `worker` takes for `ops` operations on this thread.
pub fn alone(ops: u64, mut worker: impl FnMut(u64)) -> Duration {
    least_disturbed(0.015, || {
        let lap = Lap::run(|| worker(ops));
        (lap.ended.duration_since(lap.began), lap.waited)
    })
}

/// From the first thread's start to the last one's end, and the longest that one of them waited for its core.
fn race<W: FnMut(u64)>(threads: usize, each: u64, make: &(impl Fn(u64) -> W + Sync)) -> (Duration, Duration) {
    let cores = core_affinity::get_core_ids().filter(|cores| cores.len() >= threads).unwrap_or_default();
    let start = Barrier::new(threads);
    let laps = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let (start, core) = (&start, cores.get(thread).copied());
            scope.spawn(move || {
                let _ = core.map(core_affinity::set_for_current);
                let mut worker = make(thread as u64);
                // The first operations of a fresh thread fill its caches; they are not counted.
                worker(each.min(WARM_UP_OPS));
                start.wait();
                Lap::run(|| worker(each))
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    let began = laps.iter().map(|lap| lap.began).min();
    let ended = laps.iter().map(|lap| lap.ended).max();
    let wall = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended.duration_since(began));
    (wall, laps.iter().map(|lap| lap.waited).max().unwrap_or_default())
}

/// Takes a sample, again as long as its thread waited for more than `share` of it; the least disturbed one.
fn least_disturbed(share: f64, mut sample: impl FnMut() -> (Duration, Duration)) -> Duration {
    let mut best = sample();
    for _ in 0..RETAKES_MAX {
        if best.1 <= best.0.mul_f64(share) {
            break;
        }
        let again = sample();
        if again.1 < best.1 {
            best = again;
        }
    }
    best.0
}

/// One thread's run of a sample.
struct Lap {
    began: Instant,
    ended: Instant,
    waited: Duration,
}

impl Lap {
    fn run(work: impl FnOnce()) -> Self {
        let waited = waited();
        let began = now();
        work();
        let ended = now();
        Self { began, ended, waited: self::waited().saturating_sub(waited) }
    }
}

/// How long this thread has waited on a run queue so far, as Linux counts it; zero where nobody counts.
fn waited() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(counted.split(' ').nth(1).and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "a bench is what reads the clock")]
#[inline]
fn now() -> Instant {
    Instant::now()
}

/// A clock that a caller might read: the standard library's, since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self(now())
    }

    /// Nanoseconds since its start.
    #[inline]
    #[must_use]
    pub fn nanos(&self) -> u64 {
        now().duration_since(self.0).as_nanos() as u64
    }
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
const RETAKES_MAX: usize = 3;
