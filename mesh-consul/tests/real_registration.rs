//! Registrations at a real agent, and what another client sees of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod world;

use std::time::Duration;

use mesh_consul::TtlStatus;
use mesh_consul::mesh_core::port::{Registry as _, RegistryError};
use mesh_consul::mesh_core::registration::{Part, PartState, Standing};
use mesh_consul::mesh_core::service::{CheckRunner, HealthCheck, ServiceConfig};
use mesh_consul::mesh_core::snapshot::RegistryStatus::{Critical, Maintenance, Passing, Warning};
use mesh_testkit::{Backend, ConsulServer, Sickness};
use world::*;

const GOOD: Standing = Standing { service: PartState::Matches, check: PartState::Absent };

#[tokio::test]
async fn what_one_registers_another_sees_with_all_it_has() {
    let server = ConsulServer::start().await;
    let mut watch = watch(&client(&server));
    until(&mut watch, Vec::is_empty).await;
    let registry = registry(&server);
    let config = ServiceConfig::builder("web", "127.0.0.1", 8080)
        .id("web-1")
        .tag("v1")
        .tag("primary")
        .version("1.2.3")
        .zone("eu-1a")
        .weight(7)
        .build()
        .expect("valid");
    register(&registry, &config).await;
    until(&mut watch, |seen| *seen == [("web-1".to_owned(), Passing)]).await;
    let listing = client(&server).health(&name("web"), &Default::default()).await.expect("a list");
    let found = &listing.snapshot.entries()[0];
    assert_eq!(found.key().scope().as_str(), format!("dc1/{}", server.node()));
    let (found, sent) = (found.instance(), config.instance());
    assert_eq!((found.authority(), found.tags(), found.meta()), (sent.authority(), sent.tags(), sent.meta()));
    assert_eq!((found.weights(), found.zone(), found.version()), (sent.weights(), sent.zone(), sent.version()));
    let standing = registry.inspect(&config).await.expect("inspected");
    assert_eq!(standing, Standing { service: PartState::Matches, check: PartState::Matches });
    registry.deregister(&name("web"), &id("web-1"), Part::Service).await.expect("deregistered");
    until(&mut watch, Vec::is_empty).await;
    assert_eq!(registry.inspect(&config).await.expect("inspected"), Standing::ABSENT);
    registry.deregister(&name("web"), &id("web-1"), Part::Service).await.expect("absent is fine");
    registry.deregister(&name("web"), &id("web-1"), Part::Check).await.expect("absent is fine");
}

#[tokio::test]
async fn an_inspection_tells_every_difference() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let base = || ServiceConfig::builder("web", "127.0.0.1", 80).id("a").tag("t").meta("k", "v").weight(3);
    register(&registry, &base().build().expect("valid")).await;
    let check = |path| HealthCheck::http(path).interval(Duration::from_secs(30));
    for (what, other, service, checks) in [
        ("nothing", base(), PartState::Matches, PartState::Matches),
        ("a tag", base().tag("u"), PartState::Differs, PartState::Matches),
        ("metadata", base().meta("k", "w"), PartState::Differs, PartState::Matches),
        ("the weight", base().weight(4), PartState::Differs, PartState::Matches),
        ("a drain", base().weight(0), PartState::Differs, PartState::Matches),
        ("the check", base().check(check("/other")), PartState::Matches, PartState::Differs),
        ("no check", base().without_check(), PartState::Matches, PartState::Differs),
    ] {
        let standing = registry.inspect(&other.build().expect("valid")).await.expect("inspected");
        assert_eq!(standing, Standing { service, check: checks }, "{what}");
    }
}

#[tokio::test]
async fn a_re_registration_takes_away_the_check_it_has_not() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    register(&registry, &checked("a", 1)).await;
    register(&registry, &web("a", 1)).await;
    assert_eq!(registry.inspect(&web("a", 1)).await.expect("inspected"), GOOD);
    assert_eq!(server.get("/v1/agent/checks").await.expect("an answer").body.trim(), "{}");
}

#[tokio::test]
async fn an_operators_maintenance_outlives_a_re_registration() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let mut watch = watch(&client(&server));
    register(&registry, &web("a", 1)).await;
    server.put("/v1/agent/service/maintenance/a?enable=true&reason=deploy", "").await.expect("an answer");
    until(&mut watch, |seen| *seen == [("a".to_owned(), Maintenance)]).await;
    register(&registry, &web("a", 2)).await;
    let checks = server.get("/v1/agent/checks").await.expect("an answer").body;
    assert!(checks.contains("\"Notes\": \"deploy\""), "{checks}");
    assert_eq!(registry.inspect(&web("a", 2)).await.expect("inspected"), GOOD);
}

