//! The orderly end: no longer ready, out of the registry, requests finished, tasks stopped; all within the grace,
//! whatever the registry does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::{Arc, Mutex};

use mesh::mesh_core::time::Instant;
use mesh::{
    CallError, CallPolicy, DeregisterError, HealthCheck, RegisterError, ServiceError, ServiceMesh, ShutdownReport,
};
use tokio::task::JoinHandle;

use support::registry::{Answer, Hearing, unavailable};
use support::{Lab, api, eventually, healthy, in_flight, instance_of, ms, pass, retries, secs, settle};

#[tokio::test(start_paused = true)]
async fn the_steps_come_in_their_order() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.register_service(api(1)).await.unwrap();
    healthy(&mesh, "api").await;
    let steps = Arc::new(Mutex::new(Vec::new()));
    let note = |step| steps.lock().unwrap().push(step);

    lab.registry.deregister_is(Answer::Never);
    let serving = spawn_call(&mesh, ms(2000));
    settle().await;
    let ending = spawn_shutdown(&mesh, secs(20));
    settle().await;
    assert!(!mesh.is_ready());
    note("not ready");
    assert_eq!(lab.registry.held("api").await, ["api-1"], "nothing is waited for before readiness is off");

    lab.registry.deregister_is(Answer::Truly);
    eventually("it is deregistered", async || lab.registry.held("api").await.is_empty()).await;
    assert!(!serving.is_finished());
    note("deregistered");

    serving.await.unwrap().unwrap();
    note("requests finished");
    assert_eq!(lab.registry.watches(), 1, "the tasks stop last, because requests may need them");

    let report = ending.await.unwrap();
    assert_eq!(lab.registry.watches(), 0);
    note("stopped");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(*steps.lock().unwrap(), ["not ready", "deregistered", "requests finished", "stopped"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_mesh_ends_at_once_with_a_clean_report() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    for number in [3, 1, 2] {
        mesh.register_service(api(number)).await.unwrap();
    }
    healthy(&mesh, "api").await;
    let report = mesh.shutdown(secs(30)).await;
    let ids: Vec<_> = report.deregistered.iter().map(|(id, fate)| (id.as_str(), fate.is_ok())).collect();
    assert_eq!(ids, [("api-1", true), ("api-2", true), ("api-3", true)]);
    assert_eq!((report.in_flight_left, report.is_clean(), lab.now()), (0, true, Instant::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_hangs_does_not_outlast_the_grace() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    mesh.register_service(api(2)).await.unwrap();
    lab.registry.everything_is(&Answer::Never);
    let began = lab.now();
    let report = mesh.shutdown(secs(3)).await;
    assert_eq!(lab.now().since(began), secs(3));
    assert!(!report.is_clean());
    for (id, fate) in &report.deregistered {
        let Err(DeregisterError::Unconfirmed { instance, source: None }) = fate else { panic!("{fate:?}") };
        assert_eq!(instance, id);
    }
    assert_eq!(report.deregistered.len(), 2);
    assert_eq!((lab.registry.under_way(), lab.registry.watches()), (0, 0), "nothing goes on in the background");
    assert!(!me.is_kept());
    let error = me.deregister().await.unwrap_err();
    assert_eq!(error.to_string(), "api-1: may still stand in the registry: not confirmed");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_refuses_is_quoted_for_the_instance_it_keeps() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.register_service(api(1)).await.unwrap();
    lab.registry.deregister_is(Answer::No(unavailable()));
    let report = mesh.shutdown(secs(60)).await;
    assert!(lab.now() < Instant::ZERO + secs(15), "the keeper gives up by itself");
    let (_, fate) = &report.deregistered[0];
    let text = fate.as_ref().unwrap_err().to_string();
    assert_eq!(text, "api-1: may still stand in the registry: the registry is unavailable: no leader");
}

#[tokio::test(start_paused = true)]
async fn requests_that_outlast_the_grace_are_counted_and_left_to_end() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let slow = [spawn_call(&mesh, secs(10)), spawn_call(&mesh, secs(10))];
    let quick = spawn_call(&mesh, ms(100));
    settle().await;
    let report = mesh.shutdown(secs(2)).await;
    assert_eq!((report.in_flight_left, report.is_clean(), lab.now()), (2, false, Instant::ZERO + secs(2)));
    quick.await.unwrap().unwrap();
    for call in slow {
        call.await.unwrap().unwrap();
    }
    assert_eq!(lab.now(), Instant::ZERO + secs(10));
}

#[tokio::test(start_paused = true)]
async fn requests_that_a_thread_holds_back_are_waited_for_also_where_their_instance_leaves() {
    for leaves in [false, true] {
        let mut lab = Lab::new();
        lab.config.service.count_window = secs(1);
        let mesh = lab.mesh_with(1).await;
        let lease = mesh.get_service_instance("api").await.unwrap();
        assert_eq!(lease.endpoint().in_flight(), 0, "it is held back");
        if leaves {
            lab.registry.lose(&api(1)).await;
            settle().await;
            // With the view after the next, what left without a request in flight is forgotten.
            for number in 2..=3 {
                lab.registry.put(&api(number)).await;
                settle().await;
            }
        }
        let report = mesh.shutdown(ms(100)).await;
        assert_eq!(report.in_flight_left, 1, "leaves {leaves}");
        drop(lease);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_to_instances_that_left_are_waited_for_too() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let slow = spawn_call(&mesh, secs(1));
    settle().await;
    lab.registry.lose(&api(1)).await;
    lab.registry.put(&api(2)).await;
    settle().await;
    assert_eq!(in_flight(&mesh, "api").await, 0, "the instance that serves it is none any more");
    let report = mesh.shutdown(secs(5)).await;
    assert!(slow.is_finished() && report.is_clean(), "{report:?}");
    assert!(lab.now() >= Instant::ZERO + secs(1));
}

#[tokio::test(start_paused = true)]
async fn leases_that_the_caller_holds_are_waited_for() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let lease = mesh.get_service_instance("api").await.unwrap();
    let ending = spawn_shutdown(&mesh, secs(60));
    pass(secs(5)).await;
    assert!(!ending.is_finished());
    drop(lease);
    assert!(ending.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn calls_are_accepted_until_the_last_step_and_none_after_it() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let lease = mesh.get_service_instance("api").await.unwrap();
    let ending = spawn_shutdown(&mesh, secs(60));
    settle().await;
    assert!(!mesh.is_ready());
    spawn_call(&mesh, ms(50)).await.unwrap().unwrap();
    drop(lease);
    ending.await.unwrap();
    let error = spawn_call(&mesh, ms(50)).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the mesh was shut down");
    assert!(!error.is_transient());
    assert!(matches!(error, CallError::NoInstance { reason: ServiceError::ShutDown, attempts: 0, last: None }));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_retry_ends_by_its_policy() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let policy = CallPolicy::new(retries(2)).unwrap();
    let call = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.call("api", &policy, |_| async { Err::<(), _>("no") }).await }
    });
    settle().await;
    assert!(mesh.shutdown(secs(1)).await.is_clean());
    let error = call.await.unwrap().unwrap_err();
    assert_eq!((error.attempts(), lab.now()), (2, Instant::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_silent_registry_learns_of_the_shutdown_at_once() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    lab.registry.watches_are(Hearing::Silent);
    let waiting = spawn_call(&mesh, ms(0));
    pass(ms(500)).await;
    mesh.shutdown(secs(1)).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!((error.to_string().as_str(), lab.now()), ("the mesh was shut down", Instant::from_millis(500)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_registered_once_a_shutdown_has_begun() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let lease = mesh.get_service_instance("api").await.unwrap();
    let ending = spawn_shutdown(&mesh, secs(60));
    settle().await;
    assert!(matches!(mesh.register_service(api(5)).await, Err(RegisterError::ShutDown)));
    drop(lease);
    ending.await.unwrap();
    assert!(matches!(mesh.register_service(api(5)).await, Err(RegisterError::ShutDown)));
    assert!(lab.registry.journal().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_registration_under_way_is_taken_back() {
    let lab = Lab::new();
    lab.registry.register_is(Answer::DoneBut(unavailable()));
    lab.registry.inspect_is(Answer::No(unavailable()));
    let mesh = lab.mesh().await;
    let registering = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.register_service(api(1)).await.map(drop) }
    });
    pass(ms(100)).await;
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
    lab.registry.inspect_is(Answer::Truly);
    let report = mesh.shutdown(secs(20)).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(lab.registry.held("api").await.is_empty());
    let error = registering.await.unwrap().unwrap_err();
    assert!(matches!(error, RegisterError::Deregistered { confirmed: true, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_registry_hangs_is_let_go_of_with_the_grace() {
    let lab = Lab::new();
    lab.registry.everything_is(&Answer::Never);
    let mesh = lab.mesh().await;
    let registering = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.register_service(api(1)).await.map(drop) }
    });
    pass(ms(100)).await;
    let report = mesh.shutdown(secs(1)).await;
    assert_eq!(report.deregistered.len(), 1);
    let error = registering.await.unwrap().unwrap_err();
    assert!(matches!(error, RegisterError::ShutDown), "{error}");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_twice_at_once_or_again_is_harmless() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.register_service(api(1)).await.unwrap();
    let slow = spawn_call(&mesh, secs(1));
    settle().await;
    let reports = tokio::join!(mesh.shutdown(secs(5)), mesh.shutdown(secs(5)));
    assert!(reports.0.is_clean() && reports.1.is_clean(), "{reports:?}");
    assert_eq!(reports.0.deregistered.len(), 1);
    assert!(slow.is_finished());
    let began = lab.now();
    let again = mesh.shutdown(secs(5)).await;
    assert!(again.is_clean() && again.deregistered.is_empty());
    assert_eq!(lab.now(), began);
    assert_eq!(lab.registry.journal(), ["register api-1", "deregister api-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_grace_stops_at_once() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let lease = mesh.get_service_instance("api").await.unwrap();
    let report = mesh.shutdown(secs(0)).await;
    assert_eq!((report.in_flight_left, lab.now()), (1, Instant::ZERO));
    settle().await;
    assert_eq!(lab.registry.watches(), 0);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_can_be_made_again() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.register_service(api(1)).await.unwrap();
    lab.registry.deregister_is(Answer::Never);
    assert!(tokio::time::timeout(ms(10), mesh.shutdown(secs(60))).await.is_err());
    assert!(!mesh.is_ready());
    lab.registry.deregister_is(Answer::Truly);
    let report = mesh.shutdown(secs(60)).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(lab.registry.held("api").await.is_empty());
    assert_eq!(lab.registry.watches(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_deregistered_before_is_not_in_the_report() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let config = instance_of("api", 1).check(HealthCheck::http("/health")).build().unwrap();
    let me = mesh.register_service(config).await.unwrap();
    mesh.register_service(api(2)).await.unwrap();
    me.deregister().await.unwrap();
    let report = mesh.shutdown(secs(1)).await;
    let ids: Vec<_> = report.deregistered.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["api-2"]);
}

/// A call to `api` whose attempts take `takes` and succeed.
fn spawn_call(mesh: &ServiceMesh, takes: std::time::Duration) -> JoinHandle<Result<(), CallError<&'static str>>> {
    let mesh = mesh.clone();
    tokio::spawn(async move {
        let attempt = |_| async move {
            tokio::time::sleep(takes).await;
            Ok(())
        };
        mesh.call("api", &CallPolicy::default(), attempt).await
    })
}

fn spawn_shutdown(mesh: &ServiceMesh, grace: std::time::Duration) -> JoinHandle<ShutdownReport> {
    let mesh = mesh.clone();
    tokio::spawn(async move { mesh.shutdown(grace).await })
}
