//! The files of the repository and the tools that describe it: the one place here that does I/O.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A checkout of the repository.
#[derive(Clone, Debug)]
pub struct Repository {
    root: PathBuf,
    files: Vec<String>,
}

impl Repository {
    /// Opens the checkout at `root`.
    ///
    /// # Errors
    /// When its directories cannot be read.
    pub fn open(root: &Path) -> io::Result<Self> {
        let mut files = match listed_by_git(root) {
            Some(files) => files,
            None => walked(root)?,
        };
        files.retain(|file| root.join(file).is_file());
        files.sort();
        Ok(Self { root: root.to_owned(), files })
    }

    /// The files that are in git or could be added, in the order of their paths from the root.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The content of the file at `path`; what is not text is replaced.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> io::Result<String> {
        let bytes = fs::read(self.root.join(path)).map_err(|error| describe(path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The content of the file at `path`, or `None` where there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_if_present(&self, path: &str) -> io::Result<Option<String>> {
        if self.root.join(path).is_file() { self.read(path).map(Some) } else { Ok(None) }
    }

    /// Whether the owner may execute the file at `path`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn is_executable(&self, path: &str) -> io::Result<bool> {
        let metadata = fs::metadata(self.root.join(path)).map_err(|error| describe(path, &error))?;
        Ok(metadata.permissions().mode() & 0o100 != 0)
    }

    /// The normal dependencies of `package`, one a line, as `cargo tree` prints them for this platform; those that
    /// only its default features bring where `default_features` asks for them.
    ///
    /// # Errors
    /// When cargo cannot be run or refuses.
    pub fn cargo_tree(&self, package: &str, default_features: bool) -> io::Result<String> {
        let mut arguments = vec!["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", package];
        if !default_features {
            arguments.push("--no-default-features");
        }
        let output = Command::new(env!("CARGO")).args(&arguments).current_dir(&self.root).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("cargo {}: {said}", arguments.join(" "))))
    }
}

/// What is in git, and what is new in a directory of ours; `None` where there is no git or no checkout.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let mut files = git_ls_files(root, &["--cached"])?;
    let new = git_ls_files(root, &["--others", "--exclude-standard"])?;
    files.extend(new.into_iter().filter(|file| is_ours(file)));
    Some(files)
}

fn git_ls_files(root: &Path, which: &[&str]) -> Option<Vec<String>> {
    // Listing runs nothing, so it does not matter which user the checkout belongs to.
    let listing = ["-c", "safe.directory=*", "ls-files", "-z"];
    let output = Command::new("git").args(listing).args(which).current_dir(root).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.split_terminator('\0').map(str::to_owned).collect())
}

/// Every file below `root` that is ours, but for what builds leave.
fn walked(root: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else { continue };
            if path.is_symlink() || path.ends_with("target") {
                continue;
            }
            if path.is_dir() && is_ours(&format!("{name}/")) {
                directories.push(path);
            } else if path.is_file() {
                files.push(name.to_owned());
            }
        }
    }
    Ok(files)
}

/// Whether the file at `path` belongs to the repository by its place: a package cache or a build
/// directory that somebody keeps beside the crates does not.
fn is_ours(path: &str) -> bool {
    let Some((top, _)) = path.split_once('/') else { return true };
    top.starts_with("mesh") || ["benches", "fuzz", "tidy", "scripts", ".ci", ".config"].contains(&top)
}

fn describe(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}
