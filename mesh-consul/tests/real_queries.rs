//! The ways to ask for a service, at a real agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod world;

use std::time::Duration;

use mesh_consul::mesh_core::port::WatchEvent;
use mesh_consul::mesh_core::service::ServiceConfig;
use mesh_consul::mesh_core::snapshot::RegistryStatus::{Critical, Passing};
use mesh_consul::{Consistency, Consul, ConsulRegistry, ErrorClass, QueryOptions, TtlStatus};
use mesh_testkit::{ConsulCluster, ConsulServer};
use world::*;

#[tokio::test]
async fn tags_and_filters_choose_at_the_server_and_wake_the_watch() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let version = |id: &str, version: &str, tags: [&str; 2]| {
        let base = ServiceConfig::builder("web", "127.0.0.1", 80).id(id).meta("version", version).without_check();
        base.tag(tags[0]).tag(tags[1]).build().expect("valid")
    };
    register(&registry, &version("a", "1", ["v1", "blue"])).await;
    let consul = client(&server);
    let tagged = |tags: &[&str]| {
        let mut options = QueryOptions::default();
        options.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        options
    };
    let mut filtered = QueryOptions::default();
    filtered.filter = Some("Service.Meta.version == \"2\"".to_owned());
    let mut by_tags = consul.watch(&name("web"), &tagged(&["v1", "blue"])).expect("valid");
    let mut by_filter = consul.watch(&name("web"), &filtered).expect("valid");
    until(&mut by_tags, |seen| ids(seen) == ["a"]).await;
    until(&mut by_filter, Vec::is_empty).await;
    register(&registry, &version("b", "2", ["v1", "green"])).await;
    register(&registry, &version("c", "2", ["v1", "blue"])).await;
    until(&mut by_tags, |seen| ids(seen) == ["a", "c"]).await;
    until(&mut by_filter, |seen| ids(seen) == ["b", "c"]).await;
    filtered.filter = Some("Nope == 1".to_owned());
    let refused = consul.health(&name("web"), &filtered).await.expect_err("no such field");
    assert_eq!(refused.class(), ErrorClass::BadRequest, "1.8.7 answers 500: {refused}");
}

#[tokio::test]
async fn every_consistency_answers_and_blocks() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let consul = client(&server);
    let all = [Consistency::Stale, Consistency::Leader, Consistency::Consistent, Consistency::Cached];
    let mut watches: Vec<_> = all
        .into_iter()
        .map(|consistency| {
            let mut options = QueryOptions::default();
            options.consistency = consistency;
            consul.watch(&name("web"), &options).expect("valid")
        })
        .collect();
    for watch in &mut watches {
        until(watch, Vec::is_empty).await;
    }
    register(&registry, &web("a", 1)).await;
    for watch in &mut watches {
        until(watch, |seen| ids(seen) == ["a"]).await;
    }
    assert_eq!(consul.watches(), (4, 0), "what is asked differently is not shared");
}

#[tokio::test]
async fn the_agents_cache_answers_while_every_server_is_dead() {
    let mut cluster = ConsulCluster::start().await;
    register(&registry(&cluster.client), &web("a", 1)).await;
    let mut options = QueryOptions::default();
    options.consistency = Consistency::Cached;
    let consul = client(&cluster.client);
    eventually("cached", || async {
        consul.health(&name("web"), &options).await.is_ok_and(|listing| listing.snapshot.len() == 1)
    })
    .await;
    for server in &mut cluster.servers {
        server.kill();
    }
    assert!(consul.health(&name("web"), &QueryOptions::default()).await.is_err(), "a plain read has nobody to ask");
    let cached = consul.health(&name("web"), &options).await.expect("from the cache");
    assert_eq!(cached.snapshot.len(), 1);
}

#[tokio::test]
async fn a_prepared_query_is_polled() {
    let server = ConsulServer::start().await;
    let made = mesh_testkit::http::send(
        server.address(),
        http::Method::POST,
        "/v1/query",
        &[],
        r#"{"Name":"nearest-web","Service":{"Service":"web","OnlyPassing":true}}"#,
    );
    assert_eq!(made.await.expect("an answer").status, 200);
    let mut config = config(&server.url());
    config.watch.poll_interval = Duration::from_millis(100);
    let consul = Consul::new(config).expect("a client");
    let mut options = QueryOptions::default();
    options.prepared_query = true;
    let mut watch = consul.watch(&name("nearest-web"), &options).expect("valid");
    until(&mut watch, Vec::is_empty).await;
    register(&registry(&server), &web("a", 1)).await;
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    assert_eq!(consul.watches(), (0, 1));
    let unknown = consul.watch(&name("unknown"), &options).expect("valid").next().await;
    assert!(matches!(unknown, WatchEvent::Lost(_)), "{unknown:?}");
}

#[tokio::test]
async fn none_all_critical_and_passing_only_differ() {
    let server = ConsulServer::start().await;
    let consul = client(&server);
    let registry = ConsulRegistry::new(consul.clone());
    assert!(consul.health(&name("web"), &QueryOptions::default()).await.expect("a list").snapshot.is_empty());
    register(&registry, &reporting("a", Duration::from_secs(60))).await;
    assert!(registry.report(&id("a"), TtlStatus::Critical, "down"));
    let mut watch = watch(&consul);
    until(&mut watch, |seen| *seen == [("a".to_owned(), Critical)]).await;
    let mut passing = QueryOptions::default();
    passing.passing_only = true;
    assert!(consul.health(&name("web"), &passing).await.expect("a list").snapshot.is_empty());
    assert!(registry.report(&id("a"), TtlStatus::Passing, ""));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
    assert_eq!(consul.health(&name("web"), &passing).await.expect("a list").snapshot.len(), 1);
}
