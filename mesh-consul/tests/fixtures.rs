//! What a real agent of version 1.8.7 answered, request by request, as the client takes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use mesh_consul::mesh_core::port::BoxFuture;
use mesh_consul::mesh_core::service::ServiceName;
use mesh_consul::mesh_core::snapshot::RegistryStatus::{self, Critical, Maintenance, Passing, Unknown, Warning};
use mesh_consul::{
    Answer, Consul, ConsulConfig, ConsulError, Environment, ErrorClass, Lane, Request, Transport, TransportError,
    health,
};
use serde::Deserialize;

/// One captured exchange.
#[derive(Clone, Debug, Deserialize)]
struct Fixture {
    request: Asked,
    status: u16,
    headers: std::collections::BTreeMap<String, String>,
    body: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Asked {
    method: String,
    path: String,
}

/// Answers every request with the fixture.
impl Transport for Fixture {
    fn send(
        &self,
        _: Lane,
        _: http::Request<Bytes>,
        _: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        let mut response = http::Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let response = response.body(Bytes::from(self.body.clone())).expect("a captured answer is one");
        Box::pin(async move { Ok(response) })
    }
}

#[tokio::test]
async fn all_seventy_one_are_successes_or_failures_of_the_right_class() {
    let failures = [
        ("acl_403_bad_token", ErrorClass::AclDenied),
        ("acl_403_register", ErrorClass::AclDenied),
        ("acl_403_self", ErrorClass::AclDenied),
        ("agent_health_name", ErrorClass::Transient),
        ("err_400_check", ErrorClass::BadRequest),
        ("err_400_index", ErrorClass::BadRequest),
        ("err_400_json", ErrorClass::BadRequest),
        ("err_400_meta", ErrorClass::BadRequest),
        ("err_400_no_name", ErrorClass::BadRequest),
        ("err_400_ns", ErrorClass::BadRequest),
        ("err_400_unknown_field", ErrorClass::BadRequest),
        ("err_400_wait", ErrorClass::BadRequest),
        ("err_404_agent_service", ErrorClass::LostRegistration),
        ("err_405", ErrorClass::BadRequest),
        ("err_500_dc", ErrorClass::Transient),
        ("err_500_filter", ErrorClass::BadRequest),
        ("err_500_session_ttl", ErrorClass::BadRequest),
        ("err_500_ttl_unknown", ErrorClass::LostRegistration),
        ("kv_missing", ErrorClass::BadRequest),
        ("noleader_default_500", ErrorClass::NoLeader),
        ("noleader_stale", ErrorClass::NoLeader),
    ];
    let mut seen = 0;
    for entry in std::fs::read_dir(directory()).expect("the fixtures") {
        let name = entry.expect("an entry").file_name().to_string_lossy().replace(".json", "");
        let fixture = load(&name);
        let expected = failures.iter().find(|(failing, _)| *failing == name).map(|(_, class)| *class);
        let answered = replay(&fixture).await;
        assert_eq!(answered.as_ref().err().map(ConsulError::class), expected, "{name}: {answered:?}");
        if let Err(error) = answered {
            let (kept, whole) = (error.body().unwrap_or("none"), fixture.body.trim());
            assert_eq!(error.status(), Some(fixture.status), "{name}");
            assert!(whole.starts_with(kept) && kept.len() >= whole.len().min(4000) && kept.len() <= 4096, "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, 71);
}

#[tokio::test]
async fn the_index_of_an_error_is_not_to_be_had() {
    let fixture = load("noleader_default_500");
    assert_eq!(fixture.headers["X-Consul-Index"], "1");
    // There is no Meta in an error: this is what keeps the hot loop out.
    assert!(replay(&fixture).await.is_err());
    let good = replay(&load("health_service_all")).await.expect("an answer").meta;
    assert_eq!((good.index.map(mesh_consul::Index::get), good.known_leader), (Some(32), true));
    let hit = replay(&load("health_service_cached_hit")).await.expect("an answer").meta;
    assert_eq!(hit.age, Some(Duration::ZERO));
    assert_eq!(replay(&load("health_service_cached_miss")).await.expect("an answer").meta.age, None);
}

#[tokio::test]
async fn every_list_of_instances_reads_as_what_it_says() {
    let all = [("web-1", Passing), ("web-2", Warning), ("web-3", Critical), ("web-4", Critical), ("web-ext", Unknown)];
    for (name, expected) in [
        ("health_service_all", &all[..]),
        ("health_blocking_timeout", &all[..]),
        ("health_service_cached_hit", &all[..]),
        ("health_service_cached_miss", &all[..]),
        ("health_service_consistent", &all[..]),
        ("health_service_near", &all[..]),
        ("health_service_stale", &all[..]),
        ("health_service_absent", &[]),
        ("acl_empty_anonymous", &[]),
        ("health_service_tag", &[("web-1", Passing)]),
        ("health_service_filter", &[("web-1", Passing)]),
    ] {
        assert_eq!(listed(name).await, expected, "{name}");
    }
    // Port 0 cannot be called, so the one instance is left out, and said to be.
    let answer = replay(&load("health_service_maint")).await.expect("an answer");
    let listing = health::decode(&web(), &answer.body, health::Vantage::Local).expect("a list");
    assert_eq!((listing.snapshot.len(), listing.unusable), (0, 1));
    let repaired = String::from_utf8_lossy(&answer.body).replace("\"Port\": 0", "\"Port\": 80");
    let listing = health::decode(&web(), repaired.as_bytes(), health::Vantage::Local).expect("a list");
    assert_eq!(listing.snapshot.entries()[0].status(), Maintenance);
}

#[tokio::test]
async fn a_prepared_query_lists_instances_too() {
    let answer = replay(&load("query_execute")).await.expect("an answer");
    let listing = health::decode_query(&web(), &answer.body).expect("a list");
    let ids: Vec<&str> = listing.snapshot.iter().map(|entry| entry.instance().id().as_str()).collect();
    assert!(ids.contains(&"web-1") && ids.contains(&"web-ext"), "{ids:?}");
}

#[tokio::test]
async fn an_instance_without_an_address_has_its_nodes_and_from_afar_its_wan_address() {
    let answer = replay(&load("health_service_all")).await.expect("an answer");
    let at = |vantage, id: &str| {
        let listing = health::decode(&web(), &answer.body, vantage).expect("a list");
        let found = listing.snapshot.iter().find(|entry| entry.instance().id().as_str() == id).cloned();
        found.map(|entry| entry.instance().authority())
    };
    assert_eq!(at(health::Vantage::Local, "web-ext").as_deref(), Some("127.0.0.9:80"));
    assert_eq!(at(health::Vantage::Local, "web-1").as_deref(), Some("127.0.0.1:8080"));
    assert_eq!(at(health::Vantage::Foreign, "web-1").as_deref(), Some("198.18.0.1:80"));
}

async fn listed(name: &str) -> Vec<(&'static str, RegistryStatus)> {
    let answer = replay(&load(name)).await.expect("an answer");
    let listing = health::decode(&web(), &answer.body, health::Vantage::Local).expect("a list");
    assert_eq!(listing.unusable, 0, "{name}: {:?}", listing.reason);
    let known = ["web-1", "web-2", "web-3", "web-4", "web-ext"];
    let id = |text: &str| known.into_iter().find(|known| *known == text).unwrap_or("?");
    listing
        .snapshot
        .iter()
        .map(|entry| (id(entry.instance().id().as_str()), entry.status()))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

async fn replay(fixture: &Fixture) -> Result<Answer, ConsulError> {
    let consul = Consul::with(ConsulConfig::default(), fixture.clone(), Environment::default()).expect("a client");
    let mut request = Request::get("replay", &[]);
    request.method = fixture.request.method.parse().expect("a method");
    request.target = fixture.request.path.clone();
    consul.send(&request).await
}

fn load(name: &str) -> Fixture {
    let text = std::fs::read_to_string(Path::new(&directory()).join(format!("{name}.json"))).expect("a fixture");
    serde_json::from_str(&text).expect("as it was captured")
}

fn directory() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/consul-1.8.7").to_owned()
}

fn web() -> ServiceName {
    "web".parse().expect("a name")
}
