//! What the benches measured, read from criterion's files, as a list for programs and as a table for people.

mod counted;
mod counterparts;
mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use counted::{Counted, counted};
pub use table::{instructions, table};

/// One measurement: what one operation of a subject cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The bench, such as `pick`.
    pub bench: String,
    /// What was measured, such as `mesh/p2c-least-loaded`.
    pub subject: String,
    /// How many instances there were.
    pub size: u32,
    /// How many threads worked at once.
    pub threads: u32,
    /// Nanoseconds of wall time for each operation of all threads together: the median of the samples.
    pub ns: f64,
}

/// Why there is no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file or a directory could not be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what criterion writes.
    #[error("{path}: {source}")]
    Unexpected {
        /// Which one.
        path: PathBuf,
        /// What it should have been.
        source: serde_json::Error,
    },
    /// A line of the counted instructions is none.
    #[error("{path}: not a subject, its instances and its instructions: `{line}`")]
    Uncounted {
        /// In which file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// Nothing has been measured yet.
    #[error("{path}: no results; run `cargo bench -p mesh-benches --bench pick` first")]
    Nothing {
        /// Where the results would be.
        path: PathBuf,
    },
}

/// Every result in criterion's directory `home`, sorted by bench, threads, subject and size. Benchmarks that
/// are not called `<bench>/<subject>/<size>/<threads>` are left out.
///
/// # Errors
/// When there is none, or what is there is not criterion's.
pub fn rows(home: &Path) -> Result<Vec<Row>, ReportError> {
    let mut rows = Vec::new();
    if home.is_dir() {
        collect(home, &mut rows)?;
    }
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    if rows.is_empty() { Err(ReportError::Nothing { path: home.to_owned() }) } else { Ok(rows) }
}

fn order(row: &Row) -> (&str, u32, &str, u32) {
    (&row.bench, row.threads, &row.subject, row.size)
}

fn collect(directory: &Path, rows: &mut Vec<Row>) -> Result<(), ReportError> {
    let latest = directory.join("new");
    if latest.join("benchmark.json").is_file() {
        rows.extend(row(&latest)?);
        return Ok(());
    }
    let unreadable = |source| ReportError::Unreadable { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            collect(&path, rows)?;
        }
    }
    Ok(())
}

/// The result in the directory of criterion's latest run of one benchmark.
fn row(directory: &Path) -> Result<Option<Row>, ReportError> {
    let benchmark: Benchmark = parsed(&directory.join("benchmark.json"))?;
    let estimates: Estimates = parsed(&directory.join("estimates.json"))?;
    let parameters = benchmark.value_str.as_deref().and_then(|value| value.split_once('/'));
    let parameters = parameters.and_then(|(size, threads)| Some((size.parse().ok()?, threads.parse().ok()?)));
    Ok(parameters.zip(benchmark.function_id).map(|((size, threads), subject)| Row {
        bench: benchmark.group_id,
        subject,
        size,
        threads,
        ns: estimates.median.point_estimate,
    }))
}

fn parsed<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, ReportError> {
    let text = fs::read_to_string(path).map_err(|source| ReportError::Unreadable { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| ReportError::Unexpected { path: path.to_owned(), source })
}

/// The part of criterion's `benchmark.json` that says what was measured.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

/// The part of criterion's `estimates.json` that is reported.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}
