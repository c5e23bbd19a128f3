//! What holds of the registration keeper whatever happens: the laws of machines, and the promises it makes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod registration_model;

use std::sync::Arc;
use std::time::Duration;

use mesh_core::machine::Machine;
use mesh_core::machine::laws::{World, assert_hold};
use mesh_core::port::RegistryError;
use mesh_core::registration::{
    KeeperConfig, Part, PartState, Parts, RegistrationEffect, RegistrationEvent, RegistrationInput, RegistrationKeeper,
    RegistrationState, Standing,
};
use mesh_core::rng::Rng;
use mesh_core::service::ServiceConfig;
use mesh_core::time::Instant;
use proptest::prelude::*;
use registration_model::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_of_machines_hold(seed: u64, script in prop::collection::vec((0..120_000_u64, command()), 0..8)) {
        let script = script.into_iter().map(|(at, act)| (Instant::from_millis(at), Input::Owner(act))).collect();
        let world = World { script, answer: &any_answer, until: Instant::from_millis(180_000), seed };
        assert_hold(|| Owned::new(seed), &world);
    }

    #[test]
    fn after_a_deregistration_with_a_reachable_registry_nothing_stands(seed: u64, acts in acts()) {
        let mut run = Run::of(KeeperConfig::default(), seed, fates(seed));
        perform(&mut run, acts);
        run.fate(Fate::Fine(ms(2)));
        if run.keeper.state() == RegistrationState::Deregistering {
            // It began while the registry could not be trusted, and may end unconfirmed.
            run.pass(secs(30));
        }
        run.deregister();
        run.pass(secs(30));
        let last = run.last();
        prop_assert!(matches!(last, RegistrationEvent::Deregistered { confirmed: true, .. }), "{:?}", last);
        prop_assert_eq!(run.model.stands(), Parts::NONE);
        prop_assert_eq!(run.keeper.poll_timeout(), None);
    }

    #[test]
    fn with_a_reachable_registry_what_is_kept_comes_to_stand(seed: u64, acts in acts()) {
        let mut run = Run::of(KeeperConfig::default(), seed, fates(seed));
        perform(&mut run, acts.into_iter().filter(|(_, act)| *act != Act::Deregister).collect());
        run.fate(Fate::Fine(ms(2)));
        run.pass(secs(120));
        let state = run.keeper.state();
        prop_assert!(matches!(state, RegistrationState::Registered | RegistrationState::Failed), "{:?}", state);
        prop_assert!(state == RegistrationState::Failed || run.model.holds(run.keeper.service()));
    }

    #[test]
    fn every_run_ends_in_time(seed: u64) {
        let config = KeeperConfig::default();
        let registering = config.register_deadline + config.operation_timeout * 2 + config.visible_within * 2;
        let (rollback, leaving) = (config.rollback_deadline, config.operation_timeout + config.deregister_deadline);
        let mut run = Run::of(config, seed, fates(seed));
        run.pass(registering + rollback);
        prop_assert!(!matches!(run.keeper.state(), RegistrationState::Registering | RegistrationState::RollingBack));
        run.deregister();
        run.pass(leaving);
        prop_assert_eq!(run.keeper.state(), RegistrationState::Deregistered);
        prop_assert_eq!(run.keeper.poll_timeout(), None);
    }

    #[test]
    fn one_operation_at_a_time_is_asked_for_and_never_in_a_busy_loop(seed: u64, acts in acts()) {
        let mut run = Run::of(KeeperConfig::default(), seed, fates(seed));
        perform(&mut run, acts);
        let (effects, seconds) = (run.effects.len() as u64, run.now.since(Instant::ZERO).as_secs());
        prop_assert!(effects <= 60 + seconds * 8, "{effects} operations in {seconds} s");
        let ops: Vec<_> = run.effects.iter().map(op_of).collect();
        prop_assert!(ops.is_sorted_by(|a, b| a < b));
    }
}

/// (seed, acts) that once failed, and why.
#[test]
fn what_failed_once_holds() {
    // The registry answered an inspection that the keeper had given up while the answer to a newer one was on its way,
    // and the model took it for what the keeper had seen.
    let (seed, acts) = (7_888_176_240_481_298_439, [(21, 8080), (10, 8082), (16_243, 8080), (4, 8080)]);
    let mut run = Run::of(KeeperConfig::default(), seed, fates(seed));
    perform(&mut run, acts.map(|(after, port)| (ms(after), Act::Update(port))).to_vec());
    run.fate(Fate::Fine(ms(2)));
    run.pass(secs(30));
    assert_eq!(run.keeper.state(), RegistrationState::Registered);
}

#[test]
fn two_keepers_with_different_seeds_do_not_verify_together() {
    let times = |seed| {
        let mut run = Run::of(KeeperConfig::default(), seed, |_| Fate::Fine(ms(2)));
        run.pass(secs(1));
        run.keeper.poll_timeout()
    };
    assert_ne!(times(1), times(2));
    assert_eq!(times(1), times(1));
}

