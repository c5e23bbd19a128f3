//! A result for people: tables of at most 80 columns.

use core::fmt::Write as _;
use core::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::model::scenario::Scenario;
use crate::model::{Report, Requests};

/// The tables of `report`, which ends with a line for programs.
pub(crate) fn table(scenario: &Scenario, report: &Report) -> String {
    let mut text = heading(scenario);
    text.push_str(&results(report));
    text.push_str(&failures(report));
    text.push_str(&runs(report));
    text.push_str(&expectations(report));
    let failed = report.expectations.iter().filter(|verdict| !verdict.holds).count();
    let (name, count, expected) = (&report.scenario, report.runs.len(), report.expectations.len());
    let _ = writeln!(
        text,
        "\nRESULT scenario={name} runs={count} expectations={expected} failed={failed} seconds={:.1}",
        report.wall_s
    );
    text
}

fn heading(scenario: &Scenario) -> String {
    let millis = |duration: core::time::Duration| duration.as_secs_f64() * 1e3;
    format!(
        "{}: {} ({} warm-up), {}, {}, seed {}\n\n",
        scenario.name,
        duration(millis(scenario.duration)),
        duration(millis(scenario.warmup)),
        counted(scenario.server_count(), "server"),
        counted(u64::from(scenario.clients.count.get()), "client"),
        scenario.seed
    )
}

/// So many of something.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What came of each strategy.
fn results(report: &Report) -> String {
    let mut table = plain(&["strategy", "success", "mean", "p50", "p99", "p99.9", "tries", "imbalance"]);
    for run in &report.runs {
        let latency = run.latency_ms;
        let success = run.success_ratio.map_or_else(none, |ratio| format!("{:.3} %", ratio * 100.0));
        let mut row = vec![short(&run.label), success];
        row.extend([latency.mean, latency.p50, latency.p99, latency.p999].map(|ms| ms.map_or_else(none, duration)));
        row.push(run.attempts_per_request.map_or_else(none, |tries| format!("{tries:.3}")));
        row.push(run.imbalance.map_or_else(none, |imbalance| format!("{imbalance:.3}")));
        table.add_row(row);
    }
    shown(table)
}

/// How requests ended that did not succeed.
fn failures(report: &Report) -> String {
    let mut text = String::new();
    for run in &report.runs {
        let Requests { measured, failed, timed_out, rejected, refused, .. } = run.requests;
        let classes = [(failed, "failed"), (timed_out, "timed out"), (rejected, "rejected"), (refused, "refused")];
        let said: Vec<_> =
            classes.iter().filter(|(count, _)| *count > 0).map(|(n, class)| format!("{n} {class}")).collect();
        if !said.is_empty() {
            let _ = writeln!(text, "  {} of {measured}: {}", short(&run.label), said.join(", "));
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// What each run was, and how fast.
fn runs(report: &Report) -> String {
    let mut table = plain(&["run", "requests", "events", "requests/s", "digest"]);
    for run in &report.runs {
        let speed = if run.wall_s > 0.0 { large(run.requests.offered as f64 / run.wall_s) } else { none() };
        let digest = match run.interrupted_at_s {
            None => run.digest.clone(),
            Some(at) => format!("interrupted at {at:.1} s"),
        };
        let (requests, events) = (run.requests.offered.to_string(), large(run.events as f64));
        table.add_row(vec![short(&run.label), requests, events, speed, digest]);
    }
    format!("\n{}", shown(table))
}

fn expectations(report: &Report) -> String {
    let mut text = String::new();
    for verdict in &report.expectations {
        let mark = if verdict.holds { '✓' } else { '✗' };
        let value = verdict.value.map_or_else(none, |value| format!("{value:.5}"));
        let (who, metric, bound) = (short(&verdict.strategy), &verdict.metric, &verdict.bound);
        let _ = writeln!(text, "{mark} {who} {metric} = {value}, {bound}");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// A table without lines: the first column to the left, the others to the right.
fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

fn shown(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_padding((1, 0));
    }
    for column in table.column_iter_mut().take(1) {
        column.set_padding((0, 0));
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A label that leaves room for the numbers.
fn short(label: &str) -> String {
    if label.chars().count() <= LABEL_MAX {
        return label.to_owned();
    }
    let kept: String = label.chars().take(LABEL_MAX - 1).collect();
    format!("{kept}…")
}

fn none() -> String {
    "-".to_owned()
}

/// Milliseconds in the unit that suits them, with three digits.
pub(crate) fn duration(millis: f64) -> String {
    let (value, unit) = match millis {
        ms if ms >= 60_000.0 => return spelt(Duration::from_secs_f64(ms / 1e3)),
        ms if ms >= 1000.0 => (ms / 1e3, "s"),
        ms if ms >= 1.0 || ms == 0.0 => (ms, "ms"),
        ms if ms >= 1e-3 => (ms * 1e3, "µs"),
        ms => (ms * 1e6, "ns"),
    };
    let places = if value >= 100.0 || value == value.trunc() {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.places$} {unit}")
}

/// A minute or more.
fn spelt(long: Duration) -> String {
    let (minutes, seconds) = (long.as_secs() / 60, long.as_secs() % 60);
    if seconds == 0 { format!("{minutes} min") } else { format!("{minutes} min {seconds} s") }
}

/// A large number with its prefix.
pub(crate) fn large(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// Longer labels are cut: beside them there must be room for eight numbers in 80 columns.
const LABEL_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        let shown = [0.0, 0.000_5, 0.25, 1.0, 26.56, 178.5, 2000.0, 90_000.0].map(duration);
        assert_eq!(shown, ["0 ms", "500 ns", "250 µs", "1 ms", "26.6 ms", "178 ms", "2 s", "1 min 30 s"]);
    }

    #[test]
    fn long_labels_are_cut() {
        assert_eq!(short("p2c-least-loaded(choices=3)"), "p2c-least-loaded(ch…");
        assert_eq!(short("random"), "random");
    }
}
