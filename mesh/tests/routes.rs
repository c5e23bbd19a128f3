//! Tag-based routing through the facade: requests find the instances that they ask for, and no others.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh::mesh_core::balance::Tried;
use mesh::mesh_core::route::{RouteId, Routes, Selector};
use mesh::{PickContext, PickError, Route, ServiceError, ServiceMesh};

use support::{Lab, instance_of, number_of, settle};

#[tokio::test(start_paused = true)]
async fn a_route_finds_its_instances_by_tag_metadata_zone_and_version() {
    let lab = Lab::new();
    let mesh = fleet(&lab).await;
    for (selector, wanted) in [
        (any().tag("canary"), vec![2, 4]),
        (any().without_tag("canary"), vec![1, 3]),
        (any().meta("tier", "gold"), vec![3, 4]),
        (any().zone("west"), vec![1, 2]),
        (any().version(">=1.5, <3"), vec![2, 3]),
        (any().tag("canary").and_then(|canary| canary.meta("tier", "gold")), vec![4]),
        (Ok(any()), vec![1, 2, 3, 4]),
    ] {
        let selector = selector.unwrap();
        let route = mesh.route("api", selector.clone()).await.unwrap();
        assert_eq!(reached(&mesh, Route::Registered(route)).await, wanted, "{selector:?}");
        assert_eq!(reached(&mesh, Route::Selector(&selector)).await, wanted, "{selector:?} given with the request");
    }
}

#[tokio::test(start_paused = true)]
async fn equal_selectors_share_a_route_and_different_ones_do_not() {
    let lab = Lab::new();
    let mesh = fleet(&lab).await;
    let one = any().tag("canary").unwrap().tag("blue").unwrap();
    let same = any().tag("blue").unwrap().tag("canary").unwrap();
    let other = any().tag("blue").unwrap();
    let first = mesh.route("api", one).await.unwrap();
    assert_eq!(mesh.route("api", same).await.unwrap(), first);
    assert_ne!(mesh.route("api", other).await.unwrap(), first);
    assert_eq!(mesh.route("api", any()).await.unwrap(), RouteId::ALL);
}

#[tokio::test(start_paused = true)]
async fn a_route_follows_the_instances_that_join_change_and_leave() {
    let lab = Lab::new();
    let mesh = fleet(&lab).await;
    let canary = Route::Registered(mesh.route("api", any().tag("canary").unwrap()).await.unwrap());
    lab.registry.put(&instance_of("api", 5).tag("canary").build().unwrap()).await;
    settle().await;
    assert_eq!(reached(&mesh, canary).await, [2, 4, 5]);
    lab.registry.put(&instance_of("api", 2).build().unwrap()).await;
    lab.registry.lose(&instance_of("api", 4).build().unwrap()).await;
    settle().await;
    assert_eq!(reached(&mesh, canary).await, [5]);
    lab.registry.lose(&instance_of("api", 5).build().unwrap()).await;
    settle().await;
    let error = mesh.pick("api", &PickContext { route: canary, ..PickContext::default() }).await.unwrap_err();
    assert_eq!(error.pick(), Some(PickError::NoneMatching { usable: 3 }));
}

#[tokio::test(start_paused = true)]
async fn a_service_has_a_bounded_number_of_routes() {
    let lab = Lab::new();
    let mesh = fleet(&lab).await;
    for number in 1..Routes::ROUTES_MAX {
        mesh.route("api", any().tag(format!("tag-{number}")).unwrap()).await.unwrap();
    }
    let error = mesh.route("api", any().tag("one-too-many").unwrap()).await.unwrap_err();
    assert!(matches!(error, ServiceError::Routes { .. }), "{error}");
    assert!(error.to_string().starts_with("api: ") && error.to_string().contains("64"), "{error}");
    assert!(!error.is_transient());
    mesh.route("api", any().tag("tag-1").unwrap()).await.expect("those there are stay");
}

#[tokio::test(start_paused = true)]
async fn a_route_can_be_registered_before_there_is_any_instance() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let canary = mesh.route("api", any().tag("canary").unwrap()).await.unwrap();
    let context = PickContext { route: Route::Registered(canary), ..PickContext::default() };
    assert_eq!(mesh.pick("api", &context).await.unwrap_err().pick(), Some(PickError::UnknownService));
    lab.registry.put(&instance_of("api", 1).tag("canary").build().unwrap()).await;
    settle().await;
    assert_eq!(number_of(mesh.pick("api", &context).await.unwrap().instance()), 1);
}

/// Four instances of `api`: two canaries, two of the tier gold, in two zones, of four versions.
async fn fleet(lab: &Lab) -> ServiceMesh {
    for (number, canary, tier, zone, version) in [
        (1, false, "silver", "west", "1.0.0"),
        (2, true, "silver", "west", "1.5.2"),
        (3, false, "gold", "east", "2.9.0"),
        (4, true, "gold", "east", "3.0.0"),
    ] {
        let config = instance_of("api", number).meta("tier", tier).zone(zone).version(version);
        let config = if canary { config.tag("canary").tag("blue") } else { config };
        lab.registry.put(&config.build().unwrap()).await;
    }
    lab.mesh().await
}

/// The instances that requests by `route` reach, in order.
async fn reached(mesh: &ServiceMesh, route: Route<'_>) -> Vec<u16> {
    let mut tried = Tried::new();
    let mut numbers = Vec::new();
    while let Ok(lease) = mesh.pick("api", &PickContext { excluded: &tried, route, ..PickContext::default() }).await {
        tried.insert(lease.endpoint().id());
        numbers.push(number_of(lease.instance()));
    }
    numbers.sort_unstable();
    numbers
}

fn any() -> Selector {
    Selector::any()
}
