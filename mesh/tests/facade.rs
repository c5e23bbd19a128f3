//! Every call of the facade on the embedded default, with real backends where it is about HTTP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;

use mesh::mesh_core::balance::policy::P2cConfig;
use mesh::mesh_core::machine::ServiceMachineConfig;
use mesh::registry::StaticRegistry;
use mesh::{
    CallPolicy, DeregisterError, MeshConfig, Outcome, PickError, RegisterError, Route, ServiceError, ServiceMesh,
    Source, Strategy,
};
use mesh_core::balance::PickContext;
use mesh_core::discovery::Freshness;
use mesh_core::route::Selector;

use support::backend::Backend;
use support::{Lab, api, eventually, every, healthy, id, in_flight, instance_of, number_of, secs};

#[tokio::test]
async fn a_process_registers_finds_calls_and_leaves_with_the_embedded_default() {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    let backend = Backend::start().await;
    let me = mesh.register_service(backend.config("api")).await.unwrap();
    assert!(me.is_kept() && mesh.is_ready());
    assert_eq!(me.id().as_str(), format!("api-127.0.0.1-{}", backend.port()));

    let client = reqwest::Client::new();
    let policy = CallPolicy::default();
    let reply = mesh.call("api", &policy, |instance| {
        let request = client.get(format!("http://{}/hello", instance.authority()));
        async move { request.send().await?.text().await }
    });
    assert_eq!(reply.await.unwrap(), "hello");
    assert_eq!(backend.served(), 1);

    me.deregister().await.unwrap();
    assert!(!me.is_kept());
    let error = mesh.get_service("api").await.unwrap_err();
    assert_eq!(error.to_string(), "api: no instance is registered");
    assert!(mesh.shutdown(secs(1)).await.is_clean());
}

#[tokio::test]
async fn every_way_to_ask_gives_the_registered_instance() {
    let mesh = embedded(&[1]).await;
    let config = api(1);
    assert_eq!(*mesh.get_service("api").await.unwrap(), **config.instance());
    assert_eq!(mesh.get_healthy_services("api").await.unwrap(), [Arc::clone(config.instance())]);
    let lease = mesh.get_service_instance("api").await.unwrap();
    assert_eq!((lease.instance(), lease.endpoint().in_flight()), (config.instance(), 1));
    let cached = mesh.get_service_with_cache("api").await.unwrap();
    assert_eq!((cached.name.as_str(), cached.instances.len()), ("api", 1));
    assert_eq!((cached.freshness, cached.source), (Freshness::Live, Source::Watch));
    mesh.release_service_instance(lease, Outcome::Success);
    assert_eq!(in_flight(&mesh, "api").await, 0);
}

