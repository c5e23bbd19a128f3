//! Health: what it costs a request that its end is recorded, what a look at a whole fleet costs, and what an instance
//! takes in memory.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion};
use mesh_benches::fleet;
use mesh_core::balance::{Balancer, Handle, Outcome, PickContext, Strategy};
use mesh_core::health::ScoreConfig;
use mesh_core::health::outlier::OutlierConfig;
use mesh_core::machine::{Machine, ServiceEffect, ServiceInput, ServiceMachine, ServiceMachineConfig};
use mesh_core::port::Resolution;
use mesh_core::rng::mix;
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use mesh_core::time::Instant;

const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn main() {
    let criterion = Criterion::default().sample_size(20).nresamples(10_000);
    let criterion = criterion.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let mut criterion = criterion.configure_from_args();
    let mut group = criterion.benchmark_group("health");
    floor(&mut group);
    for (subject, outlier) in [("mesh/ends-unrecorded", OutlierConfig::off()), ("mesh/ends-recorded", all_on())] {
        ends(&mut group, subject, outlier);
    }
    for size in SIZES {
        sweep(&mut group, ("mesh/sweep", size), ScoreConfig::off());
        sweep(&mut group, ("mesh/sweep/weights-moving", size), ScoreConfig::default());
    }
    group.finish();
    criterion.final_summary();
    memory();
    allocations();
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn id(subject: &str, size: usize) -> BenchmarkId {
    BenchmarkId::new(subject, format!("{size}/1"))
}

/// Every detector, those that are off by default among them.
fn all_on() -> OutlierConfig {
    let envoy = OutlierConfig::envoy();
    let mut all = OutlierConfig::default();
    all.gateway_in_row = envoy.gateway_in_row;
    all.failure_percentage = envoy.failure_percentage;
    all
}

/// A machine of the service, and a balancer that has its view.
fn service(size: usize, outlier: OutlierConfig, strategy: Strategy) -> (ServiceMachine, Balancer) {
    let mut config = ServiceMachineConfig::default();
    config.strategy = strategy;
    config.outlier = outlier;
    configured(size, config)
}

fn configured(size: usize, config: ServiceMachineConfig) -> (ServiceMachine, Balancer) {
    let mut machine = ServiceMachine::new(config, 1);
    let members = fleet::members(size).expect("the fleet is valid").into_iter();
    let entries = members.map(|member| Entry::new(member.instance, RegistryStatus::Passing, None));
    let heard = Resolution::certain(Arc::new(Snapshot::new(entries.collect())), true);
    machine.handle_input(Instant::ZERO, ServiceInput::Observed(heard));
    let balancer = Balancer::new();
    publish(&mut machine, &balancer);
    (machine, balancer)
}

fn publish(machine: &mut ServiceMachine, balancer: &Balancer) {
    while let Some(effect) = machine.poll_effect() {
        if let ServiceEffect::Publish(view) = effect {
            balancer.publish(view);
        }
    }
    while machine.poll_event().is_some() {}
}

/// Two counts on a cache line that nobody else writes: what recording an outcome is to cost at most twice.
fn floor(group: &mut Group<'_>) {
    #[repr(align(64))]
    struct Line(AtomicU64, AtomicU64);
    let lines: Vec<_> = (0..FLEET).map(|_| Line(AtomicU64::new(0), AtomicU64::new(0))).collect();
    let mut word = 0;
    group.bench_function(id("floor/two-atomics", FLEET), |bencher| {
        bencher.iter(|| {
            word = mix(word + 1);
            let line = &lines[word as usize % FLEET];
            line.0.fetch_add(word & 0xFF, Ordering::Relaxed);
            line.1.fetch_add(1, Ordering::Relaxed)
        });
    });
}

/// A pick and its end.
fn ends(group: &mut Group<'_>, subject: &str, outlier: OutlierConfig) {
    let (_machine, balancer) = service(FLEET, outlier, Strategy::Random);
    let mut handle = balancer.handle();
    let mut word = 0;
    group.bench_function(id(subject, FLEET), |bencher| {
        bencher.iter(|| {
            word = mix(word + 1);
            request(&mut handle, Instant::from_nanos(word >> 8), word, Outcome::Success);
        });
    });
}

fn request(handle: &mut Handle, now: Instant, word: u64, outcome: Outcome) {
    let lease = handle.pick(now, &PickContext::default(), word).expect("somebody is there");
    black_box(lease.finish(now + Duration::from_millis(3), outcome));
}

/// A sweep with every detector on, over a fleet of which every instance had some twenty requests since the last, and one in
/// 25 a failure; where that moves weights, those instances are looked at anew, and a view is made.
fn sweep(group: &mut Group<'_>, (subject, size): (&str, usize), weighting: ScoreConfig) {
    let mut config = ServiceMachineConfig::default();
    config.strategy = Strategy::RoundRobin;
    config.weighting = weighting;
    config.outlier = all_on();
    let (mut machine, balancer) = configured(size, config);
    let mut handle = balancer.handle();
    let interval = OutlierConfig::default().interval;
    let (mut now, mut word) = (Instant::ZERO, 0);
    group.bench_function(id(subject, size), |bencher| {
        let next = || {
            now += interval;
            for _ in 0..20 * size {
                word = mix(word + 1);
                let outcome = if word.is_multiple_of(500) { Outcome::Failure } else { Outcome::Success };
                request(&mut handle, now, word, outcome);
            }
            now
        };
        bencher.iter_batched(
            next,
            |now| {
                machine.handle_timeout(now);
                publish(&mut machine, &balancer);
            },
            BatchSize::PerIteration,
        );
    });
}

/// What an instance takes, its endpoint, its place in the view and its entry in the registry's list among it.
fn memory() {
    let size = 10_000;
    let bytes = |outlier: fn() -> OutlierConfig| {
        let info = allocation_counter::measure(|| drop(black_box(service(size, outlier(), Strategy::default()))));
        info.bytes_max / size as u64
    };
    let (without, with) = (bytes(OutlierConfig::off), bytes(all_on));
    println!("\nmemory of an instance in a service of {size}, at the peak of building it");
    println!("  without outlier detection  {without:>6} bytes");
    println!("  with every detector        {with:>6} bytes");
}

fn allocations() {
    let (_machine, balancer) = service(FLEET, all_on(), Strategy::default());
    let mut handle = balancer.handle();
    let mut requests = |from: u64| {
        for word in from..from + 10_000 {
            let outcome = if word % 7 == 0 { Outcome::Failure } else { Outcome::Success };
            request(&mut handle, Instant::from_millis(word), mix(word), outcome);
        }
    };
    // With its first failure an instance gets a place for those that still count as load.
    requests(0);
    let counted = allocation_counter::measure(|| requests(10_000));
    println!("\nallocations in 10,000 picks and ends: {}", counted.count_total);
}

const FLEET: usize = 100;
