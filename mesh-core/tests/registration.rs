//! How an instance comes to stand in the registry, and how it is kept there.

mod registration_model;

use mesh_core::registration::{
    KeeperConfig, Part, Parts, RegistrationEffect, RegistrationError, RegistrationEvent, RegistrationInput,
    RegistrationState, Standing,
};
use registration_model::*;

#[test]
fn an_instance_is_registered_once_the_registry_shows_it() {
    let mut run = Run::new(KeeperConfig::default());
    assert_eq!(run.keeper.state(), RegistrationState::Registering);
    run.pass(ms(10));
    assert!(matches!(run.last(), RegistrationEvent::Registered { attempts: 1, elapsed } if *elapsed == ms(4)));
    assert_eq!(run.keeper.state(), RegistrationState::Registered);
    assert!(run.model.holds(run.keeper.service()));
}

#[test]
fn what_stands_is_verified_every_fifteen_seconds_and_otherwise_left_alone() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(151));
    assert_eq!(run.told(), ["registered"]);
    assert_eq!(run.count(is_register), 1);
    let verifications = run.count(is_inspect) - 1;
    assert!((9..=11).contains(&verifications), "{verifications}");
}

#[test]
fn a_registry_that_is_down_at_first_is_tried_until_it_is_up() {
    let mut run = Run::of(KeeperConfig::default(), 7, |_| Fate::Unreachable);
    run.pass(secs(8));
    assert!(run.told().iter().all(|event| *event == "retrying"));
    run.fate(Fate::Fine(ms(2)));
    run.pass(secs(12));
    assert_eq!(run.told(), ["registered"]);
}

#[test]
fn a_registry_that_stays_down_is_given_up() {
    let config = KeeperConfig::default();
    let latest = config.register_deadline + config.rollback_deadline;
    let mut run = Run::of(config, 7, |_| Fate::Unreachable);
    run.pass(secs(600));
    let RegistrationEvent::Failed(failure) = run.last() else { panic!("{:?}", run.last()) };
    assert!(matches!(failure.error, RegistrationError::GaveUp { .. }), "{failure}");
    assert!(!failure.certain, "nobody could look: {failure}");
    assert!(run.last_at() <= latest, "{:?}", run.last_at());
    assert_eq!(run.keeper.state(), RegistrationState::Failed);
}

#[test]
fn the_attempts_of_a_first_registration_are_bounded() {
    let mut config = KeeperConfig::default();
    config.register_attempts_max = 3.try_into().unwrap();
    let mut run = Run::of(config, 7, |_| Fate::Unreachable);
    run.pass(secs(600));
    assert_eq!(run.count(is_register), 3);
    let RegistrationEvent::Failed(failure) = run.last() else { panic!("{:?}", run.last()) };
    assert!(failure.to_string().contains("given up after 3 attempts in "), "{failure}");
}

#[test]
fn the_waits_between_attempts_grow_up_to_their_cap() {
    let mut config = KeeperConfig::default();
    config.register_attempts_max = 9.try_into().unwrap();
    config.register_deadline = secs(3600);
    let mut run = Run::of(config.clone(), 7, |_| Fate::Unreachable);
    run.pass(secs(600));
    let mut ceiling = config.retry.first;
    for (_, event) in &run.events {
        let RegistrationEvent::Retrying { delay, .. } = event else { continue };
        assert!((ceiling / 2..=ceiling).contains(delay), "{delay:?} of {ceiling:?}");
        ceiling = (ceiling * 2).min(config.retry.cap);
    }
    assert_eq!(ceiling, config.retry.cap);
}

#[test]
fn a_permanent_refusal_is_not_repeated_and_leaves_nothing() {
    let mut run = Run::of(KeeperConfig::default(), 7, refuse_registration(Parts::NONE));
    run.pass(secs(600));
    assert_eq!(run.count(is_register), 1);
    assert_eq!(run.model.stands(), Parts::NONE);
    let RegistrationEvent::Failed(failure) = run.last() else { panic!("{:?}", run.last()) };
    assert!(failure.certain && failure.stands.is_empty() && failure.rolled_back.is_empty(), "{failure}");
}

#[test]
fn a_registration_that_partly_failed_is_rolled_back_and_reported() {
    let mut run = Run::of(KeeperConfig::default(), 7, refuse_registration(Part::Service.into()));
    run.pass(secs(600));
    assert_eq!(run.model.stands(), Parts::NONE);
    let RegistrationEvent::Failed(failure) = run.last() else { panic!("{:?}", run.last()) };
    assert_eq!((failure.rolled_back, failure.stands), (Part::Service.into(), Parts::NONE));
    let text = "registration failed: the registry refused: no such check; rolled back: service; still stands: nothing";
    assert_eq!(failure.to_string(), text);
}

