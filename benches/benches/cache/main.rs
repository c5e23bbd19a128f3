//! The cache beside the caches that people would use instead, and beside the least code that could do the same.
//!
//! Timed benchmarks are called `cache/<subject>/<keys>/<threads>`. Behind them come three tables, which are no times of one
//! operation: how often a full cache has what is asked for, what an entry takes of memory, and Redis, a real one, beside
//! the bare client. Whoever names a part of the ids is shown no table, but the one whose name it is: `hit-ratio`,
//! `memory` or `redis`.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod changes;
mod hits;
mod loads;
mod memory;
mod ratio;
mod redis;
mod subjects;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};
use mesh_benches::timing::{alone, shared};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [memory::CHILD, subject] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return memory::child(subject);
    }
    let mut criterion = criterion_for_many().configure_from_args();
    let mut group = criterion.benchmark_group("cache");
    group.sampling_mode(SamplingMode::Flat);
    hits::measure(&mut group);
    changes::measure(&mut group);
    loads::measure(&mut group);
    group.finish();
    criterion.final_summary();
    let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (name, measure) in TABLES {
        if named.is_empty() || named.contains(&&name.to_owned()) {
            measure();
        }
    }
}

const TABLES: [(&str, fn()); 3] =
    [("hit-ratio", ratio::measure), ("memory", memory::measure), ("redis", redis::measure)];

/// Short runs of many subjects, in samples of 10 ms, as in `pick`.
fn criterion_for_many() -> Criterion {
    Criterion::default()
        .sample_size(60)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .nresamples(10_000)
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Where subjects are measured.
struct Bench<'a, 'c> {
    group: &'a mut Group<'c>,
    keys: usize,
    threads: usize,
}

impl Bench<'_, '_> {
    /// Measures what workers do; each thread makes its own from its number.
    fn run<W: FnMut(u64)>(&mut self, subject: &str, make: impl Fn(u64) -> W + Sync) {
        let threads = self.threads;
        let id = BenchmarkId::new(subject, format!("{}/{threads}", self.keys));
        if threads == 1 {
            let mut worker = make(0);
            self.group.bench_function(id, |bencher| bencher.iter_custom(|ops| alone(ops, &mut worker)));
        } else {
            self.group.bench_function(id, |bencher| bencher.iter_custom(|ops| shared(threads, ops, &make)));
        }
    }
}
