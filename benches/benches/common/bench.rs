//! How criterion measures many subjects in a short time.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};
use mesh_benches::timing::{alone, shared};

/// Runs `measure` with the group called `name`. Short runs of many subjects, in samples of 10 ms: a median over many
/// samples leaves out those that others disturbed.
pub(crate) fn group(name: &str, measure: impl FnOnce(&mut BenchmarkGroup<'_, WallTime>)) {
    let criterion = Criterion::default().sample_size(60).nresamples(10_000);
    let criterion = criterion.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    let mut criterion = criterion.configure_from_args();
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    measure(&mut group);
    group.finish();
    criterion.final_summary();
}

/// Where a subject is measured.
pub(crate) struct Bench<'a, 'c> {
    pub(crate) group: &'a mut BenchmarkGroup<'c, WallTime>,
    pub(crate) size: usize,
    pub(crate) threads: usize,
}

impl Bench<'_, '_> {
    /// Measures what workers do; each thread makes its own from its number.
    pub(crate) fn run<W: FnMut(u64)>(&mut self, subject: &str, make: impl Fn(u64) -> W + Sync) {
        let (id, threads) = (self.id(subject), self.threads);
        self.group.bench_function(id, |bencher| {
            if threads == 1 {
                let mut worker = make(0);
                bencher.iter_custom(|ops| alone(ops, &mut worker));
            } else {
                bencher.iter_custom(|ops| shared(threads, ops, &make));
            }
        });
    }

    fn id(&self, subject: &str) -> BenchmarkId {
        BenchmarkId::new(subject, format!("{}/{}", self.size, self.threads))
    }
}
