//! What a simulation gives: the numbers of every run, in the shape of the format's JSON.

use serde::Serialize;
use serde_json::Value;

/// The result of a scenario: a run for each strategy, and what was expected of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of the format: 1.
    pub version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What all randomness was derived from.
    pub seed: u64,
    /// Seconds of wall time for all runs; 0 where nobody looked at a clock.
    pub wall_s: f64,
    /// The runs, in the order of the strategies.
    pub runs: Vec<Run>,
    /// What was expected, and came.
    pub expectations: Vec<Verdict>,
}

/// The run of one strategy. Numbers that there is no data for are none (`null`).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Run {
    /// The strategy's name.
    pub strategy: String,
    /// Its name, with what tells it from others of the same name.
    pub label: String,
    /// Its parameters in force.
    pub params: Value,
    /// What all randomness was derived from.
    pub seed: u64,
    /// The hash of the event trace, in hexadecimal.
    pub digest: String,
    /// Seconds of wall time; 0 where nobody looked at a clock.
    pub wall_s: f64,
    /// How many events the trace has.
    pub events: u64,
    /// How the measured requests ended.
    pub requests: Requests,
    /// Succeeded of measured.
    pub success_ratio: Option<f64>,
    /// Attempts of measured requests.
    pub attempts: u64,
    /// Attempts for each measured request.
    pub attempts_per_request: Option<f64>,
    /// Attempts that were not the first of their request.
    pub retries: u64,
    /// Copies that were sent before the first had ended.
    pub hedges: u64,
    /// Retries and hedges that a budget refused, and hedges that a breaker did.
    pub retries_denied: u64,
    /// From the intended arrival to the first success, of requests that succeeded.
    pub latency_ms: Latency,
    /// From the arrival at the server to the start of service.
    pub wait_ms: Wait,
    /// The largest over the mean of the servers' attempts for their weight.
    pub imbalance: Option<f64>,
    /// The servers, in the order of the groups.
    pub servers: Vec<ServerRun>,
    /// Where it was interrupted, in seconds of virtual time; such a run is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted_at_s: Option<f64>,
}

/// How requests ended. The last five add up to `measured`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Requests {
    /// Those that came at all.
    pub offered: u64,
    /// Those that came at or after the warm-up.
    pub measured: u64,
    /// A success within the deadline.
    pub succeeded: u64,
    /// The last attempt ended in an error, a reset or a refused connection.
    pub failed: u64,
    /// The deadline or the last attempt's timeout came.
    pub timed_out: u64,
    /// The last attempt met a full queue.
    pub rejected: u64,
    /// There was no instance to pick.
    pub refused: u64,
}

/// Latencies in milliseconds: the mean exact, the quantiles within 0.1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "quantiles by their usual names")]
pub struct Latency {
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub p9999: Option<f64>,
    pub max: Option<f64>,
}

/// Waits in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "as in Latency")]
pub struct Wait {
    pub mean: Option<f64>,
    pub p99: Option<f64>,
}

/// What one server did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerRun {
    /// Its group.
    pub group: String,
    /// Its place in the group.
    pub index: u32,
    /// Its zone.
    pub zone: Option<String>,
    /// Attempts of measured requests that were sent to it.
    pub attempts: u64,
    /// Its share of all of them.
    pub share: Option<f64>,
    /// Busy worker time over workers × measured time; none for `delay`.
    pub utilisation: Option<f64>,
    /// The most requests in it at once, abandoned ones included.
    pub in_flight_max: u32,
}

/// An expectation and what came.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// The label of the run.
    pub strategy: String,
    /// The number.
    pub metric: String,
    /// What it was; none where there is no data, which holds nothing.
    pub value: Option<f64>,
    /// What it had to be, in words.
    pub bound: String,
    /// Whether it was so.
    pub holds: bool,
}
