//! poise-core's policies, which look at every candidate at every pick and belong to one thread; it counts requests, where
//! the policy reads their number, in guards that share a reference count.

use std::hash::Hash;
use std::hint::black_box;
use std::net::SocketAddr;

use mesh_benches::timing::WyRand;
use mesh_benches::{fleet, keys};
use poise_core::policy::{
    Maglev, PowerOfTwoChoices, Rendezvous, RingHash, RoundRobin, SmoothWeightedRoundRobin, WeightedRandom,
};
use poise_core::{Backend, Candidate, InFlight, Policy, Weight};

use crate::bench::Bench;
use crate::rings;

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    if bench.threads > 1 {
        return;
    }
    let candidates = rings::candidates(&rings::addresses(bench.size));
    let weight = |number| Weight::new(fleet::weight(number)).expect("not zero");
    let weighted: Vec<_> =
        candidates.iter().cloned().enumerate().map(|(at, one)| one.with_weight(weight(at))).collect();
    two_choices(bench, &candidates);
    picks(bench, "poise-core/round-robin", &candidates, RoundRobin::new);
    picks(bench, "poise-core/smooth", &weighted, SmoothWeightedRoundRobin::new);
    picks(bench, "poise-core/weighted-random", &weighted, || WeightedRandom::seeded(1));
    lookups(bench, "poise-core/ring-hash", &candidates, || RingHash::new(rings::poise_ring()));
    lookups(bench, "poise-core/maglev", &candidates, || Maglev::new(rings::poise_maglev()));
    lookups(bench, "poise-core/rendezvous", &candidates, Rendezvous::new);
}

fn two_choices(bench: &mut Bench<'_, '_>, candidates: &[Backend<SocketAddr>]) {
    let candidates: Vec<_> = candidates.iter().cloned().map(|one| one.with_load(InFlight::new())).collect();
    bench.run("poise-core/p2c", |thread| {
        let (candidates, mut policy) = (&candidates, PowerOfTwoChoices::seeded(thread));
        move |ops| {
            for _ in 0..ops {
                let picked = policy.pick(candidates, &()).expect("all are ready").index();
                black_box(candidates[picked].load().start().expect("there is no limit")).complete();
            }
        }
    });
}

/// Measures picks without a key.
fn picks<P: Policy<Backend<SocketAddr>>>(
    bench: &mut Bench<'_, '_>,
    subject: &str,
    candidates: &[Backend<SocketAddr>],
    policy: impl Fn() -> P + Sync,
) {
    bench.run(subject, |_| {
        let mut policy = policy();
        move |ops| {
            for _ in 0..ops {
                black_box(policy.pick(candidates, &()).expect("all are ready").index());
            }
        }
    });
}

/// Measures the lookups of keys drawn at random, which are hashed on their way.
fn lookups<P>(
    bench: &mut Bench<'_, '_>,
    subject: &str,
    candidates: &[Backend<SocketAddr>],
    policy: impl Fn() -> P + Sync,
) where
    P: Policy<Backend<SocketAddr>, str>,
    Backend<SocketAddr>: Candidate<Id: Hash>,
{
    bench.run(subject, |_| {
        let (texts, mut rng, mut policy) = (keys::texts(), WyRand::new(0), policy());
        let mut picks = move |ops| {
            for _ in 0..ops {
                let key: &str = &texts[keys::index(rng.next_u64())];
                black_box(policy.pick(candidates, key).expect("all are ready").index());
            }
        };
        // It builds its ring or table at the first pick.
        picks(1);
        picks
    });
}
