//! What it takes to build the rings and tables that keys are looked up in, and to build them anew for one change.
//!
//! Benchmarks are called `tables/<subject>/<instances>/1`. Ours build a whole view, with everything else that picks read;
//! `mesh/random/…` is a view without a table, so that the report can tell the rest from the table. One change is one
//! instance that leaves and one that joins; peers without a name for it build everything again.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

#[path = "../common/rings.rs"]
mod rings;

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};
use mesh_benches::fleet;
use mesh_core::balance::policy::{RingHashConfig, RingKind};
use mesh_core::balance::{Strategy, ViewBuilder};
use metainfo::{METAINFO, MetaInfo};
use poise_core::policy::{Maglev, RingHash};
use volo::context::Endpoint;
use volo::discovery::{Change, Instance, StaticDiscover};
use volo::loadbalance::consistent_hash::{ConsistentHashBalance, ConsistentHashOption};
use volo::loadbalance::{LoadBalance, RequestHash};
use volo::net::Address;

const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];

fn main() {
    let criterion = Criterion::default().sample_size(15).nresamples(10_000);
    let criterion = criterion.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    let mut criterion = criterion.configure_from_args();
    let mut group = criterion.benchmark_group("tables");
    group.sampling_mode(SamplingMode::Flat);
    for size in SIZES {
        let mut bench = Bench { group: &mut group, size };
        ["random", "ring-hash", "maglev"].into_iter().for_each(|name| mesh(&mut bench, name, &called(name)));
        mesh(&mut bench, "ring-hash/ketama", &ketama());
        peers(&mut bench, &rings::addresses(size));
        hashring_one_changed(&mut bench);
        volo(&mut bench);
    }
    group.finish();
    criterion.final_summary();
}

/// Where a subject is measured.
struct Bench<'a, 'c> {
    group: &'a mut BenchmarkGroup<'c, WallTime>,
    size: usize,
}

impl Bench<'_, '_> {
    /// Measures what `build` makes of what `prepare` hands it; neither the preparation nor the end of the result counts.
    fn run<I, O>(&mut self, subject: &str, mut prepare: impl FnMut() -> I, mut build: impl FnMut(I) -> O) {
        let id = BenchmarkId::new(subject, format!("{}/1", self.size));
        self.group.bench_function(id, |bencher| {
            bencher.iter_batched(&mut prepare, &mut build, BatchSize::PerIteration);
        });
    }
}

fn called(name: &str) -> Strategy {
    Strategy::from_name(name).expect("the strategy is built in")
}

/// The ring that has the same points as pingora's.
fn ketama() -> Strategy {
    let mut config = RingHashConfig::default();
    config.kind = RingKind::Ketama;
    Strategy::RingHash(config)
}

/// The first view of a service, and the view after one change.
fn mesh(bench: &mut Bench<'_, '_>, name: &str, strategy: &Strategy) {
    let all = fleet::members(bench.size).expect("the fleet is valid");
    let mut another = all.clone();
    another[bench.size / 2] = fleet::member(bench.size).expect("the fleet is valid");
    let first = |members| ViewBuilder::new(strategy.clone()).build(members);
    bench.run(&format!("mesh/{name}/build"), || all.clone(), first);
    let mut views = ViewBuilder::new(strategy.clone());
    views.build(all.clone());
    let mut turn = 0;
    let next = || {
        turn += 1;
        [&another, &all][turn % 2].clone()
    };
    // The builder keeps the last view, as it does where views are published: what is dropped in time is the one before.
    bench.run(&format!("mesh/{name}/one-changed"), next, |members| views.build(members));
}

fn peers(bench: &mut Bench<'_, '_>, addresses: &[SocketAddr]) {
    let candidates = rings::candidates(addresses);
    bench.run("pingora-ketama/build", || (), |()| rings::ketama(addresses));
    bench.run("hashring/build", || (), |()| rings::hashring(addresses));
    let ring = || RingHash::new(rings::poise_ring());
    bench.run("poise-core/ring-hash/build", ring, |mut ring: RingHash<SocketAddr>| {
        ring.reconcile(&candidates).expect("the ring has room");
        ring
    });
    let table = || Maglev::new(rings::poise_maglev());
    bench.run("poise-core/maglev/build", table, |mut table: Maglev<SocketAddr>| {
        table.reconcile(&candidates).expect("the table has room");
        table
    });
    if bench.size <= rings::MAGLEV_MAX {
        bench.run("maglev/build", || (), |()| rings::maglev(addresses));
    }
}

/// One instance leaves, another joins: hashring moves its whole ring for each of their points, seconds for 10,000.
fn hashring_one_changed(bench: &mut Bench<'_, '_>) {
    if bench.size > rings::MAGLEV_MAX {
        return;
    }
    let addresses = rings::addresses(bench.size + 1);
    let mut ring = rings::hashring(&addresses[..bench.size]);
    let (mut joins, mut leaves) = (addresses[bench.size], addresses[bench.size / 2]);
    bench.run(
        "hashring/one-changed",
        || (),
        |()| {
            let left = rings::points(leaves).filter_map(|point| ring.remove(&point)).count();
            assert_eq!(left, rings::POINTS as usize, "every point was on the ring");
            ring.batch_add(rings::points(joins).collect());
            std::mem::swap(&mut joins, &mut leaves);
        },
    );
}

/// `rebalance`, which volo's discoveries call for every change.
fn volo(bench: &mut Bench<'_, '_>) {
    let instance = |address| Arc::new(Instance { address: Address::Ip(address), weight: 1, tags: Default::default() });
    let all: Vec<Arc<Instance>> = rings::addresses(bench.size).into_iter().map(instance).collect();
    let discovery = StaticDiscover::new(all.clone());
    let balancer = ConsistentHashBalance::new(ConsistentHashOption::new(1, rings::POINTS, true));
    let mut info = MetaInfo::new();
    info.insert(RequestHash(0));
    // It builds nothing for a service that was never picked for.
    let picked = METAINFO.sync_scope(RefCell::new(info), || {
        let endpoint = Endpoint::new("api".into());
        pin!(balancer.get_picker(&endpoint, &discovery)).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    });
    assert!(picked, "the discovery answers at once");
    let change = || Change { key: (), all: all.clone(), added: vec![], updated: vec![], removed: vec![] };
    bench.run("volo/consistent-hash/build", change, |change| {
        LoadBalance::<StaticDiscover>::rebalance(&balancer, change);
    });
}
