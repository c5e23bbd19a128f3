//! Arrivals from a file: one offset from the start a line.

use core::time::Duration;

use mesh_core::service::escape_to;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use thiserror::Error;

use super::{Arrivals, Scenario};

/// A line of a trace that is no offset, or comes too early.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {value} is not allowed: {rule}")]
#[non_exhaustive]
pub struct TraceError {
    /// The line, from 1.
    pub line: usize,
    /// What it says.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
}

impl Scenario {
    /// The file that names the arrivals, if they come from one.
    #[must_use]
    pub fn trace_file(&self) -> Option<&str> {
        match &self.clients.arrivals {
            Arrivals::Trace { file, .. } => Some(file),
            Arrivals::Poisson { .. }
            | Arrivals::Uniform { .. }
            | Arrivals::Bursts { .. }
            | Arrivals::Steps { .. }
            | Arrivals::Ramp { .. }
            | Arrivals::Closed { .. } => None,
        }
    }

    /// Takes the arrivals from `text`: one offset a line, such as `250ms`, in the order of time. Blank lines and
    /// lines that begin with `#` say nothing. A scenario whose arrivals are no trace keeps them.
    ///
    /// # Errors
    /// The first line that is no offset, or comes before the one before it; nothing was changed.
    pub fn load_trace(&mut self, text: &str) -> Result<(), TraceError> {
        if let Arrivals::Trace { offsets, .. } = &mut self.clients.arrivals {
            *offsets = parse(text)?.into();
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<Duration>, TraceError> {
    let mut offsets: Vec<Duration> = Vec::new();
    for (line, value) in (1..).zip(text.lines().map(str::trim)) {
        if value.is_empty() || value.starts_with('#') {
            continue;
        }
        let refused = |rule: String| TraceError { line, value: escape_to(value, VALUE_CHARS_MAX).to_string(), rule };
        let offset = duration(value).ok_or_else(|| refused(RULE.to_owned()))?;
        if let Some(last) = offsets.last().filter(|last| **last > offset) {
            return Err(refused(format!("must be at or after the offset before it, which is {last:?}")));
        }
        offsets.push(offset);
    }
    Ok(offsets)
}

fn duration(text: &str) -> Option<Duration> {
    let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
    mesh_core::text::duration::deserialize(deserializer).ok()
}

const RULE: &str = "must be a number with its unit, such as \"250ms\"";
/// As in mesh-core's `Problem`.
const VALUE_CHARS_MAX: usize = 64;