#[tokio::test]
async fn weight_zero_is_maintenance_and_ends_with_a_weight() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let mut watch = watch(&client(&server));
    let weighted = |weight| {
        ServiceConfig::builder("web", "127.0.0.1", 80).id("a").weight(weight).without_check().build().expect("valid")
    };
    register(&registry, &weighted(0)).await;
    until(&mut watch, |seen| *seen == [("a".to_owned(), Maintenance)]).await;
    assert_eq!(registry.inspect(&weighted(0)).await.expect("inspected"), GOOD);
    assert_eq!(registry.inspect(&weighted(5)).await.expect("inspected").service, PartState::Differs);
    register(&registry, &weighted(5)).await;
    until(&mut watch, |seen| matches!(seen.as_slice(), [(_, status)] if *status != Maintenance)).await;
    assert_eq!(registry.inspect(&weighted(5)).await.expect("inspected"), GOOD);
}

#[tokio::test]
async fn a_registration_given_up_half_way_does_not_lose_the_maintenance() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    register(&registry, &web("a", 1)).await;
    server.put("/v1/agent/service/maintenance/a?enable=true&reason=deploy", "").await.expect("an answer");
    // Dropped at every point: after each the agent may or may not have forgotten the maintenance.
    for polls in 1..400 {
        let (again, reached) = (web("a", 1 + polls), std::cell::Cell::new(0));
        let mut registering = std::pin::pin!(registry.register(&again));
        let ended = std::future::poll_fn(|context| {
            reached.set(reached.get() + 1);
            match registering.as_mut().poll(context) {
                std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
                std::task::Poll::Pending if reached.get() >= polls => std::task::Poll::Ready(None),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        })
        .await;
        let finished = ended.is_some();
        eventually("the maintenance is back", || async {
            let _ = registry.inspect(&again).await;
            server.get("/v1/agent/checks").await.is_ok_and(|checks| checks.body.contains("\"Notes\": \"deploy\""))
        })
        .await;
        if finished {
            return;
        }
    }
    panic!("a registration has fewer than 400 steps");
}

#[tokio::test]
async fn an_http_check_fails_and_returns_with_its_backend() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let backend = Backend::start("b").await;
    register(&registry, &checked("a", backend.address().port())).await;
    let mut watch = watch(&client(&server));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
    backend.set(Sickness::Status(503));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Critical)]).await;
    backend.set(Sickness::Status(429));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Warning)]).await;
    backend.set(Sickness::Healthy);
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
}

#[tokio::test]
async fn a_ttl_check_is_fed_and_expires_when_nobody_feeds_it() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let mut watch = watch(&client(&server));
    register(&registry, &reporting("a", Duration::from_secs(1))).await;
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
    assert!(registry.report(&id("a"), TtlStatus::Warning, "full"));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Warning)]).await;
    assert!(registry.report(&id("a"), TtlStatus::Passing, ""));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
    assert!(!registry.report(&id("b"), TtlStatus::Passing, ""));
    // It outlives its time, because it is fed; then its process goes.
    let expired = until(&mut watch, |seen| *seen != [("a".to_owned(), Passing)]);
    tokio::time::timeout(Duration::from_millis(2500), expired).await.expect_err("fed");
    drop(registry);
    until(&mut watch, |seen| *seen == [("a".to_owned(), Critical)]).await;
}

#[tokio::test]
async fn a_heartbeat_that_the_agent_does_not_know_casts_doubt() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    register(&registry, &reporting("a", Duration::from_secs(1))).await;
    server.put("/v1/agent/service/deregister/a", "").await.expect("an answer");
    let a = id("a");
    let doubted = tokio::time::timeout(Duration::from_secs(10), registry.doubts(&a));
    assert!(doubted.await.is_ok());
}

#[tokio::test]
async fn every_kind_of_check_is_taken() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    register(&registry, &web("db", 1)).await;
    let second = Duration::from_secs(1);
    for (at, check) in [
        HealthCheck::http("/health").interval(second).host_header("api.example"),
        HealthCheck::http("/health").interval(second).tls(true),
        HealthCheck::http("/health").interval(second).header("authorization", "Bearer x").host_header("api.example"),
        HealthCheck::tcp().interval(second).rise(2.try_into().expect("2")).fall(3.try_into().expect("3")),
        HealthCheck::grpc().interval(second).grpc_service("api.v1").tls(true),
        HealthCheck::ttl(second),
        HealthCheck::alias("db"),
    ]
    .into_iter()
    .enumerate()
    {
        let config = ServiceConfig::builder("web", "127.0.0.1", 80).id(format!("c{at}")).check(check).build();
        let config = config.expect("valid");
        register(&registry, &config).await;
        let standing = registry.inspect(&config).await.expect("inspected");
        assert_eq!(standing, Standing { service: PartState::Matches, check: PartState::Matches }, "{config:?}");
    }
}

