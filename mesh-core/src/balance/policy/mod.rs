//! How one of several candidates is chosen: the seam, and the policies that come with the crate.
//!
//! A policy is asked to build a [`Picker`] whenever the candidates change; the picker then answers picks
//! from any number of threads. State that must outlive a change of candidates is taken over from the
//! previous picker, or kept in the endpoints, which survive.

mod adaptive;
mod choices;
mod draw;
mod hash;
mod least_loaded;
mod load;
mod p2c;
mod peak_ewma;
mod random;
mod round_robin;
mod weighted_random;
mod weighted_round_robin;
mod weighting;

use alloc::sync::Arc;
use core::any::Any;
use core::fmt::Debug;
use core::time::Duration;

use super::endpoint::Endpoint;
use super::outcome::Outcome;
use super::shortcut::Way;
use super::strategy::Strategy;
use super::view::Lineup;
use crate::time::Instant;

pub use adaptive::AdaptiveConfig;
pub(super) use choices::distinct;
pub(super) use draw::Cursor;
pub use draw::Draw;
pub use hash::{BoundedLoadConfig, HashStrategy, MaglevConfig, RingHashConfig, RingKind, hash_key, ketama_key};
pub use least_loaded::LeastLoadedConfig;
pub use load::{InvalidLoad, LoadReport};
pub use p2c::P2cConfig;
pub use peak_ewma::PeakEwmaConfig;
pub(super) use peak_ewma::UNMEASURED;
pub use weighted_round_robin::{Sequence, WeightedRoundRobinConfig};

use adaptive::Adaptive;
use hash::{BoundedLoad, Maglev, Rendezvous, RingHash};
use least_loaded::LeastLoaded;
use p2c::P2c;
use peak_ewma::PeakEwma;
use random::Random;
use round_robin::RoundRobin;
use weighted_random::WeightedRandom;
use weighted_round_robin::WeightedRoundRobin;

/// A way of choosing, as configured: it builds pickers.
pub trait Policy: Debug + Send + Sync {
    /// Its name in metrics, logs and reports, in kebab-case.
    fn name(&self) -> &str;

    /// Builds the picker for `lineup`. `previous` is the picker that served this route before, whoever built
    /// it; a policy recognises its own by downcasting (`(previous as &dyn Any).downcast_ref()`).
    ///
    /// The lineup may be empty.
    fn build(&self, lineup: &Lineup<'_>, previous: Option<&dyn Picker>) -> Arc<dyn Picker>;
}

/// A choice among fixed candidates, made from many threads at once.
pub trait Picker: Any + Debug + Send + Sync {
    /// Chooses a position below `draw.lineup().len()` for which `draw.admits` is true, or none when there is
    /// no such position.
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize>;

    /// Takes note of the end of an attempt that was not cancelled. Its in-flight count has fallen already.
    ///
    /// The picker that placed the attempt hears of it, even when another has been built since: state that both
    /// need is shared between them.
    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        let _ = (endpoint, completion);
    }

    /// Takes note of an attempt that was given up: at `now`, or at no known time where its lease was dropped. Nothing is
    /// known but that it had not ended.
    fn abandon(&self, endpoint: &Endpoint, started: Instant, now: Option<Instant>) {
        let _ = (endpoint, started, now);
    }

    /// Whether [`Picker::finish`] is to be called for attempts that succeeded too; of others it always hears.
    /// Asked once for each view.
    fn learns_from_success(&self) -> bool {
        true
    }

    /// The name of what is in force, for a picker that changes between several policies or had to fall back on another.
    fn in_force(&self) -> Option<&'static str> {
        None
    }

    /// The latency that it takes `endpoint` to have at `now`; none where it measures none, or has seen none yet.
    fn latency(&self, endpoint: &Endpoint, now: Instant) -> Option<Duration> {
        let _ = (endpoint, now);
        None
    }

    /// Takes note of what an instance said of its own load.
    fn report(&self, endpoint: &Endpoint, now: Instant, report: &LoadReport) {
        let _ = (endpoint, now, report);
    }
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// When it was picked.
    pub started: Instant,
    /// When it ended.
    pub now: Instant,
    /// How it ended.
    pub outcome: Outcome,
}

