//! What is wrong with a piece of configuration, said so that it can be put right; and how foreign text is
//! shown in a log.
//!
//! Decides how much of a refused value is repeated. Never repeats it raw: it may have come from anywhere.

use alloc::borrow::Cow;
use core::convert::Infallible;
use core::fmt;

/// One or more values that were refused, each with its field and the rule it breaks.
///
/// A builder reports every problem it found, in the order of its calls, so that a configuration is put right
/// in one round; beyond [`ConfigError::PROBLEMS_MAX`] they are only counted. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
    omitted: usize,
}

impl ConfigError {
    /// How many problems are kept; more than a reader would read.
    pub const PROBLEMS_MAX: usize = 16;

    /// The refusal of `value` for `field`, because it breaks `rule` ("must be 1 to 65535").
    #[must_use]
    pub fn new(field: &'static str, value: impl fmt::Display, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { problems: vec![Problem::new(field, value, rule)], omitted: 0 }
    }

    /// The problems; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems were found beyond those kept.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        match self.omitted {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl From<Infallible> for ConfigError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// One value that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    field: &'static str,
    value: String,
    rule: Cow<'static, str>,
}

impl Problem {
    /// How many characters of the value are repeated.
    pub const VALUE_CHARS_MAX: usize = 64;

    fn new(field: &'static str, value: impl fmt::Display, rule: impl Into<Cow<'static, str>>) -> Self {
        let value = escape_to(&value.to_string(), Self::VALUE_CHARS_MAX).to_string();
        Self { field, value, rule: rule.into() }
    }

    /// The field that was given the value.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The value, escaped and cut to [`Problem::VALUE_CHARS_MAX`] characters and "…".
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The rule it breaks.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.value.is_empty() { "\"\"" } else { &self.value };
        write!(f, "{}: {shown} is not allowed: {}", self.field, self.rule)
    }
}

/// The problems that a builder has found so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// The value that `given` parses to; what is wrong with it is noted.
    pub(crate) fn parse<T>(&mut self, given: impl TryInto<T, Error: Into<ConfigError>>) -> Option<T> {
        self.take(given.try_into().map_err(Into::into))
    }

    /// The value of `result`; its problems are noted.
    pub(crate) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// Notes that `value` breaks `rule`, unless it `holds`.
    pub(crate) fn require(
        &mut self,
        holds: bool,
        field: &'static str,
        value: impl fmt::Display,
        rule: impl Into<Cow<'static, str>>,
    ) {
        if !holds {
            self.add(ConfigError::new(field, value, rule));
        }
    }

    /// Notes all that `error` says.
    pub(crate) fn add(&mut self, error: ConfigError) {
        self.omitted = self.omitted.saturating_add(error.omitted);
        for problem in error.problems {
            if self.found.len() < ConfigError::PROBLEMS_MAX {
                self.found.push(problem);
            } else {
                self.omitted = self.omitted.saturating_add(1);
            }
        }
    }

    /// Whether nothing is wrong.
    pub(crate) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The error that reports them.
    pub(crate) fn into_error(self) -> ConfigError {
        ConfigError { problems: self.found, omitted: self.omitted }
    }
}

/// `text` as a log may show it: control and invisible characters escaped, cut to [`ESCAPED_CHARS_MAX`]
/// characters and "…".
///
/// Backslashes are doubled, so that an escape cannot be faked. Line separators and the marks that reverse the
/// direction of text count as invisible.
#[must_use]
pub fn escape(text: &str) -> impl fmt::Display + '_ {
    escape_to(text, ESCAPED_CHARS_MAX)
}

/// [`escape`] with a length of one's own: at most `chars_max` characters and "…".
#[must_use]
pub fn escape_to(text: &str, chars_max: usize) -> impl fmt::Display + '_ {
    Escaped { text, chars_max }
}

/// The characters that [`escape`] shows: enough for a registry's error message, too few to flood a log.
pub const ESCAPED_CHARS_MAX: usize = 256;

struct Escaped<'a> {
    text: &'a str,
    chars_max: usize,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = self.chars_max;
        for character in self.text.chars() {
            let harmless = matches!(character, '\'' | '"');
            let width = if harmless { 1 } else { character.escape_debug().len() };
            let Some(left) = room.checked_sub(width) else {
                return f.write_str("…");
            };
            room = left;
            if harmless { write!(f, "{character}")? } else { write!(f, "{}", character.escape_debug())? }
        }
        Ok(())
    }
}
