//! How an instance leaves the registry, whatever was going on.

mod registration_model;

use mesh_core::machine::Machine;
use mesh_core::port::RegistryError;
use mesh_core::registration::{
    KeeperConfig, Part, Parts, RegistrationEffect, RegistrationEvent, RegistrationInput, RegistrationState, UpdateError,
};
use registration_model::*;

#[test]
fn a_deregistration_is_confirmed_by_looking() {
    let mut run = registered();
    run.deregister();
    assert_eq!(run.keeper.state(), RegistrationState::Deregistering);
    run.pass(ms(20));
    assert_confirmed(&run);
    assert_eq!(run.keeper.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn parts_that_the_registry_keeps_apart_are_taken_away_one_by_one() {
    let mut run = registered();
    let before = run.effects.len();
    run.deregister();
    run.pass(ms(20));
    let gone: Vec<_> = run.effects[before..].iter().filter_map(part_taken_away).collect();
    assert_eq!(gone, Part::ALL);
}

#[test]
fn a_deregistration_that_was_acknowledged_but_not_carried_out_is_repeated() {
    let mut run = registered();
    let mut pretend = 2;
    run.fates(move |effect| {
        if is_deregister(effect) && pretend > 0 {
            pretend -= 1;
            return Fate::Pretended;
        }
        Fate::Fine(ms(2))
    });
    run.deregister();
    let start = run.now;
    run.pass(secs(5));
    assert_confirmed(&run);
    assert!(run.events[0].0.since(start) >= ms(100), "what was just asked for is given time");
}

#[test]
fn a_deregistration_during_a_registration_waits_for_its_answer() {
    let mut run = Run::of(KeeperConfig::default(), 7, |_| Fate::Fine(ms(100)));
    run.pass(ms(20));
    run.deregister();
    assert_eq!(run.count(is_deregister), 0);
    run.pass(secs(1));
    assert_confirmed(&run);
    assert_eq!(run.told(), ["deregistered"], "no registration was reported on the way out");
}

#[test]
fn a_registration_that_is_carried_out_after_the_deregistration_is_found() {
    let config = KeeperConfig::default();
    let late = config.operation_timeout + config.settle / 2;
    let mut first = true;
    let mut run = Run::of(config, 7, move |_| Fate::Fine(if core::mem::take(&mut first) { late * 2 } else { ms(2) }));
    run.pass(secs(1));
    run.deregister();
    run.pass(secs(20));
    assert_confirmed(&run);
}

#[test]
fn a_registration_that_never_reached_the_driver_is_not_waited_for() {
    let config = KeeperConfig::default();
    let service = service(8080);
    let now = mesh_core::time::Instant::ZERO;
    let mut keeper = mesh_core::registration::RegistrationKeeper::new(config, service, 7, now).unwrap();
    keeper.deregister(now);
    let effect = keeper.poll_effect().expect("an effect");
    assert!(is_deregister(&effect), "{effect:?}");
}

#[test]
fn a_deregistration_while_the_registry_is_down_ends_unconfirmed_in_time() {
    for fate in [Fate::Unreachable, Fate::RequestLost, Fate::Broken { carried_out: false }] {
        let mut run = registered();
        run.fate(fate);
        let start = run.now;
        run.deregister();
        run.pass(secs(60));
        let RegistrationEvent::Deregistered { confirmed: false, error: Some(error) } = run.last() else {
            panic!("{:?}", run.last())
        };
        assert!(error.is_transient(), "{error}");
        assert!(run.events.last().unwrap().0.since(start) <= secs(5));
        assert_eq!(run.keeper.poll_timeout(), None);
    }
}

#[test]
fn one_lost_answer_does_not_use_up_the_time_to_deregister() {
    let mut run = registered();
    let mut first = true;
    run.fates(move |_| if core::mem::take(&mut first) { Fate::RequestLost } else { Fate::Fine(ms(2)) });
    run.deregister();
    run.pass(secs(5));
    assert_confirmed(&run);
}

#[test]
fn a_deregistration_that_is_refused_says_so_at_once() {
    let mut run = registered();
    run.fates(
        |effect| {
            if is_deregister(effect) { Fate::Refused { carried_out: Parts::NONE } } else { Fate::Fine(ms(2)) }
        },
    );
    run.deregister();
    run.pass(ms(100));
    let last = run.last();
    assert!(
        matches!(
            last,
            RegistrationEvent::Deregistered { confirmed: false, error: Some(RegistryError::Refused { .. }) }
        ),
        "{last:?}"
    );
    assert_eq!(run.model.stands(), Parts::ALL);
}

#[test]
fn parts_are_taken_away_unseen_where_nobody_may_look() {
    let mut run = registered();
    run.fates(|effect| if is_inspect(effect) { Fate::Refused { carried_out: Parts::NONE } } else { Fate::Fine(ms(2)) });
    run.deregister();
    run.pass(ms(100));
    assert!(matches!(run.last(), RegistrationEvent::Deregistered { confirmed: false, .. }), "{:?}", run.last());
    assert_eq!(run.model.stands(), Parts::NONE);
}

#[test]
fn deregistering_twice_is_deregistering_once() {
    let mut run = registered();
    run.deregister();
    run.deregister();
    run.pass(secs(1));
    run.deregister();
    run.pass(secs(1));
    assert_eq!(run.told(), ["deregistered"]);
}

#[test]
fn deregistering_again_after_an_outage_tries_again() {
    let mut run = registered();
    run.fate(Fate::Unreachable);
    run.deregister();
    run.pass(secs(10));
    assert!(matches!(run.last(), RegistrationEvent::Deregistered { confirmed: false, .. }));
    run.fate(Fate::Fine(ms(2)));
    run.deregister();
    run.pass(secs(1));
    assert_confirmed(&run);
}

#[test]
fn a_deregistration_while_restoring_leaves_nothing() {
    let mut run = registered();
    run.model.restart();
    run.fates(|effect| if is_register(effect) { Fate::Broken { carried_out: true } } else { Fate::Unreachable });
    run.pass(secs(40));
    run.fate(Fate::Fine(ms(2)));
    run.deregister();
    run.pass(secs(1));
    assert_confirmed(&run);
}

#[test]
fn a_deregistration_after_a_clean_failure_asks_nothing() {
    let mut run = Run::of(KeeperConfig::default(), 7, |effect| {
        if is_register(effect) { Fate::Refused { carried_out: Parts::NONE } } else { Fate::Fine(ms(2)) }
    });
    run.pass(secs(1));
    let asked = run.effects.len();
    run.deregister();
    assert_confirmed(&run);
    assert_eq!(run.effects.len(), asked);
}

#[test]
fn a_deregistration_takes_over_from_a_roll_back() {
    let mut run = Run::of(KeeperConfig::default(), 7, |effect| {
        if is_register(effect) { Fate::Refused { carried_out: Parts::ALL } } else { Fate::RequestLost }
    });
    run.pass(ms(500));
    assert_eq!(run.keeper.state(), RegistrationState::RollingBack);
    run.fate(Fate::Fine(ms(2)));
    run.deregister();
    run.pass(secs(1));
    assert_confirmed(&run);
}

#[test]
fn after_a_deregistration_late_answers_are_ignored_and_updates_are_refused() {
    let mut run = registered();
    let first = op_of(&run.effects[0]);
    run.deregister();
    run.pass(secs(1));
    let asked = run.effects.len();
    run.answer(RegistrationInput::Registered { op: first, result: Ok(()) });
    assert_eq!((run.keeper.ignored(), run.effects.len()), (1, asked));
    assert_eq!(run.keeper.update(run.now, service(9090)), Err(UpdateError::NotRegistered));
    assert_eq!(run.keeper.state(), RegistrationState::Deregistered);
}

fn registered() -> Run {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(1));
    assert_eq!(run.told(), ["registered"]);
    run
}

fn assert_confirmed(run: &Run) {
    let last = run.last();
    assert!(matches!(last, RegistrationEvent::Deregistered { confirmed: true, error: None }), "{last:?}");
    assert_eq!(run.model.stands(), Parts::NONE);
}

fn part_taken_away(effect: &RegistrationEffect) -> Option<Part> {
    if let RegistrationEffect::Deregister { part, .. } = effect { Some(*part) } else { None }
}
