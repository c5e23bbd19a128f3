//! Instances that are given no further requests: by who owns them (weight 0), by their registry (maintenance), and by
//! this process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh::PickError;
use mesh::mesh_core::service::InstanceKey;
use mesh::mesh_core::snapshot::RegistryStatus;

use support::{Lab, api, every, healthy, instance_of, number_of, settle};

#[tokio::test(start_paused = true)]
async fn a_drained_instance_gets_no_new_requests_and_finishes_those_it_has() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let leases = every(&mesh, "api").await;
    mesh.drain("api", &key(1)).await.unwrap();
    for _ in 0..50 {
        assert_eq!(number_of(mesh.get_service_instance("api").await.unwrap().instance()), 2);
        assert_eq!(number_of(&mesh.get_service("api").await.unwrap()), 2);
    }
    let held = leases.iter().find(|lease| number_of(lease.instance()) == 1).unwrap();
    assert_eq!(held.endpoint().in_flight(), 1);
    drop(leases);
    mesh.undrain("api", &key(1)).await.unwrap();
    assert_eq!(healthy(&mesh, "api").await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_holds_as_soon_as_it_returns() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(3).await;
    for number in 1..=3 {
        mesh.drain("api", &key(number)).await.unwrap();
        assert!(!healthy(&mesh, "api").await.contains(&number));
    }
    let all_drained = Some(PickError::NoneHealthy { registered: 3, unhealthy: 0, drained: 3 });
    assert_eq!(mesh.get_service_instance("api").await.unwrap_err().pick(), all_drained);
    assert_eq!(mesh.get_service("api").await.unwrap_err().pick(), all_drained);
    for number in 1..=3 {
        mesh.undrain("api", &key(number)).await.unwrap();
        assert!(healthy(&mesh, "api").await.contains(&number));
    }
}

#[tokio::test(start_paused = true)]
async fn draining_twice_or_what_is_not_there_is_harmless() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    for _ in 0..2 {
        mesh.drain("api", &key(1)).await.unwrap();
        mesh.undrain("api", &key(7)).await.unwrap();
    }
    mesh.undrain("api", &key(1)).await.unwrap();
    assert_eq!(healthy(&mesh, "api").await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_may_come_before_its_instance_and_ends_with_it() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    for number in [1, 3] {
        mesh.drain("api", &key(number)).await.unwrap();
    }
    lab.registry.put(&api(3)).await;
    settle().await;
    assert_eq!(healthy(&mesh, "api").await, [2]);
    for number in [1, 3] {
        lab.registry.lose(&api(number)).await;
    }
    settle().await;
    for number in [1, 3] {
        lab.registry.put(&api(number)).await;
    }
    settle().await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2, 3], "the same names, new instances");
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_weight_0_drains_itself() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2]);
    lab.registry.put(&instance_of("api", 1).weight(0).build().unwrap()).await;
    settle().await;
    assert_eq!(healthy(&mesh, "api").await, [2]);
    lab.registry.put(&api(1)).await;
    settle().await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_its_registry_took_out_of_service_is_drained() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    lab.registry.put_as(&api(1), RegistryStatus::Maintenance).await;
    assert_eq!(healthy(&mesh, "api").await, [2]);
    for _ in 0..20 {
        assert_eq!(number_of(&mesh.get_service("api").await.unwrap()), 2);
    }
    lab.registry.put_as(&api(2), RegistryStatus::Maintenance).await;
    settle().await;
    let all_drained = Some(PickError::NoneHealthy { registered: 2, unhealthy: 0, drained: 2 });
    assert_eq!(mesh.get_service_instance("api").await.unwrap_err().pick(), all_drained);
    assert_eq!(mesh.get_service("api").await.unwrap_err().pick(), all_drained);
}

#[tokio::test(start_paused = true)]
async fn one_process_drains_for_itself_alone() {
    let lab = Lab::new();
    let (mesh, other) = (lab.mesh_with(2).await, lab.mesh().await);
    mesh.drain("api", &key(1)).await.unwrap();
    assert_eq!((healthy(&mesh, "api").await, healthy(&other, "api").await), (vec![2], vec![1, 2]));
}

fn key(number: u16) -> InstanceKey {
    api(number).key().clone()
}
