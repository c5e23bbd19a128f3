//! A result as it is kept beside the code: what must not change unnoticed, and nothing of the machine it ran on.

use serde_json::{Value, json};

use crate::model::{Report, Run};

/// The summary of `report`, the same on every machine.
#[must_use]
pub fn golden(report: &Report) -> String {
    let runs: Vec<_> = report.runs.iter().map(run).collect();
    let summary = json!({ "scenario": report.scenario, "seed": report.seed, "runs": runs });
    let mut text = serde_json::to_string_pretty(&summary).unwrap_or_default();
    text.push('\n');
    text
}

fn run(run: &Run) -> Value {
    let shares = || run.servers.iter().filter_map(|server| server.share);
    json!({
        "label": run.label,
        "params": run.params,
        "digest": run.digest,
        "events": run.events,
        "requests": run.requests,
        "attempts": run.attempts,
        "retries": run.retries,
        "latency_ms": run.latency_ms,
        "wait_ms": run.wait_ms,
        "imbalance": run.imbalance,
        "share_min": shares().reduce(f64::min),
        "share_max": shares().reduce(f64::max),
    })
}
