//! What is wrong with a list of instances, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use mesh_core::service::{InstanceId, ServiceConfig, ServiceName, escape, escape_to};
use thiserror::Error;

use super::document::Fault;

/// Why a list of instances was not taken. Nothing was changed: a list that was in force still is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StaticListError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The text is not TOML, or a value in it breaks a rule.
    #[error("{origin}: line {line}, column {column}: {problem}")]
    Invalid {
        /// Where the text came from.
        origin: ListOrigin,
        /// The line, counted from 1.
        line: usize,
        /// The character in the line, counted from 1.
        column: usize,
        /// What is wrong, with the value and the rule; bounded and escaped.
        problem: String,
    },
    /// One id of one service is listed twice.
    #[error("{origin}: id {instance} of service {service} is listed at {first} and again at {second}")]
    Duplicate {
        /// Where the list came from.
        origin: ListOrigin,
        /// The service.
        service: ServiceName,
        /// The id.
        instance: InstanceId,
        /// Where it is listed first.
        first: ListPlace,
        /// Where it is listed again.
        second: ListPlace,
    },
    /// An instance has a check that nobody could run.
    #[error("{origin}: {place}: {problem}")]
    Check {
        /// Where the list came from.
        origin: ListOrigin,
        /// The instance.
        place: ListPlace,
        /// The field, its value and the rule.
        problem: String,
    },
    /// The text lists no instance. An empty file is rather one that is being written than a service that ended.
    #[error("{origin}: lists no [[instance]]")]
    Empty {
        /// Where the text came from.
        origin: ListOrigin,
    },
    /// The registry was not made from a file, so there is none to read again.
    #[error("this list was not read from a file")]
    NoFile,
}

impl StaticListError {
    pub(super) fn invalid(origin: &ListOrigin, text: &str, fault: &Fault) -> Self {
        let (line, column) = line_and_column(text, fault.offset);
        let problem = escape_to(&fault.problem, PROBLEM_CHARS_MAX).to_string();
        Self::Invalid { origin: origin.clone(), line, column, problem }
    }

    pub(super) fn duplicate(origin: &ListOrigin, config: &ServiceConfig, first: ListPlace, second: ListPlace) -> Self {
        let (service, instance) = (config.service().clone(), config.id().clone());
        Self::Duplicate { origin: origin.clone(), service, instance, first, second }
    }
}

/// Where a list came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListOrigin {
    /// The program itself.
    Program,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for ListOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("list of instances"),
            Self::File(path) => f.write_str(&shown(path)),
        }
    }
}

/// Where in a list an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListPlace {
    /// The line of a text, counted from 1.
    Line(usize),
    /// The position among the items, counted from 1.
    Item(usize),
}

impl ListPlace {
    pub(super) fn at(text: &str, offset: usize) -> Self {
        Self::Line(line_and_column(text, offset).0)
    }
}

impl fmt::Display for ListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "item {item}"),
        }
    }
}

/// Line and column of the byte at `offset`, both counted from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy()).to_string()
}

/// Room for every problem of one instance.
const PROBLEM_CHARS_MAX: usize = 2048;
