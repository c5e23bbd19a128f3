//! A mesh on a real Consul: no call fails while an instance lives, whatever happens to Consul.
#![cfg(feature = "consul")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mesh::mesh_consul::{Consul, ConsulConfig, ConsulRegistry};
use mesh::{CallPolicy, Class, HealthCheck, ServiceConfig, ServiceMesh};
use mesh_testkit::{Backend, ConsulCluster, ConsulServer};
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_registers_another_calls_until_it_is_deregistered() {
    let server = ConsulServer::start().await;
    let (registrar, caller) = (mesh(&server).await, mesh(&server).await);
    let backend = Backend::start("b").await;
    let registration = registrar.register_service(config(&backend)).await.expect("registered");
    call(&caller).await.expect("a reply");
    assert_eq!(caller.get_healthy_services("api").await.expect("known").len(), 1);
    registration.deregister().await.expect("deregistered");
    assert_eq!(server.get("/v1/agent/services").await.expect("an answer").body.trim(), "{}");
    assert!(registrar.shutdown(Duration::from_secs(5)).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_dies_and_forgets_costs_no_call_and_gets_its_registrations_back() {
    let mut server = ConsulServer::start().await;
    let world = World::start(&server).await;
    for _ in 0..3 {
        server.kill();
        world.serve(50).await;
        server.start_empty().await;
        // Long before the next verification, which is fifteen seconds away.
        world.registered(&server, Duration::from_secs(8)).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_freezes_costs_no_call() {
    let server = ConsulServer::start().await;
    let world = World::start(&server).await;
    server.freeze();
    world.serve(300).await;
    server.thaw();
    world.serve(50).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_and_a_quorum_that_is_lost_cost_no_call() {
    let mut cluster = ConsulCluster::start().await;
    let world = World::start(&cluster.client).await;
    let leader = cluster.leader().await;
    cluster.servers[leader].kill();
    world.serve(200).await;
    let other = (leader + 1) % 3;
    cluster.servers[other].kill();
    world.serve(200).await;
    cluster.servers[leader].launch();
    cluster.servers[other].launch();
    cluster.servers[leader].become_ready().await;
    world.serve(50).await;
    world.registered(&cluster.client, Duration::from_secs(30)).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_shutdown_no_watch_is_left() {
    let server = ConsulServer::start().await;
    let mut settings = ConsulConfig::at(&server.url()).expect("an address");
    settings.linger = Duration::from_millis(50);
    let consul = Consul::new(settings).expect("a client");
    let backend = Backend::start("b").await;
    let mesh = ServiceMesh::builder().registry(ConsulRegistry::new(consul.clone())).build().await.expect("a mesh");
    mesh.register_service(config(&backend)).await.expect("registered");
    call(&mesh).await.expect("a reply");
    assert_eq!(consul.watches(), (1, 0));
    mesh.shutdown(Duration::from_secs(5)).await;
    drop(mesh);
    let gone = tokio::time::timeout(Duration::from_secs(10), async {
        while consul.watches() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(gone.await.is_ok(), "{:?}", consul.watches());
}

/// Three backends and somebody who calls them all the time.
struct World {
    registrar: ServiceMesh,
    load: Arc<Load>,
    caller: JoinHandle<()>,
    _backends: Vec<Backend>,
}

struct Load {
    mesh: ServiceMesh,
    stop: AtomicBool,
    calls: AtomicU64,
}

impl World {
    async fn start(server: &ConsulServer) -> Self {
        let registrar = mesh(server).await;
        let mut backends = Vec::new();
        for name in ["a", "b", "c"] {
            let backend = Backend::start(name).await;
            registrar.register_service(config(&backend)).await.expect("registered");
            backends.push(backend);
        }
        let load = Arc::new(Load { mesh: mesh(server).await, stop: AtomicBool::new(false), calls: AtomicU64::new(0) });
        call(&load.mesh).await.expect("a reply");
        let caller = tokio::spawn(Arc::clone(&load).run());
        Self { registrar, load, caller, _backends: backends }
    }

    /// Waits for so many more calls, none of which may fail.
    async fn serve(&self, more: u64) {
        let until = self.load.calls.load(Ordering::Relaxed) + more;
        let served = tokio::time::timeout(Duration::from_secs(60), async {
            while self.load.calls.load(Ordering::Relaxed) < until {
                assert!(!self.caller.is_finished(), "a call failed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(served.await.is_ok(), "calls hang");
    }

    /// Waits until the agent has all three again.
    async fn registered(&self, server: &ConsulServer, within: Duration) {
        let registered = tokio::time::timeout(within, async {
            loop {
                let services = server.get("/v1/agent/services").await.map(|reply| reply.body).unwrap_or_default();
                // A dev agent writes for people, others do not.
                if services.replace(' ', "").matches("\"ID\":\"api-").count() == 3 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(registered.await.is_ok(), "not registered again within {within:?}");
        self.serve(20).await;
    }

    async fn end(self) {
        self.load.stop.store(true, Ordering::Relaxed);
        self.caller.await.expect("no call failed");
        assert!(self.registrar.shutdown(Duration::from_secs(20)).await.is_clean());
    }
}

impl Load {
    async fn run(self: Arc<Self>) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = call(&self.mesh).await {
                panic!("after {} calls: {error}", self.calls.load(Ordering::Relaxed));
            }
            self.calls.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn mesh(server: &ConsulServer) -> ServiceMesh {
    ServiceMesh::builder().registry(ConsulRegistry::new(client(server))).build().await.expect("a mesh")
}

fn client(server: &ConsulServer) -> Consul {
    Consul::new(ConsulConfig::at(&server.url()).expect("an address")).expect("a client")
}

fn config(backend: &Backend) -> ServiceConfig {
    let second = Duration::from_secs(1);
    let check = HealthCheck::http("/health").interval(second).timeout(second);
    ServiceConfig::builder("api", "127.0.0.1", backend.address().port()).check(check).build().expect("valid")
}

async fn call(mesh: &ServiceMesh) -> Result<(), String> {
    let policy = CallPolicy::default().classify(|reply: &std::io::Result<u16>| match reply {
        Ok(status) => mesh::mesh_retry::classify::class_of_status(*status),
        Err(_) => Class::Transient,
    });
    let reply = mesh.call("api", &policy, |instance| async move {
        let address = instance.authority().parse().map_err(std::io::Error::other)?;
        mesh_testkit::http::send(address, http::Method::GET, "/", &[], "").await.map(|reply| reply.status)
    });
    match reply.await {
        Ok(200) => Ok(()),
        Ok(status) => Err(format!("status {status}")),
        Err(error) => Err(error.to_string()),
    }
}
