//! The version of an instance, as semantic versioning orders it.

use core::fmt;

use super::error::ConfigError;
use super::text::parsed_from_text;

/// A semantic version, read leniently: `1`, `1.4`, `v1.4.0` and `1.4-rc.1` are taken, missing parts are 0.
///
/// Shown in full, `1.4.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// The version as the `semver` crate has it.
    #[must_use]
    pub const fn semver(&self) -> &semver::Version {
        &self.0
    }

    fn read(text: &str) -> Result<Self, ConfigError> {
        let parsed = if text.len() <= BYTES_MAX { semver::Version::parse(&in_full(text)).ok() } else { None };
        parsed.map(Self).ok_or_else(|| {
            ConfigError::new(
                "version",
                text,
                "must be a semantic version such as 1, 1.4 or v1.4.0-rc.1, at most 128 bytes",
            )
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

parsed_from_text!(Version);

/// `text` without a leading `v` and with three numbers.
fn in_full(text: &str) -> String {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (numbers, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let missing = 2_usize.saturating_sub(numbers.matches('.').count());
    format!("{numbers}{}{rest}", ".0".repeat(missing))
}

const BYTES_MAX: usize = 128;
