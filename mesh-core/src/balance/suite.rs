//! The balancer against a reference model, driven by bytes: what the fuzz target runs and the tests replay.
//!
//! Any bytes are a script: the first chooses the policy and whether handles hold counts back, the rest are operations with their arguments, cut off
//! where they end. After every operation the counters of every endpoint that ever was are compared with the
//! model's, and every pick with what the model allows.

mod course;
mod model;
mod script;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::num::NonZeroU32;
use core::time::Duration;

use super::policy::{
    AdaptiveConfig, BoundedLoadConfig, Completion, Draw, HashStrategy, LeastLoadedConfig, LoadReport, MaglevConfig,
    P2cConfig, PeakEwmaConfig, Picker, Policy, RingHashConfig, RingKind, Sequence, WeightedRoundRobinConfig,
};
use super::{
    Balancer, Endpoint, Handle, Knowledge, Lease, Lineup, Outcome, PickContext, PickError, Route, Strategy, Tried,
    WakeRules,
};
use super::{View, ViewBuilder};
use crate::rng::mix;
use crate::route::RouteId;
use crate::time::Instant;
use model::{Ending, Model, Picture, Want};
use script::{Kind, Script};

/// Runs the script that `bytes` are, and says what it came across.
///
/// # Panics
/// When the balancer does what the model does not allow.
pub fn replay(bytes: &[u8]) -> Tally {
    let mut script = Script::new(bytes);
    let first = script.byte();
    let (strategy, hold) = strategy(usize::from(first) % STRATEGIES);
    let window = if first < WINDOWED_FROM { Duration::ZERO } else { WINDOW };
    let mut world = World::new(strategy, hold, window);
    while let Some(operation) = script.next() {
        world.step(operation, &mut script);
        world.balancer.settle();
        world.model.check(world.now);
    }
    Tally { policy: usize::from(first) % STRATEGIES, ..world.end() }
}

/// What a replay came across: how a corpus shows that it reaches what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of the policy, below [`STRATEGIES`].
    pub policy: usize,
    /// Whether handles held counts back.
    pub is_windowed: bool,
    /// Picks that were placed.
    pub picks: u32,
    /// Picks that were refused, by the name of the reason.
    pub refusals: BTreeMap<&'static str, u32>,
    /// Leases that ended after their instance had left or moved.
    pub late_ends: u32,
    /// Ends that asked for a sweep.
    pub sweeps: u32,
    /// Picks of instances on probation.
    pub probations: u32,
    /// Views that were published too late and refused.
    pub stale_views: u32,
}

/// The balancer and its model, side by side.
#[derive(Debug)]
struct World {
    views: ViewBuilder,
    balancer: Balancer,
    handles: Vec<Handle>,
    leases: Vec<(Lease, Ending)>,
    /// A view that was built and not published at once, and what the model says of it.
    withheld: Option<(Arc<View>, Arc<Picture>)>,
    now: Instant,
    model: Model,
    tally: Tally,
}

impl World {
    fn new(strategy: Strategy, hold: Duration, window: Duration) -> Self {
        let balancer = Balancer::with_window(window);
        Self {
            views: ViewBuilder::new(strategy),
            handles: vec![balancer.handle()],
            balancer,
            leases: Vec::new(),
            withheld: None,
            now: Instant::ZERO,
            model: Model::new(hold),
            tally: Tally { is_windowed: !window.is_zero(), ..Tally::default() },
        }
    }

    fn step(&mut self, operation: u8, script: &mut Script<'_>) {
        match operation % 17 {
            0 => self.model.join(script.slot(), script.byte()),
            1 => self.model.leave(script.slot()),
            2 => self.model.join_all(script.byte()),
            3 => self.build_and_publish(),
            4 => self.withheld = Some(self.build()),
            5 => self.publish_the_withheld(),
            6 => self.register(script.kind()),
            7 => self.configure(script.byte()),
            8 => self.pick_borrowed(script),
            9..=11 => self.pick_owned(script),
            12 => self.finish(script),
            13 => self.drop_lease(script),
            14 => self.handle(script.byte()),
            15 => self.pass_time(script.byte()),
            _ => self.forgive(script.slot()),
        }
    }

