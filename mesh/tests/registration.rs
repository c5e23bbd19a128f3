//! The life of a registration: it stands when `register_service` returns, is kept, updated and taken away.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh::mesh_core::registration::{Part, PartState, Standing, UpdateError};
use mesh::{
    DeregisterError, HealthCheck, RegisterError, Registration, ServiceConfig, ServiceMesh, UpdateRegistrationError,
};

use support::logs::Logs;
use support::registry::{Answer, refused, unavailable, unreachable};
use support::{Lab, api, eventually, healthy, id, instance_of, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn when_registering_returns_the_registry_shows_every_part() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(checked()).await.unwrap();
    let whole = Standing { service: PartState::Matches, check: PartState::Matches };
    assert_eq!(lab.registry.standing(&checked()).await, whole);
    assert_eq!((me.id(), me.config().service().as_str(), me.is_kept()), (checked().id(), "api", true));
    assert_eq!(lab.notes.of("mesh.registration.events"), ["registered"]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_acknowledges_early_is_waited_for() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::Emptily);
    let mesh = lab.mesh().await;
    let registering = spawn_registration(&mesh, api(1));
    pass(secs(4)).await;
    assert!(!registering.is_finished(), "acknowledged is not visible");
    // The entry comes late, as in a catalogue that follows its agents.
    lab.registry.put(&api(1)).await;
    let me = registering.await.unwrap().unwrap();
    assert!(me.is_kept());
    assert_eq!(lab.registry.journal(), ["register api-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_at_the_start_is_tried_until_it_is_up() {
    let lab = Lab::new();
    lab.registry.everything_is(&Answer::No(unreachable()));
    let mesh = lab.mesh().await;
    let registering = spawn_registration(&mesh, api(1));
    pass(secs(8)).await;
    assert!(!registering.is_finished());
    lab.registry.everything_is(&Answer::Truly);
    registering.await.unwrap().unwrap();
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
    assert!(lab.registry.journal().len() > 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_carried_out_without_saying_so_is_recognised() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::DoneBut(unavailable()));
    let mesh = lab.mesh().await;
    mesh.register_service(api(1)).await.unwrap();
    assert_eq!(lab.registry.journal(), ["register api-1"], "seen to stand, not ordered again");
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_loses_is_registered_again() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(checked()).await.unwrap();
    for lost in 1..=3 {
        lab.registry.lose(&checked()).await;
        pass(secs(17)).await;
        assert_eq!(lab.registry.held("api").await, ["api-9"], "lost for the {lost}. time");
    }
    assert!(me.is_kept());
    let events = ["registered", "lost", "restored", "lost", "restored", "lost", "restored"];
    assert_eq!(lab.notes.of("mesh.registration.events"), events);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_was_lost_is_registered_again_too() {
    use mesh::mesh_core::port::Registry as _;
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.register_service(checked()).await.unwrap();
    lab.registry.truth.deregister(checked().service(), checked().id(), Part::Check).await.unwrap();
    assert_eq!(lab.registry.standing(&checked()).await.check, PartState::Absent);
    pass(secs(17)).await;
    assert_eq!(lab.registry.standing(&checked()).await.check, PartState::Matches);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_for_hours_finds_its_instances_again() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    lab.registry.lose(&api(1)).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    pass(secs(4 * 3600)).await;
    assert!(me.is_kept());
    lab.registry.everything_is(&Answer::Truly);
    pass(secs(30)).await;
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
}

#[tokio::test(start_paused = true)]
async fn an_update_stands_when_it_returns() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    assert_eq!(healthy(&mesh, "api").await, [1]);
    let heavier = instance_of("api", 1).weight(9).tag("v2").build().unwrap();
    me.update(heavier.clone()).await.unwrap();
    assert_eq!(lab.registry.standing(&heavier).await.service, PartState::Matches);
    settle().await;
    let found = mesh.get_healthy_services("api").await.unwrap();
    assert!(found[0].tags().contains("v2") && found[0].weights().passing.get() == 9);
    // What is kept from now on is the update.
    lab.registry.lose(&heavier).await;
    pass(secs(17)).await;
    assert_eq!(lab.registry.standing(&heavier).await.service, PartState::Matches);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_refused_leaves_what_stood() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    lab.registry.register_is(Answer::No(refused()));
    let heavier = instance_of("api", 1).weight(9).build().unwrap();
    let error = me.update(heavier).await.unwrap_err();
    let text = "update failed, the previous configuration stands again: the registry refused: bad check";
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, UpdateRegistrationError::Failed { restored: true, .. }));
    assert_eq!(lab.registry.standing(&api(1)).await.service, PartState::Matches);
    assert!(me.is_kept());
}

#[tokio::test(start_paused = true)]
async fn an_update_of_another_instance_or_beside_another_update_is_refused() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    let error = me.update(api(2)).await.unwrap_err();
    assert_eq!(error.to_string(), "id: api-2 is not allowed: must be the registered api-1");
    lab.registry.register_is(Answer::Never);
    let first = tokio::spawn({
        let me = me.clone();
        async move { me.update(instance_of("api", 1).weight(2).build().unwrap()).await }
    });
    settle().await;
    let second = me.update(instance_of("api", 1).weight(3).build().unwrap()).await.unwrap_err();
    assert!(matches!(second, UpdateRegistrationError::Refused(UpdateError::Busy)), "{second}");
    lab.registry.register_is(Answer::Truly);
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_update_that_a_deregistration_overtakes_is_told_so() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    lab.registry.register_is(Answer::Never);
    let update = tokio::spawn({
        let me = me.clone();
        async move { me.update(instance_of("api", 1).weight(2).build().unwrap()).await }
    });
    settle().await;
    me.deregister().await.unwrap();
    let error = update.await.unwrap().unwrap_err();
    assert!(matches!(error, UpdateRegistrationError::Ended), "{error}");
    let error = me.update(api(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "the registration ended");
}

