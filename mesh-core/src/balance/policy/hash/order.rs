//! What all policies that go by keys have in common: a key ranks the instances, and the first that may serve does.

use core::fmt::Debug;

use xxhash_rust::xxh64::xxh64;

use crate::balance::explain::Reason;
use crate::balance::policy::Draw;
use crate::balance::view::Lineup;
use crate::rng::mix;
use crate::service::Instance;

/// Ranks the instances of a lineup for every key. The first of a key is its owner.
pub(super) trait Order: Debug {
    /// The first in the order of `hash` that is accepted, if there is any in `lineup`. An instance may be asked about
    /// several times.
    fn first(&self, hash: u64, lineup: &Lineup<'_>, accepts: impl FnMut(usize) -> bool) -> Option<Found>;
}

/// Who is to serve a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) position: usize,
    pub(super) is_owner: bool,
}

impl Found {
    pub(super) const fn owner(position: usize) -> Self {
        Self { position, is_owner: true }
    }

    pub(super) const fn successor(position: usize) -> Self {
        Self { position, is_owner: false }
    }
}

/// The hash by which a request is placed. One without a key draws it at random, so that it goes anywhere (gRPC A76), and
/// counts as one for which there was nothing to go by.
#[inline]
pub(super) fn hash_of(draw: &mut Draw<'_>) -> u64 {
    draw.context().hash_key.unwrap_or_else(|| {
        draw.uninformed();
        draw.random()
    })
}

/// Notes why the request goes to whom it was found for.
#[inline]
pub(super) fn settle(draw: &mut Draw<'_>, found: Option<Found>) -> Option<usize> {
    let found = found?;
    draw.because(match (draw.context().hash_key, found.is_owner) {
        (None, _) => Reason::NoKey,
        (Some(_), true) => Reason::Owner,
        (Some(_), false) => Reason::Successor,
    });
    Some(found.position)
}

/// Picks the first in the order of the request's key that the call admits.
#[inline]
pub(super) fn pick(order: &impl Order, draw: &mut Draw<'_>) -> Option<usize> {
    let (hash, lineup) = (hash_of(draw), draw.lineup());
    let found = if draw.admits_all() {
        order.first(hash, &lineup, |_| true)
    } else {
        order.first(hash, &lineup, |position| draw.admits(position))
    };
    settle(draw, found)
}

/// Who an instance is, the same in every process and for as long as it is registered: XXH64 of its id, seeded by that
/// of its scope.
pub(super) fn identity(instance: &Instance) -> u64 {
    let scope = instance.key().scope().as_str();
    let seed = if scope.is_empty() { 0 } else { xxh64(scope.as_bytes(), 0) };
    xxh64(instance.key().id().as_str().as_bytes(), seed)
}

/// Adds `<host>:<port>`, by which the peers know an instance; as [`Instance::authority`] has it.
pub(super) fn push_address(text: &mut String, instance: &Instance) {
    let (host, port) = (instance.host().as_str(), instance.port());
    let (open, close) = if host.contains(':') { ("[", "]:") } else { ("", ":") };
    for part in [open, host, close] {
        text.push_str(part);
    }
    // Digit by digit: a table of 10,000 instances is built in half the time that formatting takes.
    let digits = [10_000, 1_000, 100, 10, 1].into_iter().filter(|&unit| port >= unit);
    text.extend(digits.map(|unit| char::from(b'0' + (port / unit % 10) as u8)));
}

/// Finds the accepted instance with the lowest score, where the score of an instance of identity `node` and weight `w`
/// is -ln(u) / w with `u` drawn from (0, 1) by the key and the identity.
///
/// The least of such scores belongs to an instance with a chance of its weight against all, which is the same as the
/// highest -w / ln(u) (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005). O(n).
#[derive(Debug)]
pub(super) struct Race {
    hash: u64,
    best: Option<(f64, usize)>,
    /// The lowest score that was not accepted.
    refused: f64,
}

impl Race {
    pub(super) const fn new(hash: u64) -> Self {
        // Keys that are no hashes but small numbers must not be near each other.
        Self { hash: mix(hash), best: None, refused: f64::INFINITY }
    }

    /// Lets the instance at `position` take part.
    #[inline]
    pub(super) fn enter(&mut self, position: usize, node: u64, weight: u32, accepts: impl FnOnce(usize) -> bool) {
        let (weight, unit) = (f64::from(weight), unit(mix(self.hash ^ node)));
        let to_beat = self.best.map_or(f64::INFINITY, |(score, _)| score);
        // -ln(u) is 1 - u at least, so most can be seen to lose without the logarithm.
        if 1.0 - unit > to_beat * weight {
            return;
        }
        let score = -libm::log(unit) / weight;
        if score < to_beat {
            if accepts(position) {
                self.best = Some((score, position));
            } else {
                self.refused = self.refused.min(score);
            }
        }
    }

    pub(super) fn winner(self) -> Option<Found> {
        let (score, position) = self.best?;
        Some(Found { position, is_owner: score < self.refused })
    }
}

/// Finds a successor by a race of all instances, for policies whose own order was followed far enough in vain.
#[cold]
pub(super) fn race(hash: u64, lineup: &Lineup<'_>, mut accepts: impl FnMut(usize) -> bool) -> Option<Found> {
    let mut race = Race::new(hash);
    for position in 0..lineup.len() {
        race.enter(position, identity(lineup.instance(position)), lineup.weight(position), &mut accepts);
    }
    race.winner().map(|found| Found::successor(found.position))
}

/// A number in (0, 1), both excluded, from 52 of the 64 bits: an odd multiple of 2^-53, which a float holds exactly.
#[inline]
fn unit(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) * (1.0 / 4_503_599_627_370_496.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_authorities_of_urls() {
        for host in ["10.0.0.1", "::1", "api.internal"] {
            for port in [1, 9, 10, 80, 100, 8_080, 10_000, 65_535] {
                let instance = Instance::builder("api", host, port).build().unwrap();
                let mut text = "x".to_owned();
                push_address(&mut text, &instance);
                assert_eq!(text, format!("x{}", instance.authority()));
            }
        }
    }

    #[test]
    fn units_are_never_0_or_1() {
        assert_eq!(unit(0), 0.5 / 4_503_599_627_370_496.0);
        assert_eq!(unit(u64::MAX), 1.0 - 0.5 / 4_503_599_627_370_496.0);
        assert!(-libm::log(unit(u64::MAX)) > 0.0 && libm::log(unit(0)).is_finite());
    }

    #[test]
    fn the_short_cut_around_the_logarithm_never_changes_the_winner() {
        for key in 0..2_000_u64 {
            let (mut race, mut least) = (Race::new(key), (f64::INFINITY, 0));
            for position in 0..50_usize {
                let (node, weight) = (mix(position as u64 + 1), 1 + (position as u32 % 7) * 9_000);
                race.enter(position, node, weight, |_| true);
                let score = -libm::log(unit(mix(mix(key) ^ node))) / f64::from(weight);
                least = if score < least.0 { (score, position) } else { least };
            }
            assert_eq!(race.winner(), Some(Found::owner(least.1)), "key {key}");
        }
    }
}
