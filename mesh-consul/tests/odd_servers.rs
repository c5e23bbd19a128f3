//! What a real agent will not do on demand: odd headers, half answers, refusals, answers of other versions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod world;

use std::io::Write as _;
use std::time::Duration;

use mesh_consul::mesh_core::port::{Registry as _, RegistryError, WatchEvent};
use mesh_consul::watch::ServiceWatch;
use mesh_consul::{Consul, ConsulRegistry, ErrorClass, QueryOptions};
use wiremock::matchers::{header_regex, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};
use world::*;

#[tokio::test]
async fn an_odd_index_is_not_blocked_on_or_spun_on() {
    for index in [None, Some("0"), Some("garbage"), Some("18446744073709551615"), Some("-5")] {
        let server = MockServer::start().await;
        let answer = list(&["a"]);
        let answer = index.map_or(answer.clone(), |index| answer.insert_header("X-Consul-Index", index));
        Mock::given(path(HEALTH)).respond_with(answer).mount(&server).await;
        let mut watch = follow(&server);
        until(&mut watch, |seen| ids(seen) == ["a"]).await;
        tokio::time::timeout(Duration::from_millis(700), until(&mut watch, |_| false)).await.expect_err("no change");
        let asked = requests(&server).await;
        assert!(asked < 12, "{index:?}: {asked} requests in 0.7 s");
    }
}

#[tokio::test]
async fn an_index_that_goes_back_is_followed_by_a_read() {
    let server = MockServer::start().await;
    Mock::given(path(HEALTH))
        .and(query_param_is_missing("index"))
        .respond_with(indexed(list(&["a"]), 50))
        .mount(&server)
        .await;
    let back = indexed(list(&["a"]), 7);
    Mock::given(path(HEALTH)).and(query_param("index", "50")).respond_with(back).mount(&server).await;
    let mut watch = follow(&server);
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    eventually("read again", || async { reads(&server).await >= 2 }).await;
    let stuck = all(&server).await.iter().any(|asked| asked.contains("index=7&"));
    assert!(!stuck, "the lower index is read anew, never blocked on at once");
}

#[tokio::test]
async fn the_index_of_an_error_is_not_believed() {
    let server = MockServer::start().await;
    let error = ResponseTemplate::new(500).insert_header("X-Consul-Index", "1").set_body_string("No cluster leader");
    Mock::given(path(HEALTH)).respond_with(error).mount(&server).await;
    let mut watch = follow(&server);
    assert!(matches!(watch.next().await, WatchEvent::Lost(RegistryError::Unavailable { .. })));
    eventually("asked again", || async { requests(&server).await >= 3 }).await;
    assert!(all(&server).await.iter().all(|asked| !asked.contains("index=")));
}

#[tokio::test]
async fn answers_at_once_with_the_same_index_are_braked() {
    let server = MockServer::start().await;
    Mock::given(path(HEALTH)).respond_with(indexed(list(&["a"]), 9)).mount(&server).await;
    let mut watch = follow(&server);
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    tokio::time::timeout(Duration::from_secs(1), until(&mut watch, |_| false)).await.expect_err("no change");
    assert!(requests(&server).await <= 8, "{}", requests(&server).await);
}

