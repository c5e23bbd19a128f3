//! When an entry is renewed before it expires.
//!
//! The rule is XFetch (Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015):
//! at a read, with an entry that took Δ to load and expires at `expiry`, it is renewed if `now − Δ·β·ln(u) ≥ expiry` for
//! a uniform u in (0, 1]. With r left, a read renews it with probability `exp(−r / (β·Δ))`. It decides who begins early,
//! nothing else: one load a key is the flight's rule, and entries that are read rarely need stale-while-revalidate.

use std::time::Duration;

use mesh_core::rng::mix;
use mesh_core::time::Instant;

/// How eagerly entries are renewed before they expire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Early {
    /// β; 0 never renews early.
    pub(crate) beta: f64,
}

impl Early {
    /// Whether a read at `now` renews an entry that took `load_time` to load and expires at `expiry`.
    pub(crate) fn is_due(
        self,
        now: Instant,
        expiry: Instant,
        load_time: Duration,
        entropy: impl FnOnce() -> u64,
    ) -> bool {
        if now >= expiry {
            return true;
        }
        let left = expiry.since(now);
        // ln(2^-53) is the least that is drawn: beyond that many load times no read renews, and no logarithm is taken.
        let lead = load_time.as_secs_f64() * self.beta;
        if lead <= 0.0 || left.as_secs_f64() > lead * LN_MAX {
            return false;
        }
        -lead * libm::log(unit(entropy())) >= left.as_secs_f64()
    }
}

/// A uniform float in (0, 1] with 53 random bits.
fn unit(entropy: u64) -> f64 {
    ((mix(entropy) >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// What counts as Δ for an entry that took `took` to load: from 1 ms to a quarter of the time that it is fresh.
pub(crate) fn load_time(took: Option<Duration>, fresh: Duration) -> Duration {
    took.unwrap_or_default().min(fresh / 4).max(LOAD_TIME_MIN)
}

/// The load times of a key, smoothed with a weight of 1/8, as TCP smooths round trips (RFC 6298).
pub(crate) fn smoothed(before: Option<Duration>, took: Duration) -> Duration {
    before.map_or(took, |before| before.saturating_mul(7).saturating_add(took) / 8)
}

const LN_MAX: f64 = 36.75;
const LOAD_TIME_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_renews_with_the_probability_of_the_paper() {
        let early = Early { beta: 1.0 };
        let (load_time, expiry) = (Duration::from_millis(100), Instant::from_millis(30_000));
        for left_ms in [20, 100, 200, 400_u64] {
            let now = expiry - Duration::from_millis(left_ms);
            let draws = 200_000_u64;
            let renewed = (0..draws).filter(|&draw| early.is_due(now, expiry, load_time, || mix(draw))).count();
            let expected = libm::exp(-(left_ms as f64) / 100.0);
            let deviation = (expected * (1.0 - expected) / draws as f64).sqrt();
            let share = renewed as f64 / draws as f64;
            assert!((share - expected).abs() < 4.0 * deviation, "{left_ms} ms left: {share} against {expected}");
        }
    }

    #[test]
    fn far_from_expiry_nobody_renews_and_after_it_everybody_does() {
        let early = Early { beta: 1.0 };
        let expiry = Instant::from_millis(30_000);
        let load_time = Duration::from_millis(1);
        assert!(!(0..100_000).any(|draw| early.is_due(Instant::ZERO, expiry, load_time, || draw)));
        assert!(early.is_due(expiry, expiry, load_time, || 1));
        assert!(!Early { beta: 0.0 }.is_due(Instant::from_millis(29_999), expiry, load_time, || 1));
    }

    #[test]
    fn load_times_are_smoothed_and_kept_within_their_bounds() {
        let (fresh, ms) = (Duration::from_secs(4), Duration::from_millis);
        assert_eq!(smoothed(None, ms(80)), ms(80));
        assert_eq!(smoothed(Some(ms(80)), ms(160)), ms(90));
        assert_eq!(load_time(Some(ms(80)), fresh), ms(80));
        assert_eq!(load_time(Some(ms(60_000)), fresh), ms(1_000));
        assert_eq!(load_time(None, fresh), ms(1));
    }
}
