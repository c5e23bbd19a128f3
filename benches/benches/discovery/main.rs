//! Discovery through Consul: what a list costs to read, how soon a change is in a view, and what many watches cost.
//!
//! The agent is a real one, started here. Change to view is measured beside the least that could be done, a bare blocking
//! query, which sees the very same changes; reading a list beside `serde_json::Value`.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod change;
mod lists;
mod many;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let criterion = Criterion::default().sample_size(30).nresamples(10_000);
    let criterion = criterion.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    let mut criterion = criterion.configure_from_args();
    lists::measure(&mut criterion);
    criterion.final_summary();
    // Whoever names a part of the ids wants no agent.
    if std::env::args().skip(1).any(|argument| !argument.starts_with('-')) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(change::measure());
    runtime.block_on(many::measure());
}

/// The duration below which `percent` of `sorted` are.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
