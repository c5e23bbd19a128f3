//! Time as whole units of something that it brings: thousandths of a retry, slots of a window.

use mesh_core::time::Instant;

/// Counts the units that time has brought since the owner's epoch: `now · units / nanos`, exactly.
///
/// A division by a number that is known from the start is a multiplication by its reciprocal, whose result is corrected by
/// what is left over: three multiplications where the division would be of 128 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accrual {
    units: u64,
    nanos: u64,
    /// `units · 2^64 / nanos`, rounded down, and at most 2^64 - 1.
    reciprocal: u64,
}

/// The units that time has brought, as whole ones below and above: equal where nothing is left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) floor: u64,
    pub(super) ceil: u64,
}

impl Accrual {
    /// `units` in every `nanos` nanoseconds: at least one nanosecond, at most 2^62, and no more units than nanoseconds.
    /// Where there are more units, there are as many as fit.
    pub(super) fn new(units: u64, nanos: u64) -> Self {
        let nanos = nanos.clamp(1, NANOS_MAX);
        let units = units.min(nanos);
        let reciprocal = (u128::from(units) << 64) / u128::from(nanos);
        // As many units as nanoseconds would be 2^64: one less is short by one at most, too.
        Self { units, nanos, reciprocal: u64::try_from(reciprocal).unwrap_or(u64::MAX) }
    }

    /// What time has brought by `now`.
    #[inline]
    pub(super) fn brought(&self, now: Instant) -> Brought {
        let nanos = now.as_nanos();
        // The reciprocal is short by one at most, and `nanos` of it by less than 2^64: no more than one unit is missing.
        let guess = ((u128::from(nanos) * u128::from(self.reciprocal)) >> 64) as u64;
        // Less than two units' worth, so that the difference of the two products is right whatever they lost at the top.
        let left = nanos.wrapping_mul(self.units).wrapping_sub(guess.wrapping_mul(self.nanos));
        let (floor, left) = if left >= self.nanos { (guess + 1, left - self.nanos) } else { (guess, left) };
        Brought { floor, ceil: floor + u64::from(left > 0) }
    }

    /// The first instant at which time will have brought `units` whole ones; none where that is never.
    pub(super) fn reaches(&self, units: u64) -> Option<Instant> {
        let whole = units.checked_div(self.units)?;
        // What is left over is small, as a rule, and a division of 128 bits by what fits into 64 is fast then.
        let left = u128::from(units - whole * self.units) * u128::from(self.nanos);
        let nanos = u128::from(whole) * u128::from(self.nanos) + left.div_ceil(u128::from(self.units));
        u64::try_from(nanos).ok().map(Instant::from_nanos)
    }
}

const NANOS_MAX: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_time_has_brought_is_exact() {
        let rates = [0, 1, 3, 7, 100, 999, 1000, 333_333, 10_000_019, 499_999_999, 500_000_000, SECOND - 1, SECOND];
        let times =
            [0, 1, 2, 3, 999, SECOND - 1, SECOND, SECOND + 1, 18 * SECOND, u64::MAX / 3, u64::MAX - 1, u64::MAX];
        for units in rates {
            let accrual = Accrual::new(units, SECOND);
            for time in times.into_iter().chain((0..1000).map(|k| k * 1_234_567_891_011)) {
                let exact = u128::from(time) * u128::from(units);
                let floor = (exact / u128::from(SECOND)) as u64;
                let ceil = exact.div_ceil(u128::from(SECOND)) as u64;
                let brought = accrual.brought(Instant::from_nanos(time));
                assert_eq!(brought, Brought { floor, ceil }, "{units} a second after {time} ns");
            }
        }
    }

    #[test]
    fn it_is_reached_at_the_first_instant_that_has_brought_it() {
        for (units, nanos) in [(1, 7), (3, SECOND), (7, 11), (333_333, SECOND), (SECOND - 1, SECOND), (1, 100_000_000)]
        {
            let accrual = Accrual::new(units, nanos);
            for wanted in [1, 2, 3, 10, 999, 12_345] {
                let at = accrual.reaches(wanted).unwrap();
                assert!(accrual.brought(at).floor >= wanted, "{units} in {nanos}: {wanted} at {at:?}");
                let before = Instant::from_nanos(at.as_nanos() - 1);
                assert!(accrual.brought(before).floor < wanted, "{units} in {nanos}: {wanted} before {at:?}");
            }
        }
    }

    #[test]
    fn what_time_never_brings_is_never_reached() {
        let nothing = Accrual::new(0, SECOND);
        assert_eq!(nothing.reaches(1), None);
        assert_eq!(nothing.brought(Instant::MAX), Brought { floor: 0, ceil: 0 });
        assert_eq!(Accrual::new(1, SECOND).reaches(u64::MAX), None);
    }
}
