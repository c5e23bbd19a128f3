//! How views are built: the instances of a service, their counters, and the routes among them.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::num::NonZeroU32;

use super::endpoint::Endpoint;
use super::policy::BuiltPicker;
use super::shortcut::Shortcut;
use super::strategy::Strategy;
use super::tried::EndpointId;
use super::view::{Census, Knowledge, Lineup, Part, Rows, Table, View};
use crate::route::{RouteId, Routes, RoutesFull, Selector};
use crate::service::{Instance, InstanceKey, Weight};

/// Builds the views of one service, each from the one before: counters stay with their instances, rotations
/// go on, and a column that did not change is shared rather than copied.
///
/// Not part of the data plane: it is owned by whoever publishes, usually a service machine.
#[derive(Debug)]
pub struct ViewBuilder {
    strategy: Strategy,
    routes: Routes,
    wake_after: NonZeroU32,
    knowledge: Knowledge,
    endpoints: BTreeMap<InstanceKey, Arc<Endpoint>>,
    endpoints_made: u64,
    picks_departed: u64,
    seed: u64,
    last: Arc<View>,
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

    fn effective(&self) -> Eligibility {
        match self.eligibility {
            Eligibility::Usable if self.weight.is_drained() => Eligibility::Drained,
            Eligibility::Usable | Eligibility::Unhealthy | Eligibility::Drained => self.eligibility,
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
            wake_after: WAKE_AFTER,
            knowledge: Knowledge::Known,
            endpoints: BTreeMap::new(),
            endpoints_made: 0,
            picks_departed: 0,
            seed: 0,
            last: View::pending(),
        }
    }

    /// Sets after how many failures in a row a lease asks for a sweep. Default 5 (Envoy's
    /// `consecutive_5xx`). In force from the next view on.
    pub fn set_wake_after(&mut self, failures: NonZeroU32) {
        self.wake_after = failures;
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
    pub fn endpoint(&self, key: &InstanceKey) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(key)
    }

    /// Builds the view of `members`, in any order. Of two with one key the later is taken.
    ///
    /// An instance that left takes its counters along; one that comes back, or comes back at another address,
    /// starts with new ones.
    pub fn build(&mut self, members: impl IntoIterator<Item = Member>) -> Arc<View> {
        let members: BTreeMap<_, _> =
            members.into_iter().map(|member| (member.instance.key().clone(), member)).collect();
        self.enrol(&members);
        let table = self.table(&members);
        let census = census(members.values());
        let eligibility = members.values().map(Member::effective).collect();
        let usable = members.values().enumerate().filter(|(_, member)| member.effective() == Eligibility::Usable);
        let usable: Vec<u32> = usable.map(|(row, _)| row as u32).collect();
        let (all, routes) = self.parts(&table, &usable);
        let view = View {
            version: self.last.version + 1,
            knowledge: self.knowledge,
            census,
            shortcut: self.shortcut(&table, &all),
            hears_of_success: all.picker.picker().learns_from_success(),
            strategy: self.strategy.clone(),
            eligibility,
            picks_departed: self.picks_departed,
            seed: self.seed,
            table,
            all,
            routes,
            wake_after: self.wake_after,
        };
        self.last = Arc::new(view);
        Arc::clone(&self.last)
    }

    /// Gives every member an endpoint and forgets those of instances that left.
    fn enrol(&mut self, members: &BTreeMap<InstanceKey, Member>) {
        let departed = &mut self.picks_departed;
        self.endpoints.retain(|key, endpoint| {
            let stays = members.contains_key(key);
            *departed += if stays { 0 } else { endpoint.picks() };
            stays
        });
        for (key, member) in members {
            if self.endpoints.contains_key(key) && !self.moved(key, &member.instance) {
                continue;
            }
            self.endpoints_made += 1;
            let endpoint = Endpoint::new(EndpointId(self.endpoints_made), key.clone());
            let moved = self.endpoints.insert(key.clone(), endpoint);
            self.picks_departed += moved.map_or(0, |old| old.picks());
        }
    }

    /// Whether the instance `key` had another address in the last view: a new process under an old name.
    fn moved(&self, key: &InstanceKey, now: &Instance) -> bool {
        let table = &self.last.table;
        let row = table.endpoints.binary_search_by(|endpoint| endpoint.key().cmp(key));
        row.is_ok_and(|row| {
            let before = &table.instances[row];
            before.host() != now.host() || before.port() != now.port()
        })
    }

    /// The columns of `members`, or those of the last view where nothing in them changed.
    fn table(&self, members: &BTreeMap<InstanceKey, Member>) -> Table {
        let last = &self.last.table;
        let same = |(row, member): (usize, &Member)| {
            last.weights[row] == member.weight
                && last.instances[row] == member.instance
                && self.endpoints.get(member.instance.key()).is_some_and(|kept| kept.id() == last.endpoints[row].id())
        };
        if last.instances.len() == members.len() && members.values().enumerate().all(same) {
            return last.clone();
        }
        Table {
            // In the order of the keys, as the members are.
            endpoints: self.endpoints.values().cloned().collect(),
            instances: members.values().map(|member| Arc::clone(&member.instance)).collect(),
            weights: members.values().map(|member| member.weight).collect(),
        }
    }

    /// One part for every instance, and one for each registered route.
    fn parts(&self, table: &Table, usable: &[u32]) -> (Part, Box<[Part]>) {
        let all = if usable.len() == table.instances.len() {
            Rows::All(usable.len() as u32)
        } else {
            Rows::Some(usable.into())
        };
        // The first route is the one that admits every instance.
        let selected = self.routes.iter().skip(1).map(|(_, selector)| {
            let rows = usable.iter().copied().filter(|&row| selector.matches(&table.instances[row as usize]));
            Rows::Some(rows.collect())
        });
        let routes = (1..).zip(selected).map(|(index, rows)| self.part(table, index, rows)).collect();
        (self.part(table, 0, all), routes)
    }

    /// The usable endpoints, which are those of the table or of the last view where they are the same.
    fn shortcut(&self, table: &Table, all: &Part) -> Shortcut {
        let last = &self.last;
        let endpoints = match &all.rows {
            Rows::All(_) => Arc::clone(&table.endpoints),
            rows if Arc::ptr_eq(&table.endpoints, &last.table.endpoints) && *rows == last.all.rows => {
                Arc::clone(&last.shortcut.endpoints)
            }
            Rows::Some(rows) => rows.iter().map(|&row| Arc::clone(&table.endpoints[row as usize])).collect(),
        };
        Shortcut { way: all.picker.way(endpoints.len()), endpoints }
    }

    fn part(&self, table: &Table, index: usize, rows: Rows) -> Part {
        let previous = self.last.part(index as u32).map(|part| &part.picker);
        let picker = BuiltPicker::build(&self.strategy, &Lineup { table, rows: &rows, seed: self.seed }, previous);
        Part { rows, picker }
    }
}

fn census<'a>(members: impl Iterator<Item = &'a Member>) -> Census {
    let mut census = Census::default();
    for member in members {
        census.registered += 1;
        match member.effective() {
            Eligibility::Usable => census.usable += 1,
            Eligibility::Unhealthy => census.unhealthy += 1,
            Eligibility::Drained => census.drained += 1,
        }
    }
    census
}

const WAKE_AFTER: NonZeroU32 = NonZeroU32::new(5).unwrap();
