//! A result for people: tables of at most 80 columns.

use core::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::words::{counted, hanging, large, latency, percent, plain, short, span};
use crate::model::scenario::Scenario;
use crate::model::{Report, Requests, Run};

/// The tables of `report`, which end with a line for programs.
pub(crate) fn table(scenario: &Scenario, report: &Report, colours: bool) -> String {
    let labels: Vec<_> = report.runs.iter().map(|run| run.label.as_str()).collect();
    let shown = Shown { scenario, report, labels: short(&labels, LABEL_MAX), colours };
    let mut text = shown.heading();
    for part in [shown.results(), shown.remarks(), shown.runs(), shown.expectations(), shown.last_line()] {
        if !part.is_empty() {
            let _ = write!(text, "\n{part}");
        }
    }
    text
}

struct Shown<'r> {
    scenario: &'r Scenario,
    report: &'r Report,
    /// What the runs are called here, in their order.
    labels: Vec<String>,
    colours: bool,
}

impl Shown<'_> {
    fn heading(&self) -> String {
        let Scenario { name, duration, warmup, seed, .. } = self.scenario;
        let warmup = if warmup.is_zero() { String::new() } else { format!(" ({} warm-up)", span(*warmup)) };
        let servers = counted(self.scenario.server_count(), "server");
        let clients = counted(u64::from(self.scenario.clients.count.get()), "client");
        hanging("", &format!("{name}: {}{warmup}, {servers}, {clients}, seed {seed}", span(*duration)))
    }

    fn runs_by_label(&self) -> impl Iterator<Item = (&String, &Run)> {
        self.labels.iter().zip(&self.report.runs)
    }

    /// What came of each strategy.
    fn results(&self) -> String {
        let mut table = unruled(&["strategy", "success", "mean", "p50", "p99", "p99.9", "tries", "imbalance"]);
        for (label, run) in self.runs_by_label() {
            let ms = run.latency_ms;
            let mut row = vec![label.clone(), or_dash(run.success_ratio, percent)];
            row.extend([ms.mean, ms.p50, ms.p99, ms.p999].map(|ms| or_dash(ms, latency)));
            row.push(or_dash(run.attempts_per_request, |tries| format!("{tries:.3}")));
            row.push(or_dash(run.imbalance, |imbalance| format!("{imbalance:.3}")));
            table.add_row(row);
        }
        lines(table)
    }

    /// How requests ended that did not succeed, and which runs are not whole.
    fn remarks(&self) -> String {
        let mut text = String::new();
        for (label, run) in self.runs_by_label() {
            let Requests { measured, failed, timed_out, rejected, refused, .. } = run.requests;
            let classes = [(failed, "failed"), (timed_out, "timed out"), (rejected, "rejected"), (refused, "refused")];
            let said: Vec<_> =
                classes.iter().filter(|(count, _)| *count > 0).map(|(n, class)| format!("{n} {class}")).collect();
            if !said.is_empty() {
                text += &hanging("  ", &format!("{label}: of {measured} requests {}", said.join(", ")));
            }
            if let Some(at) = run.interrupted_at_s {
                let whole = self.scenario.duration.as_secs_f64();
                text += &hanging("  ", &format!("{label}: interrupted at {at:.1} s of {} s", plain(whole)));
            }
        }
        let unmade = self.scenario.strategies.len().saturating_sub(self.report.runs.len());
        if unmade > 0 {
            text += &hanging("  ", &format!("{} not run", counted(unmade as u64, "strategy")));
        }
        text
    }

    /// What each run was, and how fast.
    fn runs(&self) -> String {
        let mut table = unruled(&["run", "requests", "events", "requests/s", "digest"]);
        for (label, run) in self.runs_by_label() {
            let Run { requests, events, wall_s, digest, .. } = run;
            let speed = (*wall_s > 0.0).then(|| requests.offered as f64 / wall_s);
            let (requests, events, speed) =
                (requests.offered.to_string(), large(*events as f64), or_dash(speed, large));
            table.add_row(vec![label.clone(), requests, events, speed, digest.clone()]);
        }
        lines(table)
    }

    fn expectations(&self) -> String {
        let mut text = String::new();
        for verdict in &self.report.expectations {
            let label = self.report.runs.iter().position(|run| run.label == verdict.strategy);
            let label = label.map_or(&verdict.strategy, |at| &self.labels[at]);
            // Rounded, a value that fails could look as if it held.
            let value = or_dash(verdict.value, |value| if verdict.holds { plain(value) } else { value.to_string() });
            let said = format!("{label} {} = {value}, {}", verdict.metric, verdict.bound);
            text += &self.marked(verdict.holds, &hanging("✓ ", &said));
        }
        text
    }

    /// `line`, which begins with a mark, with the right one.
    fn marked(&self, holds: bool, line: &str) -> String {
        let mark = match (self.colours, holds) {
            (false, true) => "✓",
            (false, false) => "✗",
            (true, true) => "\u{1b}[32m✓\u{1b}[0m",
            (true, false) => "\u{1b}[31m✗\u{1b}[0m",
        };
        line.replacen('✓', mark, 1)
    }

    fn last_line(&self) -> String {
        let Report { scenario, runs, expectations, wall_s, .. } = self.report;
        let failed = expectations.iter().filter(|verdict| !verdict.holds).count();
        let (runs, expected) = (runs.len(), expectations.len());
        format!("RESULT scenario={scenario} runs={runs} expectations={expected} failed={failed} seconds={wall_s:.2}\n")
    }
}

