//! The rules that the compiler and clippy cannot state: which crate may use which, what a decision must
//! never touch, how long a file may grow, what every manifest and script begins with.
//!
//! A rule is a pure function from a path and its content to [`Finding`]s. Only [`repository`] reads files,
//! and nothing here changes one.

pub mod arrows;
pub mod manifest;
pub mod members;
pub mod purity;
pub mod repository;
pub mod shape;
pub mod texts;
pub mod tokens;

use core::fmt;
use std::io;

use manifest::{Manifest, Workspace};
use repository::Repository;
use tokens::Tokens;

/// One broken rule, shown as `path:line: rule: what to do instead`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the repository.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The name of the rule.
    pub rule: &'static str,
    /// What to do instead.
    pub advice: String,
}

impl Finding {
    /// A finding of `rule` at `path:line`.
    pub fn new(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.advice)
    }
}

/// Holds the whole of `repository` to every rule, and returns what it found in the order of the paths.
///
/// # Errors
/// When a file cannot be read or `cargo tree` does not run; no finding is reported then.
pub fn findings(repository: &Repository) -> io::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for path in repository.files() {
        found.extend(file(path, &repository.read(path)?, repository.is_executable(path)?));
    }
    found.extend(manifests(repository)?);
    found.sort();
    Ok(found)
}

/// The findings of one file, by the rules that need no other file.
#[must_use]
pub fn file(path: &str, content: &str, executable: bool) -> Vec<Finding> {
    let mut found = texts::registry_hosts(path, content);
    if texts::is_script(path) {
        found.extend(texts::script(path, content, executable));
    }
    if path.ends_with(".rs") {
        found.extend(shape::file_length(path, content));
        match Tokens::parse(content) {
            Ok(tokens) => {
                found.extend(shape::source(path, &tokens));
                found.extend(purity::source(path, &tokens));
            }
            Err(line) => found.push(Finding::new(path, line, "source", "write Rust that can be split into tokens")),
        }
    }
    if path == "clippy.toml" {
        found.extend(texts::clippy_reasons(path, content));
    }
    found
}

fn manifests(repository: &Repository) -> io::Result<Vec<Finding>> {
    let workspace = match Workspace::parse(&repository.read("Cargo.toml")?) {
        Ok(workspace) => workspace,
        Err(finding) => return Ok(vec![finding]),
    };
    let mut found = Vec::new();
    for member in &workspace.members {
        let path = format!("{member}/Cargo.toml");
        match Manifest::parse(&path, &repository.read(&path)?, &workspace) {
            Ok(manifest) => {
                found.extend(arrows::check(&manifest));
                found.extend(members::lints(&manifest));
                let root = repository.read_if_present(&format!("{member}/src/lib.rs"))?;
                let readme = repository.read_if_present(&format!("{member}/README.md"))?;
                found.extend(members::readme(&manifest, root.as_deref(), readme.is_some()));
                if let Some(limits) = purity::tree_limits(&manifest.package) {
                    let tree = repository.cargo_tree(&manifest.package, limits.default_features)?;
                    found.extend(purity::tree(&path, &tree, &limits));
                }
            }
            Err(finding) => found.push(finding),
        }
    }
    Ok(found)
}
