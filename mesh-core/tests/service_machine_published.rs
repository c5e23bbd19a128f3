//! Over random histories: a view comes exactly when a pick could tell the difference, and shows what is true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use mesh_core::balance::policy::{Draw, Picker, Policy};
use mesh_core::balance::{Eligibility, Knowledge, Lineup};
use mesh_core::health::{Health, ProbeVerdict};
use mesh_core::machine::{ServiceInput, ServiceMachineConfig};
use mesh_core::port::Resolution;
use mesh_core::route::{RouteId, Selector};
use mesh_core::service::{Instance, Weight, Weights};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::rig::*;
use support::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_view_comes_exactly_when_a_pick_could_tell_the_difference(
        seed: u64, acts in prop::collection::vec((0..400_u64, act()), 0..40),
    ) {
        let spy = Arc::new(Spy::default());
        let mut config = plain();
        config.damping.enabled = false;
        config.strategy = mesh_core::balance::Strategy::Custom(Arc::clone(&spy) as Arc<dyn Policy>);
        config.discovery.empty_hold = ms(1_000);
        config.checks.in_flight_max = times(2);
        let mut world = Model { rig: Rig::seeded(config, seed), spy, ..Model::new() };
        for (pause, act) in acts {
            let until = world.rig.now + ms(pause);
            while world.rig.step(until) {
                world.look()?;
            }
            world.rig.now = until;
            world.perform(act);
            world.look()?;
        }
    }
}

/// What may happen to a service.
#[derive(Clone, Debug)]
enum Act {
    List { certain: bool, known: bool, members: Vec<(u16, Kind)> },
    Confirmed,
    Lost,
    Drain(u16),
    Undrain(u16),
    Route(u16),
    Fate(u16, Fate),
}

/// How an instance is listed: its tag and the registry's word, and whether the mesh is to check it.
#[derive(Clone, Copy, Debug)]
struct Kind {
    tag: u16,
    status: RegistryStatus,
    checked: bool,
}

fn kind() -> impl Strategy<Value = Kind> {
    use RegistryStatus::{Critical, Maintenance, Passing, Unknown, Warning};
    let status = prop::sample::select(vec![Unknown, Passing, Passing, Passing, Warning, Critical, Maintenance]);
    (0..2_u16, status, any::<bool>()).prop_map(|(tag, status, checked)| Kind { tag, status, checked })
}

fn act() -> impl Strategy<Value = Act> {
    let members = prop::collection::vec((0..4_u16, kind()), 0..5);
    let list = (prop::bool::weighted(0.3), any::<bool>(), members).prop_map(|(certain, known, members)| Act::List {
        certain,
        known: known || !members.is_empty(),
        members,
    });
    let fate = prop_oneof![
        Just(passes()),
        Just(fails()),
        Just(Fate::Silence),
        Just(Fate::After(ms(30), ProbeVerdict::Warned))
    ];
    let number = 0..4_u16;
    prop_oneof![
        4 => list,
        1 => Just(Act::Confirmed),
        1 => Just(Act::Lost),
        2 => number.clone().prop_map(Act::Drain),
        2 => number.clone().prop_map(Act::Undrain),
        1 => (0..3_u16).prop_map(Act::Route),
        6 => (number, fate).prop_map(|(number, fate)| Act::Fate(number, fate)),
    ]
}

/// What is true of a service, as far as picks could tell.
#[derive(Clone, Debug, PartialEq)]
struct Truth {
    knowledge: Knowledge,
    members: Vec<(Instance, Weight, Eligibility)>,
    routes: BTreeSet<u16>,
}

struct Model {
    rig: Rig,
    spy: Arc<Spy>,
    drained: BTreeSet<u16>,
    routes: BTreeSet<u16>,
    last_heard: Option<(Arc<Snapshot>, bool)>,
    known: bool,
    published: Option<Truth>,
}

