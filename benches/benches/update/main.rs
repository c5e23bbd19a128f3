//! Updates: what a change costs before the next pick can see it, and what picks feel of it.
//!
//! Not on any request's path, but a fleet of 10,000 that rolls changes all the time.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod peers;
mod slowest;

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion};
use mesh_benches::fleet;
use mesh_core::balance::{Balancer, Change, Eligibility, Member, Strategy, ViewBuilder};
use mesh_core::machine::{Machine, ServiceInput, ServiceMachine, ServiceMachineConfig};
use mesh_core::port::Resolution;
use mesh_core::service::{Instance, Weight};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use mesh_core::time::Instant;

const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];

fn main() {
    let criterion = Criterion::default().sample_size(20).nresamples(10_000);
    let criterion = criterion.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    let mut criterion = criterion.configure_from_args();
    let mut group = criterion.benchmark_group("update");
    for size in SIZES {
        deltas(&mut group, size);
        peers::pingora_one_changed(&mut group, size);
        peers::tower_one_changed(&mut group, size);
        list(&mut group, size);
        machine(&mut group, size);
        from_nothing(&mut group, size);
    }
    group.finish();
    criterion.final_summary();
    slowest::print();
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn id(subject: &str, size: usize) -> BenchmarkId {
    BenchmarkId::new(subject, format!("{size}/1"))
}

/// One change of one instance there and back again, each with its view published.
fn deltas(group: &mut Group<'_>, size: usize) {
    let now = fleet::member(size / 2).expect("the fleet is valid");
    let sick = Member { eligibility: Eligibility::Unhealthy, ..now.clone() };
    let heavy = Member { weight: Weight::new(2), ..now.clone() };
    let tagged = Instance::builder("api", now.instance.host().clone(), now.instance.port()).tag("new").build();
    let tagged = Member::usable(tagged.expect("the instance is valid"));
    let there_and_back = |other: Member| [vec![Change::Set(other)], vec![Change::Set(now.clone())]];
    let strategy = Strategy::default;
    delta(group, ("mesh/delta/health", size), strategy(), there_and_back(sick));
    delta(group, ("mesh/delta/metadata", size), strategy(), there_and_back(tagged));
    delta(group, ("mesh/delta/weight", size), Strategy::RoundRobin, there_and_back(heavy.clone()));
    delta(group, ("mesh/delta/weight/alias-table", size), strategy(), there_and_back(heavy));
    let other = fleet::member(size).expect("the fleet is valid");
    let swap = |leaves: &Member, joins: &Member| {
        vec![Change::Remove(leaves.instance.key().clone()), Change::Set(joins.clone())]
    };
    delta(group, ("mesh/delta/one-changed", size), strategy(), [swap(&now, &other), swap(&other, &now)]);
}

fn delta(group: &mut Group<'_>, (subject, size): (&str, usize), strategy: Strategy, changes: [Vec<Change>; 2]) {
    let mut views = ViewBuilder::new(strategy);
    let balancer = Balancer::new();
    balancer.publish(views.build(fleet::members(size).expect("the fleet is valid")));
    let mut turn = 0;
    group.bench_function(id(subject, size), |bencher| {
        let next = || {
            turn += 1;
            changes[(turn - 1) % 2].clone()
        };
        bencher.iter_batched(next, |changes| balancer.publish(views.update(changes)), BatchSize::PerIteration);
    });
}

/// A whole list of which one instance left and another joined; the rest are the same values as before.
fn list(group: &mut Group<'_>, size: usize) {
    let lists = lists(size);
    let mut views = ViewBuilder::new(Strategy::default());
    let balancer = Balancer::new();
    let mut turn = 0;
    group.bench_function(id("mesh/list/one-changed", size), |bencher| {
        let next = || {
            turn += 1;
            lists[turn % 2].clone()
        };
        bencher.iter_batched(next, |members| balancer.publish(views.build(members)), BatchSize::PerIteration);
    });
}

/// The same through the machine, from a registry's snapshot to the effect that publishes.
fn machine(group: &mut Group<'_>, size: usize) {
    let snapshot = |members: Vec<Member>| {
        let entry = |member: Member| Entry::new(member.instance, RegistryStatus::Passing, None);
        Arc::new(Snapshot::new(members.into_iter().map(entry).collect()))
    };
    let snapshots = lists(size).map(snapshot);
    let mut machine = ServiceMachine::new(ServiceMachineConfig::default(), 0);
    let mut turn = 0;
    group.bench_function(id("mesh/machine/one-changed", size), |bencher| {
        bencher.iter(|| {
            turn += 1;
            let heard = Resolution::certain(Arc::clone(&snapshots[turn % 2]), true);
            machine.handle_input(Instant::from_millis(turn as u64), ServiceInput::Observed(heard));
            machine.poll_effect().expect("a view is published")
        });
    });
}

/// The first view of a service.
fn from_nothing(group: &mut Group<'_>, size: usize) {
    let members = fleet::members(size).expect("the fleet is valid");
    group.bench_function(id("mesh/from-nothing", size), |bencher| {
        let next = || (ViewBuilder::new(Strategy::default()), members.clone());
        let build = |(mut views, members): (ViewBuilder, Vec<Member>)| (views.build(members), views);
        bencher.iter_batched(next, build, BatchSize::PerIteration);
    });
}

/// Two lists in the order of their keys that differ in one instance.
fn lists(size: usize) -> [Vec<Member>; 2] {
    let all = fleet::members(size).expect("the fleet is valid");
    let mut another = all.clone();
    another.remove(size / 2);
    another.push(fleet::member(size).expect("the fleet is valid"));
    [all, another]
}
