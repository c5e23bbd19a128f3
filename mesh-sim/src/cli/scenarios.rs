//! Finding, showing and checking scenarios.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{BAD_SCENARIO, Ended, FAILED, Look, print, tell};
use crate::model::scenario::{Arrivals, RateStep, Scenario};
use crate::reading::{self, Read, Unreadable};
use crate::report::words::{COLUMNS, counted, large, wrapped};
use crate::{env, near, report, shipped};

/// Reads the scenario in the file at `path`, or the one of that name that comes with the command.
pub(super) fn find(path: &Path, look: Look) -> Result<Read, Ended> {
    let name = path.to_string_lossy();
    let bad =
        |error: &Unreadable| Ended::with(BAD_SCENARIO, if look.colours { error.coloured() } else { error.to_string() });
    if !env::is_readable(path) {
        return shipped::find(&name).ok_or_else(|| unknown(path))?.read().map_err(|error| bad(&error));
    }
    let text = env::read(path).map_err(|error| {
        if error.kind() == ErrorKind::InvalidData {
            return Ended::with(BAD_SCENARIO, format_args!("mesh-sim: {name}: it is not UTF-8 text"));
        }
        Ended::usage(format_args!("{name}: {error}"))
    })?;
    // A trace is looked for beside the scenario that names it.
    let open = |file: &str| env::read(&beside(path, file));
    reading::read_with(&name, &text, open).map_err(|error| bad(&error))
}

/// Where a file is that the scenario at `path` names.
pub(super) fn beside(path: &Path, file: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(file)
}

fn unknown(path: &Path) -> Ended {
    let name = path.to_string_lossy();
    if path.is_dir() {
        return Ended::usage(format_args!("{name}: it is a directory"));
    }
    let names = shipped::ALL.iter().map(|shipped| shipped.name);
    let near = near::near(&name, names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Ended::usage(format_args!(
        "{name}: no such file, and no scenario of that name{near}\n`mesh-sim list` lists those that come with it"
    ))
}

/// Says what is possible and probably not meant.
pub(super) fn warn(read: &Read, look: Look) {
    if !read.warnings.all().is_empty() {
        tell(&if look.colours { read.warnings.coloured() } else { read.warnings.to_string() });
    }
}

pub(super) fn list() -> Result<(), Ended> {
    let indent = shipped::ALL.iter().map(|shipped| shipped.name.len()).max().unwrap_or_default() + 2;
    let mut text = String::new();
    for shipped in shipped::ALL {
        let read = shipped.read().map_err(|error| Ended::with(BAD_SCENARIO, error))?;
        let lines = wrapped(first_sentence(&read.scenario.description), COLUMNS - indent);
        for (at, line) in lines.iter().enumerate() {
            let name = if at == 0 { shipped.name } else { "" };
            let _ = writeln!(text, "{name:indent$}{line}");
        }
    }
    print(&text)
}

pub(super) fn show(path: &Path, look: Look) -> Result<(), Ended> {
    let scenario = find(path, look)?.scenario;
    let mut text = String::new();
    for line in wrapped(&scenario.description, COLUMNS - 2) {
        let _ = writeln!(text, "# {line}");
    }
    let shown =
        toml::to_string_pretty(&scenario).map_err(|error| Ended::with(FAILED, format_args!("mesh-sim: {error}")))?;
    text.push_str(&shown);
    print(&text)
}

pub(super) fn check(path: &Path, look: Look) -> Result<(), Ended> {
    let read = find(path, look)?;
    warn(&read, look);
    let scenario = &read.scenario;
    let servers = counted(scenario.server_count(), "server");
    let clients = counted(u64::from(scenario.clients.count.get()), "client");
    print(&format!("ok: {}, {servers}, {clients}, ~{} requests\n", scenario.name, large(expected_requests(scenario))))
}

pub(super) fn golden(name: &str, look: Look) -> Result<(), Ended> {
    let scenario = find(Path::new(name), look)?.scenario;
    let result = scenario.run().map_err(|error| Ended::with(BAD_SCENARIO, error))?;
    print(&report::golden(&result))
}

/// How many requests will come, about.
fn expected_requests(scenario: &Scenario) -> f64 {
    let seconds = scenario.duration.as_secs_f64();
    match &scenario.clients.arrivals {
        Arrivals::Poisson { rate } | Arrivals::Uniform { rate } | Arrivals::Bursts { rate, .. } => rate * seconds,
        Arrivals::Ramp { from, to } => f64::midpoint(*from, *to) * seconds,
        Arrivals::Steps { steps } => {
            let until = steps.iter().skip(1).map(|step| step.at.as_secs_f64()).chain([seconds]);
            let requests = |(step, until): (&RateStep, f64)| step.rate * (until - step.at.as_secs_f64()).max(0.0);
            steps.iter().zip(until.map(|until| until.min(seconds))).map(requests).sum()
        }
        Arrivals::Closed { requests, .. } => *requests as f64,
        Arrivals::Trace { offsets, .. } => offsets.len() as f64,
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| &text[..=first.len()])
}
