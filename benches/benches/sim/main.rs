//! What a simulated request costs: through the mesh's own decisions, beside nexosim and a bare loop over a heap.
//!
//! The steady model is the same for all three: Poisson arrivals at 90 % of the capacity, exponential services of 10 ms,
//! first come first served, each request to the less loaded of two servers drawn alike.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod heap_loop;
mod model;
mod nexo;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};
use mesh_benches::timing::alone;

/// The samples of each subject, in nanoseconds a request. Criterion's warm-up runs come first and are left out.
type Samples = RefCell<BTreeMap<(&'static str, usize), Vec<f64>>>;

fn main() {
    agree();
    let samples = Samples::default();
    let criterion = Criterion::default().sample_size(SAMPLES).nresamples(1000).warm_up_time(Duration::from_millis(200));
    let mut criterion = criterion.measurement_time(Duration::from_secs(1)).configure_from_args();
    let mut group = criterion.benchmark_group("sim");
    group.sampling_mode(SamplingMode::Flat);
    for (servers, requests) in [(100, 200_000), (10_000, 1_000_000)] {
        let steady = model::steady(servers, requests);
        measure(&mut group, &samples, "mesh-sim/steady", servers, || model::run(&steady).offered);
        measure(&mut group, &samples, "heap-loop/steady", servers, || heap_loop::run(servers, requests).requests);
        if servers == 100 {
            measure(&mut group, &samples, "nexosim/steady", servers, || nexo::run(servers, requests).requests);
        }
    }
    let faulty = model::retries_and_checks(100, 200_000);
    measure(&mut group, &samples, "mesh-sim/retries-checks", 100, || model::run(&faulty).offered);
    let many = model::many_by_many(100, 200_000);
    measure(&mut group, &samples, "mesh-sim/many-by-many", 100, || model::run(&many).offered);
    group.finish();
    criterion.final_summary();
    print(&samples.into_inner());
}

/// Measures `run`, which simulates as many requests as it says.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    samples: &Samples,
    subject: &'static str,
    servers: usize,
    run: impl Fn() -> u64,
) {
    group.bench_function(BenchmarkId::new(subject, format!("{servers}/1")), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut requests = 0;
            // The number of requests belongs to the run: criterion's iterations are requests, scaled to as many.
            let elapsed = alone(1, |_| requests = run());
            let each = elapsed.as_nanos() as f64 / requests as f64;
            samples.borrow_mut().entry((subject, servers)).or_default().push(each);
            Duration::from_nanos((each * iterations as f64) as u64)
        });
    });
}

/// Three models that are to be the same are, or their times mean nothing.
fn agree() {
    let mean = heap_loop::run(100, 1_000_000).mean_millis;
    let others = [
        ("mesh-sim", model::run(&model::steady(100, 1_000_000)).mean_millis),
        ("nexosim", nexo::run(100, 1_000_000).mean_millis),
    ];
    for (name, other) in others {
        assert!((other / mean - 1.0).abs() < 0.03, "{name} gives a mean of {other} ms, the heap loop {mean} ms");
    }
    println!("mean latency of the steady model: {mean:.2} ms in the heap loop, {others:.2?}");
}

/// What one simulation gave.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    requests: u64,
    mean_millis: f64,
}

fn print(samples: &BTreeMap<(&'static str, usize), Vec<f64>>) {
    let median = |subject: &'static str, servers: usize| {
        let all = samples.get(&(subject, servers))?;
        let mut sorted = all[all.len().saturating_sub(SAMPLES)..].to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    };
    println!("\n{:<26} {:>8} {:>12} {:>14} {:>12}", "subject", "servers", "ns/request", "requests/s", "of the loop");
    for &(subject, servers) in samples.keys() {
        let Some(each) = median(subject, servers) else { continue };
        // The other models do more than the loop, so that a ratio to it would say nothing of the engine.
        let ratio = median("heap-loop/steady", servers)
            .filter(|_| subject.ends_with("/steady"))
            .map_or_else(String::new, |floor| format!("{:.2} x", each / floor));
        println!("{subject:<26} {servers:>8} {each:>12.0} {:>14.0} {ratio:>12}", 1e9 / each);
    }
    for subject in ["mesh-sim/steady", "heap-loop/steady"] {
        if let (Some(few), Some(many)) = (median(subject, 100), median(subject, 10_000)) {
            println!("{subject}: a request at 10,000 servers costs {:.2} times one at 100", many / few);
        }
    }
}

const SAMPLES: usize = 10;
