//! What is impossible about a scenario, or possible and probably not meant.

use core::fmt;

use thiserror::Error;

/// Everything that is impossible about a scenario; nothing was run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Invalid {
    problems: Vec<Problem>,
}

/// One impossible value, or a missing one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it is, as in the file: `servers[0].service_time.exponential.mean`.
    pub path: String,
    /// What is wrong with it: the value and the rule.
    pub message: String,
    /// What was probably meant instead.
    pub help: Option<String>,
}

/// Something that is possible and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// Where it is, as in the file.
    pub path: String,
    /// What it will come to.
    pub message: String,
}

impl Invalid {
    /// The problems, in the order of the format.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Vec<Problem>> for Invalid {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}
