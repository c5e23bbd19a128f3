//! Servers start, fail and end as they are told, and leave nothing behind.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{ends, orphan, runs};
use mesh_testkit::RedisServer;
use mesh_testkit::redis::{Connection, Reply};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_server_is_ready_when_it_is_returned_and_gone_when_it_is_dropped() {
    let server = RedisServer::start().await;
    assert_eq!(server.url(), format!("redis://{}:6379", server.ip()));
    assert_eq!(text(&server, &["PING"]).await, "PONG");
    let pid = server.pid().expect("it runs");
    assert!(runs(pid));
    drop(server);
    assert!(!runs(pid));
}

#[tokio::test]
async fn two_servers_do_not_share_an_address_or_data() {
    let (one, other) = tokio::join!(RedisServer::start(), RedisServer::start());
    assert_ne!(one.ip(), other.ip());
    assert_eq!(text(&one, &["SET", "key", "value"]).await, "OK");
    assert_eq!(other.command(&["GET", "key"]).await.expect("an answer"), Reply::Bulk(None));
}

#[tokio::test]
async fn a_server_can_be_started_on_another_thread() {
    let server = tokio::spawn(RedisServer::start()).await.expect("no panic");
    let asked = tokio::spawn(async move { server.command(&["PING"]).await.map(|reply| reply.text() == Some("PONG")) });
    assert!(asked.await.expect("no panic").expect("an answer"));
}

#[tokio::test]
async fn a_killed_server_refuses_and_comes_back_empty_unless_it_is_append_only() {
    for kept in [false, true] {
        let builder = RedisServer::builder();
        let mut server = if kept { builder.append_only() } else { builder }.start().await;
        let (address, first) = (server.address(), server.pid());
        assert_eq!(text(&server, &["SET", "key", "value"]).await, "OK");
        server.kill();
        assert_eq!(server.pid(), None);
        assert!(server.command(&["PING"]).await.is_err());
        server.start_again().await;
        assert_eq!(server.address(), address);
        assert_ne!(server.pid(), first);
        let value = server.command(&["GET", "key"]).await.expect("an answer");
        assert_eq!(value.text(), kept.then_some("value"));
        server.start_empty().await;
        assert_eq!(server.command(&["GET", "key"]).await.expect("an answer"), Reply::Bulk(None));
    }
}

#[tokio::test]
async fn a_stopped_server_says_goodbye_in_its_log_and_starts_again() {
    let mut server = RedisServer::start().await;
    server.stop().await;
    assert_eq!(server.pid(), None);
    assert!(server.log_tail(3).contains("bye bye"), "{}", server.log_tail(3));
    server.launch();
    server.become_ready().await;
}

