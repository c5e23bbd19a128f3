//! The reference: what a balancer should know and may do, in plain tables without atomics, views or policies.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use super::course::Course;
use super::script::{Asked, Kind, SLOTS, Slot, key};
use crate::balance::{
    Census, Eligibility, EndpointId, EndpointRef, Knowledge, Member, Outcome, PickError, Tried, View, ViewBuilder,
    Wake, WakeRules,
};
use crate::time::Instant;

/// Everything that a balancer should know.
#[derive(Debug)]
pub(super) struct Model {
    hold: Duration,
    /// The membership as it is to be at the next build.
    slots: BTreeMap<usize, Slot>,
    /// The membership of the last build: the incarnation in each slot, and whether it is at its second address.
    enrolled: BTreeMap<usize, (usize, bool)>,
    incarnations: Vec<Incarnation>,
    routes: Vec<Kind>,
    rules: WakeRules,
    knowledge: Knowledge,
    version: u64,
    pub(super) published: Arc<Picture>,
}

/// An instance from the day it joined to the day it left.
#[derive(Debug)]
struct Incarnation {
    endpoint: EndpointRef,
    in_flight: u32,
    course: Course,
    /// When the failures ended that may still count as load.
    held: Vec<Instant>,
}

/// What a view should show.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) version: u64,
    knowledge: Knowledge,
    rules: WakeRules,
    routes: Vec<Kind>,
    members: Vec<(usize, Slot)>,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) asked: Asked,
    pub(super) excluded: VecDeque<EndpointId>,
}

/// What the end of a lease needs to know of its beginning.
#[derive(Debug)]
pub(super) struct Ending {
    incarnation: usize,
    rules: WakeRules,
    started: Instant,
    /// Whether it was placed because its instance is on probation.
    pub(super) ticket: bool,
}

impl Want {
    /// Remembers `id`, and forgets the one that was remembered first when there are too many.
    pub(super) fn exclude(&mut self, id: EndpointId) {
        if !self.excluded.contains(&id) {
            self.excluded.push_back(id);
        }
        if self.excluded.len() > Tried::CAPACITY {
            self.excluded.pop_front();
        }
    }
}

impl Model {
    pub(super) fn new(hold: Duration) -> Self {
        let unknown = Picture {
            version: 0,
            knowledge: Knowledge::Pending,
            rules: WakeRules::default(),
            routes: Vec::new(),
            members: Vec::new(),
        };
        Self {
            hold,
            slots: BTreeMap::new(),
            enrolled: BTreeMap::new(),
            incarnations: Vec::new(),
            routes: Vec::new(),
            rules: WakeRules::default(),
            knowledge: Knowledge::Known,
            version: 0,
            published: Arc::new(unknown),
        }
    }

    pub(super) fn join(&mut self, slot: usize, byte: u8) {
        self.slots.insert(slot, Slot::read(byte));
    }

    pub(super) fn leave(&mut self, slot: usize) {
        self.slots.remove(&slot);
    }

    /// Fills the slots up to a number with members of weight 1 that differ in their tags.
    pub(super) fn join_all(&mut self, byte: u8) {
        let count = usize::from(byte) % (SLOTS + 1);
        self.slots = (0..count).map(|slot| (slot, Slot::read((slot as u8 & 3) << 2 | 1))).collect();
    }

    /// The members for the builder: in no order, and one of them twice, the first time with what is not true.
    pub(super) fn members(&self) -> Vec<Member> {
        let mut members: Vec<_> = self.slots.iter().rev().map(|(slot, state)| state.member(*slot)).collect();
        if let Some(first) = members.first().cloned() {
            members.insert(0, Member { eligibility: Eligibility::Drained, ..first });
        }
        members
    }

    pub(super) const fn configure(&mut self, rules: WakeRules, knowledge: Knowledge) {
        self.rules = rules;
        self.knowledge = knowledge;
    }

    /// The index that `kind` should have among the routes.
    pub(super) fn register(&mut self, kind: Kind) -> usize {
        let known = self.routes.iter().position(|registered| *registered == kind);
        known.unwrap_or_else(|| {
            self.routes.push(kind);
            self.routes.len() - 1
        }) + 1
    }

    /// Takes note that `views` has built `view` of the members, and checks what it shows.
    pub(super) fn built(&mut self, views: &ViewBuilder, view: &View) -> Arc<Picture> {
        self.version += 1;
        self.enrol(views);
        let member = |(slot, state): (&usize, &Slot)| (self.enrolled[slot].0, *state);
        let picture = Picture {
            version: self.version,
            knowledge: self.knowledge,
            rules: self.rules,
            routes: self.routes.clone(),
            members: self.slots.iter().map(member).collect(),
        };
        self.check_view(&picture, view);
        Arc::new(picture)
    }