#[tokio::test]
async fn an_old_answer_of_a_leaderless_server_takes_nobody_away() {
    let server = MockServer::start().await;
    let leaderless = indexed(list(&["a"]), 12)
        .insert_header("X-Consul-Knownleader", "false")
        .insert_header("X-Consul-Lastcontact", "81280");
    Mock::given(path(HEALTH)).and(query_param("index", "11")).respond_with(leaderless).mount(&server).await;
    Mock::given(path(HEALTH)).respond_with(indexed(list(&["a", "b"]), 11)).up_to_n_times(1).mount(&server).await;
    let mut watch = follow(&server);
    until(&mut watch, |seen| ids(seen) == ["a", "b"]).await;
    tokio::time::timeout(Duration::from_millis(700), until(&mut watch, |_| true)).await.expect_err("nobody left");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up_and_asked_for_again() {
    let server = MockServer::start().await;
    let late = list(&["a"]).set_delay(Duration::from_secs(60));
    Mock::given(path(HEALTH)).respond_with(late).up_to_n_times(1).mount(&server).await;
    Mock::given(path(HEALTH)).respond_with(indexed(list(&["a"]), 3)).mount(&server).await;
    let mut config = config(&server.uri());
    config.watch.answer_within = Duration::from_millis(200);
    let mut watch = watch(&Consul::new(config).expect("a client"));
    assert!(matches!(watch.next().await, WatchEvent::Lost(RegistryError::Timeout { .. })));
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
}

#[tokio::test]
async fn half_an_answer_and_none_are_named_and_survived() {
    for body in ["[{\"Node\":", "not json", "{}", ""] {
        let server = MockServer::start().await;
        let odd = ResponseTemplate::new(200).set_body_string(body);
        Mock::given(path(HEALTH)).respond_with(odd).up_to_n_times(1).mount(&server).await;
        Mock::given(path(HEALTH)).respond_with(indexed(list(&["a"]), 3)).mount(&server).await;
        let mut config = config(&server.uri());
        config.watch.refused_retry = Duration::from_millis(100);
        let mut watch = watch(&Consul::new(config).expect("a client"));
        let event = watch.next().await;
        assert!(matches!(event, WatchEvent::Lost(RegistryError::Malformed { .. })), "{body}: {event:?}");
        until(&mut watch, |seen| ids(seen) == ["a"]).await;
    }
}

#[tokio::test]
async fn throttling_is_named_with_the_time_it_asks_for() {
    for (status, class) in [(429, ErrorClass::ConnectionLimit), (503, ErrorClass::Transient)] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).insert_header("Retry-After", "7").set_body_string("rate limit");
        Mock::given(path(HEALTH)).respond_with(answer).mount(&server).await;
        let consul = Consul::new(config(&server.uri())).expect("a client");
        let error = consul.health(&name("web"), &QueryOptions::default()).await.expect_err("throttled");
        assert_eq!((error.class(), error.retry_after()), (class, Some(Duration::from_secs(7))));
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_by_the_files_newer_one_and_the_request_repeated() {
    let server = MockServer::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "old\n").expect("written");
    let refused = ResponseTemplate::new(403).set_body_string("ACL not found");
    let is = |token: &'static str| wiremock::matchers::header("X-Consul-Token", token);
    Mock::given(is("old")).respond_with(refused).expect(1).mount(&server).await;
    Mock::given(is("new")).respond_with(indexed(list(&["a"]), 3)).expect(2).mount(&server).await;
    let mut config = config(&server.uri());
    config.token_file = Some(file.path().to_owned());
    let consul = Consul::new(config).expect("a client");
    std::fs::write(file.path(), "new\n").expect("written");
    for _ in 0..2 {
        let listing = consul.health(&name("web"), &QueryOptions::default()).await.expect("a list");
        assert_eq!(listing.snapshot.len(), 1);
    }
}

#[tokio::test]
async fn one_bad_entry_costs_itself_and_no_other() {
    let server = MockServer::start().await;
    let bad = [
        r#"{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"ID":"p","Port":70000}}"#,
        r#"{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"ID":"q","Port":-1}}"#,
        r#"{"Node":{"Node":"n","Address":""},"Service":{"ID":"r","Port":80,"Address":""}}"#,
        r#"{"Node":null,"Service":null}"#,
        "7",
    ];
    let body = format!("[{},{},{}]", entry("a"), bad.join(","), entry("b"));
    Mock::given(path(HEALTH)).respond_with(ResponseTemplate::new(200).set_body_string(body)).mount(&server).await;
    let consul = Consul::new(config(&server.uri())).expect("a client");
    let listing = consul.health(&name("web"), &QueryOptions::default()).await.expect("a list");
    let found: Vec<&str> = listing.snapshot.iter().map(|entry| entry.instance().id().as_str()).collect();
    assert_eq!((found, listing.unusable), (vec!["a", "b"], bad.len()));
}

