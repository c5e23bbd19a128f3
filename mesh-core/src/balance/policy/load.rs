//! What an instance says of its own load.

use thiserror::Error;

/// A load report, from a response's header or trailer or from a probe. Parts that were not reported are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    in_flight: Option<u32>,
    utilisation: Option<f64>,
}

/// A number in a load report that cannot be.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("utilisation: {value} is not allowed: must be a finite number from 0 up")]
pub struct InvalidLoad {
    value: f64,
}

impl LoadReport {
    /// A report of `in_flight` requests being served.
    #[must_use]
    pub const fn in_flight(mut self, in_flight: u32) -> Self {
        self.in_flight = Some(in_flight);
        self
    }

    /// A report of a utilisation: 0 is idle, 1 is full, more is overloaded.
    ///
    /// # Errors
    /// Refuses NaN, infinity and negative numbers.
    pub const fn utilisation(mut self, value: f64) -> Result<Self, InvalidLoad> {
        if !value.is_finite() || value < 0.0 {
            return Err(InvalidLoad { value });
        }
        self.utilisation = Some(value);
        Ok(self)
    }

    /// The requests that the instance says it is serving.
    #[must_use]
    pub const fn reported_in_flight(&self) -> Option<u32> {
        self.in_flight
    }

    /// The utilisation that the instance reports.
    #[must_use]
    pub const fn reported_utilisation(&self) -> Option<f64> {
        self.utilisation
    }
}