    /// Whether `picture` should be published: when nothing newer is.
    pub(super) fn publish(&mut self, picture: Arc<Picture>) -> bool {
        let newer = picture.version > self.published.version;
        if newer {
            self.published = picture;
        }
        newer
    }

    /// An endpoint that ever was.
    pub(super) fn any_endpoint(&self, byte: u8) -> Option<EndpointId> {
        // The latest are the likeliest to be members, and there may be more than a byte can count.
        let back = usize::from(byte).checked_rem(self.incarnations.len().min(2 * SLOTS))?;
        Some(self.incarnations[self.incarnations.len() - 1 - back].endpoint.id())
    }

    /// Whoever is on probation and is to get a request that asks so, the first in the order of their keys.
    fn to_be_tried(&self, want: &Want) -> Option<usize> {
        let probing = self.published.admitted(want.asked, |slot| slot.is_probing())?;
        let free = |at: &usize| self.incarnations[*at].course.has_free_ticket();
        let excluded = |at: &usize| want.excluded.contains(&self.incarnations[*at].endpoint.id());
        probing.into_iter().find(|at| free(at) && !excluded(at))
    }

    /// Takes note that the endpoint `id` was picked, which must be among the candidates.
    pub(super) fn picked(&mut self, want: &Want, id: u64, now: Instant) -> Ending {
        let picture = Arc::clone(&self.published);
        if let Some(incarnation) = self.to_be_tried(want) {
            let tried = &mut self.incarnations[incarnation];
            assert_eq!(tried.endpoint.id().number(), id, "who is on probation is tried first");
            tried.in_flight += 1;
            let ticket = tried.course.take_ticket(now);
            return Ending { incarnation, rules: picture.rules, started: now, ticket };
        }
        let number = |incarnation: usize| self.incarnations[incarnation].endpoint.id().number();
        let candidates = picture.candidates(want.asked).unwrap_or_default();
        let picked = candidates.into_iter().find(|incarnation| number(*incarnation) == id);
        assert!(picked.is_some(), "endpoint {id} was picked, which is no usable member that matches {:?}", want.asked);
        assert!(!want.excluded.iter().any(|excluded| excluded.number() == id), "endpoint {id} was excluded");
        let incarnation = picked.unwrap_or_default();
        self.incarnations[incarnation].in_flight += 1;
        Ending { incarnation, rules: picture.rules, started: now, ticket: false }
    }

    /// Why nobody could be picked.
    pub(super) fn refusal(&self, want: &Want) -> PickError {
        let picture = &*self.published;
        let Census { registered, usable, unhealthy, ejected, probing, drained } = picture.census();
        assert_eq!(self.to_be_tried(want), None, "refused, though one is to be tried");
        let Some(matching) = picture.candidates(want.asked) else {
            let route = want.asked.registered().unwrap_or_default();
            return if picture.version == 0 { PickError::Pending } else { PickError::UnknownRoute(route) };
        };
        let excluded = |at: &usize| want.excluded.contains(&self.incarnations[*at].endpoint.id());
        assert!(matching.iter().all(excluded), "refused, though {matching:?} could serve {want:?}");
        match (picture.knowledge, registered, usable, matching.len()) {
            (Knowledge::Pending, ..) => PickError::Pending,
            (Knowledge::Unknown, 0, ..) => PickError::UnknownService,
            (Knowledge::Known, 0, ..) => PickError::NoneRegistered,
            (_, _, 0, _) => PickError::NoneHealthy { registered, unhealthy: unhealthy + ejected + probing, drained },
            (.., 0) => PickError::NoneMatching { usable },
            (.., matching) => PickError::AllExcluded { matching: matching as u32 },
        }
    }

    /// Takes note of how a lease ended, and says whether its owner should be woken.
    pub(super) fn ended(&mut self, ending: &Ending, now: Instant, outcome: Option<Outcome>) -> Wake {
        let incarnation = &mut self.incarnations[ending.incarnation];
        incarnation.in_flight -= 1;
        let outcome = outcome.unwrap_or(Outcome::Cancelled);
        if outcome.is_failure() && !self.hold.is_zero() {
            incarnation.held.push(now);
        }
        incarnation.course.ended(
            outcome,
            now.since(ending.started),
            &ending.rules,
            ending.ticket.then_some(ending.started),
        )
    }

    /// Takes note that the failures of the instance in `slot` are forgotten.
    pub(super) fn forgiven(&mut self, slot: usize) {
        let incarnation = &mut self.incarnations[self.enrolled[&slot].0];
        incarnation.course.forgive();
        incarnation.held.clear();
    }

    /// Whether the instance of a lease has left or moved.
    pub(super) fn has_left(&self, ending: &Ending) -> bool {
        !self.enrolled.values().any(|(incarnation, _)| *incarnation == ending.incarnation)
    }

