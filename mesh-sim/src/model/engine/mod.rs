//! The engine (stub while the rest grows around it).

use super::observe::Observer;
use super::result::{Latency, Requests, Run, Wait};
use super::scenario::Scenario;
use mesh_core::balance::Strategy;

pub(super) fn run<O: Observer>(scenario: &Scenario, strategy: &Strategy, observer: &mut O) -> Run {
    let _ = observer.progress(mesh_core::time::Instant::ZERO);
    Run {
        strategy: strategy.name().to_owned(),
        label: String::new(),
        params: serde_json::Value::Null,
        seed: scenario.seed,
        digest: format!("{:016x}", 0),
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
        servers: Vec::new(),
        interrupted_at_s: None,
    }
}
