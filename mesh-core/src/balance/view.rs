//! What picks read: an immutable picture of a service, with everything that can be worked out beforehand.

use alloc::sync::Arc;
use core::num::NonZeroU32;

use super::endpoint::Endpoint;
use super::error::PickError;
use super::outcome::{Outcome, Wake};
use super::policy::{BuiltPicker, Completion, Draw, LoadReport, Picker as _};
use crate::rng::mix;
use crate::route::RouteId;
use crate::service::{Instance, InstanceKey, Weight};
use crate::time::Instant;

/// A picture of a service at one moment: its usable instances, ready to be picked from.
///
/// Built by a [`ViewBuilder`](super::ViewBuilder), published through a [`Balancer`](super::Balancer), never
/// changed.
#[derive(Debug)]
pub struct View {
    pub(super) version: u64,
    pub(super) knowledge: Knowledge,
    pub(super) census: Census,
    pub(super) table: Arc<Table>,
    pub(super) parts: Box<[Part]>,
    pub(super) wake_after: NonZeroU32,
}

/// What the registry has said of the service so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Knowledge {
    /// Nothing yet.
    #[default]
    Pending,
    /// That it does not know the name.
    Unknown,
    /// That the service exists, with or without instances.
    Known,
}

/// How many instances are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Instances in the registry.
    pub registered: u32,
    /// Those that may be picked.
    pub usable: u32,
    /// Those that are out because of their health.
    pub unhealthy: u32,
    /// Those that are out because of weight 0 or a drain.
    pub drained: u32,
}

/// Every registered instance in the order of its key, one row in each column. Shared by views as long as the
/// membership stays.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) endpoints: Box<[Arc<Endpoint>]>,
    pub(super) instances: Box<[Arc<Instance>]>,
    pub(super) weights: Box<[Weight]>,
}

/// The instances of one route and the picker built for them.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) rows: Rows,
    pub(super) picker: BuiltPicker,
}

/// Which rows of the table a part is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rows {
    All(u32),
    Some(Box<[u32]>),
}

impl Rows {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All(len) => *len as usize,
            Self::Some(rows) => rows.len(),
        }
    }

    fn contains(&self, row: u32) -> bool {
        match self {
            Self::All(len) => row < *len,
            Self::Some(rows) => rows.binary_search(&row).is_ok(),
        }
    }

    #[inline]
    fn row(&self, position: usize) -> usize {
        match self {
            Self::All(_) => position,
            Self::Some(rows) => rows[position] as usize,
        }
    }
}

/// The candidates of a pick, in the order of their keys: what a policy is built on and chooses from.
#[derive(Clone, Copy, Debug)]
pub struct Lineup<'a> {
    pub(super) table: &'a Table,
    pub(super) rows: &'a Rows,
}

impl<'a> Lineup<'a> {
    /// How many candidates there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.rows.len()
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
        &self.table.endpoints[self.rows.row(position)]
    }

    /// The instance at `position`, which must be below [`Lineup::len`].
    #[must_use]
    pub fn instance(&self, position: usize) -> &'a Arc<Instance> {
        &self.table.instances[self.rows.row(position)]
    }

    /// The weight in force of the candidate at `position`, never 0.
    #[must_use]
    #[inline]
    pub fn weight(&self, position: usize) -> u32 {
        u32::from(self.table.weights[self.rows.row(position)].get())
    }
}

impl View {
    /// The view of a service that nothing is known of.
    #[must_use]
    pub fn pending() -> Arc<Self> {
        Arc::new(Self {
            version: 0,
            knowledge: Knowledge::Pending,
            census: Census::default(),
            table: Arc::new(Table::default()),
            parts: Box::default(),
            wake_after: NonZeroU32::MAX,
        })
    }

    /// Its number: a later view of the same builder has a higher one.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// What the registry has said of the service.
    #[must_use]
    pub const fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    /// How many instances are in which state.
    #[must_use]
    pub const fn census(&self) -> Census {
        self.census
    }

    /// The usable instances of every route ([`RouteId::ALL`]) or of one, in the order of their keys; nothing
    /// for a route that this view does not have.
    pub fn usable(&self, route: RouteId) -> impl Iterator<Item = (&Endpoint, &Arc<Instance>)> {
        let lineup = self.parts.get(route.index()).map(|part| self.lineup(part));
        let positions = lineup.as_ref().map_or(0, Lineup::len);
        (0..positions).filter_map(move |at| lineup.map(|lineup| (lineup.endpoint(at), lineup.instance(at))))
    }

