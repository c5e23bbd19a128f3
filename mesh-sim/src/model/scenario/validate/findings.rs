//! Where things are in a scenario, and what was found there.

use core::fmt;

use mesh_core::service::escape_to;

use crate::model::{Invalid, Problem, Warning};
use crate::near::{did_you_mean, near};

/// A place in a scenario, shown as in its file: `servers[0].service_time`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Root,
    Key(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl Path<'_> {
    pub(super) const fn key<'a>(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    pub(super) const fn item(&self, index: usize) -> Path<'_> {
        Path::Item(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Findings {
    /// Notes that the value at `path` breaks `rule`, unless it `holds`; says whether it does.
    pub(super) fn require(
        &mut self,
        holds: bool,
        path: Path<'_>,
        value: impl fmt::Display,
        rule: impl fmt::Display,
    ) -> bool {
        if !holds {
            self.refuse(path, value, rule, None);
        }
        holds
    }

    /// Notes that the value at `path` breaks `rule`.
    pub(super) fn refuse(
        &mut self,
        path: Path<'_>,
        value: impl fmt::Display,
        rule: impl fmt::Display,
        help: Option<String>,
    ) {
        let value = value.to_string();
        let shown = if value.is_empty() { "\"\"".to_owned() } else { escape_to(&value, VALUE_CHARS_MAX).to_string() };
        let message = format!("{shown} is not allowed: {rule}");
        self.problems.push(Problem { path: path.to_string(), message, help });
    }

    /// Notes that `name` at `path` is not one of `known`, unless it is; says whether it is.
    pub(super) fn require_known<'k>(
        &mut self,
        path: Path<'_>,
        name: &str,
        known: impl Iterator<Item = &'k str> + Clone,
        rule: impl fmt::Display,
    ) -> bool {
        let holds = known.clone().any(|other| other == name);
        if !holds {
            self.refuse(path, name, rule, near(name, known).map(did_you_mean));
        }
        holds
    }

    /// Notes what is wrong at `path` where no value is to blame.
    pub(super) fn object(&mut self, path: Path<'_>, message: impl Into<String>, help: Option<String>) {
        self.problems.push(Problem { path: path.to_string(), message: message.into(), help });
    }

    pub(super) fn warn(&mut self, path: Path<'_>, message: impl Into<String>) {
        self.warnings.push(Warning { path: path.to_string(), message: message.into() });
    }

    /// Whether nothing is impossible.
    pub(super) const fn is_possible(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn into_result(self) -> Result<Vec<Warning>, Invalid> {
        if self.problems.is_empty() { Ok(self.warnings) } else { Err(self.problems.into()) }
    }
}

/// As in mesh-core's `Problem`.
const VALUE_CHARS_MAX: usize = 64;
