//! What counts cost in balance that threads hold back: mean latencies beside those of exact counts, on the same requests.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::balance::Strategy;

use super::row::Claim;
use super::{Task, replicate};
use crate::model::engine;
use crate::model::scenario::{Arrivals, Distribution, Scenario, ServerGroup, Threads};

/// Ten servers at 80 %, two choices, a second of service. A window of a fiftieth of that costs nothing to speak of, a
/// tenth some per cent; where it is longer than requests take, threads balance on their own, which is why the
/// documentation warns of it.
pub(super) fn tasks() -> Vec<Task> {
    // The last two by a loop of its own over windowed counters, whose mean on exact counts was 2.07.
    vec![
        costs(2, [(Claim::AtMost(1.02), 0.0), (Claim::AtMost(1.04), 0.0), (Claim::Is(2.33 / 2.07), 0.02)]),
        costs(16, [(Claim::AtMost(1.02), 0.0), (Claim::AtMost(1.12), 0.0), (Claim::Is(6.5 / 2.07), 0.15)]),
    ]
}

/// The mean latency with `threads` threads and each window, over that with exact counts.
fn costs(threads: u32, claims: [(Claim, f64); 3]) -> Task {
    let name = |window: Duration| format!("{threads} threads, window {}, mean", window.as_secs_f64());
    let named = WINDOWS.iter().zip(claims).map(|(window, (claim, listed))| (name(*window), claim, listed));
    let claims = named.collect();
    let measure = move |seed| {
        replicate(seed, REPLICATIONS, |seed| {
            let exact = mean(threads, Duration::ZERO, seed);
            WINDOWS.map(|window| mean(threads, window, seed) / exact)
        })
    };
    Task { claims, measure: Box::new(measure) }
}

/// The mean latency in milliseconds.
fn mean(threads: u32, window: Duration, seed: u64) -> f64 {
    let group = ServerGroup::new("ten", 10, Distribution::exponential(Duration::from_secs(1)));
    let scenario = Scenario::new("windows", WARMUP + MEASURED, Arrivals::poisson(8.0)).servers(group);
    let mut scenario = scenario.warmup(WARMUP).seed(seed);
    let count = NonZeroU32::MIN.saturating_add(threads.saturating_sub(1));
    scenario.clients.threads = Threads { count, window };
    let run = engine::run(&scenario, &Strategy::default(), &mut ());
    run.latency_ms.mean.unwrap_or(f64::NAN)
}

/// In service times of a second.
const WINDOWS: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(100), Duration::from_secs(2)];
const WARMUP: Duration = Duration::from_secs(300);
const MEASURED: Duration = Duration::from_secs(4_000);
const REPLICATIONS: u64 = 16;
