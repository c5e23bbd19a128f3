//! The candidates of a route, as lists of numbers that are cheap to copy, and as policies see them.

use alloc::sync::Arc;

use super::endpoint::Endpoint;
use super::facts::Facts;
use super::slab::Blocks;
use super::window::Window;
use crate::service::Instance;
use crate::time::Instant;

/// What the numbers of lineups stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) blocks: Blocks,
    pub(super) facts: Facts,
}

/// The usable instances of a route in the order of their keys, one position in each list.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    /// Where their counters are: all that most picks read.
    pub(super) slots: Arc<[u32]>,
    /// Where the rest is known.
    pub(super) rows: Arc<[u32]>,
    pub(super) weights: Weights,
}

impl Default for Candidates {
    fn default() -> Self {
        Self { slots: Arc::default(), rows: Arc::default(), weights: Weights::Same(1) }
    }
}

/// The weights of candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// All have this one.
    Same(u16),
    /// At least two differ.
    Each(Arc<[u16]>),
}

/// Stands for the candidates of a lineup: where their counters are and, where it matters, their weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Print {
    blocks: Blocks,
    slots: Arc<[u32]>,
    weights: Option<Weights>,
}

impl PartialEq for Print {
    fn eq(&self, other: &Self) -> bool {
        let same_slots = Arc::ptr_eq(&self.slots, &other.slots) || self.slots == other.slots;
        // A slot leads to another instance once its block has.
        same_slots && self.weights == other.weights && self.blocks.lead_alike(&other.blocks)
    }
}

/// The candidates of a pick, in the order of their keys: what a policy is built on and chooses from.
#[derive(Clone, Copy, Debug)]
pub struct Lineup<'a> {
    table: &'a Table,
    candidates: &'a Candidates,
    seed: u64,
    /// What the handle that picks holds back.
    window: Option<&'a Window>,
}

impl<'a> Lineup<'a> {
    #[inline]
    pub(super) const fn new(table: &'a Table, candidates: &'a Candidates, seed: u64) -> Self {
        Self { table, candidates, seed, window: None }
    }

    /// The same, as a handle sees it that holds back what is in `window`.
    #[inline]
    pub(super) const fn seen_through(self, window: Option<&'a Window>) -> Self {
        Self { window, ..self }
    }

    /// How many candidates there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.candidates.slots.len()
    }

    /// Whether there is no candidate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counters of the candidate at `position`, which must be below [`Lineup::len`].
    #[must_use]
    #[inline]
    pub fn endpoint(&self, position: usize) -> &'a Endpoint {
        self.table.blocks.get(self.candidates.slots[position])
    }

    /// The requests in flight to the candidate at `position`, which must be below [`Lineup::len`], as the handle that
    /// picks knows them: those that it holds back itself count.
    #[must_use]
    #[inline(always)]
    pub fn in_flight(&self, position: usize) -> u32 {
        let slot = self.candidates.slots[position];
        let endpoint = self.table.blocks.get(slot);
        match self.window {
            None => endpoint.in_flight(),
            Some(window) => endpoint.in_flight_and(window.held_back(slot)),
        }
    }

    /// The load of the candidate at `position`, which must be below [`Lineup::len`]: [`Lineup::in_flight`] and the
    /// failures that are held at `now`.
    #[must_use]
    #[inline]
    pub fn load(&self, position: usize, now: Instant) -> u64 {
        u64::from(self.in_flight(position)) + u64::from(self.endpoint(position).held(now))
    }

    /// The instance at `position`, which must be below [`Lineup::len`].
    #[must_use]
    pub fn instance(&self, position: usize) -> &'a Arc<Instance> {
        &self.table.facts.get(self.candidates.rows[position]).instance
    }

    /// A random number that is the same for every lineup of a balancer and differs between balancers, so that
    /// processes of one fleet need not all begin with the same instance.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The weight in force of the candidate at `position`, which must be below [`Lineup::len`]; never 0.
    #[must_use]
    #[inline]
    pub fn weight(&self, position: usize) -> u32 {
        u32::from(match &self.candidates.weights {
            Weights::Same(weight) => *weight,
            Weights::Each(weights) => weights[position],
        })
    }

    /// What stands for the candidates, with or without their weights.
    pub(super) fn print(&self, with_weights: bool) -> Print {
        let Candidates { slots, weights, .. } = self.candidates;
        let weights = with_weights.then(|| weights.clone());
        Print { blocks: self.table.blocks.clone(), slots: Arc::clone(slots), weights }
    }

    /// Whether the candidates' weights are not all the same.
    pub(super) const fn weights_differ(&self) -> bool {
        matches!(self.candidates.weights, Weights::Each(_))
    }
}
