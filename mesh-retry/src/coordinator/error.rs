//! What is wrong with a configuration of the coordinator's machines.

use core::time::Duration;

use thiserror::Error;

/// A field that breaks its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// A number does.
    #[error("{field}: {value} is not allowed: {rule}")]
    Number {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The rule.
        rule: &'static str,
    },
    /// A duration does.
    #[error("{field}: {value:?} is not allowed: {rule}")]
    Time {
        /// The field.
        field: &'static str,
        /// Its value.
        value: Duration,
        /// The rule.
        rule: &'static str,
    },
}

pub(super) const fn number(
    field: &'static str,
    value: u32,
    holds: bool,
    rule: &'static str,
) -> Result<(), CoordinatorError> {
    if holds { Ok(()) } else { Err(CoordinatorError::Number { field, value, rule }) }
}

pub(super) const fn time(
    field: &'static str,
    value: Duration,
    holds: bool,
    rule: &'static str,
) -> Result<(), CoordinatorError> {
    if holds { Ok(()) } else { Err(CoordinatorError::Time { field, value, rule }) }
}