/// An agent shows no definition of a check, but writes it down for its next start. It takes away what was critical for a
/// minute at the least, and looks twice a minute: too long to wait for here.
#[tokio::test]
async fn an_agent_knows_when_to_take_away_what_stays_critical() {
    let server = ConsulServer::builder().persistent().start().await;
    let registry = registry(&server);
    for after in [Some(60_000), Some(90_000), Some(3_600_250), None] {
        let check = HealthCheck::ttl(Duration::from_secs(30)).deregister_after(after.map(Duration::from_millis));
        let config = ServiceConfig::builder("web", "127.0.0.1", 80).id("a").check(check).build().expect("valid");
        register(&registry, &config).await;
        let entries = std::fs::read_dir(server.directory().join("data/checks")).expect("kept");
        let files = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
        let kept = files.map(|file| {
            let check: serde_json::Value = serde_json::from_slice(&std::fs::read(file).expect("read")).expect("JSON");
            check["ChkType"]["DeregisterCriticalServiceAfter"].as_u64()
        });
        let nanos = after.map_or(0, |millis| millis * 1_000_000);
        assert_eq!(kept.collect::<Vec<_>>(), [Some(nanos)], "{config:?}");
    }
}

#[tokio::test]
async fn what_consul_could_not_keep_is_refused_before_anything_is_sent() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let with = |check| ServiceConfig::builder("web", "127.0.0.1", 80).check(check);
    let (http, second) = (|| HealthCheck::http("/"), Duration::from_secs(1));
    let dots = ServiceConfig::builder("web", "127.0.0.1", 80).id("..");
    for (field, config) in [
        ("check.run_by: mesh", with(HealthCheck::tcp().run_by(CheckRunner::Mesh))),
        ("check.run_by: mesh", with(HealthCheck::own())),
        ("id", dots),
        ("check: expected_statuses", with(http().expect_status(200..=399))),
        ("check: expected_body", with(http().expect_body("ok"))),
        ("check: degraded_header", with(http().degraded_header("x-degraded"))),
        ("check: unhealthy_interval", with(HealthCheck::tcp().unhealthy_interval(second))),
        ("check: edge_interval", with(HealthCheck::grpc().edge_interval(second))),
        ("check: no_traffic_interval", with(http().no_traffic_interval(second))),
        ("check: immediate_on_status", with(http().immediate_on_status(true))),
    ] {
        let refused = registry.register(&config.build().expect("valid")).await;
        assert!(matches!(&refused, Err(RegistryError::Invalid { reason }) if reason.contains(field)), "{refused:?}");
    }
    assert_eq!(server.get("/v1/agent/services").await.expect("an answer").body.trim(), "{}");
}

#[tokio::test]
async fn a_predecessors_ghost_is_taken_away_and_nobody_elses() {
    let server = ConsulServer::start().await;
    let of = |owner: Option<&str>| {
        let mut config = config(&server.url());
        config.owner = owner.map(str::to_owned);
        mesh_consul::ConsulRegistry::new(mesh_consul::Consul::new(config).expect("a client"))
    };
    let predecessor = of(Some("host-1"));
    register(&predecessor, &web("old", 1)).await;
    register(&of(Some("host-2")), &web("other", 2)).await;
    register(&of(None), &web("nobodys", 3)).await;
    // Killed without a word: its successor has another port and so another id.
    drop(predecessor);
    let successor = of(Some("host-1"));
    register(&successor, &web("new", 4)).await;
    register(&successor, &web("second", 5)).await;
    let mut watch = watch(&client(&server));
    until(&mut watch, |seen| ids(seen) == ["new", "nobodys", "other", "second"]).await;
}

#[tokio::test]
async fn three_hundred_registrations_at_once_are_gathered_into_few_lists() {
    let server = ConsulServer::start().await;
    let registry = registry(&server);
    let mut watch = watch(&client(&server));
    until(&mut watch, Vec::is_empty).await;
    let mut all = tokio::task::JoinSet::new();
    for number in 0..300_u16 {
        let registry = registry.clone();
        all.spawn(async move { register(&registry, &web(&format!("w{number}"), 1000 + number)).await });
    }
    let said = until(&mut watch, |seen| seen.len() == 300).await;
    all.join_all().await;
    assert!(said.len() < 60, "{} lists", said.len());
}

#[tokio::test]
async fn an_agent_that_restarts_casts_doubt_on_all_that_was_registered_there() {
    let mut server = ConsulServer::start().await;
    let registry = registry(&server);
    for number in 1..4_u16 {
        register(&registry, &web(&format!("w{number}"), number)).await;
    }
    server.kill();
    server.start_again().await;
    for number in 1..4_u16 {
        let id = id(&format!("w{number}"));
        let doubted = tokio::time::timeout(Duration::from_secs(10), registry.doubts(&id));
        assert!(doubted.await.is_ok(), "{id}");
    }
}
