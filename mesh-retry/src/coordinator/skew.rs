//! How the store's clock runs against the process's own. Decides nothing: only the store's clock counts at the store, and
//! only the process's own here, so neither is ever corrected by this; it is for the recorder to show.
//!
//! A command is sent, carried out at the store's time `at`, and answered: so the store's clock was ahead of the process's by
//! at least `at - received` and at most `at - sent` (F. Cristian, "Probabilistic Clock Synchronization", 1989; the answer's
//! midpoint within half of the round trip). The epochs of the two clocks differ, so it is not how far ahead the store is
//! that tells something, but how that changes: the clocks drift, or one of them was set.

use core::time::Duration;

use mesh_core::time::Instant;

use super::store::StoreTime;

/// Measures a store's clock by the process's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skew {
    /// The narrowest measure since the store's clock was last found to be set.
    since: Option<Ahead>,
}

/// By how much the store's clock is ahead, between two bounds, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    least: i128,
    most: i128,
    at: Instant,
}

/// What one answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkewReading {
    /// How many microseconds the store's clock has gained since it was first measured, or set; negative where it has lost.
    pub gained_micros: i64,
    /// By how much more or less that may be: half of the round trips of both measures.
    pub uncertain_by: Duration,
    /// Over which time of the process's own.
    pub over: Duration,
    /// Whether it has gained or lost so much more than clocks drift that one of the two was set. The next readings are
    /// counted from this one.
    pub was_set: bool,
}

impl Skew {
    /// Nothing measured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { since: None }
    }

    /// Takes in an answer that was `received` to a command that was `sent`, which the store carried out `at` its time. None
    /// for the first, and where the answer came before the command.
    pub fn observe(&mut self, sent: Instant, received: Instant, at: StoreTime) -> Option<SkewReading> {
        if received < sent {
            return None;
        }
        let now = Ahead { least: ahead(at, received), most: ahead(at, sent), at: received };
        let since = self.since.unwrap_or(now);
        let over = received.since(since.at);
        let (least, most) = (now.least - since.most, now.most - since.least);
        let drift = i128::try_from(over.as_micros() / DRIFT_PART).unwrap_or(i128::MAX) + SET_MIN_MICROS;
        let was_set = least > drift || most < -drift;
        // The narrower measure is the better one to count from; the same again keeps the longer time.
        if self.since.is_none() || was_set || now.width() < since.width() / 2 {
            self.since = Some(now);
        }
        (since.at < received).then(|| SkewReading {
            gained_micros: i64::try_from(i128::midpoint(least, most)).unwrap_or(if most < 0 {
                i64::MIN
            } else {
                i64::MAX
            }),
            uncertain_by: Duration::from_micros(u64::try_from((most - least) / 2).unwrap_or(u64::MAX)),
            over,
            was_set,
        })
    }
}

impl SkewReading {
    /// The drift in millionths: positive where the store's clock is the faster one; none where no time has passed, or a
    /// clock was set.
    #[must_use]
    pub fn drift_ppm(&self) -> Option<i64> {
        let over = i128::try_from(self.over.as_micros()).ok().filter(|over| *over > 0 && !self.was_set)?;
        i64::try_from(i128::from(self.gained_micros) * 1_000_000 / over).ok()
    }
}

impl Ahead {
    const fn width(&self) -> i128 {
        self.most - self.least
    }
}

/// How many microseconds the store's time is ahead of the process's.
fn ahead(at: StoreTime, now: Instant) -> i128 {
    i128::from(at.as_micros()) - i128::from(now.as_nanos() / 1000)
}

/// Clocks drift by less than a thousandth of the time; more has been set. (Quartz: 20 to 200 millionths; NTP slews by up to
/// 500.)
const DRIFT_PART: u128 = 1000;
/// And by less than this between readings whose own time is too short to tell: a millisecond.
const SET_MIN_MICROS: i128 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// A store's clock that began at 1,000 s.
    fn store(millis: u64) -> StoreTime {
        StoreTime::from_micros(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn clocks_that_run_alike_gain_nothing_within_the_uncertainty() {
        let mut skew = Skew::new();
        assert_eq!(skew.observe(at(0), at(10), store(2)), None);
        for (sent, carried, received) in [(100, 108, 110), (200, 201, 220), (300, 300, 400)] {
            let reading = skew.observe(at(sent), at(received), store(carried)).unwrap();
            let uncertain = i64::try_from(reading.uncertain_by.as_micros()).unwrap();
            assert!(reading.gained_micros.abs() <= uncertain && !reading.was_set, "{reading:?}");
        }
    }

    #[test]
    fn the_uncertainty_is_half_of_both_round_trips() {
        let mut skew = Skew::new();
        skew.observe(at(0), at(10), store(5));
        let reading = skew.observe(at(100), at(120), store(110)).unwrap();
        assert_eq!((reading.gained_micros, reading.uncertain_by), (0, Duration::from_millis(15)));
        assert_eq!(reading.over, Duration::from_millis(110));
    }

    #[test]
    fn a_faster_clock_is_seen_to_drift() {
        let mut skew = Skew::new();
        skew.observe(at(0), at(1), store(0));
        // 200 millionths over 1,000 s are 200 ms.
        let reading = skew.observe(at(1_000_000), at(1_000_001), store(1_000_200)).unwrap();
        assert_eq!((reading.gained_micros, reading.was_set), (200_000, false));
        assert_eq!(reading.drift_ppm(), Some(200));
        let reading = skew.observe(at(2_000_000), at(2_000_001), store(1_999_600)).unwrap();
        assert_eq!((reading.gained_micros, reading.drift_ppm()), (-400_000, Some(-200)));
    }

    #[test]
    fn a_clock_that_is_set_is_told_once_and_counted_from_then_on() {
        for (set, gained) in [(5000, 5_000_000), (-3000_i64, -3_000_000)] {
            let mut skew = Skew::new();
            skew.observe(at(10_000), at(10_001), store(10_000));
            let carried = 20_000_u64.checked_add_signed(set).unwrap();
            let reading = skew.observe(at(20_000), at(20_001), store(carried)).unwrap();
            assert_eq!((reading.gained_micros, reading.was_set, reading.drift_ppm()), (gained, true, None));
            let reading = skew.observe(at(21_000), at(21_001), store(carried + 1000)).unwrap();
            assert_eq!((reading.gained_micros, reading.was_set), (0, false));
        }
    }

    #[test]
    fn a_narrower_measure_is_counted_from_and_answers_from_before_are_none() {
        let mut skew = Skew::new();
        skew.observe(at(0), at(400), store(200));
        skew.observe(at(1000), at(1010), store(1005));
        let reading = skew.observe(at(2000), at(2010), store(2005)).unwrap();
        assert_eq!((reading.uncertain_by, reading.over), (Duration::from_millis(10), Duration::from_secs(1)));
        assert_eq!(skew.observe(at(5), at(4), store(5)), None);
        let extremes = [(Instant::ZERO, u64::MAX), (Instant::MAX, 0), (Instant::MAX, u64::MAX)];
        for (now, micros) in extremes {
            skew.observe(now, now, StoreTime::from_micros(micros));
        }
    }
}
