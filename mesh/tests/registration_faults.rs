//! Registrations that fail, in whole or in part, or that nobody waits for any more: what is left, and what is said.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::time::Duration;

use mesh::mesh_core::port::{RegistryError, StateChange};
use mesh::mesh_core::registration::{Part, Parts, RegistrationError, Standing};
use mesh::{DeregisterError, HealthCheck, RegisterError, ServiceConfig, ServiceMesh};

use support::registry::{Answer, denied, refused, unavailable, unreachable};
use support::{Lab, PATIENCE, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_registration_that_is_refused_fails_at_once_and_leaves_nothing() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::No(denied()));
    let mesh = lab.mesh().await;
    let began = lab.now();
    let error = mesh.register_service(checked()).await.unwrap_err();
    let text = "api api-9: registration failed: access to the registry was denied: token lacks service:write; \
                rolled back: nothing; still stands: nothing";
    assert_eq!(error.to_string(), text);
    assert_eq!(lab.now(), began);
    assert_eq!(lab.registry.standing(&checked()).await, Standing::ABSENT);
}

#[tokio::test(start_paused = true)]
async fn what_stood_of_a_partial_registration_is_rolled_back_and_named() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::WithoutCheck(refused()));
    let mesh = lab.mesh().await;
    let error = mesh.register_service(checked()).await.unwrap_err();
    let text = "api api-9: registration failed: the registry refused: bad check; rolled back: service; still \
                stands: nothing";
    assert_eq!(error.to_string(), text);
    let RegisterError::Failed { source, .. } = error else { panic!("{error}") };
    assert_eq!((source.rolled_back, source.stands, source.certain), (Part::Service.into(), Parts::NONE, true));
    assert_eq!(lab.registry.standing(&checked()).await, Standing::ABSENT);
    let gone = mesh.deregister_service(checked().id()).await.unwrap_err();
    assert!(matches!(gone, DeregisterError::NotRegistered { .. }), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rolled_back_is_named_and_can_be_taken_away_later() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let error = leave_half_behind(&lab, &mesh).await;
    let text = "api api-9: registration failed: the registry refused: bad check; rolled back: nothing; still stands: \
                service";
    assert_eq!(error.to_string(), text);
    let RegisterError::Failed { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.stands, Part::Service.into());
    let obstacle = source.rollback_error.as_ref().unwrap();
    assert_eq!(obstacle.to_string(), denied().to_string());
    assert_eq!(lab.registry.held("api").await, ["api-9"]);

    let still = mesh.deregister_service(checked().id()).await.unwrap_err();
    assert!(matches!(still, DeregisterError::Unconfirmed { .. }), "{still}");
    lab.registry.deregister_is(Answer::Truly);
    mesh.deregister_service(checked().id()).await.unwrap();
    assert!(lab.registry.held("api").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_registration_left_is_taken_away_by_a_shutdown() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    leave_half_behind(&lab, &mesh).await;
    lab.registry.deregister_is(Answer::Truly);
    let report = mesh.shutdown(secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.deregistered.len(), 1);
    assert!(lab.registry.held("api").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_registration_can_be_made_anew() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    for clean in [true, false] {
        if clean {
            lab.registry.register_is(Answer::No(refused()));
            mesh.register_service(checked()).await.unwrap_err();
        } else {
            leave_half_behind(&lab, &mesh).await;
        }
        lab.registry.register_is(Answer::Truly);
        lab.registry.deregister_is(Answer::Truly);
        let me = mesh.register_service(checked()).await.unwrap();
        assert!(me.is_kept());
        me.deregister().await.unwrap();
        assert!(lab.registry.held("api").await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_stays_away_is_given_up_with_the_last_reason() {
    let lab = Lab::new();
    lab.registry.everything_is(&Answer::No(unreachable()));
    let mesh = lab.mesh().await;
    let began = lab.now();
    let error = mesh.register_service(checked()).await.unwrap_err();
    let took = lab.now().since(began);
    assert!(took <= secs(40), "{took:?}");
    let RegisterError::Failed { source, .. } = &error else { panic!("{error}") };
    let RegistrationError::GaveUp { attempts: 10, last, .. } = &source.error else { panic!("{error}") };
    assert_eq!((last.to_string(), last.state_changed()), (unreachable().to_string(), StateChange::No));
    assert!(!source.certain, "nobody could look");
    assert!(error.to_string().ends_with("may still stand: service, check"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_acknowledges_and_never_shows_it_is_not_believed() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::Emptily);
    let mesh = lab.mesh().await;
    let error = mesh.register_service(checked()).await.unwrap_err();
    let RegisterError::Failed { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(source.error, RegistrationError::NotVisible { parts: Parts::ALL, .. }), "{error}");
    assert!(error.to_string().contains("acknowledged, but the registry did not show it within 10s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_never_answers_ends_a_registration_in_bounded_time() {
    let lab = Lab::new();
    lab.registry.everything_is(&Answer::Never);
    let mesh = lab.mesh().await;
    let began = lab.now();
    let error = mesh.register_service(checked()).await.unwrap_err();
    assert!(lab.now().since(began) <= secs(60), "{:?}", lab.now());
    assert!(error.to_string().contains("did not answer within 5s"), "{error}");
    assert!(lab.registry.under_way() <= 1, "what is no longer waited for was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_deregistration_that_is_not_confirmed_says_so_and_can_be_repeated() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(checked()).await.unwrap();
    lab.registry.everything_is(&Answer::No(unavailable()));
    let began = lab.now();
    let error = me.deregister().await.unwrap_err();
    assert!(lab.now().since(began) <= secs(10));
    assert_eq!(error.to_string(), "api-9: may still stand in the registry: the registry is unavailable: no leader");
    assert!(!me.is_kept());
    let again = mesh.deregister_service(me.id()).await.unwrap_err();
    assert!(matches!(again, DeregisterError::Unconfirmed { source: Some(RegistryError::Unavailable { .. }), .. }));
    assert_eq!(lab.registry.held("api").await, ["api-9"]);

    lab.registry.everything_is(&Answer::Truly);
    me.deregister().await.unwrap();
    assert!(lab.registry.held("api").await.is_empty());
    assert!(matches!(mesh.deregister_service(me.id()).await, Err(DeregisterError::NotRegistered { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_registration_dropped_at_any_moment_leaves_nothing_behind() {
    for after in (0..400).step_by(7).map(ms).chain([secs(1), secs(3), secs(9)]) {
        for manner in [Answer::Truly, Answer::Emptily, Answer::DoneBut(unavailable()), Answer::No(unreachable())] {
            let lab = Lab::new();
            lab.registry.register_is(manner.clone());
            lab.registry.inspect_is(Answer::No(unreachable()));
            let mesh = lab.mesh().await;
            let dropped = tokio::time::timeout(after, mesh.register_service(checked())).await;
            assert!(dropped.is_err(), "it cannot be seen to stand: {manner:?} after {after:?}");
            lab.registry.inspect_is(Answer::Truly);
            pass(secs(20)).await;
            assert_eq!(lab.registry.standing(&checked()).await, Standing::ABSENT, "{manner:?} after {after:?}");
            assert!(mesh.shutdown(secs(1)).await.deregistered.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_dropped_while_its_order_hangs_is_taken_back_when_the_registry_answers() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::Never);
    let mesh = lab.mesh().await;
    assert!(tokio::time::timeout(secs(1), mesh.register_service(checked())).await.is_err());
    // The order is carried out after all, as one that hung behind a leader's election is.
    lab.registry.put(&checked()).await;
    pass(secs(20)).await;
    assert!(lab.registry.held("api").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_registration_does_not_take_away_the_one_that_follows() {
    for after in [ms(0), ms(10), ms(100), secs(1)] {
        let lab = Lab::new();
        lab.registry.inspect_is(Answer::No(unreachable()));
        let mesh = lab.mesh().await;
        assert!(tokio::time::timeout(after, mesh.register_service(checked())).await.is_err());
        lab.registry.inspect_is(Answer::Truly);
        let me = mesh.register_service(checked()).await.unwrap();
        settle().await;
        assert!(me.is_kept());
        assert_eq!(lab.registry.held("api").await, ["api-9"], "dropped after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_a_dropped_registration_left() {
    let lab = Lab::new();
    lab.registry.inspect_is(Answer::No(unreachable()));
    let mesh = lab.mesh().await;
    assert!(tokio::time::timeout(ms(20), mesh.register_service(checked())).await.is_err());
    assert_eq!(lab.registry.held("api").await, ["api-9"]);
    lab.registry.inspect_is(Answer::Truly);
    let report = mesh.shutdown(secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(lab.registry.held("api").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_is_deregistered_before_it_stands_is_told_so() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::Emptily);
    let mesh = lab.mesh().await;
    let registering = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.register_service(checked()).await.map(drop) }
    });
    pass(secs(1)).await;
    mesh.deregister_service(checked().id()).await.unwrap();
    let error = registering.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "api api-9: deregistered before the registry showed it");
    assert!(matches!(error, RegisterError::Deregistered { confirmed: true, .. }));
}

#[tokio::test(start_paused = true)]
async fn what_is_deregistered_while_the_registry_is_away_may_still_stand_and_everybody_is_told() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::Emptily);
    let mesh = lab.mesh().await;
    let registering = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.register_service(checked()).await.map(drop) }
    });
    pass(secs(1)).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    let error = mesh.deregister_service(checked().id()).await.unwrap_err();
    assert_eq!(error.to_string(), "api-9: may still stand in the registry: the registry cannot be reached");
    let error = registering.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "api api-9: deregistered before the registry showed it; may still stand there");

    lab.registry.everything_is(&Answer::Truly);
    let anew = tokio::time::timeout(PATIENCE, mesh.register_service(checked())).await;
    let me = anew.expect("nothing is on its way out any more").unwrap();
    lab.registry.register_is(Answer::Never);
    let update = tokio::spawn({
        let me = me.clone();
        async move { me.update(checked()).await }
    });
    settle().await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    me.deregister().await.unwrap_err();
    let told = tokio::time::timeout(PATIENCE, update).await.expect("nobody waits for an update that cannot come");
    let error = told.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the registration ended");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_comes_as_a_deregistration_ends_does_not_block_a_new_registration() {
    for _ in 0..20 {
        let lab = Lab::new();
        let mesh = lab.mesh().await;
        let me = mesh.register_service(checked()).await.unwrap();
        lab.registry.everything_is(&Answer::No(unreachable()));
        let began = lab.now();
        me.deregister().await.unwrap_err();
        let takes = lab.now().since(began);
        let update = tokio::spawn({
            let me = me.clone();
            async move {
                tokio::time::sleep(takes).await;
                me.update(checked()).await
            }
        });
        me.deregister().await.unwrap_err();
        update.await.unwrap().unwrap_err();
        lab.registry.everything_is(&Answer::Truly);
        let anew = tokio::time::timeout(PATIENCE, mesh.register_service(checked()));
        assert!(anew.await.unwrap().unwrap().is_kept());
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_panics_counts_as_unanswered() {
    #[derive(Debug)]
    struct Brittle(support::registry::ScriptedRegistry, std::sync::atomic::AtomicBool);

    impl mesh::mesh_core::port::Registry for Brittle {
        fn register<'a>(&'a self, config: &'a ServiceConfig) -> Answered<'a, ()> {
            assert!(self.1.swap(true, std::sync::atomic::Ordering::Relaxed), "as the test wants it");
            self.0.register(config)
        }

        fn deregister<'a>(
            &'a self,
            service: &'a mesh::ServiceName,
            instance: &'a mesh::InstanceId,
            part: Part,
        ) -> Answered<'a, ()> {
            self.0.deregister(service, instance, part)
        }

        fn inspect<'a>(&'a self, config: &'a ServiceConfig) -> Answered<'a, Standing> {
            self.0.inspect(config)
        }

        fn resolve<'a>(&'a self, service: &'a mesh::ServiceName) -> Answered<'a, mesh::mesh_core::port::Resolution> {
            self.0.resolve(service)
        }

        fn watch(&self, service: &mesh::ServiceName) -> Box<dyn mesh::mesh_core::port::Watch> {
            self.0.watch(service)
        }

        fn runs_checks(&self) -> bool {
            false
        }
    }

    let lab = Lab::new();
    let mesh = lab.builder().registry(Brittle(lab.registry.clone(), false.into())).build().await.unwrap();
    let began = lab.now();
    assert!(mesh.register_service(checked()).await.unwrap().is_kept());
    assert!(lab.now().since(began) >= secs(5), "after the time that an answer is waited for");
}

type Answered<'a, T> = mesh::mesh_core::port::BoxFuture<'a, Result<T, RegistryError>>;

/// Registers so that the service stands without its check and cannot be taken away.
async fn leave_half_behind(lab: &Lab, mesh: &ServiceMesh) -> RegisterError {
    lab.registry.register_is(Answer::WithoutCheck(refused()));
    lab.registry.deregister_is(Answer::No(denied()));
    let failed = tokio::time::timeout(Duration::from_secs(60), mesh.register_service(checked())).await;
    failed.unwrap().unwrap_err()
}

/// Instance 9 of `api` with a check that is a part of its registration.
fn checked() -> ServiceConfig {
    support::instance_of("api", 9).check(HealthCheck::http("/health")).build().unwrap()
}
