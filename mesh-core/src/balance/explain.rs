//! Why a pick went where it did, for whoever asks.
//!
//! A pick that is asked for its reasons is made by the same code as any other and goes to the same instance; one that
//! is not asked takes no note of anything.

use alloc::sync::Arc;
use core::fmt;

use super::tried::EndpointId;
use crate::service::Instance;

/// Why a pick went where it did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The name of the strategy.
    pub strategy: String,
    /// As [`BalancerStats::in_force`](super::BalancerStats::in_force).
    pub in_force: Option<&'static str>,
    /// What decided.
    pub reason: Reason,
    /// Whether there was anything to compare; false where every candidate looked at was idle.
    pub informed: bool,
    /// How many usable instances the request's route has.
    pub candidates: usize,
    /// Those that were compared, in the order in which they were drawn; none where the policy compares nothing.
    pub considered: Vec<Considered>,
}

/// A candidate that was compared with others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Considered {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// Its weight in force.
    pub weight: u32,
    /// Its requests in flight, and ended failures that count as such.
    pub load: u64,
    /// What was compared; the lowest is picked.
    pub score: f64,
}

/// What decided a pick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The policy did not say.
    #[default]
    Unsaid,
    /// Its turn had come.
    Turn,
    /// It was drawn.
    Drawn,
    /// It had the lowest score of those compared.
    Lowest,
    /// It owns the request's key.
    Owner,
    /// It comes next for the request's key, after those who are excluded, out, or full.
    Successor,
    /// The request has no key, so it was drawn.
    NoKey,
    /// What the policy would have chosen is excluded; it is the first admitted from a random place on.
    FirstAdmitted,
}

impl Reason {
    /// Its name in traces, in kebab-case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsaid => "unsaid",
            Self::Turn => "turn",
            Self::Drawn => "drawn",
            Self::Lowest => "lowest",
            Self::Owner => "owner",
            Self::Successor => "successor",
            Self::NoKey => "no-key",
            Self::FirstAdmitted => "first-admitted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsaid => "the policy did not say why",
            Self::Turn => "its turn had come",
            Self::Drawn => "it was drawn",
            Self::Lowest => "it had the lowest score",
            Self::Owner => "it owns the key",
            Self::Successor => "it comes next for the key",
            Self::NoKey => "the request has no key, so it was drawn",
            Self::FirstAdmitted => "it was the first that the call does not exclude",
        })
    }
}

/// What a policy says while it picks.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) reason: Reason,
    /// Positions and scores.
    pub(super) considered: Vec<(usize, f64)>,
}
