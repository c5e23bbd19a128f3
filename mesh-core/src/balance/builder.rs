//! How views are built: from the view before, by what has changed since.

use alloc::sync::Arc;
use core::num::NonZeroU32;

use super::lineup::{Candidates, Lineup, Table};
use super::policy::BuiltPicker;
use super::probation::Probation;
use super::roster::{Edit, Roster};
use super::runs::WakeRules;
use super::shortcut::Shortcut;
use super::slab::EndpointRef;
use super::strategy::Strategy;
use super::view::{Knowledge, Part, View};
use crate::route::{RouteId, Routes, RoutesFull, Selector};
use crate::service::{Instance, InstanceKey, Weight};

/// Builds the views of one service, each from the one before: counters stay with their instances, rotations
/// go on, and whatever did not change is shared rather than copied.
///
/// Not part of the data plane: it is owned by whoever publishes, usually a service machine.
#[derive(Debug)]
pub struct ViewBuilder {
    strategy: Strategy,
    routes: Routes,
    rules: WakeRules,
    knowledge: Knowledge,
    seed: u64,
    roster: Roster,
    last: Arc<View>,
}

/// What happens to one instance of a service.
#[derive(Clone, Debug)]
pub enum Change {
    /// It joins, or is now as said here.
    Set(Member),
    /// It leaves.
    Remove(InstanceKey),
}

impl Change {
    /// Whom it is about.
    #[must_use]
    pub fn key(&self) -> &InstanceKey {
        match self {
            Self::Set(member) => member.instance.key(),
            Self::Remove(key) => key,
        }
    }
}

/// A registered instance and whether it may be picked.
#[derive(Clone, Debug)]
pub struct Member {
    /// The instance.
    pub instance: Arc<Instance>,
    /// The weight in force; 0 drains.
    pub weight: Weight,
    /// Whether it may be picked.
    pub eligibility: Eligibility,
}

/// Whether an instance may be picked, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// It may.
    Usable,
    /// Not while it is unhealthy.
    Unhealthy,
    /// Not while its failures keep it out.
    Ejected,
    /// With one request at a time, whatever the policy: its failures kept it out, and it is to be seen whether it is well
    /// again.
    Probing,
    /// Not while it is drained: its own wish or its owner's.
    Drained,
}

impl Member {
    /// `instance` with its passing weight, to be picked; drained when that weight is 0.
    #[must_use]
    pub fn usable(instance: Instance) -> Self {
        let weight = instance.weights().passing;
        Self { instance: Arc::new(instance), weight, eligibility: Eligibility::Usable }
    }
}

impl Eligibility {
    /// What it comes to for an instance of this weight.
    pub(super) const fn with_weight(self, weight: Weight) -> Self {
        match self {
            Self::Usable | Self::Probing if weight.is_drained() => Self::Drained,
            Self::Usable | Self::Unhealthy | Self::Ejected | Self::Probing | Self::Drained => self,
        }
    }
}

