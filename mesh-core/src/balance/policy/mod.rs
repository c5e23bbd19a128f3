//! How one of several candidates is chosen: the seam, and the policies that come with the crate.
//!
//! A policy is asked to build a [`Picker`] whenever the candidates change; the picker then answers picks
//! from any number of threads. State that must outlive a change of candidates is taken over from the
//! previous picker, or kept in the endpoints, which survive.

mod draw;
mod least_loaded;
mod load;
mod p2c;
mod random;
mod round_robin;
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

pub(super) use draw::Cursor;
pub use draw::Draw;
pub use least_loaded::LeastLoadedConfig;
pub use load::{InvalidLoad, LoadReport};
pub use p2c::P2cConfig;
pub(super) use p2c::distinct;

use least_loaded::LeastLoaded;
use p2c::P2c;
use random::Random;
use round_robin::RoundRobin;

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

/// A picker in force. The built-in ones are called directly, a user's through its trait.
#[derive(Debug)]
pub(super) enum BuiltPicker {
    RoundRobin(RoundRobin),
    Random(Random),
    LeastLoaded(LeastLoaded),
    P2c(P2c),
    Custom(Arc<dyn Picker>),
}

impl BuiltPicker {
    /// Builds the picker of `strategy` for `lineup`, taking over what `previous` can hand on.
    pub(super) fn build(strategy: &Strategy, lineup: &Lineup<'_>, previous: Option<&Self>) -> Self {
        match strategy {
            Strategy::RoundRobin => Self::RoundRobin(RoundRobin::build(previous.map(Self::as_picker))),
            Strategy::Random => Self::Random(Random),
            Strategy::LeastLoaded(config) => Self::LeastLoaded(LeastLoaded::build(config, lineup)),
            Strategy::P2cLeastLoaded(config) => Self::P2c(P2c::build(config, lineup)),
            Strategy::Custom(policy) => Self::Custom(policy.build(lineup, previous.map(Self::as_picker))),
        }
    }

    fn as_picker(&self) -> &dyn Picker {
        match self {
            Self::RoundRobin(picker) => picker,
            Self::Random(picker) => picker,
            Self::LeastLoaded(picker) => picker,
            Self::P2c(picker) => picker,
            Self::Custom(picker) => &**picker,
        }
    }
}

impl BuiltPicker {
    /// The picker of nobody.
    pub(super) const fn none() -> Self {
        Self::Random(Random)
    }

    /// Whether it learns from attempts that succeeded; of others it is always told.
    pub(super) const fn hears_of_success(&self) -> bool {
        match self {
            Self::RoundRobin(_) | Self::Random(_) | Self::LeastLoaded(_) | Self::P2c(_) => false,
            Self::Custom(_) => true,
        }
    }

    /// The shortcut that chooses among `candidates` candidates as it does.
    pub(super) const fn way(&self, candidates: usize) -> Way {
        match self {
            Self::Random(_) if candidates > 0 => Way::Any,
            Self::P2c(picker) if candidates > 1 && picker.is_plain() => Way::LessLoadedOfTwo,
            Self::RoundRobin(_) | Self::Random(_) | Self::LeastLoaded(_) | Self::P2c(_) | Self::Custom(_) => Way::None,
        }
    }
}

impl Picker for BuiltPicker {
    #[inline]
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        match self {
            Self::RoundRobin(picker) => picker.pick(draw),
            Self::Random(picker) => picker.pick(draw),
            Self::LeastLoaded(picker) => picker.pick(draw),
            Self::P2c(picker) => picker.pick(draw),
            Self::Custom(picker) => pick_checked(&**picker, draw),
        }
    }

    #[inline]
    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        match self {
            Self::RoundRobin(_) | Self::Random(_) => {}
            Self::LeastLoaded(picker) => picker.finish(endpoint, completion),
            Self::P2c(picker) => picker.finish(endpoint, completion),
            Self::Custom(picker) => picker.finish(endpoint, completion),
        }
    }

    fn report(&self, endpoint: &Endpoint, now: Instant, report: &LoadReport) {
        self.as_picker().report(endpoint, now, report);
    }
}

/// Picks with a user's picker. One that names nobody, a candidate that does not exist or one that the call
/// excludes must not break the call: the first candidate admitted from a random place on stands in.
fn pick_checked(picker: &dyn Picker, draw: &mut Draw<'_>) -> Option<usize> {
    let picked = picker.pick(draw).filter(|&at| at < draw.lineup().len() && draw.admits(at));
    picked.or_else(|| draw.scan())
}