#[tokio::test]
async fn a_frozen_server_answers_when_it_is_thawed() {
    let server = RedisServer::start().await;
    server.freeze();
    let asked = tokio::time::timeout(Duration::from_millis(200), server.command(&["PING"]));
    assert!(asked.await.is_err());
    server.thaw();
    assert_eq!(text(&server, &["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_sleeping_server_answers_when_it_has_slept() {
    let server = RedisServer::start().await;
    server.debug_sleep(Duration::from_millis(400)).await.expect("it sleeps");
    let asked = tokio::time::timeout(Duration::from_millis(100), server.command(&["PING"]));
    assert!(asked.await.is_err());
    assert_eq!(text(&server, &["PING"]).await, "PONG");
}

#[tokio::test]
async fn the_connections_of_clients_can_be_closed() {
    let server = RedisServer::start().await;
    let mut client = server.connect().await.expect("a connection");
    assert_eq!(client.command(&["PING"]).await.expect("an answer").text(), Some("PONG"));
    assert_eq!(server.kill_clients().await.expect("an answer"), 1);
    assert!(client.command(&["PING"]).await.is_err());
}

#[tokio::test]
async fn with_a_password_only_who_knows_it_may() {
    let password = r#"a "quoted\ word"#;
    let server = RedisServer::builder().password(password).start().await;
    let mut anonymous = server.connect_unknown().await.expect("a connection");
    assert!(refusal(&mut anonymous, &["PING"]).await.starts_with("NOAUTH"));
    assert!(refusal(&mut anonymous, &["AUTH", "wrong"]).await.starts_with("WRONGPASS"));
    assert_eq!(anonymous.command(&["AUTH", password]).await.expect("an answer").text(), Some("OK"));
    assert_eq!(text(&server, &["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_user_of_the_acl_may_do_what_its_rule_says_and_no_more() {
    let rules = ["user mesh on >pw ~mesh:v1:* -@all +get", "user default off"];
    let server = RedisServer::builder().acl(&rules).start().await;
    assert_eq!(text(&server, &["SET", "mesh:v1:key", "value"]).await, "OK");
    let mut mesh = server.connect_unknown().await.expect("a connection");
    assert!(refusal(&mut mesh, &["GET", "mesh:v1:key"]).await.starts_with("NOAUTH"));
    assert_eq!(mesh.command(&["AUTH", "mesh", "pw"]).await.expect("an answer").text(), Some("OK"));
    assert_eq!(mesh.command(&["GET", "mesh:v1:key"]).await.expect("an answer").text(), Some("value"));
    assert!(refusal(&mut mesh, &["GET", "other"]).await.starts_with("NOPERM"));
    assert!(refusal(&mut mesh, &["SET", "mesh:v1:key", "mine"]).await.starts_with("NOPERM"));
}

#[tokio::test]
async fn with_acls_the_password_is_still_wanted_of_who_names_no_user() {
    let server = RedisServer::builder().password("pw").acl(&["user mesh on >other +@all"]).start().await;
    let mut client = server.connect_unknown().await.expect("a connection");
    assert!(refusal(&mut client, &["PING"]).await.starts_with("NOAUTH"));
    assert_eq!(client.command(&["AUTH", "pw"]).await.expect("an answer").text(), Some("OK"));
}

#[tokio::test]
async fn a_unix_socket_is_served_beside_tcp_also_after_a_crash() {
    let mut server = RedisServer::builder().unix_socket().start().await;
    server.kill();
    server.start_again().await;
    let stream = tokio::net::UnixStream::connect(server.socket_path()).await.expect("a connection");
    assert_eq!(Connection::over(stream).command(&["SET", "key", "value"]).await.expect("an answer").text(), Some("OK"));
    let mut over_tcp = server.connect_unknown().await.expect("a connection");
    assert_eq!(over_tcp.command(&["GET", "key"]).await.expect("an answer").text(), Some("value"));
}

#[tokio::test]
async fn a_full_server_refuses_to_write_and_still_reads() {
    let server = RedisServer::builder().max_memory(1, "noeviction").start().await;
    let mut client = server.connect().await.expect("a connection");
    assert!(refusal(&mut client, &["SET", "key", "value"]).await.starts_with("OOM"));
    assert_eq!(text(&server, &["CONFIG", "SET", "maxmemory", "0"]).await, "OK");
    assert_eq!(text(&server, &["SET", "key", "value"]).await, "OK");
}

#[tokio::test]
async fn over_tls_the_server_proves_who_it_is() {
    let server = RedisServer::builder().tls().start().await;
    assert_eq!(server.tls_url(), format!("rediss://{}:6380", server.ip()));
    let mut client = over_tls(&server, roots(&server), false).await.expect("a handshake");
    assert_eq!(client.command(&["PING"]).await.expect("an answer").text(), Some("PONG"));
    let other = RedisServer::builder().tls().start().await;
    let strange = over_tls(&server, roots(&other), false).await.expect_err("another authority");
    assert!(strange.to_string().contains("UnknownIssuer"), "{strange}");
}

#[tokio::test]
async fn with_mutual_tls_the_client_proves_it_too() {
    let server = RedisServer::builder().mutual_tls().start().await;
    let mut client = over_tls(&server, roots(&server), true).await.expect("a handshake");
    assert_eq!(client.command(&["PING"]).await.expect("an answer").text(), Some("PONG"));
    // TLS 1.3 tells a client that it was refused only after the handshake.
    let refused = match over_tls(&server, roots(&server), false).await {
        Ok(mut client) => client.command(&["PING"]).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
}

#[tokio::test]
#[should_panic(expected = "it ended; its log ends")]
async fn a_setting_that_no_server_knows_shows_the_log() {
    RedisServer::builder().setting("no-such-setting", "1").start().await;
}

#[tokio::test]
async fn nothing_is_left_when_the_test_itself_is_killed() {
    ends(orphan("redis")).await;
}

async fn text(server: &RedisServer, words: &[&str]) -> String {
    let reply = server.command(words).await.expect("an answer");
    reply.text().unwrap_or_else(|| panic!("no text: {reply:?}")).to_owned()
}

async fn refusal(client: &mut Connection, words: &[&str]) -> String {
    let reply = client.command(words).await.expect("an answer");
    reply.error().unwrap_or_else(|| panic!("no refusal: {reply:?}")).to_owned()
}

fn roots(server: &RedisServer) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.ca_file()).expect("a certificate")).expect("an authority");
    roots
}

async fn over_tls(server: &RedisServer, roots: RootCertStore, known: bool) -> std::io::Result<Connection> {
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = if known {
        let (certificate, key) = server.client_files();
        let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).expect("a key")).expect("a pair")
    } else {
        builder.with_no_client_auth()
    };
    let stream = TcpStream::connect(server.tls_address()).await?;
    let name = ServerName::from(std::net::IpAddr::from(server.ip()));
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Connection::over(stream))
}
