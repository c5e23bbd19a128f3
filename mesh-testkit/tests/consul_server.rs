//! Agents start, fail and end as they are told, and leave nothing behind.

mod common;

use common::{ends, orphan, runs};
use mesh_testkit::consul::Tls;
use mesh_testkit::{ConsulCluster, ConsulServer};

#[tokio::test]
async fn a_dev_agent_is_ready_when_it_is_returned_and_gone_when_it_is_dropped() {
    let server = ConsulServer::start().await;
    assert!(server.is_ready().await);
    let pid = server.pid().expect("it runs");
    assert!(runs(pid));
    drop(server);
    assert!(!runs(pid));
}

#[tokio::test]
async fn two_agents_do_not_share_an_address() {
    let (one, other) = tokio::join!(ConsulServer::start(), ConsulServer::start());
    assert_ne!(one.ip(), other.ip());
    assert!(one.is_ready().await && other.is_ready().await);
}

#[tokio::test]
async fn a_killed_agent_refuses_and_comes_back_empty_unless_it_is_persistent() {
    for persistent in [false, true] {
        let builder = ConsulServer::builder();
        let mut server = if persistent { builder.persistent() } else { builder }.start().await;
        let body = r#"{"Name":"web","Port":80}"#;
        assert_eq!(server.put("/v1/agent/service/register", body).await.expect("an answer").status, 200);
        server.kill();
        assert!(server.get("/v1/agent/self").await.is_err());
        server.start_again().await;
        let services = server.get("/v1/agent/services").await.expect("an answer").body;
        assert_eq!(services.contains("web"), persistent, "{services}");
        server.start_empty().await;
        assert!(!server.get("/v1/agent/services").await.expect("an answer").body.contains("web"));
    }
}

#[tokio::test]
async fn a_frozen_agent_answers_when_it_is_thawed() {
    let server = ConsulServer::start().await;
    server.freeze();
    let asked = tokio::time::timeout(std::time::Duration::from_millis(200), server.get("/v1/agent/self"));
    assert!(asked.await.is_err());
    server.thaw();
    assert_eq!(server.get("/v1/agent/self").await.expect("an answer").status, 200);
}

#[tokio::test]
async fn with_acls_only_the_token_may() {
    let server = ConsulServer::builder().acl().start().await;
    assert_eq!(server.get("/v1/agent/self").await.expect("an answer").status, 200);
    let anonymous = mesh_testkit::http::send(server.address(), http::Method::GET, "/v1/agent/self", &[], "").await;
    assert_eq!(anonymous.expect("an answer").status, 403);
}

#[tokio::test]
async fn with_tls_there_are_certificates_and_a_port() {
    let server = ConsulServer::builder().tls(Tls::Mutual).start().await;
    let (certificate, key) = server.client_files();
    assert!(server.ca_file().exists() && certificate.exists() && key.exists());
    let https = (server.ip(), 8501);
    assert!(tokio::net::TcpStream::connect(https).await.is_ok());
}

#[tokio::test]
async fn a_cluster_elects_another_leader_when_the_first_is_killed() {
    let mut cluster = ConsulCluster::start().await;
    let first = cluster.leader().await;
    cluster.servers[first].kill();
    assert_ne!(cluster.leader().await, first);
    assert!(cluster.client.get("/v1/catalog/nodes?stale").await.is_ok());
}

#[tokio::test]
async fn nothing_is_left_when_the_test_itself_is_killed() {
    ends(orphan("consul")).await;
}