    fn build(&mut self) -> (Arc<View>, Arc<Picture>) {
        let view = self.views.build(self.model.members());
        let picture = self.model.built(&self.views, &view);
        (view, picture)
    }

    fn build_and_publish(&mut self) {
        let (view, picture) = self.build();
        self.publish(view, picture);
    }

    /// It stays withheld, so that it can be published again.
    fn publish_the_withheld(&mut self) {
        if let Some((view, picture)) = self.withheld.clone() {
            self.publish(view, picture);
        }
    }

    fn publish(&mut self, view: Arc<View>, picture: Arc<Picture>) {
        let published = self.balancer.publish(view);
        assert_eq!(published, self.model.publish(picture), "whether a view is published");
        self.tally.stale_views += u32::from(!published);
        assert_eq!(self.balancer.view().version(), self.model.published.version, "the version in force");
    }

    fn register(&mut self, kind: Kind) {
        let given = self.views.route(kind.selector()).map(RouteId::index);
        assert_eq!(given, Ok(self.model.register(kind)), "the id of a registered selector");
    }

    fn configure(&mut self, byte: u8) {
        let length = |bit: u8| (byte & bit != 0).then_some(NonZeroU32::MIN.saturating_add(1));
        let rules = WakeRules {
            failures: NonZeroU32::MIN.saturating_add(u32::from(byte % 4)),
            failures_again: length(4),
            gateway: length(8),
            local: length(16),
            split_local: byte & 32 != 0,
            overload_fails: byte & 64 != 0,
            overload_fails_trials: byte & 2 != 0,
            tally: byte & 128 != 0,
        };
        let knowledge = if byte & 4 == 0 { Knowledge::Known } else { Knowledge::Unknown };
        self.views.set_wake_rules(rules);
        self.views.set_knowledge(knowledge);
        self.model.configure(rules, knowledge);
        let key = script::key(usize::from(byte) % script::SLOTS);
        self.balancer.view().report(self.now, &key, &LoadReport::default().in_flight(u32::from(byte)));
    }

