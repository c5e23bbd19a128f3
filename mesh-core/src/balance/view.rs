//! What picks read: an immutable picture of a service, with everything that can be worked out beforehand.

use super::builder::Eligibility;
use super::census::Census;
use super::context::{PickContext, Route};
use super::endpoint::Endpoint;
use super::error::PickError;
use super::explain::{Considered, Explanation, Notes};
use super::facts::Fact;
use super::lineup::{Candidates, Table};
use super::outcome::{Outcome, Wake};
use super::policy::{BuiltPicker, Completion, Cursor, Draw, LoadReport};
use super::probation::{PROBATION, Probation};
use super::runs::WakeRules;
use super::shortcut::Shortcut;
use super::slab::EndpointRef;
use super::stats::{BalancerStats, EndpointStats};
use super::strategy::Strategy;
use super::window::Window;
use crate::rng::Draws;
use crate::route::RouteId;
use crate::service::{Instance, InstanceKey};
use crate::time::Instant;
use alloc::sync::Arc;

pub use super::lineup::Lineup;

/// A picture of a service at one moment: its usable instances, ready to be picked from.
///
/// Built by a [`ViewBuilder`](super::ViewBuilder), published through a [`Balancer`](super::Balancer), never
/// changed.
#[derive(Debug)]
pub struct View {
    pub(super) version: u64,
    pub(super) knowledge: Knowledge,
    pub(super) census: Census,
    pub(super) table: Table,
    /// The rows of every registered instance, in the order of their keys.
    pub(super) registered: Arc<[u32]>,
    pub(super) all: Part,
    pub(super) routes: Arc<[Arc<Part>]>,
    pub(super) shortcut: Shortcut,
    pub(super) rules: WakeRules,
    /// Who is on probation.
    pub(super) probation: Probation,
    /// Whether anybody learns from attempts that succeeded.
    pub(super) hears_of_success: bool,
    pub(super) strategy: Strategy,
    /// Picks of instances that have left.
    pub(super) picks_departed: u64,
    pub(super) seed: u64,
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

/// Where a request goes: the part of the view that placed it, the position in its lineup, and who is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) part: u32,
    pub(super) position: u32,
    pub(super) endpoint: &'a Endpoint,
    /// Whether there was anything to compare.
    pub(super) informed: bool,
}

/// The instances of one route and the picker built for them.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) candidates: Candidates,
    pub(super) picker: BuiltPicker,
}

