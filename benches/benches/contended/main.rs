//! Two threads on one balancer, which is where counters that both write cost more than choosing.
//!
//! Benchmarks are called `contended/<subject>/<instances>/2`. Subjects whose name ends in `/16` keep as many requests in
//! flight on each thread, as callers do; for the others every request ends before the next begins. Peers that count no
//! requests have nothing in flight.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

#[path = "../common/bench.rs"]
mod bench;
#[path = "../common/pingora.rs"]
mod pingora;
#[path = "../common/tower.rs"]
mod tower;
#[path = "../common/volo.rs"]
mod volo;
#[path = "../common/weighted_rs.rs"]
mod weighted_rs;

use std::sync::Mutex;

use ::tower::Service;
use ::volo::loadbalance::random::WeightedRandomBalance;
use ::weighted_rs::Weight;
use bench::Bench;
use mesh_benches::fleet;
use mesh_benches::floors::Counters;
use mesh_benches::ours::Ours;
use mesh_benches::subject::{in_flight, in_turn};
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Random, RoundRobin};

const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];
const THREADS: usize = 2;

fn main() {
    bench::group("contended", |group| {
        for size in SIZES {
            measure(&mut Bench { group: &mut *group, size, threads: THREADS });
        }
    });
}

fn measure(bench: &mut Bench<'_, '_>) {
    floors(bench);
    Ours::contended().iter().for_each(|ours| mesh(bench, ours));
    tower(bench, "tower/p2c-pending-requests", tower::pending_requests(bench.size));
    tower(bench, "tower/p2c-peak-ewma", tower::peak_ewma(bench.size));
    pingora::<RoundRobin>(bench, "pingora-load-balancing/RoundRobin", |_| 1);
    pingora::<Random>(bench, "pingora-load-balancing/Random", |_| 1);
    pingora::<RoundRobin>(bench, "pingora-load-balancing/weighted-rr", fleet::weight);
    volo(bench);
    weighted_rs(bench, "weighted-rs/smooth", weighted_rs::smooth(bench.size));
    weighted_rs(bench, "weighted-rs/lvs", weighted_rs::lvs(bench.size));
}

fn floors(bench: &mut Bench<'_, '_>) {
    let counters = Counters::new(bench.size);
    bench.run("floor/p2c", |thread| in_turn(counters.two_choices(thread)));
    bench.run("floor/p2c/16", |thread| in_flight(counters.two_choices(thread)));
    bench.run("floor/round-robin", |_| in_turn(counters.shared_rotation()));
    bench.run("floor/round-robin/16", |_| in_flight(counters.shared_rotation()));
}

fn mesh(bench: &mut Bench<'_, '_>, ours: &Ours) {
    let balancer = ours.balancer(bench.size);
    bench.run(&ours.name, |thread| ours.worker(&balancer, thread));
}

fn tower<B>(bench: &mut Bench<'_, '_>, subject: &str, balance: B)
where
    B: Service<(), Future: Future + Unpin> + Send,
{
    let balance = Mutex::new(balance);
    bench.run(subject, |_| in_turn(tower::Picks(&balance)));
    bench.run(&format!("{subject}/16"), |_| in_flight(tower::Picks(&balance)));
}

fn pingora<S>(bench: &mut Bench<'_, '_>, subject: &str, weight: impl Fn(usize) -> u32)
where
    S: BackendSelection<Iter: BackendIter> + Send + Sync + 'static,
{
    let balancer = pingora::balancer::<S>(bench.size, weight);
    bench.run(subject, |_| in_turn(pingora::Picks(&balancer)));
}

fn volo(bench: &mut Bench<'_, '_>) {
    let discovery = volo::discovery(bench.size, fleet::weight);
    let balancer = WeightedRandomBalance::with_discover(&discovery);
    // It reads its discovery at the first pick.
    assert!(volo::pick(&balancer, &discovery, &volo::endpoint()).is_some(), "all are usable");
    bench.run("volo/weighted-random", |_| {
        in_turn(volo::Picks { balancer: &balancer, discovery: &discovery, endpoint: volo::endpoint() })
    });
}

fn weighted_rs(bench: &mut Bench<'_, '_>, subject: &str, balancer: impl Weight<Item = u32> + Send) {
    let balancer = Mutex::new(balancer);
    bench.run(subject, |_| in_turn(weighted_rs::Picks(&balancer)));
}
