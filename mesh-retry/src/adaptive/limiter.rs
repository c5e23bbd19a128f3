//! The rate limiter that threads share.

use core::array;
use core::time::Duration;

use mesh_core::time::Instant;
use thiserror::Error;

use super::cubic::{Cubic, WORDS, half_of};
use crate::budget::{After, Extra};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Paces the attempts of a client whose callee throttles.
///
/// [`RateLimiter::acquire`] before each attempt says how long to wait; [`RateLimiter::record`] after each reply moves the
/// rate. Until the callee throttles for the first time the former is one load and the latter a count.
///
/// # How it is shared
///
/// What an attempt needs is two words: the rate at which the bucket fills, which replies publish, and the time at which what
/// was promised so far will have filled in, which attempts move ahead by what they cost at that rate.
///
/// The rest is a [`Cubic`], which belongs to whoever has the turn. A reply takes the turn if it is free, and leaves itself
/// to be counted by the next one if not; a throttled one makes who has the turn look again, so that none is forgotten. So
/// nobody waits, and at one thread the rate is that of [`Cubic`] to the bit.
///
/// # Where it differs from the SDKs
///
/// - A change of the rate holds for what is acquired from then on: what is left in the bucket, or promised to those who wait,
///   keeps its time. The SDKs keep its number instead.
/// - The bucket is full when the rate limiter begins to limit. In the SDKs it is as full as it got while nobody waited, which
///   is the same after a second or two.
/// - Who cannot wait for so long takes nothing. In the SDKs an attempt that gives up has taken its share all the same.
#[derive(Debug)]
#[repr(align(128))]
pub struct RateLimiter {
    /// Attempts a second, as the bits of a float; 0 as long as nobody waits.
    fill_rate: AtomicU64,
    /// When the bucket was or will be empty, in nanoseconds plus [`BEFORE_ZERO`].
    empty_at: AtomicU64,
    /// Replies that nobody has measured yet.
    replies: AtomicU64,
    /// When the last throttled reply came that nobody has heeded yet, in nanoseconds plus one; 0 where there is none.
    throttled: AtomicU64,
    /// The half second up to which replies have been measured.
    half: AtomicU64,
    turn: AtomicU32,
    /// A [`Cubic`] for whoever has the turn.
    cubic: [AtomicU64; WORDS],
}

/// An attempt would have to wait for longer than it can. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the rate limiter asks for a wait of {wait:?} where {longest:?} is the longest")]
#[non_exhaustive]
pub struct WaitTooLong {
    /// How long it would have to wait.
    pub wait: Duration,
    /// How long it can.
    pub longest: Duration,
}

