//! The service's own health through the TTL check of a real Consul agent.
#![cfg(feature = "consul")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh::mesh_consul::{Consul, ConsulConfig, ConsulRegistry};
use mesh::own_health::{CheckName, OwnCheck, Report};
use mesh::{HealthCheck, ServiceConfig, ServiceMesh};
use mesh_testkit::ConsulServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_shows_what_the_service_says_of_itself_until_it_says_otherwise() {
    let server = ConsulServer::start().await;
    let mesh = mesh(&server).await;
    let db: CheckName = "db".parse().unwrap();
    mesh.health().register_manual(vec![OwnCheck::readiness(db.clone())]).unwrap();
    mesh.health().report(&db, Report::Pass).unwrap();
    let me = mesh.register_service(config(Duration::from_secs(10))).await.unwrap();
    shows(&server, "passing", "").await;
    mesh.health().report(&db, Report::fail("refused")).unwrap();
    // Long before the next heartbeat.
    shows(&server, "critical", "db failed").await;
    mesh.health().report(&db, Report::warn("slow")).unwrap();
    shows(&server, "warning", "db warning").await;
    mesh.health().report(&db, Report::Pass).unwrap();
    shows(&server, "passing", "").await;
    me.deregister().await.unwrap();
    assert!(mesh.shutdown(Duration::from_secs(5)).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_ready_is_never_seen_to_pass_not_even_when_it_is_registered_again() {
    let mut server = ConsulServer::start().await;
    let mesh = mesh(&server).await;
    let db: CheckName = "db".parse().unwrap();
    mesh.health().register_manual(vec![OwnCheck::readiness(db.clone()).valid_for(None)]).unwrap();
    let registering = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.register_service(config(Duration::from_secs(10))).await.map(drop) }
    });
    never_passes(&server).await;
    registering.await.unwrap().unwrap();
    server.kill();
    server.start_empty().await;
    never_passes(&server).await;
    mesh.health().report(&db, Report::Pass).unwrap();
    shows(&server, "passing", "").await;
    assert!(mesh.shutdown(Duration::from_secs(20)).await.is_clean());
}

async fn mesh(server: &ConsulServer) -> ServiceMesh {
    let consul = Consul::new(ConsulConfig::at(&server.url()).unwrap()).unwrap();
    ServiceMesh::builder().registry(ConsulRegistry::new(consul)).build().await.unwrap()
}

fn config(ttl: Duration) -> ServiceConfig {
    ServiceConfig::builder("api", "127.0.0.1", 8080).id("api-1").check(HealthCheck::ttl(ttl)).build().unwrap()
}

/// The status of the check at the agent and what it says, once there is one.
async fn check(server: &ConsulServer) -> Option<(String, String)> {
    let body = server.get("/v1/agent/checks").await.ok()?.body;
    let field = |key: &str| {
        let at = body.find(&format!("\"{key}\":"))? + key.len() + 3;
        body[at..].trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned)
    };
    Some((field("Status")?, field("Output")?))
}

async fn shows(server: &ConsulServer, status: &str, output: &str) {
    let shown = async {
        while check(server).await.is_none_or(|seen| seen != (status.to_owned(), output.to_owned())) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(3), shown).await.is_err() {
        panic!("{status} {output:?} was never shown, but {:?}", check(server).await);
    }
}

/// Looks until the heartbeat was heard; whatever is seen before is critical too.
async fn never_passes(server: &ConsulServer) {
    let heard = async {
        loop {
            if let Some((status, output)) = check(server).await {
                assert_eq!(status, "critical", "{output}");
                if output == "db pending" {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap();
}
