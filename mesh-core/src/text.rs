//! Durations as configurations spell them: "250ms", "1m 30s"; and blocks that can be "off".
//!
//! For `#[serde(with = "mesh_core::text::duration")]` and its sisters. Decides only how durations look; what is
//! allowed is for their owners to say. A bare number is refused, because it does not say its unit.

use core::time::Duration;

pub mod or_off;

/// A duration, which must be given: "250ms".
pub mod duration {
    use core::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes `duration` with its units.
    ///
    /// # Errors
    /// Those of `serializer`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    /// Reads a duration with its units.
    ///
    /// # Errors
    /// Those of `deserializer`, and text that is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(deserializer)?)
    }
}

/// A duration that may be left out; goes with `#[serde(default)]`.
pub mod maybe_duration {
    use core::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes `duration` with its units, or nothing.
    ///
    /// # Errors
    /// Those of `serializer`.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration with its units.
    ///
    /// # Errors
    /// Those of `deserializer`, and text that is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?.as_deref().map(super::parse).transpose()
    }
}

/// A duration, or "never" for `None`.
pub mod duration_or_never {
    use core::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes `duration` with its units, or "never".
    ///
    /// # Errors
    /// Those of `serializer`.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::duration::serialize(duration, serializer),
            None => serializer.serialize_str(NEVER),
        }
    }

    /// Reads a duration with its units, or "never".
    ///
    /// # Errors
    /// Those of `deserializer`, and text that is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == NEVER { Ok(None) } else { super::parse(&text).map(Some) }
    }

    const NEVER: &str = "never";
}

fn parse<E: serde::de::Error>(text: &str) -> Result<Duration, E> {
    let rule = "must be a number with its unit, such as \"250ms\"";
    sum_of_parts(text).ok_or_else(|| E::custom(crate::service::ConfigError::new("duration", text, rule)))
}

/// The duration `text`, of which each number with its unit is parsed alone: humantime 2.4 panics when seconds that
/// just fit and a thousand million nanoseconds are added up within one text.
fn sum_of_parts(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let (mut start, mut after_unit) = (0, false);
    for (at, character) in text.char_indices() {
        if after_unit && character.is_ascii_digit() {
            sum = sum.checked_add(part(&text[start..at])?)?;
            start = at;
        }
        after_unit = if character.is_whitespace() { after_unit } else { character.is_alphabetic() };
    }
    // A zero needs no unit where it stands alone.
    let last = &text[start..];
    if start > 0 && last == "0" { None } else { sum.checked_add(part(last)?) }
}

fn part(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}
