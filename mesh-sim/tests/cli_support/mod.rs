//! Runs the command, and looks at what it leaves.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it starts")
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-sim"));
    command.args(arguments).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Writes [`SMALL`] into `directory`.
pub(crate) fn small(directory: &Path) -> String {
    written(directory, "small.toml", SMALL)
}

pub(crate) fn written(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, content).expect("it can be written");
    text(&path).to_owned()
}

/// What is in `directory`, in order.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(crate) const SMALL: &str = "version = 1
name = \"small\"
duration = \"10s\"
strategies = [\"round-robin\", \"random\"]

[[servers]]
group = \"api\"
count = 3
service_time = { exponential = { mean = \"10ms\" } }
[clients]
arrivals = { poisson = { rate = 100.0 } }
";