#[tokio::test]
async fn null_is_an_empty_list_and_lower_case_addresses_and_newer_fields_are_read() {
    let server = MockServer::start().await;
    Mock::given(path(HEALTH)).respond_with(ResponseTemplate::new(200).set_body_string("null")).mount(&server).await;
    let consul = Consul::new(config(&server.uri())).expect("a client");
    assert!(consul.health(&name("web"), &QueryOptions::default()).await.expect("a list").snapshot.is_empty());
    let newer = r#"[{"Node":{"Node":"n","Address":"10.0.0.1","Datacenter":"dc2","Locality":{"Region":"eu","Zone":"eu-1"}},
        "Service":{"ID":"a/b é","Service":"web","Port":80,"Tags":null,"Meta":null,"Partition":"default","Namespace":"team",
        "TaggedAddresses":{"wan":{"address":"198.18.0.1","port":8080}},"Weights":null,"Ports":[{"Port":1}]},"Checks":null}]"#;
    let listing = mesh_consul::health::decode(&name("web"), newer.as_bytes(), mesh_consul::health::Vantage::Foreign);
    let listing = listing.expect("a list");
    let found = listing.snapshot.entries()[0].instance().clone();
    assert_eq!(found.authority(), "198.18.0.1:8080");
    assert_eq!(found.zone().map(|zone| zone.as_str()), Some("eu-1"));
    assert_eq!(found.key().to_string(), "dc2/n/ns=team/a~2fb~20~c3~a9");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = MockServer::start().await;
    let elsewhere = ResponseTemplate::new(301).insert_header("Location", "/elsewhere");
    Mock::given(path(HEALTH)).respond_with(elsewhere).mount(&server).await;
    Mock::given(path("/elsewhere")).respond_with(list(&["a"])).expect(0).mount(&server).await;
    let consul = Consul::new(config(&server.uri())).expect("a client");
    let error = consul.health(&name("web"), &QueryOptions::default()).await.expect_err("no list");
    assert_eq!((error.status(), error.class()), (Some(301), ErrorClass::BadRequest));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_before_it_is_read_whole() {
    let server = MockServer::start().await;
    let large = ResponseTemplate::new(200).set_body_string(format!("[{}]", " ".repeat(200_000)));
    Mock::given(path(HEALTH)).respond_with(large).mount(&server).await;
    let mut config = config(&server.uri());
    config.answer_bytes_max = 100_000.try_into().expect("above zero");
    let consul = Consul::new(config).expect("a client");
    let error = consul.health(&name("web"), &QueryOptions::default()).await.expect_err("too large");
    assert_eq!(error.class(), ErrorClass::Decode);
}

#[tokio::test]
async fn compressed_answers_are_asked_for_and_bounded_by_what_they_unfold_to() {
    let server = MockServer::start().await;
    let large = format!("[{}{}]", entry("a"), " ".repeat(200_000));
    let compressed = gzip(&large);
    assert!(compressed.len() < 1_000, "{}", compressed.len());
    let answer = indexed(ResponseTemplate::new(200).set_body_bytes(compressed), 3);
    let answer = answer.insert_header("Content-Encoding", "gzip");
    Mock::given(path(HEALTH)).and(header_regex("accept-encoding", "gzip")).respond_with(answer).mount(&server).await;
    let mut config = config(&server.uri());
    let consul = Consul::new(config.clone()).expect("a client");
    let listing = consul.health(&name("web"), &QueryOptions::default()).await.expect("a list");
    assert_eq!(listing.snapshot.len(), 1);
    config.answer_bytes_max = 100_000.try_into().expect("above zero");
    let consul = Consul::new(config).expect("a client");
    let error = consul.health(&name("web"), &QueryOptions::default()).await.expect_err("too large");
    assert!(error.class() == ErrorClass::Decode && error.to_string().contains("100000"), "{error}");
}

