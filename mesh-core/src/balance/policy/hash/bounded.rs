//! Bounded load: an instance above its share of the load passes keys on.
//!
//! Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads", 2016; the keys of a full instance go on
//! in the order of each key, not all to one neighbour (Chen, Coleman and Shrivastava, "Revisiting consistent hashing
//! with bounded loads", arXiv 1908.08762).

use core::any::Any;
use core::time::Duration;

use super::order::{self, Found, Order};
use super::{Maglev, MaglevConfig, Rendezvous, RingHash, RingHashConfig};
use crate::balance::endpoint::Endpoint;
use crate::balance::policy::least_loaded::hold_failure;
use crate::balance::policy::{Completion, Draw, Picker};
use crate::balance::view::Lineup;
use crate::rng::{mix, scale};
use crate::service::Problems;

/// The parameters of consistent hashing with bounded loads.
///
/// Of `total` requests in flight to the instances of a route, this one included, an instance of weight `w` among
/// weights of `W` together takes ⌈factor × total × w / W⌉ at most: of requests placed by one thread never more, of those
/// placed at the same instant by several one more for each. While others are excluded or do not match, those that may
/// serve may all be full; the least loaded for its weight serves then.
///
/// A pick is O(1) while the owner is idle, and otherwise adds up the requests in flight until their sum is enough: O(n)
/// at worst.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BoundedLoadConfig {
    /// No instance has more requests in flight than this times its share of all, rounded up: a number from 1 to 100, of
    /// which thousandths count. Default 1.25, as HAProxy advises 1.25 to 2.
    pub factor: f64,
    /// How keys find their owner. Default [`HashStrategy::RingHash`].
    pub of: HashStrategy,
    /// For how long after its end a failed attempt still takes room, without counting as a request in flight. Default
    /// 1 s; 0 holds nothing, and lets an instance that fails fast be sent what others have no room for.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub failure_hold: Duration,
}

/// A way of consistent hashing. As text a name, or a table of one name and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum HashStrategy {
    /// See [`Strategy::RingHash`](crate::balance::Strategy::RingHash).
    RingHash(RingHashConfig),
    /// See [`Strategy::Maglev`](crate::balance::Strategy::Maglev).
    Maglev(MaglevConfig),
    /// See [`Strategy::Rendezvous`](crate::balance::Strategy::Rendezvous).
    Rendezvous,
}

impl BoundedLoadConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        let holds = self.factor.is_finite() && (1.0..=100.0).contains(&self.factor);
        problems.require(holds, "factor", self.factor, "must be a number from 1 to 100");
        match &self.of {
            HashStrategy::RingHash(config) => config.check(problems),
            HashStrategy::Maglev(config) => config.check(problems),
            HashStrategy::Rendezvous => {}
        }
    }
}

