//! What must come out: numbers that a result has, of strategies that are run.

use mesh_core::balance::Strategy;
use serde_json::{Value, json};

use super::findings::{Findings, Path};
use crate::model::plan::{labels, params};
use crate::model::scenario::{Bound, Expectation, Scenario};
use crate::model::{Latency, Requests, Run, ServerRun, Wait};
use crate::near::{did_you_mean, near};

/// Checks every expectation.
pub(super) fn verify(scenario: &Scenario, found: &mut Findings) {
    if scenario.expect.is_empty() {
        return;
    }
    let path = Path::Root.key("expect");
    let labels = labels(&scenario.strategies);
    let metrics = Metrics::of(scenario);
    for (at, expectation) in scenario.expect.iter().enumerate() {
        let path = path.item(at);
        if let Some(named) = &expectation.strategy {
            let names = scenario.strategies.iter().map(Strategy::name).chain(labels.iter().map(String::as_str));
            found.require_known(path.key("strategy"), named, names, "it is not among the strategies");
        }
        metrics.verify(&expectation.metric, path.key("metric"), found);
        verify_bound(expectation, path, found);
    }
}

fn verify_bound(expectation: &Expectation, path: Path<'_>, found: &mut Findings) {
    let rule = "must be a number";
    match expectation.bound {
        Bound::AtLeast(least) => {
            found.require(!least.is_nan(), path.key("at_least"), least, rule);
        }
        Bound::AtMost(most) => {
            found.require(!most.is_nan(), path.key("at_most"), most, rule);
        }
        Bound::Between(low, high) => {
            let path = path.key("between");
            let fit = found.require(!low.is_nan(), path.item(0), low, rule)
                & found.require(!high.is_nan(), path.item(1), high, rule);
            let rule = "the first must be at most the second";
            found.require(!fit || low <= high, path, format_args!("[{low}, {high}]"), rule);
        }
    }
}

/// The numbers that results have.
struct Metrics {
    /// Their dotted names, with the first server for all.
    names: Vec<String>,
    servers: u64,
}

impl Metrics {
    fn of(scenario: &Scenario) -> Self {
        let template = serde_json::to_value(blank(&scenario.strategies)).unwrap_or_default();
        let mut names = Vec::new();
        flatten(&template, "", &mut names);
        Self { names, servers: scenario.server_count() }
    }

    fn verify(&self, metric: &str, path: Path<'_>, found: &mut Findings) {
        let metric_of_first = match server_number(metric) {
            Some((number, rest)) if number < self.servers => format!("servers.0.{rest}"),
            Some((number, _)) => {
                let last = self.servers.saturating_sub(1);
                let message = format!("there is no server {number}: they are numbered 0 to {last} over all groups");
                return found.object(path, message, None);
            }
            None => metric.to_owned(),
        };
        if self.names.contains(&metric_of_first) {
            return;
        }
        let help = self.inner(metric).or_else(|| near(metric, self.names.iter().map(String::as_str)).map(did_you_mean));
        found.refuse(path, metric, "results have no such number", help);
    }

    /// What a table of numbers has to offer.
    fn inner(&self, metric: &str) -> Option<String> {
        let prefix = format!("{metric}.");
        let within: Vec<_> = self.names.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
        (!within.is_empty()).then(|| format!("name one of its numbers: {}", within.join(", ")))
    }
}

/// The number of the server that a metric is about, and the rest of its name.
fn server_number(metric: &str) -> Option<(u64, &str)> {
    let (number, rest) = metric.strip_prefix("servers.")?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// The dotted names of all numbers in `value`; one without data is a number too.
fn flatten(value: &Value, name: &str, names: &mut Vec<String>) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Number(_) | Value::Null => names.push(name.to_owned()),
        Value::Object(table) => table.iter().for_each(|(key, value)| flatten(value, &inner(key), names)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| flatten(value, &inner(&at.to_string()), names));
        }
        Value::String(_) | Value::Bool(_) => {}
    }
}

/// A run without data, with one server and the parameters of all `strategies`.
fn blank(strategies: &[Strategy]) -> Run {
    let server = ServerRun {
        group: String::new(),
        index: 0,
        zone: Some(String::new()),
        attempts: 0,
        share: None,
        utilisation: None,
        in_flight_max: 0,
    };
    let mut all = serde_json::Map::new();
    for strategy in strategies {
        if let Value::Object(params) = params(strategy) {
            all.extend(params);
        }
    }
    Run {
        strategy: String::new(),
        label: String::new(),
        params: json!(all),
        seed: 0,
        digest: String::new(),
        wall_s: 0.0,
        events: 0,
        requests: Requests::default(),
        success_ratio: None,
        attempts: 0,
        attempts_per_request: None,
        retries: 0,
        hedges: 0,
        retries_denied: 0,
        latency_ms: Latency::default(),
        wait_ms: Wait::default(),
        imbalance: None,
        servers: vec![server],
        interrupted_at_s: None,
    }
}
