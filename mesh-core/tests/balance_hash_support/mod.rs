//! What the tests of the hash policies share: keys, who owns them, and what a change does to them.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use mesh_core::balance::policy::{BoundedLoadConfig, HashStrategy, MaglevConfig, RingHashConfig, RingKind};
use mesh_core::balance::{Member, PickContext, Strategy, Tried, hash_key};
use mesh_core::rng::mix;
use mesh_core::service::{Instance, Weight};

use crate::support::*;

/// The ring of `kind` with its default parameters.
pub(crate) fn ring(kind: RingKind) -> Strategy {
    Strategy::RingHash(ring_config(kind))
}

pub(crate) fn ring_config(kind: RingKind) -> RingHashConfig {
    let mut config = RingHashConfig::default();
    config.kind = kind;
    config
}

pub(crate) fn maglev(size: u32) -> Strategy {
    Strategy::Maglev(maglev_config(size))
}

pub(crate) fn maglev_config(size: u32) -> MaglevConfig {
    let mut config = MaglevConfig::default();
    config.size = size;
    config
}

pub(crate) fn bounded(factor: f64, of: HashStrategy) -> Strategy {
    let mut config = BoundedLoadConfig::default();
    (config.factor, config.of) = (factor, of);
    Strategy::BoundedLoad(config)
}

/// The ways of hashing that bounded load can go by, with rings and tables that are small whatever the weights.
pub(crate) fn hashings() -> Vec<HashStrategy> {
    let rings = [RingKind::Fixed, RingKind::Ketama, RingKind::Xds].map(|kind| {
        let mut config = ring_config(kind);
        config.ring_max = 1 << 14;
        HashStrategy::RingHash(config)
    });
    rings.into_iter().chain([HashStrategy::Maglev(maglev_config(1_009)), HashStrategy::Rendezvous]).collect()
}

/// What is bounded, without the bound.
pub(crate) fn unbounded(of: HashStrategy) -> Strategy {
    if let HashStrategy::RingHash(config) = of {
        return Strategy::RingHash(config);
    }
    if let HashStrategy::Maglev(config) = of { Strategy::Maglev(config) } else { Strategy::Rendezvous }
}

/// Every hash policy, bounded ones included; idle, these pick as what they are bounded of.
pub(crate) fn hash_strategies() -> Vec<Strategy> {
    hashings().into_iter().flat_map(|of| [unbounded(of.clone()), bounded(1.25, of)]).collect()
}

/// The hash of key `number`.
pub(crate) fn nth_key(number: u64) -> u64 {
    hash_key(&number.to_le_bytes())
}

pub(crate) fn keyed(hash: u64, tried: &Tried) -> PickContext<'_> {
    PickContext { hash_key: Some(hash), excluded: tried, ..PickContext::default() }
}

/// Instance `port` of `host`.
pub(crate) fn listening(host: &str, port: u16, weight: u16) -> Member {
    let instance = Instance::builder("api", host, port).build().unwrap();
    Member { weight: Weight::new(weight), ..Member::usable(instance) }
}

pub(crate) trait Owners {
    /// The port of the instance that owns `hash`.
    fn port(&mut self, hash: u64) -> u16;
    /// The number of the instance that owns `hash`.
    fn owner(&mut self, hash: u64) -> u16;
    /// The owner of each of `keys` keys.
    fn owners(&mut self, keys: u64) -> Vec<u16>;
}

impl Owners for Fleet {
    fn port(&mut self, hash: u64) -> u16 {
        let context = PickContext { hash_key: Some(hash), ..PickContext::default() };
        self.handle.pick(at(0), &context, mix(hash)).unwrap().instance().port()
    }

    fn owner(&mut self, hash: u64) -> u16 {
        self.port(hash) - 10_000
    }

    fn owners(&mut self, keys: u64) -> Vec<u16> {
        (0..keys).map(|number| self.owner(nth_key(number))).collect()
    }
}

/// The share of keys whose owner differs.
pub(crate) fn moved(before: &[u16], after: &[u16]) -> f64 {
    let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
    moved as f64 / before.len() as f64
}

/// How many keys each of `count` instances owns.
pub(crate) fn tally(owners: &[u16], count: usize) -> Vec<u32> {
    let mut tally = vec![0; count];
    for &owner in owners {
        tally[usize::from(owner)] += 1;
    }
    tally
}

/// The chi-squared statistic of `seen` against shares in proportion to `weights`.
pub(crate) fn chi_squared(seen: &[u32], weights: &[u16]) -> f64 {
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let keys: f64 = seen.iter().copied().map(f64::from).sum();
    let term = |(&seen, &weight): (&u32, &u16)| {
        let expected = keys * f64::from(weight) / total;
        (f64::from(seen) - expected) * (f64::from(seen) - expected) / expected
    };
    seen.iter().zip(weights).map(term).sum()
}
