//! A result as it is kept beside the code: what must not change unnoticed, and nothing of the machine it ran on.

use serde::Serialize;

use crate::model::{Latency, Report, Requests, Run, Wait};

/// The summary of `report`, the same on every machine.
#[must_use]
pub fn golden(report: &Report) -> String {
    let runs = report.runs.iter().map(RunSummary::of).collect();
    let summary = Summary { scenario: &report.scenario, seed: report.seed, runs };
    let mut text = serde_json::to_string_pretty(&summary).unwrap_or_default();
    text.push('\n');
    text
}

/// Its fields are written in this order, which the order of keys in a JSON value would not promise.
#[derive(Debug, Serialize)]
struct Summary<'r> {
    scenario: &'r str,
    seed: u64,
    runs: Vec<RunSummary<'r>>,
}

#[derive(Debug, Serialize)]
struct RunSummary<'r> {
    label: &'r str,
    digest: &'r str,
    events: u64,
    requests: Requests,
    success_ratio: Option<f64>,
    attempts: u64,
    retries: u64,
    hedges: u64,
    latency_ms: Latency,
    wait_ms: Wait,
    imbalance: Option<f64>,
    share_min: Option<f64>,
    share_max: Option<f64>,
}

impl<'r> RunSummary<'r> {
    fn of(run: &'r Run) -> Self {
        let shares = || run.servers.iter().filter_map(|server| server.share);
        Self {
            label: &run.label,
            digest: &run.digest,
            events: run.events,
            requests: run.requests,
            success_ratio: run.success_ratio,
            attempts: run.attempts,
            retries: run.retries,
            hedges: run.hedges,
            latency_ms: run.latency_ms,
            wait_ms: run.wait_ms,
            imbalance: run.imbalance,
            share_min: shares().reduce(f64::min),
            share_max: shares().reduce(f64::max),
        }
    }
}
