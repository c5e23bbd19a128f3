//! The instructions that picks take, as `scripts/bench-instructions` wrote them down.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

use super::ReportError;

/// The instructions that a pick of a subject takes, from its start to its end: a figure that does not wobble.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counted {
    /// What was counted, such as `mesh/p2c-least-loaded`.
    pub subject: String,
    /// How many instances there were.
    pub size: u32,
    /// Instructions for each pick, on average.
    pub instructions: f64,
}

/// What is in the file `instructions.tsv` of criterion's directory `home`: nothing, where nothing was counted. Its lines
/// are a subject, a number of instances and a number of instructions, with tabs between them.
///
/// # Errors
/// When the file cannot be read, or a line is none of those.
pub fn counted(home: &Path) -> Result<Vec<Counted>, ReportError> {
    let path = home.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ReportError::Unreadable { path, source }),
    };
    let broken = |line: &str| ReportError::Uncounted { path: path.clone(), line: line.to_owned() };
    text.lines().map(|line| one(line).ok_or_else(|| broken(line))).collect()
}

fn one(line: &str) -> Option<Counted> {
    let [subject, size, instructions] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
    Some(Counted { subject: subject.to_owned(), size: size.parse().ok()?, instructions: instructions.parse().ok()? })
}

const FILE: &str = "instructions.tsv";
