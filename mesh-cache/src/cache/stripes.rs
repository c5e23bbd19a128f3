//! Counters of what every read counts, such that readers share no cache line, and most take no locked instruction.
//!
//! A thread claims a stripe of every cache's counters, for as long as it lives, and is the only one to write there. Those
//! that come when all are claimed share the others.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Any.
    Asked,
    Unheard,
    Stale,
    StaleOnError,
    Absent,
    Missed,
}

/// The counters of one cache.
#[derive(Debug)]
pub(super) struct Stripes(Box<[Stripe]>);

/// Alone on its pair of cache lines, which the processor fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; READS]);

impl Stripes {
    /// Counts one.
    #[inline]
    pub(super) fn count(&self, read: Read) {
        // A thread that is about to end has given its stripe back.
        let (stripe, is_own) = CLAIM.try_with(|claim| (claim.stripe, claim.is_own)).unwrap_or((CLAIMED_MAX, false));
        let Some(counter) = self.0.get(stripe).and_then(|Stripe(counters)| counters.get(read as usize)) else { return };
        if is_own {
            // Nobody else writes here.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        } else {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub(super) fn sum(&self, read: Read) -> u64 {
        let counters = self.0.iter().filter_map(|Stripe(counters)| counters.get(read as usize));
        counters.fold(0, |sum, counter| sum.wrapping_add(counter.load(Ordering::Relaxed)))
    }
}

impl Default for Stripes {
    fn default() -> Self {
        Self((0..CLAIMED_MAX + SHARED).map(|_| Stripe::default()).collect())
    }
}

/// The stripe of a thread, in every cache.
struct Claim {
    stripe: usize,
    is_own: bool,
}

impl Claim {
    fn new() -> Self {
        let free = |claimed: u64| (claimed != u64::MAX).then(|| claimed | (claimed + 1));
        // Whoever had it before wrote what it wrote before it gave it back.
        match CLAIMED.fetch_update(Ordering::Acquire, Ordering::Relaxed, free) {
            Ok(claimed) => Self { stripe: claimed.trailing_ones() as usize, is_own: true },
            Err(_) => {
                let turn = TURNS.fetch_add(1, Ordering::Relaxed);
                Self { stripe: CLAIMED_MAX + (turn % SHARED as u64) as usize, is_own: false }
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_own {
            CLAIMED.fetch_and(!(1 << self.stripe), Ordering::Release);
        }
    }
}

thread_local! {
    static CLAIM: Claim = Claim::new();
}

/// Which stripes are claimed, one bit each.
static CLAIMED: AtomicU64 = AtomicU64::new(0);
/// How many threads came when all were claimed.
static TURNS: AtomicU64 = AtomicU64::new(0);

const READS: usize = 6;
const CLAIMED_MAX: usize = u64::BITS as usize;
const SHARED: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_however_many_threads_count_at_once() {
        let (stripes, rounds) = (Stripes::default(), 3);
        let threads = CLAIMED_MAX + 2 * SHARED;
        for _ in 0..rounds {
            let all = Barrier::new(threads);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        stripes.count(Read::Asked);
                        all.wait();
                        (0..999).for_each(|_| stripes.count(Read::Asked));
                    });
                }
            });
        }
        assert_eq!(stripes.sum(Read::Asked), rounds * threads as u64 * 1_000);
        assert_eq!(stripes.sum(Read::Missed), 0);
    }

    #[test]
    fn a_stripe_that_was_given_back_is_claimed_again() {
        let claims: Vec<usize> = (0..3 * CLAIMED_MAX)
            .filter_map(|_| thread::spawn(|| CLAIM.with(|claim| claim.is_own.then_some(claim.stripe))).join().unwrap())
            .collect();
        assert!(claims.len() > CLAIMED_MAX, "{claims:?}");
    }
}
