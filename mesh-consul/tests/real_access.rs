//! Tokens, certificates, sockets and versions at a real agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mesh_consul::mesh_core::port::{BoxFuture, Registry as _, RegistryError, WatchEvent};
use mesh_consul::mesh_core::registration::PartState;
use mesh_consul::{
    Consul, ConsulConfig, ConsulRegistry, Environment, ErrorClass, Lane, QueryOptions, Request, ReqwestTransport,
    Secret, Transport, TransportError,
};
use mesh_testkit::ConsulServer;
use mesh_testkit::consul::Tls;
use world::*;

#[tokio::test]
async fn a_missing_wrong_or_insufficient_token_is_said_to_be_so_and_not_taken_for_an_empty_list() {
    let server = ConsulServer::builder().acl().start().await;
    register(&ConsulRegistry::new(as_token(&server, "root")), &web("a", 1)).await;
    let blind = token(&server, "service_prefix \"\" { policy = \"read\" }").await;
    let deaf = token(&server, "node_prefix \"\" { policy = \"read\" }").await;
    for (what, consul) in [
        ("none", client(&server)),
        ("wrong", as_token(&server, "00000000-0000-0000-0000-000000000000")),
        ("without node:read", as_token(&server, &blind)),
        ("without service:read", as_token(&server, &deaf)),
    ] {
        let mut watch = watch(&consul);
        let event = watch.next().await;
        assert!(matches!(event, WatchEvent::Lost(RegistryError::AccessDenied { .. })), "{what}: {event:?}");
    }
    let enough = "node_prefix \"\" { policy = \"read\" } service_prefix \"\" { policy = \"read\" }";
    let mut watch = watch(&as_token(&server, &token(&server, enough).await));
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
}

#[tokio::test]
async fn a_preflight_names_what_is_missing() {
    let server = ConsulServer::builder().acl().start().await;
    let rules = "service \"web\" { policy = \"read\" }";
    let consul = as_token(&server, &token(&server, rules).await);
    let access = consul.preflight(&["web", "db"], &["web"]).await.expect("a token");
    assert_eq!(access.missing, ["service:read on db", "node:read", "service:write on web"]);
    assert!(access.enforced && access.token.is_some_and(|token| !token.accessor.is_empty()));
    let all = as_token(&server, "root").preflight(&["web"], &["web"]).await.expect("a token");
    assert_eq!(all.missing, [""; 0]);
    let wrong = as_token(&server, "00000000-0000-0000-0000-000000000000").preflight(&["web"], &[]).await;
    assert_eq!(wrong.expect_err("no token").class(), ErrorClass::AclDenied);
    let off = ConsulServer::start().await;
    let access = client(&off).preflight(&["web"], &["web"]).await.expect("no ACLs");
    assert_eq!((access.enforced, access.missing.len()), (false, 0));
}

#[tokio::test]
async fn a_registration_without_the_permission_is_denied_and_says_which() {
    let server = ConsulServer::builder().acl().start().await;
    let registry =
        ConsulRegistry::new(as_token(&server, &token(&server, "service \"web\" { policy = \"read\" }").await));
    let denied = registry.register(&web("a", 1)).await.expect_err("denied");
    let RegistryError::AccessDenied { reason } = &denied else { panic!("{denied:?}") };
    assert!(reason.contains("service:write"), "{reason}");
}