#[tokio::test]
async fn healthy_services_come_in_the_order_of_their_keys() {
    let mesh = embedded(&[3, 1, 2]).await;
    let instances = mesh.get_healthy_services("api").await.unwrap();
    assert_eq!(instances.iter().map(|instance| number_of(instance)).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn get_service_gives_every_healthy_instance_its_turn_and_counts_nothing() {
    let mesh = embedded(&[1, 2, 3]).await;
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        seen.insert(number_of(&mesh.get_service("api").await.unwrap()));
    }
    assert_eq!(seen, BTreeSet::from([1, 2, 3]));
    assert_eq!(in_flight(&mesh, "api").await, 0);
}

#[tokio::test]
async fn an_instance_may_be_deregistered_by_its_id() {
    let mesh = embedded(&[1, 2]).await;
    mesh.deregister_service(&id("api", 1)).await.unwrap();
    eventually("the view follows", async || healthy(&mesh, "api").await == [2]).await;
    let again = mesh.deregister_service(&id("api", 1)).await.unwrap_err();
    assert!(matches!(again, DeregisterError::NotRegistered { .. }));
    assert_eq!(again.to_string(), "api-1: not registered by this mesh");
}

#[tokio::test]
async fn clones_are_one_mesh() {
    let mesh = embedded(&[1]).await;
    let other = mesh.clone();
    let lease = mesh.get_service_instance("api").await.unwrap();
    assert_eq!(in_flight(&other, "api").await, 1);
    drop(lease);
    let twice = other.register_service(api(1)).await.unwrap_err();
    assert!(matches!(twice, RegisterError::AlreadyRegistered { .. }));
    other.shutdown(secs(1)).await;
    assert!(!mesh.is_ready());
}

#[tokio::test]
async fn two_services_share_nothing() {
    let mesh = embedded(&[1, 2]).await;
    mesh.register_service(instance_of("web", 7).build().unwrap()).await.unwrap();
    let held = [mesh.get_service_instance("api").await.unwrap(), mesh.get_service_instance("api").await.unwrap()];
    assert_eq!((in_flight(&mesh, "api").await, in_flight(&mesh, "web").await), (2, 0));
    assert_eq!((healthy(&mesh, "api").await, healthy(&mesh, "web").await), (vec![1, 2], vec![7]));
    mesh.drain("web", instance_of("web", 7).build().unwrap().key()).await.unwrap();
    assert_eq!((healthy(&mesh, "api").await, healthy(&mesh, "web").await), (vec![1, 2], vec![]));
    let canary = mesh.route("web", Selector::any().tag("canary").unwrap()).await.unwrap();
    let elsewhere = PickContext { route: Route::Registered(canary), ..PickContext::default() };
    let error = mesh.pick("api", &elsewhere).await.unwrap_err();
    assert_eq!(error.pick(), Some(PickError::UnknownRoute(canary)), "a route belongs to its service");
    drop(held);
}

#[tokio::test]
async fn one_id_in_two_services_is_refused_by_one_mesh() {
    let mesh = embedded(&[1]).await;
    let namesake = instance_of("web", 1).id(id("api", 1)).build().unwrap();
    let error = mesh.register_service(namesake).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "web api-1: registered already; deregister it first, or update its registration",
        "Consul's agent has one namespace for the ids of all services"
    );
}

#[tokio::test]
async fn the_strategy_of_the_mesh_holds_for_every_service() {
    let lab = Lab::new();
    let mesh = lab.builder().strategy(Strategy::RoundRobin).build().await.unwrap();
    for number in 1..=3 {
        lab.registry.put(&api(number)).await;
    }
    assert_eq!(picks(&mesh, "api", 9).await, [3, 3, 3], "in turn, whatever is in flight");
    let busiest = every(&mesh, "api").await;
    assert_eq!(picks(&mesh, "api", 9).await, [3, 3, 3]);
    drop(busiest);
}

#[tokio::test]
async fn a_service_may_have_a_configuration_of_its_own() {
    let lab = Lab::new();
    let mut own = ServiceMachineConfig::default();
    own.strategy = Strategy::RoundRobin;
    own.wake_after = NonZeroU32::new(2).unwrap();
    let mesh = lab.builder().service("web".parse().unwrap(), own).build().await.unwrap();
    for number in 1..=2 {
        lab.registry.put(&api(number)).await;
        lab.registry.put(&instance_of("web", number).build().unwrap()).await;
    }
    let mut leases = Vec::new();
    for service in ["api", "web"] {
        // All that is in flight is on one instance, which only a strategy that looks at load avoids.
        let busy = mesh.get_service_instance(service).await.unwrap();
        let avoided = number_of(busy.instance());
        leases.push(busy);
        let picked = picks(&mesh, service, 10).await;
        let busy_share = picked[usize::from(avoided) - 1];
        assert_eq!(busy_share, if service == "api" { 0 } else { 5 }, "{service}: {picked:?}");
    }
}