#[test]
fn a_roll_back_that_fails_says_what_stands() {
    let mut run = Run::of(KeeperConfig::default(), 7, |effect| match effect {
        effect if is_register(effect) => Fate::Refused { carried_out: Parts::ALL },
        effect if takes_away(effect, Part::Check) => Fate::Refused { carried_out: Parts::NONE },
        _ => Fate::Fine(ms(2)),
    });
    run.pass(secs(600));
    let RegistrationEvent::Failed(failure) = run.last() else { panic!("{:?}", run.last()) };
    assert_eq!((failure.rolled_back, failure.stands), (Part::Service.into(), Part::Check.into()));
    assert_eq!(failure.stands, run.model.stands());
    assert!(failure.certain && failure.rollback_error.is_some(), "{failure:?}");
}

#[test]
fn a_roll_back_during_an_outage_says_what_may_stand() {
    let mut run = Run::of(KeeperConfig::default(), 7, |effect| {
        if is_register(effect) { Fate::Refused { carried_out: Part::Service.into() } } else { Fate::RequestLost }
    });
    run.pass(secs(600));
    let RegistrationEvent::Failed(failure) = run.last() else { panic!("{:?}", run.last()) };
    assert_eq!((failure.certain, failure.stands, failure.rolled_back), (false, Parts::ALL, Parts::NONE));
    assert!(failure.to_string().ends_with("may still stand: service, check"), "{failure}");
    assert!(run.last_at() <= secs(6), "{:?}", run.last_at());
}

#[test]
fn an_order_whose_answer_was_lost_is_found_to_stand() {
    let mut run = Run::of(KeeperConfig::default(), 7, first_registration(Fate::AnswerLost));
    run.pass(secs(600));
    assert_eq!(run.told(), ["registered"]);
    assert_eq!(run.count(is_register), 1, "what stands is not ordered again");
}

#[test]
fn an_order_that_was_lost_is_given_again() {
    let mut run = Run::of(KeeperConfig::default(), 7, first_registration(Fate::RequestLost));
    run.pass(secs(600));
    assert_eq!(run.told(), ["retrying", "registered"]);
    assert_eq!(run.count(is_register), 2);
}

#[test]
fn an_acknowledged_registration_that_never_becomes_visible_is_rolled_back() {
    let mut run =
        Run::of(KeeperConfig::default(), 7, |e| if is_register(e) { Fate::Pretended } else { Fate::Fine(ms(2)) });
    run.pass(secs(9));
    assert_eq!(run.told(), [""; 0]);
    run.pass(secs(2));
    let RegistrationEvent::Failed(failure) = run.last() else { panic!("{:?}", run.last()) };
    assert!(matches!(failure.error, RegistrationError::NotVisible { parts: Parts::ALL, .. }), "{failure}");
    assert!(failure.certain && failure.stands.is_empty(), "{failure}");
    let looks = run.count(is_inspect);
    assert!((12..=30).contains(&looks), "soon at first, then about one in 750 ms: {looks}");
}

#[test]
fn what_the_registry_lost_is_registered_again_and_told_once() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(60));
    run.model.restart();
    run.pass(secs(60));
    assert_eq!(run.told(), ["registered", "lost", "restored"]);
    assert!(run.model.holds(run.keeper.service()));
}

#[test]
fn a_lost_check_alone_is_noticed() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(60));
    run.model.remove(Part::Check);
    run.pass(secs(17));
    assert!(
        run.events
            .iter()
            .any(|(_, event)| matches!(event, RegistrationEvent::Lost { parts } if *parts == Part::Check.into()))
    );
    assert!(run.model.holds(run.keeper.service()));
}

#[test]
fn a_lost_registration_is_restored_however_long_it_takes() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(60));
    run.model.restart();
    run.fates(|effect| if is_register(effect) { Fate::Unreachable } else { Fate::Fine(ms(2)) });
    run.pass(secs(7200));
    assert_eq!(run.keeper.state(), RegistrationState::Restoring);
    let tries = run.count(is_register);
    assert!((700..=1500).contains(&tries), "about one in 7.5 s: {tries}");
    let given_up = |event: &RegistrationEvent| {
        matches!(event, RegistrationEvent::Retrying { error: RegistrationError::GaveUp { .. }, .. })
    };
    assert!(!run.events.iter().any(|(_, event)| given_up(event)));
    run.fate(Fate::Fine(ms(2)));
    run.pass(secs(11));
    assert_eq!(run.keeper.state(), RegistrationState::Registered);
}