    /// Compares every endpoint that ever was with what it should be.
    pub(super) fn check(&mut self, now: Instant) {
        let hold = self.hold;
        for incarnation in &mut self.incarnations {
            let Incarnation { endpoint, in_flight, course, held } = incarnation;
            assert_eq!(endpoint.in_flight(), *in_flight, "requests in flight at {}", endpoint.key());
            course.check(endpoint);
            // A failure counts for the hold and at most a sixteenth longer.
            held.retain(|ended| now.since(*ended) <= hold + hold / 16);
            let least = held.iter().filter(|ended| now.since(**ended) < hold).count();
            let counted = endpoint.held(now) as usize;
            assert!((least..=held.len()).contains(&counted), "{counted} held failures of {}: {held:?}", endpoint.key());
            assert_eq!(endpoint.load(now), u64::from(*in_flight) + counted as u64, "the load of {}", endpoint.key());
        }
    }

    pub(super) fn check_idle(&self) {
        assert!(self.incarnations.iter().all(|it| it.in_flight == 0 && it.endpoint.in_flight() == 0));
    }

    /// Gives every member its incarnation: the one it had, unless it left, came back or moved since.
    fn enrol(&mut self, views: &ViewBuilder) {
        let before = core::mem::take(&mut self.enrolled);
        for slot in 0..SLOTS {
            let endpoint = views.endpoint(&key(slot));
            assert_eq!(endpoint.is_some(), self.slots.contains_key(&slot), "whether slot {slot} has an endpoint");
            let (Some(endpoint), Some(state)) = (endpoint, self.slots.get(&slot)) else { continue };
            let kept =
                before.get(&slot).filter(|(_, moved)| *moved == state.moved).map(|(incarnation, _)| *incarnation);
            let position = self.incarnations.iter().position(|it| it.endpoint.id() == endpoint.id());
            assert_eq!(position, kept, "whether slot {slot} keeps the endpoint that it had");
            let incarnation = position.unwrap_or(self.incarnations.len());
            if position.is_none() {
                let endpoint = endpoint.clone();
                self.incarnations.push(Incarnation {
                    endpoint,
                    in_flight: 0,
                    course: Course::default(),
                    held: Vec::new(),
                });
            }
            self.enrolled.insert(slot, (incarnation, state.moved));
        }
    }

    fn check_view(&self, picture: &Picture, view: &View) {
        assert_eq!((view.version(), view.knowledge()), (picture.version, picture.knowledge), "the view's frame");
        assert_eq!(view.census(), picture.census(), "the census");
        let ids = |incarnations: Vec<usize>| {
            incarnations.into_iter().map(|at| self.incarnations[at].endpoint.id()).collect::<Vec<_>>()
        };
        let shown: Vec<_> = view.registered().map(|(endpoint, _)| endpoint.id()).collect();
        assert_eq!(shown, ids(picture.members.iter().map(|(at, _)| *at).collect()), "everyone registered, in order");
        for slot in 0..SLOTS {
            let out = self.slots.get(&slot).is_some_and(|slot| !slot.is_usable());
            assert_eq!(view.is_out(&key(slot)), out, "whether slot {slot} is out");
        }
        for index in 0..=picture.routes.len() {
            let asked = Asked::Registered(index);
            let route = asked.registered().unwrap_or_default();
            let shown: Vec<_> = view.usable(route).map(|(endpoint, _)| endpoint.id()).collect();
            assert_eq!(shown, ids(picture.candidates(asked).unwrap_or_default()), "the candidates of route {index}");
        }
    }
}

impl Picture {
    /// The incarnations that may serve `asked`; none for a route that was not registered when the view was
    /// built.
    fn candidates(&self, asked: Asked) -> Option<Vec<usize>> {
        self.admitted(asked, Slot::is_usable)
    }

    /// The incarnations in a state that `asked` admits.
    fn admitted(&self, asked: Asked, state: impl Fn(Slot) -> bool) -> Option<Vec<usize>> {
        let kind = match asked {
            Asked::All => None,
            Asked::Selector(kind) => Some(kind),
            Asked::Registered(0) => None,
            Asked::Registered(index) => Some(*self.routes.get(index - 1)?),
        };
        if self.version == 0 {
            return None;
        }
        let admitted = self.members.iter().filter(|(_, slot)| state(*slot));
        let admitted = admitted.filter(|(_, slot)| kind.is_none_or(|kind| kind.admits(*slot)));
        Some(admitted.map(|(incarnation, _)| *incarnation).collect())
    }

    fn census(&self) -> Census {
        let mut census = Census { registered: self.members.len() as u32, ..Census::default() };
        for (_, slot) in &self.members {
            match slot.eligibility {
                Eligibility::Unhealthy => census.unhealthy += 1,
                Eligibility::Ejected => census.ejected += 1,
                Eligibility::Usable if slot.weight > 0 => census.usable += 1,
                Eligibility::Probing if slot.weight > 0 => census.probing += 1,
                Eligibility::Usable | Eligibility::Probing | Eligibility::Drained => census.drained += 1,
            }
        }
        census
    }
}
