//! What a truth is: something claimed, and something measured, with how far they may be apart.

/// One truth, claimed and measured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// Its number, which its randomness is derived from.
    pub number: u32,
    /// What it is about.
    pub name: String,
    /// What the simulation gave.
    pub value: f64,
    /// What it should give.
    pub claim: Claim,
    /// How far from the claim a value may be by the list of truths.
    pub listed: f64,
    /// The standard error of the value, from independent replications.
    pub standard_error: f64,
}

/// What a value should be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Claim {
    /// That.
    Is(f64),
    /// That or more.
    AtLeast(f64),
    /// That or less.
    AtMost(f64),
}

impl Row {
    /// How far from the claim the value may be: as listed, or three standard errors where that is more.
    #[must_use]
    pub fn tolerance(&self) -> f64 {
        self.listed.max(3.0 * self.standard_error)
    }

    /// Whether the value keeps the claim; what is no number keeps none.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.claim {
            Claim::Is(expected) => (self.value - expected).abs() <= self.tolerance(),
            Claim::AtLeast(least) => self.value >= least - self.tolerance(),
            Claim::AtMost(most) => self.value <= most + self.tolerance(),
        }
    }
}

impl Claim {
    /// The number in it.
    #[must_use]
    pub const fn number(self) -> f64 {
        match self {
            Self::Is(number) | Self::AtLeast(number) | Self::AtMost(number) => number,
        }
    }
}

/// A number measured by independent replications.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) standard_error: f64,
}

impl Estimate {
    /// The mean of `samples` and its standard error.
    pub(super) fn of(samples: &[f64]) -> Self {
        let count = samples.len() as f64;
        let value = samples.iter().sum::<f64>() / count;
        let squares: f64 = samples.iter().map(|sample| (sample - value) * (sample - value)).sum();
        Self { value, standard_error: (squares / (count - 1.0).max(1.0) / count).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, claim: Claim, listed: f64, standard_error: f64) -> Row {
        Row { number: 1, name: "any".into(), value, claim, listed, standard_error }
    }

    #[test]
    fn a_value_that_is_too_far_from_its_claim_fails() {
        assert!(row(1.01, Claim::Is(1.0), 0.02, 0.0).holds());
        assert!(!row(1.03, Claim::Is(1.0), 0.02, 0.0).holds());
        assert!(!row(0.97, Claim::Is(1.0), 0.02, 0.0).holds());
        assert!(row(1.03, Claim::Is(1.0), 0.02, 0.011).holds());
        assert!(!row(f64::NAN, Claim::Is(1.0), 0.02, 0.0).holds());
    }

    #[test]
    fn one_sided_claims_fail_on_one_side() {
        assert!(row(5.0, Claim::AtLeast(1.0), 0.0, 0.0).holds());
        assert!(!row(0.9, Claim::AtLeast(1.0), 0.0, 0.0).holds());
        assert!(row(0.9, Claim::AtMost(1.0), 0.0, 0.0).holds());
        assert!(!row(1.1, Claim::AtMost(1.0), 0.0, 0.0).holds());
    }

    #[test]
    fn the_standard_error_is_that_of_a_mean() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(estimate.value, 2.5);
        assert!((estimate.standard_error - (5.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }
}