fn or_dash<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

/// A table without lines: the first column to the left, the others to the right.
fn unruled(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

fn lines(mut table: Table) -> String {
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(at > 0), 0));
        column.set_cell_alignment(if at > 0 { CellAlignment::Right } else { CellAlignment::Left });
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Longer labels are cut: beside them there must be room for seven numbers in 80 columns.
const LABEL_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::model::scenario::{Arrivals, Bound, Distribution, Expectation, ServerGroup};
    use mesh_core::balance::Strategy;

    #[test]
    fn the_widest_numbers_fit_into_80_columns() {
        let scenario = tiny();
        let mut report = scenario.run().unwrap();
        for run in &mut report.runs {
            let ms = &mut run.latency_ms;
            (ms.mean, ms.p50, ms.p99, ms.p999) = (Some(99.94), Some(9.994), Some(999.4), Some(9_994.0));
            run.label = "p2c-least-loaded(choices=12,failure_hold=1500ms)".to_owned();
            run.attempts_per_request = Some(12.345);
            (run.imbalance, run.success_ratio) = (Some(1000.0), Some(1.0));
            (run.events, run.wall_s) = (9_999_999_999_999, 1e-3);
            let requests = &mut run.requests;
            (requests.offered, requests.measured) = (9_999_999_999, 9_999_999_999);
            (requests.failed, requests.timed_out) = (9_999_999_999, 9_999_999_999);
            (requests.rejected, requests.refused) = (9_999_999_999, 9_999_999_999);
            run.interrupted_at_s = Some(123_456.7);
        }
        let text = table(&scenario, &report, false);
        let widest = text.lines().filter(|line| !line.starts_with("RESULT")).max_by_key(|line| line.chars().count());
        assert!(widest.unwrap().chars().count() <= super::super::words::COLUMNS, "{text}");
        assert!(text.contains("interrupted at 123456.7 s of 1 s"), "{text}");
    }

    #[test]
    fn a_value_that_fails_is_shown_in_full() {
        let text = table(&tiny(), &tiny().run().unwrap(), false);
        assert!(text.contains("✓ random success_ratio = 1, at least 1\n"), "{text}");
        let missed = tiny().expect(Expectation::new("latency_ms.mean", Bound::AtMost(1.0)));
        let text = table(&missed, &missed.run().unwrap(), false);
        assert!(text.contains("✗ random latency_ms.mean = 1.000001, at most 1\n"), "{text}");
        assert!(text.contains("expectations=2 failed=1 "), "{text}");
    }

    #[test]
    fn only_marks_are_coloured() {
        let (scenario, report) = (tiny(), tiny().run().unwrap());
        let coloured = table(&scenario, &report, true);
        assert!(coloured.contains("\u{1b}[32m✓\u{1b}[0m random"), "{coloured}");
        assert_eq!(coloured.replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), table(&scenario, &report, false));
    }

    #[test]
    fn strategies_that_were_not_run_are_counted() {
        let scenario = tiny().strategy(Strategy::RoundRobin).strategy(Strategy::Random);
        let text = table(&scenario, &tiny().run().unwrap(), false);
        assert!(text.contains("\n  2 strategies not run\n"), "{text}");
    }

    fn tiny() -> Scenario {
        let service = Distribution::constant(Duration::from_nanos(1_000_001));
        Scenario::new("tiny", Duration::from_secs(1), Arrivals::Uniform { rate: 10.0 })
            .servers(ServerGroup::new("api", 2, service))
            .strategy(Strategy::Random)
            .expect(Expectation::new("success_ratio", Bound::AtLeast(1.0)))
    }
}