#[tokio::test]
async fn a_token_without_node_read_verifies_at_the_agent_where_it_cannot_in_the_catalogue() {
    let server = ConsulServer::builder().acl().start().await;
    let token = token(&server, "service \"web\" { policy = \"write\" }").await;
    for (verification, in_catalogue) in [(r#""catalog""#, true), (r#""agent""#, false)] {
        let mut config = config(&server.url());
        config.token = Some(Secret::new(&token));
        config.verification = serde_json::from_str(verification).expect("one of them");
        let (transport, asked) = Overheard::of(&config);
        let registry = ConsulRegistry::new(Consul::with(config, transport, Environment::default()).expect("a client"));
        register(&registry, &web("a", 1)).await;
        let seen = async |port| registry.inspect(&web("a", port)).await.map(|standing| standing.service).ok();
        assert_eq!(seen(1).await == Some(PartState::Matches), !in_catalogue, "{verification}");
        if in_catalogue {
            // Hidden from the token, which is no reason to register it again.
            let refused = registry.inspect(&web("a", 1)).await.expect_err("the catalogue cannot be read");
            assert!(matches!(refused, RegistryError::AccessDenied { .. }), "{refused}");
            assert!(refused.to_string().contains("node:read"), "{refused}");
            let unseen = registry.resolve(&"web".parse().expect("a name")).await.expect_err("nor who is there");
            assert!(matches!(unseen, RegistryError::AccessDenied { .. }), "{unseen}");
        }
        if !in_catalogue {
            assert_eq!(seen(2).await, Some(PartState::Differs));
            server.put("/v1/agent/service/deregister/a", "").await.expect("an answer");
            assert_eq!(seen(1).await, Some(PartState::Absent));
        }
        let asked = asked.lock().expect("not poisoned").clone();
        let beyond = asked.iter().any(|path| !path.starts_with("/v1/agent/"));
        assert_eq!(beyond, in_catalogue, "{verification}: {asked:?}");
    }
}

#[tokio::test]
async fn a_token_revoked_under_a_watch_is_replaced_by_what_its_file_holds_by_then() {
    let server = ConsulServer::builder().acl().start().await;
    register(&ConsulRegistry::new(as_token(&server, "root")), &web("a", 1)).await;
    let rules = "node_prefix \"\" { policy = \"read\" } service_prefix \"\" { policy = \"read\" }";
    let (first, accessor) = token_and_accessor(&server, rules).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{first}\n")).expect("written");
    let mut config = config(&server.url());
    config.token_file = Some(file.path().to_owned());
    config.watch.wait = Duration::from_secs(1);
    config.watch.denied_retry = Duration::from_millis(100);
    let mut watch = watch(&Consul::new(config).expect("a client"));
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    let target = format!("/v1/acl/token/{accessor}");
    let deleted =
        mesh_testkit::http::send(server.address(), http::Method::DELETE, &target, &[("x-consul-token", "root")], "");
    assert_eq!(deleted.await.expect("an answer").status, 200);
    loop {
        if let WatchEvent::Lost(error) = watch.next().await {
            assert!(matches!(error, RegistryError::AccessDenied { .. }), "{error:?}");
            break;
        }
    }
    let second = token(&server, rules).await;
    std::fs::write(file.path(), &second).expect("written");
    register(&ConsulRegistry::new(as_token(&server, "root")), &web("b", 2)).await;
    until(&mut watch, |seen| ids(seen) == ["a", "b"]).await;
}

#[tokio::test]
async fn no_secret_is_shown_anywhere() {
    let mut config = ConsulConfig::at("http://127.0.0.1:1").expect("an address");
    config.token = Some(Secret::new("s3cr3t-token"));
    config.basic_auth =
        Some(mesh_consul::BasicAuth { user: "user".to_owned(), password: Secret::new("s3cr3t-password") });
    let consul = Consul::new(config.clone()).expect("a client");
    let error = consul.send(&Request::get("test", &["status", "leader"])).await.expect_err("nobody listens");
    let registry = ConsulRegistry::new(consul.clone());
    let shown = format!("{config:?} {consul:?} {registry:?} {error:?} {error}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert_eq!(error.class(), ErrorClass::Transient);
    config.token = Some(Secret::new("s3cr3t\n"));
    assert!(!format!("{:?}", Consul::new(config).expect_err("no header")).contains("s3cr3t"));
}

#[tokio::test]
async fn tls_takes_the_right_authority_and_name_and_no_other() {
    let server = ConsulServer::builder().tls(Tls::Server).start().await;
    let mut good = config(&server.https_url());
    good.tls.ca_file = Some(server.ca_file());
    assert!(reads(good.clone()).await.is_ok());
    let unknown = config(&server.https_url());
    assert_eq!(reads(unknown).await.expect_err("an unknown authority").class(), ErrorClass::Transient);
    let mut named = good.clone();
    named.tls.server_name = Some("server.dc1.consul".to_owned());
    assert!(reads(named).await.is_ok());
    let mut wrong = good.clone();
    wrong.tls.server_name = Some("other.dc1.consul".to_owned());
    assert!(reads(wrong).await.is_err());
    let mut unverified = config(&server.https_url());
    unverified.tls.verify = false;
    assert!(reads(unverified).await.is_ok());
}

#[tokio::test]
async fn mutual_tls_wants_a_certificate() {
    let server = ConsulServer::builder().tls(Tls::Mutual).start().await;
    let mut bare = config(&server.https_url());
    bare.tls.ca_file = Some(server.ca_file());
    assert!(reads(bare.clone()).await.is_err());
    let (certificate, key) = server.client_files();
    (bare.tls.cert_file, bare.tls.key_file) = (Some(certificate), Some(key));
    assert!(reads(bare.clone()).await.is_ok());
    // A watch and a registration over the same.
    let consul = Consul::new(bare).expect("a client");
    let mut watch = watch(&consul);
    register(&ConsulRegistry::new(consul), &web("a", 1)).await;
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
}

#[tokio::test]
async fn a_unix_socket_is_as_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("consul.sock");
    let server = ConsulServer::builder().unix_socket(&socket).start().await;
    let consul = Consul::new(config(&format!("unix://{}", socket.display()))).expect("a client");
    register(&ConsulRegistry::new(consul.clone()), &web("a", 1)).await;
    let mut watch = watch(&consul);
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    drop(server);
}

#[tokio::test]
async fn what_the_version_cannot_do_is_an_error_and_not_the_wrong_scope() {
    let server = ConsulServer::start().await;
    let consul = client(&server);
    assert_eq!(consul.version().await.expect("read").map(|version| version.number), Some((1, 8)));
    for set in [
        (|options: &mut QueryOptions| options.partition = Some("p".to_owned())) as fn(&mut QueryOptions),
        |options| options.namespace = Some("n".to_owned()),
        |options| options.peer = Some("p".to_owned()),
    ] {
        let mut options = QueryOptions::default();
        set(&mut options);
        let refused = consul.health(&name("web"), &options).await.expect_err("not supported");
        assert_eq!(refused.class(), ErrorClass::Unsupported, "{refused}");
        let mut watch = consul.watch(&name("web"), &options).expect("valid");
        assert!(matches!(watch.next().await, WatchEvent::Lost(RegistryError::Invalid { .. })));
    }
}

/// The transport of production, and which paths went through it.
#[derive(Debug)]
struct Overheard(ReqwestTransport, Arc<Mutex<Vec<String>>>);

impl Overheard {
    fn of(config: &ConsulConfig) -> (Self, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::default();
        (Self(ReqwestTransport::new(config).expect("a transport"), Arc::clone(&asked)), asked)
    }
}

impl Transport for Overheard {
    fn send(
        &self,
        lane: Lane,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        self.1.lock().expect("not poisoned").push(request.uri().path().to_owned());
        self.0.send(lane, request, timeout)
    }
}

async fn reads(config: ConsulConfig) -> Result<(), mesh_consul::ConsulError> {
    let consul = Consul::new(config).expect("a client");
    consul.health(&name("web"), &QueryOptions::default()).await.map(|_| ())
}

fn as_token(server: &ConsulServer, token: &str) -> Consul {
    let mut config = config(&server.url());
    config.token = Some(Secret::new(token));
    Consul::new(config).expect("a client")
}

async fn token(server: &ConsulServer, rules: &str) -> String {
    token_and_accessor(server, rules).await.0
}

/// A new token that `rules` apply to.
async fn token_and_accessor(server: &ConsulServer, rules: &str) -> (String, String) {
    let made: u64 = rules.bytes().fold(7, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let policy = format!("p{made}");
    let body = serde_json::json!({ "Name": policy, "Rules": rules }).to_string();
    server.put("/v1/acl/policy", &body).await.expect("an answer");
    let body = serde_json::json!({ "Policies": [{ "Name": policy }] }).to_string();
    let reply = server.put("/v1/acl/token", &body).await.expect("an answer");
    let token: serde_json::Value = serde_json::from_str(&reply.body).expect("a token");
    let text = |key: &str| token[key].as_str().expect("text").to_owned();
    (text("SecretID"), text("AccessorID"))
}