impl Model {
    fn new() -> Self {
        Self {
            rig: Rig::new(ServiceMachineConfig::default()),
            spy: Arc::default(),
            drained: BTreeSet::new(),
            routes: BTreeSet::new(),
            last_heard: None,
            known: false,
            published: None,
        }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::List { certain, known, members } => {
                let entries = members.into_iter().map(|(number, kind)| listed(number, kind)).collect();
                let snapshot = Arc::new(Snapshot::new(entries));
                self.last_heard = Some((Arc::clone(&snapshot), known));
                let resolution = if certain { Resolution::certain } else { Resolution::heard };
                self.rig.observe(resolution(snapshot, known));
            }
            Act::Confirmed => self.rig.tell(ServiceInput::Confirmed),
            Act::Lost => self.rig.tell(ServiceInput::Lost),
            Act::Drain(number) => {
                self.drained.insert(number);
                self.rig.machine.drain(key(number));
            }
            Act::Undrain(number) => {
                self.drained.remove(&number);
                self.rig.machine.undrain(&key(number));
            }
            Act::Route(tag) => {
                self.routes.insert(tag);
                self.rig.machine.route(Selector::any().tag(format!("t{tag}").as_str()).unwrap()).unwrap();
            }
            Act::Fate(number, fate) => self.rig.fate(number, fate),
        }
        self.rig.listen();
    }

    /// Compares what was published with what is true.
    fn look(&mut self) -> Result<(), TestCaseError> {
        let views = self.rig.take().views;
        let truth = self.truth();
        prop_assert_eq!(
            views.len(),
            usize::from(truth != self.published),
            "{:?} before, {:?} now",
            self.published,
            truth
        );
        self.published = truth;
        let (Some(truth), [(_, view)]) = (&self.published, &views[..]) else { return Ok(()) };
        prop_assert!(Arc::ptr_eq(view, self.rig.machine.view()));
        prop_assert_eq!(view.knowledge(), truth.knowledge);
        let registered: Vec<_> = view.registered().map(|(_, instance)| Instance::clone(instance)).collect();
        let expected: Vec<_> = truth.members.iter().map(|(instance, ..)| instance.clone()).collect();
        prop_assert_eq!(registered, expected);
        let count = |wanted| truth.members.iter().filter(|member| member.2 == wanted).count() as u32;
        let census = view.census();
        prop_assert_eq!(census.registered as usize, truth.members.len());
        prop_assert_eq!(census.usable, count(Eligibility::Usable));
        prop_assert_eq!(census.unhealthy, count(Eligibility::Unhealthy));
        prop_assert_eq!(census.drained, count(Eligibility::Drained));
        let usable = truth.members.iter().filter(|member| member.2 == Eligibility::Usable);
        let usable: Vec<_> = usable.map(|(instance, weight, _)| (number(instance), u32::from(weight.get()))).collect();
        prop_assert_eq!(
            &self.rig.usable_on(RouteId::ALL),
            &usable.iter().map(|(number, _)| *number).collect::<Vec<_>>()
        );
        prop_assert!(self.spy.0.lock().unwrap().drain(..).any(|lineup| lineup == usable), "the weights are in force");
        Ok(())
    }

    fn truth(&mut self) -> Option<Truth> {
        let machine = &self.rig.machine;
        machine.confirmed_at()?;
        // Words of the registry are in force when its list is; one that is doubted is not.
        if let Some((_, known)) = self.last_heard.as_ref().filter(|(heard, _)| heard == machine.snapshot()) {
            self.known = *known;
        }
        // A drain ends with its instance.
        for (instance, ..) in self.published.iter().flat_map(|before| &before.members) {
            if machine.snapshot().get(instance.key()).is_none() {
                self.drained.remove(&number(instance));
            }
        }
        let critical = machine.snapshot().iter().filter(|entry| entry.status() == RegistryStatus::Critical).count();
        let mostly = critical > 1 && critical * 2 > machine.snapshot().len();
        let members = machine.snapshot().iter().map(|entry| self.member(entry, mostly)).collect();
        let knowledge = if self.known { Knowledge::Known } else { Knowledge::Unknown };
        Some(Truth { knowledge, members, routes: self.routes.clone() })
    }

    /// What is to be shown of the instance of `entry`, where `mostly` is whether most of the service is called critical.
    fn member(&self, entry: &Entry, mostly: bool) -> (Instance, Weight, Eligibility) {
        use RegistryStatus::{Critical, Maintenance, Passing, Unknown, Warning};
        let instance = Instance::clone(entry.instance());
        let unhealthy = self.rig.machine.health(entry.key()) == Health::Unhealthy;
        let weight = match entry.status() {
            Warning => instance.weights().warning,
            Unknown | Passing | Critical | Maintenance => instance.weights().passing,
        };
        let eligibility = match entry.status() {
            _ if self.drained.contains(&number(&instance)) || weight.is_drained() => Eligibility::Drained,
            Maintenance => Eligibility::Drained,
            // Unless the mesh's own checks know better of what must be a mistake.
            Critical
                if mostly && matches!(self.rig.machine.health(entry.key()), Health::Healthy | Health::Degraded) =>
            {
                Eligibility::Usable
            }
            Critical => Eligibility::Unhealthy,
            Unknown | Passing | Warning if unhealthy => Eligibility::Unhealthy,
            Unknown | Passing | Warning => Eligibility::Usable,
        };
        (instance, weight, eligibility)
    }
}

fn listed(number: u16, kind: Kind) -> Entry {
    let weights = Weights { passing: Weight::new(number * 3 + 1), warning: Weight::new(number) };
    let instance = Instance::builder("api", "127.0.0.1", 10_000 + number).tag(format!("t{}", kind.tag).as_str());
    let instance = instance.weights(weights).build().unwrap();
    let check = kind.checked.then(|| Arc::new(quick().build(&instance).unwrap()));
    Entry::new(Arc::new(instance), kind.status, check)
}

/// Takes down the candidates and weights that it is asked to choose from.
#[derive(Debug, Default)]
struct Spy(Mutex<Vec<Vec<(u16, u32)>>>);

impl Policy for Spy {
    fn name(&self) -> &str {
        "spy"
    }

    fn build(&self, lineup: &Lineup<'_>, _previous: Option<&dyn Picker>) -> Arc<dyn Picker> {
        let candidates = (0..lineup.len()).map(|at| (number(lineup.instance(at)), lineup.weight(at)));
        self.0.lock().unwrap().push(candidates.collect());
        Arc::new(First)
    }
}

#[derive(Debug)]
struct First;

impl Picker for First {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}