#[test]
fn a_refusal_to_restore_takes_nothing_away_and_is_retried_without_hurry() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(60));
    run.model.remove(Part::Check);
    run.fates(refuse_registration(Parts::NONE));
    run.pass(secs(317));
    assert_eq!(run.model.stands(), Part::Service.into());
    assert_eq!(run.count(is_deregister), 0);
    let tries = run.count(is_register) - 1;
    assert!((10..=11).contains(&tries), "one in 30 s: {tries}");
    run.fate(Fate::Fine(ms(2)));
    run.pass(secs(31));
    assert!(matches!(run.last(), RegistrationEvent::Restored { .. }));
}

#[test]
fn verifications_that_fail_are_told_once_and_change_nothing() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(60));
    run.fate(Fate::Unreachable);
    run.pass(secs(600));
    run.fate(Fate::Fine(ms(2)));
    run.pass(secs(60));
    assert_eq!(run.told(), ["registered", "unconfirmed", "confirmed"]);
    assert_eq!(run.count(is_register), 1);
}

#[test]
fn a_late_answer_is_ignored_and_counted() {
    let mut run = Run::of(KeeperConfig::default(), 7, first_registration(Fate::RequestLost));
    let late = op_of(&run.effects[0]);
    run.pass(secs(30));
    assert_eq!(run.told(), ["retrying", "registered"]);
    let refusal = mesh_core::port::RegistryError::Closed;
    run.answer(RegistrationInput::Registered { op: late, result: Err(refusal) });
    assert_eq!(run.keeper.ignored(), 1);
    run.pass(secs(60));
    assert_eq!(run.told(), [""; 0]);
}

#[test]
fn an_old_answer_does_not_stand_in_for_a_new_one() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(1));
    let seen = op_of(run.effects.last().unwrap());
    run.fate(Fate::RequestLost);
    run.pass(secs(16));
    assert!(run.effects.last().is_some_and(|effect| is_inspect(effect) && op_of(effect) != seen));
    run.answer(RegistrationInput::Inspected { op: seen, result: Ok(Standing::ABSENT) });
    assert_eq!((run.keeper.ignored(), run.told()), (1, vec!["registered"]));
}

#[test]
fn an_answer_of_the_wrong_kind_is_ignored_and_counted() {
    let mut run = Run::of(KeeperConfig::default(), 7, |_| Fate::RequestLost);
    let op = op_of(&run.effects[0]);
    run.answer(RegistrationInput::Deregistered { op, result: Ok(()) });
    assert_eq!(run.keeper.ignored(), 1);
    assert_eq!(run.effects.len(), 1);
}

#[test]
fn a_configuration_that_breaks_its_rules_is_refused_by_name() {
    let mut config = KeeperConfig::default();
    config.settle = ms(0);
    config.retry.cap = ms(1);
    config.verify_jitter = secs(8);
    let error = config.validate().unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|problem| problem.field()).collect();
    assert_eq!(fields, ["settle", "retry.cap", "verify_jitter"]);
    assert!(error.to_string().starts_with("settle: 0ns is not allowed: must be 1ms to 24h"), "{error}");
    assert!(KeeperConfig::default().validate().is_ok());
}

#[test]
fn a_configuration_reads_as_text() {
    let text = r#"{"verify_interval": "20s", "retry": {"first": "1s", "cap": "1m"}}"#;
    let config: KeeperConfig = serde_json::from_str(text).unwrap();
    assert_eq!((config.verify_interval, config.retry.cap), (secs(20), secs(60)));
    assert_eq!(config.settle, KeeperConfig::default().settle);
    assert!(serde_json::from_str::<KeeperConfig>(r#"{"verify": "20s"}"#).is_err());
    let written = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<KeeperConfig>(&written).unwrap(), config);
}

fn takes_away(effect: &RegistrationEffect, gone: Part) -> bool {
    matches!(effect, RegistrationEffect::Deregister { part, .. } if *part == gone)
}

fn refuse_registration(carried_out: Parts) -> impl FnMut(&RegistrationEffect) -> Fate {
    move |effect| if is_register(effect) { Fate::Refused { carried_out } } else { Fate::Fine(ms(2)) }
}

fn first_registration(fate: Fate) -> impl FnMut(&RegistrationEffect) -> Fate {
    let mut first = Some(fate);
    move |effect| first.take_if(|_| is_register(effect)).unwrap_or(Fate::Fine(ms(2)))
}

#[test]
fn a_doubt_has_what_stands_looked_at_at_once_and_put_back_when_it_is_lost() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(1));
    run.model.restart();
    run.answer(RegistrationInput::Doubted);
    run.pass(ms(100));
    assert_eq!(run.told(), ["registered", "lost", "restored"]);
}

#[test]
fn doubts_without_end_cause_one_look_a_second() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(1));
    let before = run.count(is_inspect);
    for _ in 0..100 {
        run.answer(RegistrationInput::Doubted);
        run.pass(ms(100));
    }
    let looks = run.count(is_inspect) - before;
    assert!((9..=11).contains(&looks), "{looks}");
}
