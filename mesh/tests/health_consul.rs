//! A service's process dies on a real Consul: it leaves our view at once, the registry by its own rule, and comes back
//! when it returns.
#![cfg(feature = "consul")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh::mesh_consul::{Consul, ConsulConfig, ConsulRegistry};
use mesh::mesh_core::health::Status;
use mesh::mesh_core::port::Clock as _;
use mesh::{CallPolicy, HealthCheck, MeshConfig, RetryPolicy, ServiceConfig, ServiceMesh, Strategy, TokioClock};
use mesh_testkit::{Backend, ConsulServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_leaves_our_view_by_its_requests_before_the_agent_has_found_it_out() {
    let server = ConsulServer::start().await;
    // Others prefer those that have not failed lately, and take their time to find out what another failure would tell.
    let (registrar, caller) = (mesh(&server).await, mesh_of(&server, Strategy::RoundRobin).await);
    let mut backends = Vec::new();
    for name in ["a", "b", "c"] {
        let backend = Backend::start(name).await;
        // The agent looks for the first time at any moment of its first day: what is known at once is known from requests.
        registrar.register_service(config(&backend, Duration::from_secs(86_400))).await.expect("registered");
        backends.push(backend);
    }
    until(Duration::from_secs(10), async || caller.get_healthy_services("api").await.is_ok_and(|all| all.len() == 3))
        .await;
    backends[1].kill().await;
    let dead = backends[1].address().port();
    let mut failed = 0;
    until(Duration::from_secs(10), async || {
        failed += u32::from(call(&caller).await.is_err());
        status(&caller, dead).await == Some(Status::Ejected)
    })
    .await;
    assert!(failed <= 6, "{failed} calls failed before it was out, without any retry");
    for _ in 0..100 {
        call(&caller).await.expect("the others live");
    }
    registrar.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stays_critical_leaves_the_registry_and_comes_back_when_it_returns() {
    let server = ConsulServer::start().await;
    let (registrar, caller) = (mesh(&server).await, mesh(&server).await);
    let (lives, mut dies) = (Backend::start("lives").await, Backend::start("dies").await);
    registrar.register_service(config(&lives, Duration::from_secs(1))).await.expect("registered");
    let owner = mesh(&server).await;
    let registered = owner.register_service(config(&dies, Duration::from_secs(1))).await.expect("registered");
    let port = dies.address().port();
    until(Duration::from_secs(10), async || status(&caller, port).await == Some(Status::Healthy)).await;
    // The process and what kept it registered die together.
    dies.kill().await;
    drop((registered, owner));
    let clock = TokioClock::new();
    let died = clock.now();
    until(Duration::from_secs(10), async || status(&caller, port).await == Some(Status::Unhealthy)).await;
    assert_eq!(caller.get_healthy_services("api").await.expect("one lives").len(), 1);
    // Consul's reaper: after the minute, at its next tick of thirty seconds; and the check was passing for a second more.
    until(Duration::from_secs(110), async || status(&caller, port).await.is_none()).await;
    let gone_after = clock.now().since(died);
    assert!(gone_after >= Duration::from_secs(60), "{gone_after:?}");
    dies.revive().await;
    let successor = mesh(&server).await;
    successor.register_service(config(&dies, Duration::from_secs(1))).await.expect("registered");
    until(Duration::from_secs(10), async || status(&caller, port).await == Some(Status::Healthy)).await;
    assert_eq!(caller.get_healthy_services("api").await.expect("both live").len(), 2);
    for mesh in [registrar, successor] {
        mesh.shutdown(Duration::from_secs(5)).await;
    }
}

async fn mesh(server: &ConsulServer) -> ServiceMesh {
    mesh_of(server, MeshConfig::default().service.strategy).await
}

async fn mesh_of(server: &ConsulServer, strategy: Strategy) -> ServiceMesh {
    let mut config = MeshConfig::default();
    config.service.strategy = strategy;
    let consul = Consul::new(ConsulConfig::at(&server.url()).expect("an address")).expect("a client");
    ServiceMesh::builder().config(config).registry(ConsulRegistry::new(consul)).build().await.expect("a mesh")
}

fn config(backend: &Backend, interval: Duration) -> ServiceConfig {
    let check = HealthCheck::http("/health").interval(interval).timeout(Duration::from_millis(500));
    let check = check.rise(NonZeroU32::MIN).fall(NonZeroU32::MIN).deregister_after(Some(Duration::from_secs(60)));
    ServiceConfig::builder("api", "127.0.0.1", backend.address().port()).check(check).build().expect("a config")
}

async fn status(mesh: &ServiceMesh, port: u16) -> Option<Status> {
    let health = mesh.service_health("api").await.ok()?;
    let found = health.instances.iter().find(|thought| thought.instance.port() == port)?;
    Some(found.history.status())
}

/// A request that is not tried again.
async fn call(mesh: &ServiceMesh) -> Result<(), String> {
    let policy = CallPolicy::new(RetryPolicy::never()).expect("a policy");
    let reply = mesh.call("api", &policy, |instance| reqwest::get(format!("http://{}/", instance.authority()))).await;
    reply.map(drop).map_err(|error| error.to_string())
}

async fn until(limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let met = tokio::time::timeout(limit, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(met.await.is_ok(), "not within {limit:?}");
}