#[tokio::test(start_paused = true)]
async fn a_deregistered_instance_is_gone_for_good() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(checked()).await.unwrap();
    me.deregister().await.unwrap();
    assert_eq!(lab.registry.standing(&checked()).await, Standing::ABSENT);
    assert!(!me.is_kept());
    pass(secs(600)).await;
    assert_eq!(lab.registry.standing(&checked()).await, Standing::ABSENT);
    assert_eq!(lab.notes.of("mesh.registration.deregistration.duration"), ["confirmed"]);
}

#[tokio::test(start_paused = true)]
async fn deregistering_twice_or_from_two_places_is_harmless() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    let (first, second, by_id) = tokio::join!(me.deregister(), me.deregister(), mesh.deregister_service(me.id()));
    first.unwrap();
    second.unwrap();
    by_id.unwrap();
    me.deregister().await.unwrap();
    assert_eq!(lab.registry.journal(), ["register api-1", "deregister api-1"]);
    let unknown = mesh.deregister_service(me.id()).await.unwrap_err();
    assert!(matches!(unknown, DeregisterError::NotRegistered { .. }));
}

#[tokio::test(start_paused = true)]
async fn one_id_is_registered_once_at_a_time() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    let error = mesh.register_service(api(1)).await.unwrap_err();
    assert!(matches!(error, RegisterError::AlreadyRegistered { .. }));
    assert_eq!(lab.registry.journal(), ["register api-1"], "the first is not disturbed");
    me.deregister().await.unwrap();
    let again = mesh.register_service(api(1)).await.unwrap();
    assert!(again.is_kept() && !me.is_kept());
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_register_one_id_at_once_one_succeeds() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let (first, second) = tokio::join!(mesh.register_service(api(1)), mesh.register_service(api(1)));
    assert!(first.is_ok());
    assert!(matches!(second, Err(RegisterError::AlreadyRegistered { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_on_its_way_out_can_be_registered_again_at_once() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    lab.registry.deregister_is(Answer::Never);
    let leaving = tokio::spawn(async move { me.deregister().await });
    settle().await;
    let registering = spawn_registration(&mesh, api(1));
    pass(ms(500)).await;
    assert!(!registering.is_finished(), "what takes the old one away would take the new one too");
    lab.registry.deregister_is(Answer::Truly);
    leaving.await.unwrap().unwrap();
    assert!(registering.await.unwrap().unwrap().is_kept());
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
    assert_eq!(lab.registry.journal().last().unwrap(), "register api-1");
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_handle_is_dropped_is_kept_until_it_is_deregistered_by_id() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    drop(mesh.register_service(api(1)).await.unwrap());
    lab.registry.lose(&api(1)).await;
    pass(secs(17)).await;
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
    mesh.deregister_service(&id("api", 1)).await.unwrap();
    assert!(lab.registry.held("api").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn registering_and_leaving_a_thousand_times_leaves_nothing() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    for _ in 0..250 {
        let configs = [1, 2, 3, 4].map(api);
        let registered = configs.map(|config| mesh.register_service(config));
        let mut standing: Vec<Registration> = Vec::new();
        for registration in registered {
            standing.push(registration.await.unwrap());
        }
        for registration in standing {
            registration.deregister().await.unwrap();
        }
    }
    assert!(lab.registry.held("api").await.is_empty());
    assert_eq!(lab.registry.under_way(), 0);
    let report = mesh.shutdown(secs(1)).await;
    assert!(report.is_clean() && report.deregistered.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_is_dropped_without_a_shutdown_warns_and_stops_its_tasks() {
    let (logs, _listening) = Logs::listen();
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    healthy(&mesh, "api").await;
    healthy(&mesh, "web").await;
    assert_eq!(lab.registry.watches(), 2);
    lab.registry.inspect_is(Answer::Never);
    pass(secs(17)).await;
    assert_eq!(lab.registry.under_way(), 1, "a verification");
    drop(mesh);
    eventually("the tasks end", async || lab.registry.watches() == 0 && lab.registry.under_way() == 0).await;
    assert!(!me.is_kept());
    let text = logs.text();
    assert!(text.contains("a mesh was dropped without a shutdown") && text.contains("kept=1"), "{text}");
    pass(secs(600)).await;
    assert_eq!(lab.registry.journal(), ["register api-1"]);
    assert_eq!(lab.registry.held("api").await, ["api-1"], "it stays in the registry, as the warning says");
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_keeps_nothing_is_dropped_without_a_word() {
    let (logs, _listening) = Logs::listen();
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    healthy(&mesh, "api").await;
    let me = mesh.register_service(api(2)).await.unwrap();
    me.deregister().await.unwrap();
    drop(mesh);
    settle().await;
    assert_eq!(logs.text(), "");
    assert_eq!(lab.registry.watches(), 0);
}

/// Instance 9 of `api` with a check that is a part of its registration.
fn checked() -> ServiceConfig {
    instance_of("api", 9).check(HealthCheck::http("/health")).build().unwrap()
}

fn spawn_registration(
    mesh: &ServiceMesh,
    config: ServiceConfig,
) -> tokio::task::JoinHandle<Result<Registration, RegisterError>> {
    let mesh = mesh.clone();
    tokio::spawn(async move { mesh.register_service(config).await })
}
