//! A pick and the end of what was picked: every policy beside its peers and the least that could do it.
//!
//! Benchmarks are called `pick/<subject>/<instances>/<threads>`; all subjects of one size and number of threads
//! run after each other, so that the ratios between them are from one stretch of time. Here every request ends before
//! the next begins; `contended` keeps many in flight.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

#[path = "../common/bench.rs"]
mod bench;
mod hashing;
#[path = "../common/pingora.rs"]
mod pingora;
mod poise;
#[path = "../common/rings.rs"]
mod rings;
#[path = "../common/tower.rs"]
mod tower;
#[path = "../common/volo.rs"]
mod volo;
#[path = "../common/weighted_rs.rs"]
mod weighted_rs;
mod weights;

use std::sync::{Mutex, MutexGuard};

use ::tower::Service;
use bench::Bench;
use mesh_benches::floors::Counters;
use mesh_benches::ours::Ours;
use mesh_benches::subject::in_turn;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Random, RoundRobin};

const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];
const THREADS: [usize; 2] = [1, 2];

fn main() {
    bench::group("pick", |group| {
        for size in SIZES {
            for threads in THREADS {
                measure(&mut Bench { group: &mut *group, size, threads });
            }
        }
    });
}

/// Ours follow the peers that do the same, so that what is compared lies close in time.
fn measure(bench: &mut Bench<'_, '_>) {
    floors(bench);
    let mut ours = Ours::all().into_iter();
    ours.by_ref().take(1).for_each(|ours| mesh(bench, &ours));
    tower(bench, "tower/p2c-pending-requests", tower::pending_requests(bench.size));
    tower(bench, "tower/p2c-peak-ewma", tower::peak_ewma(bench.size));
    ours.for_each(|ours| mesh(bench, &ours));
    pingora::<RoundRobin>(bench, "pingora-load-balancing/RoundRobin", |_| 1);
    pingora::<Random>(bench, "pingora-load-balancing/Random", |_| 1);
    weights::measure(bench);
    hashing::measure(bench);
    poise::measure(bench);
}

fn floors(bench: &mut Bench<'_, '_>) {
    let counters = Counters::new(bench.size);
    bench.run("floor/p2c", |thread| in_turn(counters.two_choices(thread)));
    bench.run("floor/round-robin", |_| in_turn(counters.rotation()));
    bench.run("floor/lease", |thread| in_turn(counters.lease(thread)));
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
    run_lent(bench, subject, &balance, |mine| in_turn(tower::Picks(mine)), |shared| in_turn(tower::Picks(shared)));
}

/// Measures what picks through `&mut self`: one thread has it for itself, two lock it for every pick.
fn run_lent<'a, P: Send, A: FnMut(u64), S: FnMut(u64)>(
    bench: &mut Bench<'_, '_>,
    subject: &str,
    lent: &'a Mutex<P>,
    alone: impl Fn(MutexGuard<'a, P>) -> A + Sync,
    shared: impl Fn(&'a Mutex<P>) -> S + Sync,
) {
    if bench.threads == 1 {
        return bench.run(subject, |_| alone(lent.lock().expect("a thread panicked with the lock")));
    }
    bench.run(subject, |_| shared(lent));
}

fn pingora<S>(bench: &mut Bench<'_, '_>, subject: &str, weight: impl Fn(usize) -> u32)
where
    S: BackendSelection<Iter: BackendIter> + Send + Sync + 'static,
{
    let balancer = pingora::balancer::<S>(bench.size, weight);
    bench.run(subject, |_| in_turn(pingora::Picks(&balancer)));
}