impl ViewBuilder {
    /// A builder for a service that nothing is known of.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            routes: Routes::default(),
            rules: WakeRules::default(),
            knowledge: Knowledge::Known,
            seed: 0,
            roster: Roster::new(),
            last: View::pending(),
        }
    }

    /// Sets after how many failures in a row a lease asks for a sweep. Default 5 (Envoy's
    /// `consecutive_5xx`). In force from the next view on.
    pub fn set_wake_after(&mut self, failures: NonZeroU32) {
        self.rules.failures = failures;
    }

    /// Sets what leases ask for a sweep for. In force from the next view on.
    pub fn set_wake_rules(&mut self, rules: WakeRules) {
        self.rules = rules;
    }

    /// Sets the random number by which policies differ between the processes of one fleet. Default 0. In force from the
    /// next view on.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Sets what the registry has said of the service. In force from the next view on.
    pub fn set_knowledge(&mut self, knowledge: Knowledge) {
        self.knowledge = knowledge;
    }

    /// Registers a selector, so that picks by its id cost nothing. In force from the next view on; the same
    /// selector always has the same id.
    ///
    /// # Errors
    /// Refuses more selectors than the table holds; nothing is changed then.
    pub fn route(&mut self, selector: Selector) -> Result<RouteId, RoutesFull> {
        self.routes.intern(selector)
    }

    /// The strategy in force.
    #[must_use]
    pub const fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// The endpoint of the instance `key`, while it is a member.
    #[must_use]
    pub fn endpoint(&self, key: &InstanceKey) -> Option<EndpointRef> {
        self.roster.endpoint(key)
    }

    /// Builds the view of `members`, in any order. Of two with one key the later is taken.
    ///
    /// An instance that left takes its counters along; one that comes back, or comes back at another address,
    /// starts with new ones. O(n); the least where the members come in the order of their keys and those that did not
    /// change are the same values as before.
    pub fn build(&mut self, members: impl IntoIterator<Item = Member>) -> Arc<View> {
        let edits = self.roster.edits_to(members.into_iter().collect());
        self.view_after(edits)
    }

    /// Builds the view of the members of the last one with `changes`, just as [`ViewBuilder::build`] would. Of two
    /// for one instance the later is taken, and the instance stays the one it was unless it moved.
    ///
    /// For each change a search and, for each list that the instance is in, a copy of 4 to 10 bytes for each
    /// instance; and the policy's own tables, where it has any.
    pub fn update(&mut self, changes: impl IntoIterator<Item = Change>) -> Arc<View> {
        let edits = self.roster.edits_of(changes);
        self.view_after(edits)
    }

    /// As [`ViewBuilder::update`], or nothing where no pick could tell the difference and none is `forced`.
    pub(crate) fn update_if(&mut self, changes: Vec<Change>, forced: bool) -> Option<Arc<View>> {
        let edits = self.roster.edits_of(changes);
        (forced || !edits.is_empty()).then(|| self.view_after(edits))
    }

    fn view_after(&mut self, edits: Vec<Edit>) -> Arc<View> {
        self.roster.apply(edits, &self.routes);
        let table = self.roster.table();
        let all = self.part(&table, 0, self.roster.candidates(0).clone());
        let routes = self.parts(&table);
        let anybody_probing = self.roster.census().probing > 0;
        let probation = if anybody_probing { self.probation() } else { Probation::default() };
        let hears_of_success = all.picker.picker().learns_from_success() || self.rules.tally || anybody_probing;
        let view = View {
            version: self.last.version + 1,
            knowledge: self.knowledge,
            census: self.roster.census(),
            shortcut: if anybody_probing { Shortcut::default() } else { Self::shortcut(&table, &all) },
            hears_of_success,
            strategy: self.strategy.clone(),
            picks_departed: self.roster.picks_departed(),
            seed: self.seed,
            table,
            registered: Arc::clone(self.roster.registered()),
            all,
            routes,
            rules: self.rules,
            probation,
        };
        self.last = Arc::new(view);
        Arc::clone(&self.last)
    }

    /// The parts of the registered routes, those of the last view where their candidates are the same. The first route
    /// is the one that admits every instance.
    fn parts(&mut self, table: &Table) -> Arc<[Arc<Part>]> {
        let same_seed = self.seed == self.last.seed;
        let routes = 1..self.roster.routes();
        let changed: Vec<_> = routes.map(|index| self.roster.take_changed(index) || !same_seed).collect();
        if !changed.contains(&true) {
            return Arc::clone(&self.last.routes);
        }
        let parts = changed.into_iter().enumerate().map(|(at, changed)| match self.last.routes.get(at) {
            Some(part) if !changed => Arc::clone(part),
            Some(_) | None => Arc::new(self.part(table, at + 1, self.roster.candidates(at + 1).clone())),
        });
        parts.collect()
    }

    fn probation(&self) -> Probation {
        let selectors = self.routes.iter().map(|(_, selector)| selector.clone()).collect();
        Probation { candidates: self.roster.probing(), selectors }
    }

    fn shortcut(table: &Table, all: &Part) -> Shortcut {
        let slots = &all.candidates.slots;
        Shortcut { way: all.picker.way(slots.len()), slots: Arc::clone(slots), blocks: table.blocks.clone() }
    }

    fn part(&self, table: &Table, index: usize, candidates: Candidates) -> Part {
        let previous = self.last.part(index as u32);
        let lineup = Lineup::new(table, &candidates, self.seed);
        let is_same = |previous: &&Part| {
            let before = Lineup::new(&self.last.table, &previous.candidates, self.last.seed);
            self.last.version > 0
                && self.seed == self.last.seed
                && previous.picker.goes_by_endpoints()
                && before.print(true) == lineup.print(true)
        };
        let picker = match previous.filter(is_same) {
            Some(previous) => previous.picker.clone(),
            None => BuiltPicker::build(&self.strategy, &lineup, previous.map(|previous| &previous.picker)),
        };
        Part { candidates, picker }
    }
}