    /// Every registered instance, usable or not, in the order of their keys.
    pub fn registered(&self) -> impl Iterator<Item = (&Endpoint, &Arc<Instance>)> {
        self.table.endpoints.iter().map(Arc::as_ref).zip(self.table.instances.iter())
    }

    /// The counters of every registered instance, in the order of their keys.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.table.endpoints.iter()
    }

    /// Whether the instance `key` is registered and may not be picked.
    #[must_use]
    pub fn is_out(&self, key: &InstanceKey) -> bool {
        let Ok(row) = self.table.endpoints.binary_search_by(|endpoint| endpoint.key().cmp(key)) else { return false };
        self.parts.first().is_none_or(|all| !all.rows.contains(row as u32))
    }

    /// Hands the policy what the instance `key` said of its own load; unknown instances are ignored.
    pub fn report(&self, now: Instant, key: &InstanceKey, report: &LoadReport) {
        let Ok(row) = self.table.endpoints.binary_search_by(|endpoint| endpoint.key().cmp(key)) else { return };
        for part in &self.parts {
            part.picker.report(&self.table.endpoints[row], now, report);
        }
    }

    /// Places a request that any candidate may serve, where the policy needs nothing but a random word for that;
    /// the row of the table, not yet counted.
    #[inline]
    pub(super) fn place_plain(&self, now: Instant, entropy: u64) -> Option<usize> {
        let part = self.parts.first()?;
        let position = part.picker.pick_plain(&self.lineup(part), now, mix(entropy))?;
        Some(part.rows.row(position))
    }

    /// Places a request among the candidates of `part`: the row of the table, not yet counted.
    pub(super) fn place(&self, part: usize, draw: Draw<'_>) -> Result<usize, PickError> {
        let part = &self.parts[part];
        let position = self.position(part, draw)?;
        Ok(part.rows.row(position))
    }

    fn position(&self, part: &Part, mut draw: Draw<'_>) -> Result<usize, PickError> {
        let picked = part.picker.pick(&mut draw);
        picked.filter(|&position| position < draw.lineup().len()).ok_or_else(|| self.why_nothing(part, &draw))
    }

    #[cold]
    fn why_nothing(&self, part: &Part, draw: &Draw<'_>) -> PickError {
        let Census { registered, usable, unhealthy, drained } = self.census;
        if usable == 0 {
            return self.why_empty(registered, unhealthy, drained);
        }
        let matching = (0..part.rows.len()).filter(|&at| draw.matches(at)).count();
        if matching == 0 {
            PickError::NoneMatching { usable }
        } else {
            PickError::AllExcluded { matching: matching as u32 }
        }
    }

    fn why_empty(&self, registered: u32, unhealthy: u32, drained: u32) -> PickError {
        match self.knowledge {
            Knowledge::Pending => PickError::Pending,
            Knowledge::Unknown if registered == 0 => PickError::UnknownService,
            Knowledge::Known if registered == 0 => PickError::NoneRegistered,
            Knowledge::Unknown | Knowledge::Known => PickError::NoneHealthy { registered, unhealthy, drained },
        }
    }

    /// The index of the part that serves `route`, or why there is none.
    pub(super) fn part(&self, route: RouteId) -> Result<usize, PickError> {
        if route.index() < self.parts.len() {
            return Ok(route.index());
        }
        let Census { registered, unhealthy, drained, .. } = self.census;
        Err(if self.parts.is_empty() {
            self.why_empty(registered, unhealthy, drained)
        } else {
            PickError::UnknownRoute(route)
        })
    }

    #[inline]
    pub(super) fn lineup<'a>(&'a self, part: &'a Part) -> Lineup<'a> {
        Lineup { table: &self.table, rows: &part.rows }
    }

    /// Writes the end of an attempt into its endpoint and tells the policy.
    #[inline]
    pub(super) fn complete(&self, part: u32, endpoint: &Endpoint, completion: &Completion) -> Wake {
        endpoint.stop();
        if completion.outcome == Outcome::Cancelled {
            return Wake::No;
        }
        let failures = endpoint.learn(completion.outcome);
        self.parts[part as usize].picker.finish(endpoint, completion);
        if failures == self.wake_after.get() { Wake::Sweep } else { Wake::No }
    }
}
