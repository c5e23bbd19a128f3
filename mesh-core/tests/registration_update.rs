//! How what stands in the registry is replaced, and put back where that fails.

mod registration_model;

use mesh_core::registration::{
    KeeperConfig, Part, Parts, RegistrationEffect, RegistrationError, RegistrationEvent, RegistrationState, UpdateError,
};
use mesh_core::service::ServiceConfig;
use registration_model::*;

#[test]
fn an_update_replaces_what_stands() {
    let mut run = registered();
    run.update(service(9090));
    assert_eq!(run.keeper.state(), RegistrationState::Updating);
    assert_eq!(run.keeper.service().instance().port(), 8080, "until it stands the old one is kept");
    run.pass(secs(60));
    assert_eq!(run.told(), ["updated"]);
    assert_eq!(run.keeper.service().instance().port(), 9090);
    assert!(run.model.holds(&service(9090)));
}

#[test]
fn an_update_without_a_check_takes_the_old_one_away() {
    let mut run = registered();
    run.update(unchecked(8080));
    run.pass(secs(60));
    assert_eq!(run.told(), ["updated"]);
    assert_eq!(run.model.stands(), Part::Service.into());
}

#[test]
fn an_update_with_a_bad_check_puts_the_old_configuration_back() {
    let mut run = registered();
    run.fates(refuse_port_9090(Part::Service.into()));
    run.update(service(9090));
    run.pass(secs(1));
    let RegistrationEvent::UpdateFailed { error, changed, restored } = run.last() else { panic!("{:?}", run.last()) };
    assert!(matches!(error, RegistrationError::Registry(_)), "{error}");
    assert_eq!((*changed, *restored), (Part::Service.into(), true));
    assert!(run.model.holds(&service(8080)));
    assert_eq!(run.keeper.state(), RegistrationState::Registered);
}

#[test]
fn a_new_check_that_should_not_have_come_is_taken_away_again() {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(1));
    run.update(unchecked(8080));
    run.pass(secs(1));
    run.fates(refuse_port_9090(Part::Check.into()));
    run.update(service(9090));
    run.pass(secs(2));
    assert!(matches!(run.last(), RegistrationEvent::UpdateFailed { restored: true, .. }), "{:?}", run.last());
    assert!(run.model.holds(&unchecked(8080)));
}

#[test]
fn an_update_that_changed_nothing_is_not_undone() {
    let mut run = registered();
    run.fates(refuse_port_9090(Parts::NONE));
    run.update(service(9090));
    run.pass(secs(1));
    assert!(
        matches!(run.last(), RegistrationEvent::UpdateFailed { changed: Parts::NONE, restored: true, .. }),
        "{:?}",
        run.last()
    );
    assert_eq!(run.count(is_register), 2, "one for each configuration");
}

#[test]
fn an_update_that_cannot_be_undone_yet_says_so_and_is_undone_later() {
    let mut run = registered();
    run.fates(|effect| {
        if is_register(effect) { Fate::Refused { carried_out: Part::Service.into() } } else { Fate::Fine(ms(2)) }
    });
    run.update(service(9090));
    run.model.restart();
    run.pass(secs(1));
    assert_eq!(run.told(), ["update-failed", "retrying"]);
    assert_eq!(run.keeper.state(), RegistrationState::Restoring);
    run.fate(Fate::Fine(ms(2)));
    run.pass(secs(31));
    assert_eq!(run.told(), ["restored"]);
    assert!(run.model.holds(&service(8080)));
}

#[test]
fn an_update_during_an_outage_is_given_up_and_what_stands_stays() {
    let mut run = registered();
    run.fate(Fate::Unreachable);
    run.update(service(9090));
    run.pass(secs(120));
    run.fate(Fate::Fine(ms(2)));
    run.pass(secs(60));
    let mut told = run.told();
    told.retain(|event| *event != "retrying");
    assert_eq!(told, ["update-failed", "restored"]);
    assert!(run.model.holds(&service(8080)));
}

#[test]
fn an_update_before_the_first_registration_waits_for_it() {
    let mut run = Run::new(KeeperConfig::default());
    run.update(service(9090));
    assert_eq!(run.keeper.update(run.now, service(9091)), Err(UpdateError::Busy));
    run.pass(secs(1));
    assert_eq!(run.told(), ["registered", "updated"]);
    assert!(run.model.holds(&service(9090)));
}

#[test]
fn only_one_update_is_made_at_a_time() {
    let mut run = registered();
    run.update(service(9090));
    assert_eq!(run.keeper.update(run.now, service(9091)), Err(UpdateError::Busy));
    run.pass(secs(1));
    run.update(service(9091));
    run.pass(secs(1));
    assert_eq!(run.told(), ["updated", "updated"]);
}

#[test]
fn an_update_must_describe_the_same_instance() {
    let mut run = registered();
    let other_id = ServiceConfig::builder("api", "10.0.0.7", 8080).id("api-2").build().unwrap();
    let error = run.keeper.update(run.now, other_id.into()).unwrap_err();
    assert_eq!(error.to_string(), "id: api-2 is not allowed: must be the registered api-1");
    let other_service = ServiceConfig::builder("web", "10.0.0.7", 8080).id("api-1").build().unwrap();
    let error = run.keeper.update(run.now, other_service.into()).unwrap_err();
    assert_eq!(error.to_string(), "service: web is not allowed: must be the registered api");
}

#[test]
fn a_deregistration_during_an_update_leaves_neither() {
    let mut run = registered();
    run.fate(Fate::Fine(ms(100)));
    run.update(service(9090));
    run.pass(ms(20));
    run.deregister();
    run.pass(secs(2));
    assert_eq!(run.told(), ["deregistered"]);
    assert_eq!(run.model.stands(), Parts::NONE);
}

fn registered() -> Run {
    let mut run = Run::new(KeeperConfig::default());
    run.pass(secs(1));
    assert_eq!(run.told(), ["registered"]);
    run
}

fn refuse_port_9090(carried_out: Parts) -> impl FnMut(&RegistrationEffect) -> Fate {
    move |effect| {
        let refused = matches!(effect, RegistrationEffect::Register { config, .. } if config.instance().port() == 9090);
        if refused { Fate::Refused { carried_out } } else { Fate::Fine(ms(2)) }
    }
}
