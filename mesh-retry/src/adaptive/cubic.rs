//! The rate at which a client may send, from the replies that it gets.

use mesh_core::time::Instant;

/// The curve along which the rate grows back after a callee has throttled.
///
/// `rate(t) = 0.4 · (t − window)³ + last_max`, t seconds after; `window = ∛(last_max · 0.3 / 0.4)` is when it is back at
/// the rate that was too much. It begins at 0.7 · `last_max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    last_max: f64,
    /// In seconds.
    window: f64,
    throttled: Instant,
}

impl Curve {
    /// The curve of a client that was throttled at `now`, while it sent `last_max` attempts a second. What is no number, or
    /// below zero, is zero.
    #[must_use]
    pub fn new(last_max: f64, now: Instant) -> Self {
        let last_max = if last_max.is_finite() { last_max.max(0.0) } else { 0.0 };
        let window = libm::pow(last_max * (1.0 - BETA) / SCALE_CONSTANT, 1.0 / 3.0);
        Self { last_max, window, throttled: now }
    }

    /// The rate that it allows at `now`, in attempts a second; the SDKs take 0.5 where it is less.
    #[must_use]
    pub fn rate(&self, now: Instant) -> f64 {
        let elapsed = seconds(now) - seconds(self.throttled) - self.window;
        SCALE_CONSTANT * (elapsed * elapsed * elapsed) + self.last_max
    }
}

/// The rate at which a client may send, and all that it depends on.
///
/// It is told of every reply. A time that goes back is taken for the latest that it was told of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cubic {
    latest: Instant,
    /// Replies a second, smoothed.
    measured: f64,
    /// The number of half seconds up to which replies have been measured.
    half: u64,
    /// Replies since then.
    replies: u64,
    curve: Curve,
    fill_rate: f64,
    is_enabled: bool,
}

impl Cubic {
    /// A client that has sent nothing before `now`. Nobody waits yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let curve = Curve::new(0.0, now);
        let half = now.as_nanos() / HALF_SECOND;
        Self { latest: now, measured: 0.0, half, replies: 0, curve, fill_rate: FILL_RATE_MIN, is_enabled: false }
    }

    /// Takes note of `replies` that came by `now`, and of whether the last of them was a request for fewer attempts.
    ///
    /// The SDKs call it for each reply. Whoever tells of several at once, as [`RateLimiter`](super::RateLimiter) does where
    /// threads meet, loses nothing but the steps in between.
    pub fn record(&mut self, now: Instant, replies: u64, is_throttled: bool) {
        self.latest = self.latest.max(now);
        self.measure(replies);
        let calculated = if is_throttled {
            let used = if self.is_enabled { self.measured.min(self.fill_rate) } else { self.measured };
            self.curve = Curve::new(used, self.latest);
            self.is_enabled = true;
            used * BETA
        } else {
            self.curve.rate(self.latest)
        };
        self.fill_rate = calculated.min(2.0 * self.measured).max(FILL_RATE_MIN);
    }

    /// The rate at which the bucket fills, in attempts a second: at least 0.5.
    #[must_use]
    pub const fn fill_rate(&self) -> f64 {
        self.fill_rate
    }

    /// How many attempts the bucket holds at a fill rate: those of one second, at least 1.
    #[must_use]
    pub const fn capacity(fill_rate: f64) -> f64 {
        fill_rate.max(CAPACITY_MIN)
    }

    /// Replies a second, as measured in half seconds and smoothed.
    #[must_use]
    pub const fn measured(&self) -> f64 {
        self.measured
    }

    /// Whether it was throttled ever: until then nobody waits.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// The number of half seconds up to which replies have been measured.
    pub(super) const fn half(&self) -> u64 {
        self.half
    }

    fn measure(&mut self, replies: u64) {
        self.replies = self.replies.saturating_add(replies);
        let half = self.latest.as_nanos() / HALF_SECOND;
        if half > self.half {
            let rate = self.replies as f64 / ((half - self.half) as f64 / 2.0);
            self.measured = rate * SMOOTH + self.measured * (1.0 - SMOOTH);
            self.replies = 0;
            self.half = half;
        }
    }

    /// All of it in words that threads can share.
    pub(super) const fn words(&self) -> [u64; WORDS] {
        [
            self.latest.as_nanos(),
            self.measured.to_bits(),
            self.half,
            self.replies,
            self.curve.last_max.to_bits(),
            self.curve.window.to_bits(),
            self.curve.throttled.as_nanos(),
            self.fill_rate.to_bits(),
            self.is_enabled as u64,
        ]
    }

    /// What [`Cubic::words`] were of.
    pub(super) const fn of_words(words: [u64; WORDS]) -> Self {
        let [latest, measured, half, replies, last_max, window, throttled, fill_rate, is_enabled] = words;
        Self {
            latest: Instant::from_nanos(latest),
            measured: f64::from_bits(measured),
            half,
            replies,
            curve: Curve {
                last_max: f64::from_bits(last_max),
                window: f64::from_bits(window),
                throttled: Instant::from_nanos(throttled),
            },
            fill_rate: f64::from_bits(fill_rate),
            is_enabled: is_enabled != 0,
        }
    }
}

/// Seconds since the owner's epoch.
fn seconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e9
}

/// How many half seconds there have been at `now`.
pub(super) const fn half_of(now: Instant) -> u64 {
    now.as_nanos() / HALF_SECOND
}

pub(super) const WORDS: usize = 9;
const HALF_SECOND: u64 = 500_000_000;

/// What is left of the rate when it was too much.
const BETA: f64 = 0.7;
/// How fast the curve rises.
const SCALE_CONSTANT: f64 = 0.4;
/// The weight of the last half second in the measured rate.
const SMOOTH: f64 = 0.8;
const FILL_RATE_MIN: f64 = 0.5;
const CAPACITY_MIN: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_everything() {
        let mut cubic = Cubic::new(Instant::from_millis(300));
        for (millis, is_throttled) in [(700, false), (1_900, true), (2_600, false)] {
            cubic.record(Instant::from_millis(millis), 3, is_throttled);
            assert_eq!(Cubic::of_words(cubic.words()), cubic);
        }
        let words = cubic.words();
        assert_eq!(words.iter().collect::<std::collections::BTreeSet<_>>().len(), WORDS, "{words:?} tell all apart");
    }
}