    /// Puts a request together, lets `pick` place it, and holds the answer against the model.
    fn place<T>(
        &mut self,
        script: &mut Script<'_>,
        pick: impl FnOnce(&mut Handle, Instant, &PickContext<'_>, u64) -> Result<(u64, T), PickError>,
    ) -> Option<(Ending, T)> {
        let (asked, exclusions) = (script.route(), script.below(16));
        let mut tried = Tried::new();
        let mut want = Want { asked, excluded: VecDeque::new() };
        for _ in 0..exclusions {
            let Some(id) = self.model.any_endpoint(script.byte()) else { break };
            tried.insert(id);
            want.exclude(id);
        }
        let selector = want.asked.selector();
        let route = match (&selector, want.asked.registered()) {
            (Some(selector), _) => Route::Selector(selector),
            (None, Some(id)) => Route::Registered(id),
            (None, None) => Route::All,
        };
        let handle = script.below(self.handles.len());
        let entropy = script.entropy();
        // One of a few keys, or none.
        let hash_key = Some(mix(entropy % 64)).filter(|_| !entropy.is_multiple_of(8));
        let context = PickContext { route, hash_key, excluded: &tried, ..PickContext::default() };
        let placed = pick(&mut self.handles[handle], self.now, &context, entropy);
        match placed {
            Ok((id, lease)) => {
                self.tally.picks += 1;
                let ending = self.model.picked(&want, id, self.now);
                self.tally.probations += u32::from(ending.ticket);
                Some((ending, lease))
            }
            Err(error) => {
                assert_eq!(error, self.model.refusal(&want), "why nobody was picked");
                *self.tally.refusals.entry(error.name()).or_default() += 1;
                None
            }
        }
    }

    /// A borrowed lease, which begins and ends here.
    fn pick_borrowed(&mut self, script: &mut Script<'_>) {
        let (outcome, counts) = (script.outcome(), !self.tally.is_windowed);
        let ended = self.place(script, |handle, now, context, entropy| {
            let lease = handle.pick(now, context, entropy)?;
            let id = lease.endpoint().id().number();
            assert_eq!((lease.started(), lease.instance().key()), (now, lease.endpoint().key()), "what was picked");
            assert!(!counts || lease.endpoint().in_flight() > 0, "a pick counts from the start");
            Ok((id, outcome.map(|outcome| lease.finish(now, outcome))))
        });
        if let Some((ending, wake)) = ended {
            let expected = self.model.ended(&ending, self.now, outcome);
            assert_eq!(wake.unwrap_or(expected), expected, "whether the owner is woken");
        }
    }

    /// An owned lease, which goes into the table.
    fn pick_owned(&mut self, script: &mut Script<'_>) {
        if self.leases.len() >= LEASES_MAX {
            return;
        }
        let started = self.place(script, |handle, now, context, entropy| {
            let lease = handle.pick_owned(now, context, entropy)?;
            assert_eq!((lease.started(), lease.instance().key()), (now, lease.endpoint().key()), "what was picked");
            Ok((lease.endpoint().id().number(), lease))
        });
        self.leases.extend(started.map(|(ending, lease)| (lease, ending)));
    }

    fn finish(&mut self, script: &mut Script<'_>) {
        let outcome = script.outcome().unwrap_or(Outcome::Cancelled);
        if let Some((lease, ending)) = self.take(script.byte()) {
            let wake = lease.finish(self.now, outcome);
            assert_eq!(wake, self.model.ended(&ending, self.now, Some(outcome)), "whether the owner is woken");
            self.tally.sweeps += u32::from(wake == super::Wake::Sweep);
        }
    }

    fn drop_lease(&mut self, script: &mut Script<'_>) {
        if let Some((lease, ending)) = self.take(script.byte()) {
            drop(lease);
            self.model.ended(&ending, self.now, None);
        }
    }

    fn take(&mut self, which: u8) -> Option<(Lease, Ending)> {
        let index = usize::from(which).checked_rem(self.leases.len())?;
        let (lease, ending) = self.leases.swap_remove(index);
        self.tally.late_ends += u32::from(self.model.has_left(&ending));
        Some((lease, ending))
    }

    /// Makes a handle anew, adds one, takes one away, or looks through one.
    fn handle(&mut self, byte: u8) {
        let which = usize::from(byte >> 2) % self.handles.len();
        match byte % 4 {
            0 => self.handles[which] = self.balancer.handle(),
            1 if self.handles.len() < HANDLES_MAX => self.handles.push(self.balancer.clone().handle()),
            2 if self.handles.len() > 1 => drop(self.handles.swap_remove(which)),
            _ => {
                let seen = self.handles[which].view().version();
                assert_eq!(seen, self.model.published.version, "the version that a handle sees");
            }
        }
    }

    /// Up to a second in small steps, or up to an hour and more, so that held failures are counted and forgotten.
    fn pass_time(&mut self, byte: u8) {
        let millis = if byte < 128 { u64::from(byte) * 8 } else { 1 << (byte % 23) };
        self.now += Duration::from_millis(millis);
    }

    /// Checks have found the instance well again.
    fn forgive(&mut self, slot: usize) {
        if let Some(endpoint) = self.views.endpoint(&script::key(slot)) {
            endpoint.forgive();
            endpoint.ticket().offer();
            self.model.forgiven(slot);
        }
    }

    /// Ends every lease after the balancer, its builder and its handles are gone; nothing may remain counted.
    fn end(self) -> Tally {
        let Self { views, balancer, handles, leases, withheld, now, mut model, tally } = self;
        drop((views, balancer, handles, withheld));
        for (index, (lease, ending)) in leases.into_iter().enumerate() {
            let outcome = (index % 2 == 0).then_some(Outcome::Failure);
            let wake = outcome.map(|outcome| lease.finish(now, outcome));
            let expected = model.ended(&ending, now, outcome);
            assert_eq!(wake.unwrap_or(expected), expected, "whether the owner is woken");
            if !tally.is_windowed {
                model.check(now);
            }
        }
        model.check_idle();
        tally
    }
}

/// The policy number `choice` and for how long it holds failures.
fn strategy(choice: usize) -> (Strategy, Duration) {
    let p2c = |choices| P2cConfig { choices, ..P2cConfig::default() };
    let hold = LeastLoadedConfig::default().failure_hold;
    let ring = |kind| RingHashConfig { kind, ring_min: 64, points: 8, ..RingHashConfig::default() };
    let small = MaglevConfig { size: 251 };
    let bounded = |of| Strategy::BoundedLoad(BoundedLoadConfig { of, ..BoundedLoadConfig::default() });
    match choice {
        0 => (Strategy::RoundRobin, Duration::ZERO),
        1 => (Strategy::Random, Duration::ZERO),
        2 => (Strategy::LeastLoaded(LeastLoadedConfig::default()), hold),
        3 => (Strategy::P2cLeastLoaded(p2c(2)), hold),
        4 => (Strategy::P2cLeastLoaded(p2c(4)), hold),
        5 => (Strategy::WeightedRoundRobin(WeightedRoundRobinConfig::default()), Duration::ZERO),
        6 => {
            let smooth = WeightedRoundRobinConfig { sequence: Sequence::Smooth };
            (Strategy::WeightedRoundRobin(smooth), Duration::ZERO)
        }
        7 => (Strategy::WeightedRandom, Duration::ZERO),
        8 => (Strategy::PeakEwma(PeakEwmaConfig::default()), Duration::ZERO),
        9 => (Strategy::RingHash(ring(RingKind::Fixed)), Duration::ZERO),
        10 => (Strategy::RingHash(ring(RingKind::Ketama)), Duration::ZERO),
        11 => (Strategy::RingHash(ring(RingKind::Xds)), Duration::ZERO),
        12 => (Strategy::Maglev(small), Duration::ZERO),
        13 => (Strategy::Rendezvous, Duration::ZERO),
        14 => (bounded(HashStrategy::RingHash(ring(RingKind::Fixed))), hold),
        15 => (bounded(HashStrategy::Maglev(small)), hold),
        16 => (bounded(HashStrategy::Rendezvous), hold),
        17 => (Strategy::Adaptive(AdaptiveConfig::default()), hold),
        _ => (Strategy::Custom(Arc::new(Careless)), Duration::ZERO),
    }
}

/// A user's policy that honours nothing: it may name nobody, somebody excluded, or nobody there is.
#[derive(Debug)]
struct Careless;

impl Policy for Careless {
    fn name(&self) -> &str {
        "careless"
    }

    fn build(&self, _: &Lineup<'_>, _: Option<&dyn Picker>) -> Arc<dyn Picker> {
        Arc::new(Self)
    }
}

impl Picker for Careless {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let beyond = draw.lineup().len() + 2;
        Some(draw.index(beyond)).filter(|position| position % 5 != 4)
    }

    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        assert_ne!(completion.outcome, Outcome::Cancelled, "{} hears of a cancelled attempt", endpoint.key());
    }
}

/// How many policies a script may choose from: all that are built in, their variants, and a careless one.
pub const STRATEGIES: usize = 19;
const WINDOWED_FROM: u8 = 128;
const WINDOW: Duration = Duration::from_millis(100);
const HANDLES_MAX: usize = 4;
const LEASES_MAX: usize = 128;
