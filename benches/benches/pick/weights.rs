//! Peers that choose by weight: the weights go from 1 to 7 in turn, as for ours.

use std::sync::Mutex;

use mesh_benches::fleet;
use mesh_benches::subject::in_turn;
use pingora_load_balancing::selection::{Random, RoundRobin};
use volo::loadbalance::random::WeightedRandomBalance;
use weighted_rs::Weight;

use crate::bench::Bench;
use crate::{volo as peer, weighted_rs as rotations};

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    crate::pingora::<RoundRobin>(bench, "pingora-load-balancing/weighted-rr", fleet::weight);
    crate::pingora::<Random>(bench, "pingora-load-balancing/weighted", fleet::weight);
    volo(bench);
    weighted_rs(bench, "weighted-rs/smooth", rotations::smooth(bench.size));
    weighted_rs(bench, "weighted-rs/lvs", rotations::lvs(bench.size));
}

fn volo(bench: &mut Bench<'_, '_>) {
    let discovery = peer::discovery(bench.size, fleet::weight);
    let balancer = WeightedRandomBalance::with_discover(&discovery);
    // It reads its discovery at the first pick.
    assert!(peer::pick(&balancer, &discovery, &peer::endpoint()).is_some(), "all are usable");
    bench.run("volo/weighted-random", |_| {
        in_turn(peer::Picks { balancer: &balancer, discovery: &discovery, endpoint: peer::endpoint() })
    });
}

fn weighted_rs(bench: &mut Bench<'_, '_>, subject: &str, balancer: impl Weight<Item = u32> + Send) {
    let balancer = Mutex::new(balancer);
    crate::run_lent(
        bench,
        subject,
        &balancer,
        |mine| in_turn(rotations::Picks(mine)),
        |shared| in_turn(rotations::Picks(shared)),
    );
}