impl Default for BoundedLoadConfig {
    fn default() -> Self {
        let of = HashStrategy::RingHash(RingHashConfig::default());
        Self { factor: 1.25, of, failure_hold: Duration::from_secs(1) }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct BoundedLoad {
    of: Hashing,
    factor_milli: u64,
    /// The sum of all weights.
    weight: u64,
    failure_hold: Duration,
}

/// How keys are ranked.
#[derive(Debug)]
enum Hashing {
    RingHash(RingHash),
    Maglev(Maglev),
    Rendezvous(Rendezvous),
}

impl BoundedLoad {
    pub(in crate::balance) fn build(
        config: &BoundedLoadConfig,
        lineup: &Lineup<'_>,
        previous: Option<&dyn Picker>,
    ) -> Self {
        let previous = previous.and_then(|previous| (previous as &dyn Any).downcast_ref::<Self>());
        Self {
            of: Hashing::build(&config.of, lineup, previous.map(|previous| &previous.of)),
            // A factor that is no number becomes 0, and then the least there is.
            factor_milli: ((config.factor * 1_000.0).round() as u64).clamp(1_000, 100_000),
            weight: (0..lineup.len()).map(|at| u64::from(lineup.weight(at))).sum(),
            failure_hold: config.failure_hold,
        }
    }
}

impl Hashing {
    fn build(config: &HashStrategy, lineup: &Lineup<'_>, previous: Option<&Self>) -> Self {
        match (config, previous) {
            (HashStrategy::RingHash(config), Some(Self::RingHash(previous))) => {
                Self::RingHash(RingHash::build_from(config, lineup, Some(previous)))
            }
            (HashStrategy::RingHash(config), _) => Self::RingHash(RingHash::build_from(config, lineup, None)),
            (HashStrategy::Maglev(config), Some(Self::Maglev(previous))) => {
                Self::Maglev(Maglev::build_from(config, lineup, Some(previous)))
            }
            (HashStrategy::Maglev(config), _) => Self::Maglev(Maglev::build_from(config, lineup, None)),
            (HashStrategy::Rendezvous, _) => Self::Rendezvous(Rendezvous::build(lineup)),
        }
    }
}

impl Order for Hashing {
    #[inline]
    fn first(&self, hash: u64, lineup: &Lineup<'_>, accepts: impl FnMut(usize) -> bool) -> Option<Found> {
        match self {
            Self::RingHash(ring) => ring.first(hash, lineup, accepts),
            Self::Maglev(maglev) => maglev.first(hash, lineup, accepts),
            Self::Rendezvous(rendezvous) => rendezvous.first(hash, lineup, accepts),
        }
    }
}

impl Picker for BoundedLoad {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let (hash, lineup, now) = (order::hash_of(draw), draw.lineup(), draw.now());
        let mut room = Room { lineup: &lineup, factor_milli: self.factor_milli, weight: self.weight, total: None };
        let load = |position| lineup.load(position, now);
        let found = self.of.first(hash, &lineup, |at| draw.admits(at) && room.is_at(at, load(at)));
        // Where failures take all the room, they do not count.
        let in_flight = |position| u64::from(lineup.in_flight(position));
        let found =
            found.or_else(|| self.of.first(hash, &lineup, |at| draw.admits(at) && room.is_at(at, in_flight(at))));
        let found = found.or_else(|| least_loaded(hash, &lineup, |position| draw.admits(position)));
        order::settle(draw, found)
    }

    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        hold_failure(endpoint, completion, self.failure_hold);
    }

    fn learns_from_success(&self) -> bool {
        false
    }

    fn in_force(&self) -> Option<&'static str> {
        match &self.of {
            Hashing::Maglev(maglev) => maglev.crowded(),
            Hashing::RingHash(_) | Hashing::Rendezvous(_) => None,
        }
    }
}

/// Who has room for one more request, during one pick.
#[derive(Debug)]
struct Room<'a> {
    lineup: &'a Lineup<'a>,
    factor_milli: u64,
    weight: u64,
    /// The requests in flight to all, once they had to be added up to the end.
    total: Option<u64>,
}

impl Room<'_> {
    /// Whether the instance at `position`, which has `load`, has its capacity at most with one more: load + 1 ≤ ⌈x⌉,
    /// which is load < x.
    fn is_at(&mut self, position: usize, load: u64) -> bool {
        let weight = self.lineup.weight(position);
        load == 0 || self.reaches(self.least_total(load, weight))
    }

    /// The least sum of requests in flight with which an instance of `weight` has room beside `load`: the least `total`
    /// with `load` < factor × (`total` + 1) × `weight` / all weights.
    fn least_total(&self, load: u64, weight: u32) -> u64 {
        let asked = u128::from(load) * 1_000 * u128::from(self.weight);
        let granted = u128::from(self.factor_milli) * u128::from(weight);
        u64::try_from(asked / granted).unwrap_or(u64::MAX)
    }

    /// Whether the requests in flight to all are `enough`; adds up no more of them than it takes to say so.
    fn reaches(&mut self, enough: u64) -> bool {
        if let Some(total) = self.total {
            return total >= enough;
        }
        let mut total = 0;
        for position in 0..self.lineup.len() {
            total += u64::from(self.lineup.in_flight(position));
            if total >= enough {
                return true;
            }
        }
        self.total = Some(total);
        false
    }
}

/// The one with the least (load + 1) / weight of those that the call admits, all of which are full; of several the first
/// from a place on that the key chooses.
#[cold]
fn least_loaded(hash: u64, lineup: &Lineup<'_>, admits: impl Fn(usize) -> bool) -> Option<Found> {
    let start = scale(mix(hash), lineup.len() as u64) as usize;
    let mut least: Option<(u64, u64, usize)> = None;
    for position in (start..lineup.len()).chain(0..start).filter(|&position| admits(position)) {
        let load = u64::from(lineup.in_flight(position)) + 1;
        let weight = u64::from(lineup.weight(position));
        if least.is_none_or(|(least, of, _)| load * of < least * weight) {
            least = Some((load, weight, position));
        }
    }
    least.map(|(_, _, position)| Found::successor(position))
}