impl RateLimiter {
    /// A limiter of a client that has sent nothing before `now`, which lets everything pass until the first throttled reply.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let cubic = Cubic::new(now);
        let words = cubic.words();
        Self {
            fill_rate: AtomicU64::new(0),
            empty_at: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            half: AtomicU64::new(cubic.half()),
            turn: AtomicU32::new(FREE),
            cubic: array::from_fn(|at| AtomicU64::new(words[at])),
        }
    }

    /// Takes the share of an attempt, a first one where `extra` is `None`, and says how long it has to wait from `now`.
    ///
    /// A first attempt costs 1, a retry or a hedge 5, and a retry after one that took too long 10. (smithy-rs asks the 10 after
    /// throttling, and not after a timeout.)
    ///
    /// # Errors
    /// If it would have to wait for more than `longest`; it takes nothing then.
    #[inline]
    pub fn acquire(&self, now: Instant, extra: Option<Extra>, longest: Duration) -> Result<Duration, WaitTooLong> {
        let fill_rate = f64::from_bits(self.fill_rate.load(Ordering::Relaxed));
        if fill_rate > 0.0 { self.take_share(now, cost(extra), fill_rate, longest) } else { Ok(Duration::ZERO) }
    }

    /// Takes note of the reply to an attempt, success or failure, and of whether it was a request for fewer attempts. What
    /// never got a reply is not told of.
    #[inline]
    pub fn record(&self, now: Instant, is_throttled: bool) {
        self.replies.fetch_add(1, Ordering::Relaxed);
        if is_throttled {
            self.record_throttled(now);
        } else if self.is_limiting() || half_of(now) > self.half.load(Ordering::Relaxed) {
            self.record_success(now);
        }
    }

    /// Attempts a second, as long as attempts are limited.
    #[must_use]
    pub fn fill_rate(&self) -> Option<f64> {
        Some(f64::from_bits(self.fill_rate.load(Ordering::Relaxed))).filter(|rate| *rate > 0.0)
    }

    fn is_limiting(&self) -> bool {
        self.fill_rate.load(Ordering::Relaxed) != 0
    }

    fn take_share(&self, now: Instant, cost: f64, fill_rate: f64, longest: Duration) -> Result<Duration, WaitTooLong> {
        let now = now.as_nanos().saturating_add(BEFORE_ZERO);
        let fills_in = nanos(Cubic::capacity(fill_rate) / fill_rate);
        let share = nanos(cost / fill_rate);
        let with_share = |empty_at: u64| empty_at.max(now.saturating_sub(fills_in)).saturating_add(share);
        let wait = |empty_at: u64| Duration::from_nanos(with_share(empty_at).saturating_sub(now));
        let taken = |empty_at: u64| (wait(empty_at) <= longest).then(|| with_share(empty_at));
        match self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(before) => Ok(wait(before)),
            Err(before) => Err(WaitTooLong { wait: wait(before), longest }),
        }
    }

    #[cold]
    fn record_throttled(&self, now: Instant) {
        self.throttled.fetch_max(now.as_nanos().saturating_add(1), Ordering::Relaxed);
        // Releases what was just left for whoever has the turn.
        if self.turn.swap(LOOK_AGAIN, Ordering::AcqRel) == FREE {
            self.turn.swap(TAKEN, Ordering::Acquire);
            self.use_turn(now);
        }
    }

    fn record_success(&self, now: Instant) {
        if self.turn.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            self.use_turn(now);
        }
    }

    /// Moves the rate, and gives the turn back.
    fn use_turn(&self, now: Instant) {
        self.heed(now);
        while self.turn.compare_exchange(TAKEN, FREE, Ordering::Release, Ordering::Relaxed).is_err() {
            // Another thread was throttled meanwhile. It is acquired with the turn, so that it cannot be overlooked.
            self.turn.swap(TAKEN, Ordering::Acquire);
            self.heed(now);
        }
    }

    /// Heeds the replies that came so far.
    fn heed(&self, now: Instant) {
        let throttled = self.throttled.swap(0, Ordering::Relaxed).checked_sub(1).map(Instant::from_nanos);
        let replies = self.replies.swap(0, Ordering::Relaxed);
        if replies == 0 && throttled.is_none() {
            return;
        }
        let mut cubic = Cubic::of_words(array::from_fn(|at| self.cubic[at].load(Ordering::Relaxed)));
        cubic.record(throttled.map_or(now, |throttled| now.max(throttled)), replies, throttled.is_some());
        for (word, value) in self.cubic.iter().zip(cubic.words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.half.store(cubic.half(), Ordering::Relaxed);
        let fill_rate = if cubic.is_enabled() { cubic.fill_rate().to_bits() } else { 0 };
        self.fill_rate.store(fill_rate, Ordering::Relaxed);
    }
}

fn cost(extra: Option<Extra>) -> f64 {
    match extra.map(|extra| extra.after) {
        None => FIRST,
        Some(After::Transient | After::Throttled | After::Slow) => RETRY,
        Some(After::TimedOut) => RETRY_AFTER_TIMEOUT,
    }
}

/// `seconds` in whole nanoseconds. Rounded down, so that as many shares fit into the bucket as it holds.
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// It is taken, and a throttled reply came meanwhile.
const LOOK_AGAIN: u32 = 2;

const FIRST: f64 = 1.0;
const RETRY: f64 = 5.0;
const RETRY_AFTER_TIMEOUT: f64 = 10.0;

/// By how much times of the bucket are ahead: more than the two seconds that it takes to fill in at most, so that one that
/// is full at the owner's epoch was empty before it.
const BEFORE_ZERO: u64 = 4_000_000_000;
