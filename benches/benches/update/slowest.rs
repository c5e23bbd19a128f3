//! What picks feel of updates: the slowest of them while another thread publishes one change after the other.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mesh_benches::fleet;
use mesh_benches::timing::WyRand;
use mesh_core::balance::{Balancer, Change, Member, Outcome, PickContext, Strategy, ViewBuilder};
use mesh_core::time::Instant as MeshInstant;

const SIZES: [usize; 2] = [100, 10_000];
const PICKS: usize = 2_000_000;

/// Prints the times of single picks with and without updates. Each has the cost of reading the clock in it, and the
/// maximum whatever else the machine does: read it beside the row without updates.
pub(crate) fn print() {
    println!("\none pick and its end, {PICKS} of them       p50      p99.9        max    views/s");
    for size in SIZES {
        for updating in [false, true] {
            let (mut times, views) = picks(size, updating);
            times.sort_unstable();
            let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
            let what = if updating { "while one changes after the other" } else { "at rest" };
            println!(
                "  {size:>6} {what:<34} {:>5} ns {:>7} ns {:>7} ns {views:>10.0}",
                at(500).as_nanos(),
                at(999).as_nanos(),
                at(1_000).as_nanos()
            );
        }
    }
}

/// The time of every pick, and how many views a second were published meanwhile.
fn picks(size: usize, updating: bool) -> (Vec<Duration>, f64) {
    let mut views = ViewBuilder::new(Strategy::default());
    let balancer = Balancer::new();
    balancer.publish(views.build(fleet::members(size).expect("the fleet is valid")));
    let (done, published) = (AtomicBool::new(!updating), AtomicU64::new(0));
    let began = now();
    let times = std::thread::scope(|scope| {
        scope.spawn(|| {
            let members = [size / 2, size].map(|number| fleet::member(number).expect("the fleet is valid"));
            while !done.load(Ordering::Relaxed) {
                let turn = published.fetch_add(1, Ordering::Relaxed) as usize % 2;
                balancer.publish(views.update(swap(&members[turn], &members[1 - turn])));
            }
        });
        let times = timed(&balancer);
        done.store(true, Ordering::Relaxed);
        times
    });
    (times, published.into_inner() as f64 / now().duration_since(began).as_secs_f64())
}

fn swap(leaves: &Member, joins: &Member) -> [Change; 2] {
    [Change::Remove(leaves.instance.key().clone()), Change::Set(joins.clone())]
}

fn timed(balancer: &Balancer) -> Vec<Duration> {
    let (mut handle, mut rng) = (balancer.handle(), WyRand::new(1));
    let context = PickContext::default();
    let mut pick = |at| {
        let began = now();
        let lease = handle.pick(at, &context, rng.next_u64()).expect("all are usable");
        black_box(lease.finish(at, Outcome::Success));
        now().duration_since(began)
    };
    (0..PICKS).map(|step| pick(MeshInstant::from_nanos(step as u64))).collect()
}

#[expect(clippy::disallowed_methods, reason = "a bench is what reads the clock")]
fn now() -> Instant {
    Instant::now()
}
