//! Registrations that follow each other under one id, and what may not happen between them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;

use mesh::{DeregisterError, HealthCheck, ServiceError};
use support::dial::Line;
use support::registry::{Answer, unavailable};
use support::{Lab, api, healthy, instance_of, pass, port, secs, settle};

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_a_departure_goes_on_when_that_is_not_confirmed() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(api(1)).await.unwrap();
    lab.registry.everything_is(&Answer::No(unavailable()));
    let leaving = tokio::spawn(async move { me.deregister().await });
    settle().await;
    let next = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.register_service(api(1)).await }
    });
    let unconfirmed = leaving.await.unwrap().unwrap_err();
    assert!(matches!(unconfirmed, DeregisterError::Unconfirmed { .. }), "{unconfirmed}");
    lab.registry.everything_is(&Answer::Truly);
    pass(secs(30)).await;
    assert!(next.is_finished(), "it waits for ever");
    next.await.unwrap().unwrap();
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
}

#[tokio::test(start_paused = true)]
async fn the_handle_of_a_registration_that_was_followed_takes_nothing_from_its_successor() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let old = mesh.register_service(api(1)).await.unwrap();
    lab.registry.everything_is(&Answer::No(unavailable()));
    old.deregister().await.unwrap_err();
    lab.registry.everything_is(&Answer::Truly);
    let new = mesh.register_service(api(1)).await.unwrap();
    let before = lab.registry.journal();
    old.deregister().await.unwrap_err();
    pass(secs(1)).await;
    assert_eq!(lab.registry.journal(), before, "the old one does nothing any more");
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
    assert!(new.is_kept() && !old.is_kept());
}

#[tokio::test(start_paused = true)]
async fn what_this_mesh_keeps_registered_is_not_deregistered_for_being_sick() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    for number in 1..=3 {
        let check = HealthCheck::http("/health").interval(secs(1)).rise(NonZeroU32::MIN).fall(NonZeroU32::MIN);
        mesh.register_service(instance_of("api", number).check(check).build().unwrap()).await.unwrap();
    }
    lab.dial.set(port(2), Line::Refused);
    healthy(&mesh, "api").await;
    pass(secs(600)).await;
    assert!(
        lab.registry.journal().iter().all(|entry| !entry.starts_with("deregister")),
        "{:?}",
        lab.registry.journal()
    );
    assert_eq!(healthy(&mesh, "api").await, [1, 3], "and it stays out of the view all the while");
}

#[tokio::test(start_paused = true)]
async fn names_that_nobody_has_do_not_keep_real_services_out() {
    let lab = Lab::new();
    lab.registry.put(&api(1)).await;
    let mut config = mesh::MeshConfig::default();
    config.services_max = NonZeroU32::new(3).unwrap();
    let mesh = lab.builder().config(config).build().await.unwrap();
    for made_up in 0..20 {
        let error = mesh.get_service_instance(&format!("nobody-{made_up}")).await.unwrap_err();
        assert!(matches!(error, ServiceError::Pick { .. }), "{error}");
    }
    assert_eq!(healthy(&mesh, "api").await, [1]);
    settle().await;
    assert!(lab.registry.watches() <= 3, "those let go of are not followed any more");
}