/// Something that the owner, or the world behind the registry's back, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Update(u16),
    UpdateUnchecked(u16),
    Restart,
    Lose(Part),
    Deregister,
}

fn command() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (8080..8083_u16).prop_map(Act::Update),
        2 => (8080..8083_u16).prop_map(Act::UpdateUnchecked),
        1 => Just(Act::Deregister),
    ]
}

fn acts() -> impl Strategy<Value = Vec<(Duration, Act)>> {
    let world = prop_oneof![Just(Act::Restart), prop::sample::select(Part::ALL.to_vec()).prop_map(Act::Lose),];
    let act = prop_oneof![3 => command(), 2 => world];
    prop::collection::vec(((0..20_000_u64).prop_map(ms), act), 0..10)
}

fn perform(run: &mut Run, acts: Vec<(Duration, Act)>) {
    for (after, act) in acts {
        run.pass(after);
        match act {
            Act::Restart => run.model.restart(),
            Act::Lose(part) => run.model.remove(part),
            Act::Deregister => run.deregister(),
            Act::Update(port) => drop(run.try_update(service(port))),
            Act::UpdateUnchecked(port) => drop(run.try_update(unchecked(port))),
        }
    }
}

/// Mostly good, sometimes any of the bad ones; bad times come in stretches, as they do.
fn fates(seed: u64) -> impl FnMut(&RegistrationEffect) -> Fate + 'static {
    let mut rng = Rng::from_seed(seed ^ 0x5EED);
    let mut trouble = 0;
    move |_| {
        if trouble == 0 {
            trouble = 1 + rng.below(30);
        }
        trouble -= 1;
        if trouble >= 10 {
            return Fate::Fine(ms(rng.below(20)));
        }
        let carried_out = [Parts::NONE, Part::Service.into(), Part::Check.into(), Parts::ALL][rng.below(4) as usize];
        match rng.below(8) {
            0 => Fate::Unreachable,
            1 => Fate::AnswerLost,
            2 => Fate::RequestLost,
            3 => Fate::Broken { carried_out: rng.below(2) == 0 },
            4 => Fate::Refused { carried_out },
            5 => Fate::Pretended,
            // Carried out up to half a second after the keeper stopped waiting for the answer.
            6 => Fate::Fine(ms(rng.below(11_000))),
            _ => Fate::Fine(ms(rng.below(20))),
        }
    }
}

/// A keeper whose owner's commands are inputs too.
#[derive(Debug)]
struct Owned(RegistrationKeeper);

#[derive(Clone, Debug)]
enum Input {
    Owner(Act),
    World(RegistrationInput),
}

impl Owned {
    fn new(seed: u64) -> Self {
        Self(RegistrationKeeper::new(KeeperConfig::default(), service(8080), seed, Instant::ZERO).unwrap())
    }
}

impl Machine for Owned {
    type Input = Input;
    type Effect = RegistrationEffect;
    type Event = RegistrationEvent;

    fn handle_input(&mut self, now: Instant, input: Input) {
        let update = |keeper: &mut RegistrationKeeper, config: Arc<ServiceConfig>| drop(keeper.update(now, config));
        match input {
            Input::World(input) => self.0.handle_input(now, input),
            Input::Owner(Act::Update(port)) => update(&mut self.0, service(port)),
            Input::Owner(Act::UpdateUnchecked(port)) => update(&mut self.0, unchecked(port)),
            Input::Owner(Act::Deregister) => self.0.deregister(now),
            Input::Owner(Act::Restart | Act::Lose(_)) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_effect(&mut self) -> Option<RegistrationEffect> {
        self.0.poll_effect()
    }

    fn poll_event(&mut self) -> Option<RegistrationEvent> {
        self.0.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

/// Any answer at all, true or not, soon or late or never.
fn any_answer(effect: &RegistrationEffect, rng: &mut Rng) -> Option<(Duration, Input)> {
    let result = match rng.below(6) {
        0 => Err(RegistryError::Unreachable { source: None }),
        1 => Err(RegistryError::Unavailable { reason: "no leader".into(), source: None }),
        2 => Err(RegistryError::AccessDenied { reason: "Permission denied".into() }),
        3 => Err(RegistryError::Throttled { reason: "429".into(), retry_after: Some(rng.up_to(secs(100))) }),
        _ => Ok(()),
    };
    let mut part =
        || [PartState::Absent, PartState::Matches, PartState::Matches, PartState::Differs][rng.below(4) as usize];
    let standing = Standing { service: part(), check: part() };
    let answer = match effect {
        RegistrationEffect::Register { op, .. } => RegistrationInput::Registered { op: *op, result },
        RegistrationEffect::Deregister { op, .. } => RegistrationInput::Deregistered { op: *op, result },
        RegistrationEffect::Inspect { op, .. } => {
            RegistrationInput::Inspected { op: *op, result: result.map(|()| standing) }
        }
    };
    let longest = if rng.below(10) == 0 { secs(20) } else { ms(50) };
    (rng.below(12) > 0).then(|| (rng.up_to(longest), Input::World(answer)))
}
