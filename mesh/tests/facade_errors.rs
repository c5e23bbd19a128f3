//! Why there is no instance: every question that has no answer says which of the many reasons it was.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;

use mesh::mesh_core::balance::Tried;
use mesh::mesh_core::machine::ServiceMachineConfig;
use mesh::mesh_core::port::RegistryError;
use mesh::mesh_core::route::Selector;
use mesh::{CallError, CallPolicy, Class, PickContext, PickError, RetryPolicy, Route, ServiceError, ServiceMesh};

use support::dial::Line;
use support::registry::{Answer, Hearing, denied, unavailable};
use support::{Lab, api, eventually, every, healthy, instance_of, ms, pass, port, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_ever_registered_is_unknown() {
    let mesh = Lab::new().mesh().await;
    for error in every_question(&mesh, "api").await {
        assert_eq!(error.pick(), Some(PickError::UnknownService));
        assert_eq!(error.to_string(), "api: the registry does not know the service");
        assert!(error.is_transient(), "it may be registered at any time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_last_instance_left_has_none_registered() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    assert_eq!(healthy(&mesh, "api").await, [1]);
    lab.registry.lose(&api(1)).await;
    settle().await;
    for error in every_question(&mesh, "api").await {
        assert_eq!(error.pick(), Some(PickError::NoneRegistered));
    }
}

#[tokio::test(start_paused = true)]
async fn instances_that_are_all_unhealthy_or_drained_are_counted() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let check = mesh::HealthCheck::http("/health").interval(secs(1)).timeout(ms(500));
    lab.registry.put(&instance_of("api", 1).check(check.clone()).build().unwrap()).await;
    lab.registry.put(&instance_of("api", 2).check(check).build().unwrap()).await;
    lab.registry.put(&instance_of("api", 3).weight(0).build().unwrap()).await;
    for number in [1, 2] {
        lab.dial.set(port(number), Line::Refused);
    }
    eventually("the checks fail", async || healthy(&mesh, "api").await.is_empty()).await;
    for error in every_question(&mesh, "api").await {
        assert_eq!(error.pick(), Some(PickError::NoneHealthy { registered: 3, unhealthy: 2, drained: 1 }));
        let text = "api: none of 3 registered instances is usable: 2 unhealthy, 1 drained";
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_no_instance_matches_is_none_matching() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let selector = Selector::any().tag("canary").unwrap();
    let route = mesh.route("api", selector.clone()).await.unwrap();
    for route in [Route::Registered(route), Route::Selector(&selector)] {
        let context = PickContext { route, ..PickContext::default() };
        let error = mesh.pick("api", &context).await.unwrap_err();
        assert_eq!(error.pick(), Some(PickError::NoneMatching { usable: 2 }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_excludes_everybody_is_told_so() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(3).await;
    let mut tried = Tried::new();
    for lease in every(&mesh, "api").await {
        tried.insert(lease.endpoint().id());
    }
    let error = mesh.pick("api", &PickContext { excluded: &tried, ..PickContext::default() }).await.unwrap_err();
    assert_eq!(error.to_string(), "api: all 3 matching instances were tried already");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_says_nothing_is_waited_for_no_longer_than_configured() {
    let mut lab = Lab::new();
    lab.config.discovery_timeout = ms(700);
    let mesh = lab.mesh().await;
    lab.registry.everything_is(&Answer::Never);
    let began = lab.now();
    let error = mesh.get_service_instance("api").await.unwrap_err();
    assert_eq!(error.to_string(), "api: the registry has not answered within 700ms");
    assert_eq!(lab.now().since(began), ms(700));
    assert!(error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_silent_registry_no_longer_than_its_deadline() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    lab.registry.watches_are(Hearing::Silent);
    let mut retry = RetryPolicy::default();
    retry.deadline = Some(ms(250));
    let began = lab.now();
    let error = call(&mesh, &CallPolicy::new(retry).unwrap()).await.unwrap_err();
    assert_eq!(lab.now().since(began), ms(250));
    assert_eq!(error.to_string(), "api: the registry has not answered within 250ms");
    assert_eq!(error.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_silent_registry_is_served_when_it_speaks() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    lab.registry.watches_are(Hearing::Silent);
    let waiting = tokio::spawn({
        let mesh = mesh.clone();
        async move { call(&mesh, &CallPolicy::default()).await }
    });
    pass(secs(3)).await;
    assert!(!waiting.is_finished());
    lab.registry.watches_are(Hearing::Clear);
    assert_eq!(waiting.await.unwrap().unwrap(), port(1));
    assert_eq!(lab.registry.watches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_fails_from_the_start_is_quoted() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    lab.registry.watches_are(Hearing::Lost(denied()));
    let error = mesh.get_healthy_services("api").await.unwrap_err();
    assert_eq!(error.to_string(), "api: access to the registry was denied: token lacks service:write");
    assert!(matches!(&error, ServiceError::Registry { source: RegistryError::AccessDenied { .. }, .. }));
    assert!(!error.is_transient());
    lab.registry.watches_are(Hearing::Clear);
    eventually("the registry is heard", async || {
        mesh.get_healthy_services("api").await.is_err_and(|error| error.pick() == Some(PickError::UnknownService))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_truth_is_asked_of_the_registry_and_its_failure_is_quoted() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    mesh.get_service("api").await.unwrap();
    lab.registry.resolve_is(Answer::No(unavailable()));
    let error = mesh.get_service("api").await.unwrap_err();
    assert_eq!(error.to_string(), "api: the registry is unavailable: no leader");
    assert!(error.is_transient());
    lab.registry.resolve_is(Answer::Never);
    let began = lab.now();
    let error = mesh.get_service("api").await.unwrap_err();
    assert_eq!(error.to_string(), "api: the registry has not answered within 5s");
    assert_eq!(lab.now().since(began), secs(5));
    assert_eq!(healthy(&mesh, "api").await, [1], "what discovery knows is served all the same");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_service_can_have_is_refused_with_its_rule() {
    let mesh = Lab::new().mesh().await;
    let too_long = "a".repeat(129);
    for name in ["", "a b", "-api", "api/v1", "a\u{7}b", "ünï", too_long.as_str()] {
        for error in every_question(&mesh, name).await {
            assert!(matches!(error, ServiceError::Name(_)), "{error}");
            assert!(error.to_string().starts_with("service: "), "{error}");
            assert!(!error.is_transient());
            assert!(!error.to_string().contains('\u{7}') && error.to_string().len() < 250, "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_services_than_may_be_followed_are_refused_and_the_others_go_on() {
    let mut lab = Lab::new();
    lab.config.services_max = NonZeroU32::new(2).unwrap();
    let mesh = lab.mesh_with(1).await;
    assert_eq!(healthy(&mesh, "api").await, [1]);
    lab.registry.put(&instance_of("web", 2).build().unwrap()).await;
    assert_eq!(healthy(&mesh, "web").await, [2]);
    for error in every_question(&mesh, "third").await {
        assert_eq!(error.to_string(), "third: services_max: 2 services are followed already");
        assert!(!error.is_transient());
    }
    assert_eq!(lab.registry.watches(), 2);
    assert_eq!(healthy(&mesh, "api").await, [1]);
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_every_question_is_answered_with_that() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    mesh.get_service("api").await.unwrap();
    lab.registry.watches_are(Hearing::Silent);
    let silent = tokio::time::timeout(ms(10), mesh.get_service("silent")).await;
    assert!(silent.is_err(), "it waits for the registry");
    mesh.shutdown(secs(1)).await;
    let began = lab.now();
    for service in ["api", "silent", "new"] {
        for error in every_question(&mesh, service).await {
            assert!(matches!(error, ServiceError::ShutDown), "{service}: {error}");
            assert_eq!(error.to_string(), "the mesh was shut down");
        }
    }
    let key = api(1).key().clone();
    assert!(matches!(mesh.drain("api", &key).await, Err(ServiceError::ShutDown)));
    assert!(matches!(mesh.route("api", Selector::any()).await, Err(ServiceError::ShutDown)));
    assert_eq!(lab.now(), began, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_does_not_leave_its_service_deaf() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    assert_eq!(healthy(&mesh, "api").await, [1]);
    lab.registry.watches_are(Hearing::Broken);
    eventually("the watch is gone", async || lab.registry.watches() == 0).await;
    lab.registry.watches_are(Hearing::Clear);
    lab.registry.put(&api(2)).await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2]);
    assert_eq!(lab.registry.watches(), 1);
}

#[test]
fn a_service_is_followed_anew_after_the_runtime_that_followed_it_ended() {
    let lab = Lab::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mesh = runtime().block_on(lab.mesh_with(1));
    assert_eq!(runtime().block_on(healthy(&mesh, "api")), [1]);
    runtime().block_on(lab.registry.put(&api(2)));
    assert_eq!(runtime().block_on(healthy(&mesh, "api")), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn without_outlier_detection_failed_requests_alone_take_nobody_out() {
    let lab = Lab::new();
    let mut own = ServiceMachineConfig::default();
    own.wake_after = NonZeroU32::MIN;
    own.outlier = mesh::mesh_core::health::outlier::OutlierConfig::off();
    let mesh = lab.builder().service("api".parse().unwrap(), own).build().await.unwrap();
    for number in 1..=4 {
        lab.registry.put(&api(number)).await;
    }
    // Without a check nothing but the registry says that an instance is out.
    for _ in 0..40 {
        let lease = mesh.get_service_instance("api").await.unwrap();
        lease.finish(mesh::Outcome::Failure);
        settle().await;
    }
    assert_eq!(healthy(&mesh, "api").await, [1, 2, 3, 4]);
}

/// The errors of every function that asks for a service.
async fn every_question(mesh: &ServiceMesh, service: &str) -> Vec<ServiceError> {
    let call = call_to(mesh, service, &CallPolicy::default()).await.unwrap_err();
    let CallError::NoInstance { reason, attempts: 0, last: None } = call else { panic!("{call}") };
    vec![
        mesh.get_service(service).await.unwrap_err(),
        mesh.get_healthy_services(service).await.unwrap_err(),
        mesh.get_service_with_cache(service).await.unwrap_err(),
        mesh.get_service_instance(service).await.unwrap_err(),
        reason,
    ]
}

async fn call(mesh: &ServiceMesh, policy: &CallPolicy) -> Result<u16, CallError<std::io::Error>> {
    call_to(mesh, "api", policy).await
}

async fn call_to(mesh: &ServiceMesh, service: &str, policy: &CallPolicy) -> Result<u16, CallError<std::io::Error>> {
    let policy = policy.clone().classify(|result: &Result<u16, std::io::Error>| match result {
        Ok(_) => Class::Success,
        Err(_) => Class::Transient,
    });
    mesh.call(service, &policy, |instance| async move { Ok(instance.port()) }).await
}