impl Completion {
    /// From the pick to the end.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.now.since(self.started)
    }
}

/// A picker in force.
#[derive(Clone, Debug)]
pub(super) struct BuiltPicker {
    picker: Arc<dyn Picker>,
    /// One of a user's own is not trusted to honour what a call excludes.
    is_custom: bool,
}

impl BuiltPicker {
    /// Builds the picker of `strategy` for `lineup`, taking over what `previous` can hand on.
    pub(super) fn build(strategy: &Strategy, lineup: &Lineup<'_>, previous: Option<&Self>) -> Self {
        let previous = previous.map(|previous| &*previous.picker);
        if let Strategy::Custom(policy) = strategy {
            return Self { picker: policy.build(lineup, previous), is_custom: true };
        }
        Self { picker: built_in(strategy, lineup, previous), is_custom: false }
    }

    /// The picker of nobody.
    pub(super) fn none() -> Self {
        Self { picker: Arc::new(Random), is_custom: false }
    }

    /// Whether it is the same for the same endpoints and weights, whatever else is said of the instances; a user's may
    /// look at their metadata.
    pub(super) const fn goes_by_endpoints(&self) -> bool {
        !self.is_custom
    }

    /// The shortcut that chooses among `candidates` candidates as it does.
    pub(super) fn way(&self, candidates: usize) -> Way {
        let picker = &*self.picker as &dyn Any;
        if picker.is::<Random>() && candidates > 0 {
            return Way::Any;
        }
        match picker.downcast_ref::<P2c>() {
            Some(picker) if candidates > 1 && picker.is_plain() => Way::LessLoadedOfTwo,
            _ => Way::None,
        }
    }

    #[inline]
    pub(super) fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        if self.is_custom {
            return pick_checked(&*self.picker, draw);
        }
        self.picker.pick(draw)
    }

    /// What it does besides choosing.
    pub(super) fn picker(&self) -> &dyn Picker {
        &*self.picker
    }
}

/// The picker of a built-in strategy.
fn built_in(strategy: &Strategy, lineup: &Lineup<'_>, previous: Option<&dyn Picker>) -> Arc<dyn Picker> {
    match strategy {
        Strategy::RoundRobin => Arc::new(RoundRobin::build(lineup, previous)),
        Strategy::WeightedRoundRobin(config) => Arc::new(WeightedRoundRobin::build(config, lineup, previous)),
        Strategy::Random => Arc::new(Random),
        Strategy::WeightedRandom => Arc::new(WeightedRandom::build(lineup)),
        Strategy::LeastLoaded(config) => Arc::new(LeastLoaded::build(config, lineup)),
        Strategy::P2cLeastLoaded(config) => Arc::new(P2c::build(config, lineup)),
        Strategy::PeakEwma(config) => Arc::new(PeakEwma::build(config, lineup)),
        Strategy::RingHash(config) => Arc::new(RingHash::build(config, lineup, previous)),
        Strategy::Maglev(config) => Arc::new(Maglev::build(config, lineup, previous)),
        Strategy::Rendezvous => Arc::new(Rendezvous::build(lineup)),
        Strategy::BoundedLoad(config) => Arc::new(BoundedLoad::build(config, lineup, previous)),
        Strategy::Adaptive(config) => Arc::new(Adaptive::build(config, lineup, previous)),
        Strategy::Custom(policy) => policy.build(lineup, previous),
    }
}

/// Picks with a user's picker. One that names nobody, a candidate that does not exist or one that the call
/// excludes must not break the call: the first candidate admitted from a random place on stands in.
fn pick_checked(picker: &dyn Picker, draw: &mut Draw<'_>) -> Option<usize> {
    let picked = picker.pick(draw).filter(|&at| at < draw.lineup().len() && draw.admits(at));
    picked.or_else(|| draw.scan())
}
