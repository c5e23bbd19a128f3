//! Finding, showing and checking scenarios.

use std::fmt::Write as _;
use std::path::Path;

use super::{BAD_SCENARIO, Ended, FAILED, Look, print, tell};
use crate::model::scenario::{Arrivals, Scenario};
use crate::reading::{self, Read};
use crate::report::{self, counted, large};
use crate::{env, near, shipped};

/// Reads the scenario in the file at `path`, or the one of that name that comes with the command.
pub(super) fn find(path: &Path, look: Look) -> Result<Read, Ended> {
    let name = path.to_string_lossy();
    if !path.is_file() {
        let Some(shipped) = shipped::find(&name) else { return Err(unknown(&name)) };
        return shipped.read().map_err(|error| Ended::with(BAD_SCENARIO, error));
    }
    let text = env::read(path).map_err(|error| Ended::usage(format_args!("{name}: {error}")))?;
    // A trace is looked for beside the scenario that names it.
    let open = |file: &str| env::read(&path.parent().unwrap_or(Path::new("")).join(file));
    reading::read_with(&name, &text, open)
        .map_err(|error| Ended::with(BAD_SCENARIO, if look.colours { error.coloured() } else { error.to_string() }))
}

fn unknown(name: &str) -> Ended {
    let names = shipped::ALL.iter().map(|shipped| shipped.name);
    let near = near::near(name, names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
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
    let mut text = String::new();
    for shipped in shipped::ALL {
        let read = shipped.read().map_err(|error| Ended::with(BAD_SCENARIO, error))?;
        let _ = writeln!(text, "{}", shipped.name);
        for line in wrapped(&read.scenario.description, 74) {
            let _ = writeln!(text, "    {line}");
        }
    }
    print(&text)
}

pub(super) fn show(path: &Path, look: Look) -> Result<(), Ended> {
    let scenario = find(path, look)?.scenario;
    let mut text = String::new();
    for line in wrapped(&scenario.description, 76) {
        let _ = writeln!(text, "# {line}");
    }
    let shown = toml::to_string(&scenario).map_err(|error| Ended::with(FAILED, format_args!("mesh-sim: {error}")))?;
    text.push_str(&shown);
    print(&text)
}

pub(super) fn check(path: &Path, look: Look) -> Result<(), Ended> {
    let read = find(path, look)?;
    warn(&read, look);
    let scenario = &read.scenario;
    let servers = counted(scenario.server_count(), "server");
    let clients = counted(u64::from(scenario.clients.count.get()), "client");
    let requests = expected_requests(scenario).map_or_else(String::new, |n| format!(", about {} requests", large(n)));
    print(&format!("ok: {}, {servers}, {clients}{requests}\n", scenario.name))
}

pub(super) fn golden(name: &str, look: Look) -> Result<(), Ended> {
    let scenario = find(Path::new(name), look)?.scenario;
    let result = scenario.run().map_err(|error| Ended::with(BAD_SCENARIO, error))?;
    print(&report::golden(&result))
}

/// How many requests will come, about.
fn expected_requests(scenario: &Scenario) -> Option<f64> {
    let seconds = scenario.duration.as_secs_f64();
    match &scenario.clients.arrivals {
        Arrivals::Poisson { rate } | Arrivals::Uniform { rate } | Arrivals::Bursts { rate, .. } => Some(rate * seconds),
        Arrivals::Ramp { from, to } => Some(f64::midpoint(*from, *to) * seconds),
        Arrivals::Steps { steps } => {
            let until = steps.iter().skip(1).map(|step| step.at.as_secs_f64()).chain([seconds]);
            Some(
                steps.iter().zip(until).map(|(step, until)| step.rate * (until - step.at.as_secs_f64()).max(0.0)).sum(),
            )
        }
        Arrivals::Closed { requests, .. } => Some(*requests as f64),
        Arrivals::Trace { offsets, .. } => Some(offsets.len() as f64),
    }
}

/// `text` in lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}
