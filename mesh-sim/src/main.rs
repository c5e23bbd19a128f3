//! The command `mesh-sim`.
#![allow(clippy::all, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "temporary")]
use mesh_core::balance::Strategy;
use mesh_sim::model::scenario::*;
use std::time::Duration;
fn main() {
    let n: u32 = std::env::args().nth(1).map_or(100, |n| n.parse().unwrap());
    let secs: u64 = std::env::args().nth(2).map_or(1000, |n| n.parse().unwrap());
    let sc = Scenario::new(
        "q",
        Duration::from_secs(secs * 100 / u64::from(n)),
        Arrivals::poisson(0.9 * 100.0 * f64::from(n)),
    )
    .servers(ServerGroup::new("api", n, Distribution::exponential(Duration::from_millis(10))))
    .strategy(Strategy::default());
    let plan = sc.plan().unwrap();
    let t = std::time::Instant::now();
    let run = plan.run(0, &mut ());
    let e = t.elapsed().as_secs_f64();
    println!(
        "{:?} {} req/s {:.0} mean {:?} p99 {:?} wait {:?} {} util {:?}",
        run.requests,
        run.digest,
        run.requests.offered as f64 / e,
        run.latency_ms.mean,
        run.latency_ms.p99,
        run.wait_ms.mean,
        run.events,
        run.servers[0].utilisation
    );
}