#[tokio::test]
async fn what_is_asked_is_encoded() {
    let server = MockServer::start().await;
    let itself = ResponseTemplate::new(200).set_body_string(r#"{"Config":{"Datacenter":"dc1","Version":"1.8.7"}}"#);
    Mock::given(path("/v1/agent/self")).respond_with(itself).mount(&server).await;
    Mock::given(method("GET")).respond_with(indexed(list(&["a"]), 3)).mount(&server).await;
    let consul = Consul::new(config(&server.uri())).expect("a client");
    let mut options = QueryOptions::default();
    options.filter = Some("Service.Meta.version == \"2\" & x".to_owned());
    options.tags = vec!["a b".to_owned(), "c".to_owned()];
    options.near = Some("_agent".to_owned());
    options.datacenters = vec!["dc2".to_owned()];
    consul.health(&name("web"), &options).await.expect("a list");
    let asked = server.received_requests().await.expect("recorded");
    let asked = asked.iter().find(|asked| asked.url.path() == HEALTH).expect("asked");
    assert_eq!(
        format!("{}?{}", asked.url.path(), asked.url.query().unwrap_or_default()),
        "/v1/health/service/web?stale&tag=a%20b&tag=c&near=_agent\
         &filter=Service.Meta.version%20%3D%3D%20%222%22%20%26%20x&dc=dc2"
    );
}

#[tokio::test]
async fn the_first_datacenter_with_somebody_to_call_counts() {
    let server = MockServer::start().await;
    let dc = |name: &'static str| query_param("dc", name);
    let critical = entry("a").replace("passing", "critical");
    let critical = indexed(ResponseTemplate::new(200).set_body_string(format!("[{critical}]")), 3);
    let well = indexed(list(&["a"]), 4).set_delay(Duration::from_millis(1_500));
    let other = indexed(list(&["b"]), 3);
    let never = list(&[]).set_delay(Duration::from_secs(60));
    Mock::given(dc("dc1")).and(query_param_is_missing("index")).respond_with(critical).mount(&server).await;
    Mock::given(dc("dc1")).and(query_param("index", "3")).respond_with(well).mount(&server).await;
    Mock::given(dc("dc2")).and(query_param_is_missing("index")).respond_with(other).mount(&server).await;
    Mock::given(query_param("index", "3")).respond_with(never.clone()).mount(&server).await;
    Mock::given(query_param("index", "4")).respond_with(never).mount(&server).await;
    let itself = ResponseTemplate::new(200).set_body_string(r#"{"Config":{"Datacenter":"dc1","Version":"1.8.7"}}"#);
    Mock::given(path("/v1/agent/self")).respond_with(itself).mount(&server).await;
    let consul = Consul::new(config(&server.uri())).expect("a client");
    let mut options = QueryOptions::default();
    options.datacenters = vec!["dc1".to_owned(), "dc2".to_owned()];
    let mut watch = consul.watch(&name("web"), &options).expect("valid");
    until(&mut watch, |seen| ids(seen) == ["b"]).await;
    until(&mut watch, |seen| ids(seen) == ["a"] && seen[0].1 == PASSING).await;
}

#[tokio::test]
async fn the_home_datacenter_by_name_has_its_own_addresses_and_another_its_wan_addresses() {
    let server = MockServer::start().await;
    let itself = r#"{"Config":{"Datacenter":"dc1","Version":"1.20.1"}}"#;
    let itself = ResponseTemplate::new(200).set_body_string(itself);
    Mock::given(path("/v1/agent/self")).respond_with(itself).expect(1).mount(&server).await;
    let wan =
        entry("a").replace(r#""Port":80"#, r#""Port":80,"TaggedAddresses":{"wan":{"Address":"198.18.0.1","Port":81}}"#);
    let answer = indexed(ResponseTemplate::new(200).set_body_string(format!("[{wan}]")), 3);
    Mock::given(path(HEALTH)).respond_with(answer).mount(&server).await;
    let consul = Consul::new(config(&server.uri())).expect("a client");
    for (datacenter, address) in [("dc1", "10.0.0.1:80"), ("dc2", "198.18.0.1:81")] {
        let mut options = QueryOptions::default();
        options.datacenters = vec![datacenter.to_owned()];
        let listing = consul.health(&name("web"), &options).await.expect("a list");
        assert_eq!(listing.snapshot.entries()[0].instance().authority(), address);
    }
}

#[tokio::test]
async fn a_re_registration_that_is_refused_and_applied_in_part_says_so() {
    let server = MockServer::start().await;
    let held = |port| {
        let body = format!(
            r#"{{"ID":"a","Service":"web","Tags":null,"Meta":null,"Port":{port},"Address":"127.0.0.1","Weights":{{"Passing":1,"Warning":1}}}}"#
        );
        ResponseTemplate::new(200).set_body_string(body)
    };
    let refused = ResponseTemplate::new(500).set_body_string("Invalid check: whatever");
    Mock::given(path("/v1/agent/service/register")).respond_with(refused).mount(&server).await;
    Mock::given(path("/v1/agent/checks"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .mount(&server)
        .await;
    Mock::given(path("/v1/agent/service/a")).respond_with(held(80)).up_to_n_times(1).mount(&server).await;
    Mock::given(path("/v1/agent/service/a")).respond_with(held(81)).up_to_n_times(1).mount(&server).await;
    Mock::given(path("/v1/agent/service/a")).respond_with(held(80)).mount(&server).await;
    let registry = ConsulRegistry::new(Consul::new(config(&server.uri())).expect("a client"));
    let error = registry.register(&web("a", 81)).await.expect_err("refused");
    assert!(matches!(&error, RegistryError::Partial { reason, .. } if reason.contains("no check stands")), "{error:?}");
    let error = registry.register(&web("a", 81)).await.expect_err("refused");
    assert!(matches!(error, RegistryError::Refused { .. }), "nothing was applied: {error:?}");
}

const HEALTH: &str = "/v1/health/service/web";
const PASSING: mesh_consul::mesh_core::snapshot::RegistryStatus =
    mesh_consul::mesh_core::snapshot::RegistryStatus::Passing;

#[tokio::test]
async fn the_age_of_what_an_agents_cache_says_is_told_with_it() {
    let server = MockServer::start().await;
    let aged = |seconds: &str| {
        indexed(list(&["a"]), 7).insert_header("X-Cache", "HIT").insert_header("Age", seconds.to_owned().as_str())
    };
    Mock::given(path(HEALTH)).and(query_param_is_missing("index")).respond_with(aged("5")).mount(&server).await;
    let silent = aged("6").set_delay(Duration::from_millis(50));
    Mock::given(path(HEALTH)).and(query_param("index", "7")).respond_with(silent).mount(&server).await;
    let mut watch = follow(&server);
    for age in [5, 6] {
        let WatchEvent::Snapshot(resolution) = watch.next().await else { panic!("a list") };
        assert_eq!((resolution.snapshot.len(), resolution.age), (1, Duration::from_secs(age)));
    }
    let registry = ConsulRegistry::new(Consul::new(config(&server.uri())).unwrap());
    let resolved = registry.resolve(&name("web")).await.unwrap();
    assert_eq!(resolved.age, Duration::from_secs(5));
}

fn follow(server: &MockServer) -> ServiceWatch {
    watch(&Consul::new(config(&server.uri())).expect("a client"))
}

fn entry(id: &str) -> String {
    format!(
        r#"{{"Node":{{"Node":"n","Address":"10.0.0.1","Datacenter":"dc1"}},"Service":{{"ID":"{id}","Port":80}},"Checks":[{{"CheckID":"c","Status":"passing"}}]}}"#
    )
}

fn list(ids: &[&str]) -> ResponseTemplate {
    let entries: Vec<String> = ids.iter().map(|id| entry(id)).collect();
    ResponseTemplate::new(200).set_body_string(format!("[{}]", entries.join(",")))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn indexed(answer: ResponseTemplate, index: u64) -> ResponseTemplate {
    answer.insert_header("X-Consul-Index", index.to_string().as_str())
}

async fn all(server: &MockServer) -> Vec<String> {
    let received = server.received_requests().await.expect("recorded");
    received.iter().filter(|asked| asked.url.path() == HEALTH).map(|asked| asked.url.to_string()).collect()
}

async fn requests(server: &MockServer) -> usize {
    all(server).await.len()
}

/// How many of them did not block.
async fn reads(server: &MockServer) -> usize {
    all(server).await.iter().filter(|asked| !asked.contains("index=")).count()
}