#[tokio::test]
async fn a_configuration_read_from_text_is_the_one_in_force() {
    let text = r#"
        discovery_timeout = "120ms"
        services_max = 1
        [service]
        strategy = { p2c-least-loaded = { choices = 3 } }
        [registration]
        verify_interval = "5s"
        verify_jitter = "0s"
    "#;
    let config: MeshConfig = toml::from_str(text).unwrap();
    let mut choices = P2cConfig::default();
    choices.choices = 3;
    assert_eq!(config.service.strategy, Strategy::P2cLeastLoaded(choices));
    let mesh = ServiceMesh::builder().config(config).build().await.unwrap();
    mesh.register_service(mesh::ServiceConfig::builder("api", "127.0.0.1", 1).build().unwrap()).await.unwrap();
    mesh.get_service("api").await.unwrap();
    let error = mesh.get_service("web").await.unwrap_err();
    assert!(matches!(error, ServiceError::TooManyServices { services_max: 1, .. }), "{error}");
    let unknown = toml::from_str::<MeshConfig>("discovery_time = \"1s\"").unwrap_err();
    assert!(unknown.to_string().contains("unknown field `discovery_time`"), "{unknown}");
}

#[tokio::test]
async fn a_mesh_is_not_built_with_numbers_that_break_their_rules() {
    let mut config = MeshConfig::default();
    config.registration.verify_interval = secs(0);
    let error = ServiceMesh::builder().config(config).build().await.unwrap_err();
    assert!(error.to_string().starts_with("verify_interval: 0ns is not allowed: must be 1ms to 24h"), "{error}");
}

#[tokio::test]
async fn a_list_in_a_file_is_balanced_over_and_followed_when_it_changes() {
    let (first, second) = (Backend::start().await, Backend::start().await);
    let list = |backends: &[&Backend]| {
        let entry = |backend: &&Backend| {
            format!("[[instance]]\nservice = \"api\"\nhost = \"127.0.0.1\"\nport = {}\n", backend.port())
        };
        backends.iter().map(entry).collect::<String>()
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(list(&[&first]).as_bytes()).unwrap();
    let registry = StaticRegistry::open(file.path()).unwrap();
    let mesh = ServiceMesh::builder().registry(registry.clone()).build().await.unwrap();

    let (client, policy) = (reqwest::Client::new(), CallPolicy::default());
    let call = async || {
        let reply = mesh.call("api", &policy, |instance| {
            let request = client.get(format!("http://{}/", instance.authority()));
            async move { request.send().await }
        });
        reply.await.unwrap();
    };
    call().await;
    assert_eq!((first.served(), second.served()), (1, 0));

    std::fs::write(file.path(), list(&[&second])).unwrap();
    registry.reload().unwrap();
    let only = second.port();
    eventually("the new list is followed", async || {
        mesh.get_healthy_services("api").await.is_ok_and(|all| all.len() == 1 && all[0].port() == only)
    })
    .await;
    call().await;
    assert_eq!((first.served(), second.served()), (1, 1));

    let error = mesh.register_service(api(1)).await.unwrap_err();
    assert!(error.to_string().contains("this registry does not support registration"), "{error}");
    assert!(mesh.get_service("web").await.unwrap_err().to_string().contains("does not know the service"));
    assert!(mesh.shutdown(secs(1)).await.is_clean());
}

/// A mesh with everything left out, in which these instances of `api` are registered.
async fn embedded(numbers: &[u16]) -> ServiceMesh {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    for number in numbers {
        mesh.register_service(api(*number)).await.unwrap();
    }
    // The first question begins to follow the service, so that nothing is behind what was just registered.
    eventually("discovery has them all", async || healthy(&mesh, "api").await.len() == numbers.len()).await;
    mesh
}

/// How often each of three instances was picked in `times` picks that end at once.
async fn picks(mesh: &ServiceMesh, service: &str, times: usize) -> [usize; 3] {
    let mut counts = [0; 3];
    for _ in 0..times {
        let lease = mesh.get_service_instance(service).await.unwrap();
        counts[usize::from(number_of(lease.instance())) - 1] += 1;
    }
    counts
}
