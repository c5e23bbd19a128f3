//! A result for spreadsheets: a line a run, a column a number (RFC 4180).

use serde_json::Value;

use crate::model::{Report, Run};

/// The runs of `report`: a line of names, and a line for each. Servers are left out, and what has no data is empty.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut text = String::new();
    push_line(&mut text, ["scenario"].into_iter().chain(COLUMNS.iter().copied()));
    for run in &report.runs {
        let fields: Vec<_> = fields(run);
        push_line(&mut text, [report.scenario.as_str()].into_iter().chain(fields.iter().map(String::as_str)));
    }
    text
}

/// What the columns say of a run, in their order.
fn fields(run: &Run) -> Vec<String> {
    let value = serde_json::to_value(run).unwrap_or_default();
    let field = |name: &&str| plain(name.split('.').try_fold(&value, |value, key| value.get(key)).unwrap_or_default());
    COLUMNS.iter().map(field).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn push_line<'a>(text: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            text.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push_str("\r\n");
}

/// The numbers and names of a run, dotted where they are in a table.
const COLUMNS: &[&str] = &[
    "strategy",
    "label",
    "params",
    "seed",
    "digest",
    "wall_s",
    "events",
    "requests.offered",
    "requests.measured",
    "requests.succeeded",
    "requests.failed",
    "requests.timed_out",
    "requests.rejected",
    "requests.refused",
    "success_ratio",
    "attempts",
    "attempts_per_request",
    "retries",
    "hedges",
    "retries_denied",
    "latency_ms.mean",
    "latency_ms.p50",
    "latency_ms.p90",
    "latency_ms.p95",
    "latency_ms.p99",
    "latency_ms.p999",
    "latency_ms.p9999",
    "latency_ms.max",
    "wait_ms.mean",
    "wait_ms.p99",
    "imbalance",
];