impl View {
    /// The view of a service that nothing is known of.
    #[must_use]
    pub fn pending() -> Arc<Self> {
        Arc::new(Self {
            version: 0,
            knowledge: Knowledge::Pending,
            census: Census::default(),
            table: Table::default(),
            registered: Arc::default(),
            all: Part { candidates: Candidates::default(), picker: BuiltPicker::none() },
            routes: Arc::default(),
            shortcut: Shortcut::default(),
            rules: WakeRules::default(),
            probation: Probation::default(),
            hears_of_success: false,
            strategy: Strategy::default(),
            picks_departed: 0,
            seed: 0,
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
        let lineup = self.part(route.index() as u32).map(|part| self.lineup(part));
        let positions = lineup.as_ref().map_or(0, Lineup::len);
        (0..positions).filter_map(move |at| lineup.map(|lineup| (lineup.endpoint(at), lineup.instance(at))))
    }

    /// Every registered instance, usable or not, in the order of their keys.
    pub fn registered(&self) -> impl Iterator<Item = (&Endpoint, &Arc<Instance>)> {
        self.facts().map(|fact| (self.endpoint(fact.slot), &fact.instance))
    }

    /// The counters of every registered instance, in the order of their keys.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.facts().map(|fact| self.endpoint(fact.slot))
    }

    /// The counters of those instances that `later`, a view of the same builder, does not name any more. O(n).
    pub fn left_by(&self, later: &Self) -> impl Iterator<Item = EndpointRef> {
        let mut stay: Vec<_> = later.endpoints().map(Endpoint::id).collect();
        stay.sort_unstable();
        let left = self.facts().filter(move |fact| stay.binary_search(&self.endpoint(fact.slot).id()).is_err());
        left.map(|fact| self.table.blocks.keep(fact.slot))
    }

    /// Whether the instance `key` is registered.
    #[must_use]
    pub fn is_registered(&self, key: &InstanceKey) -> bool {
        self.fact(key).is_some()
    }

    /// Whether the instance `key` is registered and may not be picked.
    #[must_use]
    pub fn is_out(&self, key: &InstanceKey) -> bool {
        self.fact(key).is_some_and(|fact| fact.eligibility() != Eligibility::Usable)
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.registered.iter().map(|row| self.table.facts.get(*row))
    }

    fn fact(&self, key: &InstanceKey) -> Option<&Fact> {
        let position = self.table.facts.find(&self.registered, key).ok()?;
        Some(self.table.facts.get(self.registered[position]))
    }

    /// What is counted, but for what only a balancer knows.
    pub(super) fn stats(&self, now: Instant) -> BalancerStats {
        let endpoints =
            self.facts().map(|fact| (fact, self.endpoint(fact.slot))).map(|(fact, endpoint)| EndpointStats {
                instance: Arc::clone(&fact.instance),
                endpoint: endpoint.id(),
                picks: endpoint.picks(),
                in_flight: endpoint.in_flight(),
                held: endpoint.held(now),
                failures_in_row: endpoint.failures_in_row(),
                tally: endpoint.tally(),
                latency: self.all.picker.picker().latency(endpoint, now),
                weight: fact.weight,
                eligibility: fact.eligibility(),
            });
        let endpoints: Vec<EndpointStats> = endpoints.collect();
        BalancerStats {
            version: self.version,
            strategy: self.strategy.name().to_owned(),
            in_force: self.all.picker.picker().in_force(),
            census: self.census,
            picks: self.picks_departed + endpoints.iter().map(|endpoint| endpoint.picks).sum::<u64>(),
            picks_uninformed: 0,
            endpoints,
        }
    }

    /// Hands the policy what the instance `key` said of its own load; unknown instances are ignored.
    pub fn report(&self, now: Instant, key: &InstanceKey, report: &LoadReport) {
        let Some(fact) = self.fact(key) else { return };
        for part in core::iter::once(&self.all).chain(self.routes.iter().map(Arc::as_ref)) {
            part.picker.picker().report(self.endpoint(fact.slot), now, report);
        }
    }

    /// Places a request, which is not counted yet.
    #[inline(never)]
    pub(super) fn place<'a>(
        &'a self,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
        cursors: &mut [Cursor],
        window: Option<&'a Window>,
    ) -> Result<Placed<'a>, PickError> {
        self.place_noting(now, context, entropy, cursors, window, None)
    }

    /// Places a request and says why it goes where it does.
    pub(super) fn place_explained<'a>(
        &'a self,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
        cursors: &mut [Cursor],
        window: Option<&'a Window>,
    ) -> Result<(Placed<'a>, Explanation), PickError> {
        let mut notes = Notes::default();
        let placed = self.place_noting(now, context, entropy, cursors, window, Some(&mut notes))?;
        let part = self.part_or_all(placed.part);
        let lineup = self.lineup(part).seen_through(window);
        let considered = notes.considered.iter().map(|&(position, score)| Considered {
            instance: Arc::clone(lineup.instance(position)),
            endpoint: lineup.endpoint(position).id(),
            weight: lineup.weight(position),
            load: lineup.load(position, now),
            score,
        });
        let explanation = Explanation {
            strategy: self.strategy.name().to_owned(),
            in_force: part.picker.picker().in_force(),
            reason: notes.reason,
            informed: placed.informed,
            candidates: lineup.len(),
            considered: considered.collect(),
        };
        Ok((placed, explanation))
    }

    #[inline]
    fn place_noting<'a>(
        &'a self,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
        cursors: &mut [Cursor],
        window: Option<&'a Window>,
        notes: Option<&mut Notes>,
    ) -> Result<Placed<'a>, PickError> {
        if !self.probation.selectors.is_empty()
            && let Some(position) = self.try_probation(now, context)
        {
            let endpoint = self.placed_on(PROBATION, position);
            return Ok(Placed { part: PROBATION, position, endpoint, informed: true });
        }
        let (route, selector) = match context.route {
            Route::All => (RouteId::ALL, None),
            Route::Registered(route) => (route, None),
            Route::Selector(selector) => (RouteId::ALL, Some(selector)),
        };
        let index = route.index() as u32;
        let part = self.part(index).ok_or_else(|| self.why_no_part(route))?;
        let cursor = cursors.get_mut(index as usize).ok_or(PickError::UnknownRoute(route))?;
        let lineup = self.lineup(part).seen_through(window);
        let draws = Draws::new(entropy);
        let mut draw = Draw { lineup, now, context, selector, draws, cursor, informed: true, notes };
        let picked = part.picker.pick(&mut draw).filter(|&position| position < lineup.len());
        let position = picked.ok_or_else(|| self.why_nothing(part, &draw))?;
        let (endpoint, informed) = (lineup.endpoint(position), draw.informed);
        Ok(Placed { part: index, position: position as u32, endpoint, informed })
    }

    /// Who is at `position` of the lineup of `part`, both of which this view must have.
    #[inline]
    pub(super) fn placed_on(&self, part: u32, position: u32) -> &Endpoint {
        self.endpoint(self.slot(part, position))
    }

    /// Where the counters are of whoever is at `position` of the lineup of `part`, both of which this view must have.
    #[inline]
    pub(super) fn slot(&self, part: u32, position: u32) -> u32 {
        self.candidates(part).slots[position as usize]
    }

    /// The instance at `position` of the lineup of `part`, both of which this view must have.
    #[inline]
    pub(super) fn instance(&self, part: u32, position: u32) -> &Arc<Instance> {
        &self.table.facts.get(self.candidates(part).rows[position as usize]).instance
    }

    #[inline]
    fn candidates(&self, part: u32) -> &Candidates {
        match part {
            0 => &self.all.candidates,
            PROBATION => &self.probation.candidates,
            part => &self.routes[part as usize - 1].candidates,
        }
    }

    /// The endpoint in `slot`, which this view must name.
    #[inline]
    pub(super) fn endpoint(&self, slot: u32) -> &Endpoint {
        self.table.blocks.get(slot)
    }

    #[cold]
    fn why_nothing(&self, part: &Part, draw: &Draw<'_>) -> PickError {
        let Census { registered, usable, unhealthy, ejected, probing, drained } = self.census;
        if usable == 0 {
            return self.why_empty(registered, unhealthy + ejected + probing, drained);
        }
        let matching = (0..part.candidates.slots.len()).filter(|&at| draw.matches(at)).count();
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

    /// The part of the route at `index`, if this view has it.
    #[inline]
    pub(super) fn part(&self, index: u32) -> Option<&Part> {
        match index {
            0 => Some(&self.all),
            index => self.routes.get(index as usize - 1).map(Arc::as_ref),
        }
    }

    /// How many parts there are.
    pub(super) fn parts(&self) -> usize {
        self.routes.len() + 1
    }

    /// Why there is no part for `route`.
    #[cold]
    fn why_no_part(&self, route: RouteId) -> PickError {
        if self.version == 0 { PickError::Pending } else { PickError::UnknownRoute(route) }
    }

    #[inline]
    pub(super) fn lineup<'a>(&'a self, part: &'a Part) -> Lineup<'a> {
        Lineup::new(&self.table, &part.candidates, self.seed)
    }

    /// Learns from the end of an attempt, which is counted already, and tells the policy.
    #[inline]
    pub(super) fn complete(&self, part: u32, endpoint: &Endpoint, ended: &Completion) -> Wake {
        if ended.outcome == Outcome::Success && !self.hears_of_success {
            endpoint.succeed();
            return Wake::No;
        }
        self.complete_in_full(part, endpoint, ended)
    }

    /// Tells the policy of an attempt that was given up.
    pub(super) fn abandon(&self, part: u32, endpoint: &Endpoint, started: Instant, now: Option<Instant>) {
        if part == PROBATION {
            endpoint.ticket().give_back(started, Outcome::Cancelled, &self.rules);
        }
        self.part_or_all(part).picker.picker().abandon(endpoint, started, now);
    }

    #[inline(never)]
    fn complete_in_full(&self, part: u32, endpoint: &Endpoint, ended: &Completion) -> Wake {
        if ended.outcome == Outcome::Cancelled {
            self.abandon(part, endpoint, ended.started, Some(ended.now));
            return Wake::No;
        }
        let latency = ended.now.since(ended.started);
        let wanted = endpoint.learn(ended.outcome, latency, &self.rules);
        self.part_or_all(part).picker.picker().finish(endpoint, ended);
        if part == PROBATION {
            endpoint.ticket().give_back(ended.started, ended.outcome, &self.rules);
        }
        if wanted || part == PROBATION { Wake::Sweep } else { Wake::No }
    }

    /// The part whose policy hears of what was placed through `part`: that of all instances for those on probation.
    fn part_or_all(&self, part: u32) -> &Part {
        self.part(part).unwrap_or(&self.all)
    }
}
