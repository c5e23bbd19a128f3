//! Checks of the fields of the coordinator's configurations. Decides nothing.

use core::fmt::Display;
use core::time::Duration;

use mesh_core::service::ConfigError;

/// Refuses `value` for `field` unless `holds`.
pub(super) fn number(
    field: &'static str,
    value: impl Display,
    holds: bool,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(field, value, rule)) }
}

/// As [`number`], for a duration.
pub(super) fn time(field: &'static str, value: Duration, holds: bool, rule: &'static str) -> Result<(), ConfigError> {
    number(field, format_args!("{value:?}"), holds, rule)
}
