//! What processes share, on servers that are killed, frozen, emptied, full, or replicas: what is known of each command then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;
mod redis_support;

use std::time::Duration;

use mesh_cache::Environment;
use mesh_cache::coordinator_store::{CoordinatorStore as _, RedisCoordinator};
use mesh_cache::mesh_retry::coordinator::store::{Settle, Settlement, StateKey, StoreCommand, StoreFailure};
use mesh_cache::redis::cluster::slot_of;
use mesh_cache::redis::{RedisClient, RedisConfig};
use mesh_testkit::{Fault, FaultProxy, RedisCluster, RedisServer};

use coordinator_support::{
    KEY, SOON, WRITING, connected, connecting, first, name, one_of_each, ready, scripts_run, settle, until,
};
use redis_support::Stopwatch;

#[tokio::test]
async fn commands_of_a_server_that_is_killed_are_not_carried_out() {
    let mut server = RedisServer::start().await;
    let store = connected(&server.url(), SOON).await;
    settle(&store, first()).await.unwrap();
    server.kill();
    let began = Stopwatch::start();
    _ = until(|| settle(&store, Settle { epoch: 2, ..first() }), |reply| *reply == Err(StoreFailure::NotDone)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for command in one_of_each() {
        assert_eq!(store.apply(command).await, Err(StoreFailure::NotDone));
    }
}

#[tokio::test]
async fn a_command_of_a_frozen_server_is_unknown_within_the_deadline_and_is_carried_out_once() {
    let server = RedisServer::start().await;
    let store = connected(&server.url(), Duration::from_millis(200)).await;
    _ = until(|| settle(&store, first()), Result::is_ok).await;
    let before = scripts_run(&server).await;
    server.freeze();
    let two = Settle { epoch: 2, cumulative_requests: 5, want: 3, ..first() };
    let began = Stopwatch::start();
    assert_eq!(settle(&store, two).await, Err(StoreFailure::Unknown));
    assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(2));
    // Until the link gives the connection up, each further one is unknown too; then none is sent.
    _ = until(|| settle(&store, two), |reply| *reply == Err(StoreFailure::NotDone)).await;
    let unknown = store.stats().unknown;
    server.thaw();
    ready(&store).await;
    // Whoever asks for the same again finds that it was done when the server went on.
    let settled = until(|| settle(&store, two), Result::is_ok).await.unwrap();
    assert_eq!((settled.granted, settled.left_milli), (3, 7_000), "once: {settled:?}");
    assert!(scripts_run(&server).await <= before + unknown + 2, "none was sent again");
}

#[tokio::test]
async fn a_reply_that_is_lost_on_the_way_leaves_the_command_unknown_and_done_once() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let store = connected(&format!("redis://{}", proxy.address()), Duration::from_secs(5)).await;
    settle(&store, first()).await.unwrap();
    let before = scripts_run(&server).await;
    proxy.set(Fault::ResetAfter(3));
    let two = Settle { epoch: 2, want: 3, ..first() };
    assert_eq!(settle(&store, two).await, Err(StoreFailure::Unknown));
    proxy.set(Fault::None);
    ready(&store).await;
    assert_eq!(scripts_run(&server).await, before + 1);
    let settled = settle(&store, two).await.unwrap();
    assert_eq!((settled.settlement, settled.granted, settled.left_milli), (Settlement::Repeated, 3, 7_000));
}

#[tokio::test]
async fn a_server_that_starts_again_empty_is_taught_its_scripts_and_knows_nobody() {
    let mut server = RedisServer::start().await;
    let store = connected(&server.url(), SOON).await;
    let drained = settle(&store, Settle { want: 10, ..first() }).await.unwrap();
    assert_eq!(drained.left_milli, 0);
    server.start_empty().await;
    let two = Settle { epoch: 2, cumulative_requests: 500, kept: 10, returned: 10, want: 4, ..first() };
    let settled = until(|| settle(&store, two), Result::is_ok).await.unwrap();
    assert_eq!(
        (settled.settlement, settled.granted, settled.left_milli),
        (Settlement::Applied, 4, 6_000),
        "full, once"
    );
    let three = Settle { epoch: 3, cumulative_requests: 502, kept: 4, ..first() };
    assert_eq!(settle(&store, three).await.unwrap().left_milli, 8_000);
}

#[tokio::test]
async fn a_server_that_kept_its_data_goes_on_where_it_was() {
    let mut server = RedisServer::builder().append_only().setting("appendfsync", "always").start().await;
    let store = connected(&server.url(), SOON).await;
    let one = Settle { want: 4, ..first() };
    settle(&store, one).await.unwrap();
    server.kill();
    server.start_again().await;
    let settled = until(|| settle(&store, one), Result::is_ok).await.unwrap();
    assert_eq!((settled.settlement, settled.granted, settled.left_milli), (Settlement::Repeated, 4, 6_000));
}

#[tokio::test]
async fn a_server_that_lost_what_it_acknowledged_credits_nothing_twice() {
    let mut server = RedisServer::builder().append_only().setting("appendfsync", "always").start().await;
    let store = connected(&server.url(), SOON).await;
    settle(&store, Settle { want: 9, ..first() }).await.unwrap();
    server.remember().unwrap();
    let two = Settle { epoch: 2, cumulative_requests: 2, kept: 9, returned: 1, ..first() };
    assert_eq!(settle(&store, two).await.unwrap().left_milli, 4_000);
    let three = Settle { epoch: 3, cumulative_requests: 2, reported_requests: 2, kept: 8, want: 4, ..first() };
    assert_eq!(settle(&store, three).await.unwrap().granted, 4);
    server.start_as_remembered().await.unwrap();
    // As a replica that was behind: with one left, and the requests that were told meanwhile are not told again.
    let four = Settle { epoch: 4, cumulative_requests: 3, reported_requests: 2, kept: 12, want: 9, ..first() };
    let settled = until(|| settle(&store, four), Result::is_ok).await.unwrap();
    assert_eq!((settled.settlement, settled.granted, settled.left_milli), (Settlement::Applied, 2, 0));
}

#[tokio::test]
async fn scripts_that_a_server_forgets_or_never_knew_are_taught_to_it() {
    let server = RedisServer::start().await;
    let client = RedisClient::start(RedisConfig::at(&server.url()).unwrap(), &Environment::system(), &[]).unwrap();
    let store = RedisCoordinator::over(client, "mesh", SOON, &Environment::system()).unwrap();
    ready(&store).await;
    for command in one_of_each() {
        server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
        store.apply(command).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_server_refuses_and_has_changed_nothing() {
    let server = RedisServer::builder().max_memory(1, "noeviction").start().await;
    let store = connected(&server.url(), SOON).await;
    for command in one_of_each().into_iter().take(WRITING) {
        let shown = format!("{command:?}");
        assert_eq!(store.apply(command).await, Err(StoreFailure::NotDone), "{shown}");
    }
    assert_eq!(server.command(&["DBSIZE"]).await.unwrap().integer(), Some(0));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    for command in one_of_each() {
        store.apply(command).await.unwrap();
    }
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let settled = settle(&store, first()).await.unwrap();
    assert_eq!(settled.settlement, Settlement::Repeated, "what writes nothing is answered");
    assert_eq!(settle(&store, Settle { epoch: 2, ..first() }).await, Err(StoreFailure::NotDone));
}

#[tokio::test]
async fn a_server_that_cannot_save_refuses_and_has_changed_nothing() {
    let builder = RedisServer::builder().setting("save", "3600 1000000").setting("stop-writes-on-bgsave-error", "yes");
    let server = builder.start().await;
    let store = connected(&server.url(), SOON).await;
    let save = async |outcome: &str| {
        server.command(&["BGSAVE"]).await.unwrap().accepted().unwrap();
        let told = format!("rdb_last_bgsave_status:{outcome}");
        let info = || async { server.command(&["INFO", "persistence"]).await.unwrap() };
        until(info, |info| info.text().unwrap().lines().any(|line| line == told)).await;
    };
    // A directory in the place of the file, which stops even root.
    let obstacle = server.directory().join("data/dump.rdb");
    std::fs::create_dir(&obstacle).unwrap();
    save("err").await;
    let refused = server.command(&["SET", "key", "1"]).await.unwrap();
    assert!(refused.error().unwrap().starts_with("MISCONF"), "{refused:?}");
    for command in one_of_each().into_iter().take(WRITING) {
        let shown = format!("{command:?}");
        assert_eq!(store.apply(command).await, Err(StoreFailure::NotDone), "{shown}");
    }
    assert_eq!(server.command(&["DBSIZE"]).await.unwrap().integer(), Some(0));
    std::fs::remove_dir(&obstacle).unwrap();
    save("ok").await;
    for command in one_of_each() {
        store.apply(command).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_refuses_and_has_changed_nothing_until_it_is_the_master() {
    let (master, server) = tokio::join!(RedisServer::start(), RedisServer::start());
    let store = connected(&server.url(), SOON).await;
    let (ip, port) = (master.ip().to_string(), master.port().to_string());
    server.command(&["REPLICAOF", &ip, &port]).await.unwrap();
    assert_eq!(settle(&store, Settle { want: 10, ..first() }).await, Err(StoreFailure::NotDone));
    for command in one_of_each().into_iter().take(WRITING) {
        // The link is giving the replica up, and one that is under way meanwhile is not answered.
        assert!(store.apply(command).await.is_err());
    }
    server.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    let settled = until(|| settle(&store, Settle { want: 10, ..first() }), Result::is_ok).await.unwrap();
    assert_eq!((settled.settlement, settled.granted), (Settlement::Applied, 10), "none of it was done before");
}

#[tokio::test]
async fn with_a_wrong_password_nothing_is_carried_out_and_nothing_shown() {
    let server = RedisServer::builder().password("hunter2").start().await;
    let store = connecting(&format!("redis://:letmein@{}", server.address()), SOON);
    until(|| async { format!("{:?}", store.client().state()) }, |state| state.contains("Auth")).await;
    for command in one_of_each() {
        assert_eq!(store.apply(command).await, Err(StoreFailure::NotDone));
    }
    assert!(!format!("{store:?}").contains("letmein"));
    let store = connected(&format!("redis://:hunter2@{}", server.address()), SOON).await;
    settle(&store, first()).await.unwrap();
}

#[tokio::test]
async fn a_budget_whose_slot_moves_goes_on_where_it_was() {
    let cluster = RedisCluster::start().await;
    let store = connected(&format!("redis-cluster://{}", cluster.nodes[0].address()), SOON).await;
    let settled = settle(&store, Settle { want: 2, ..first() }).await.unwrap();
    assert_eq!(settled.left_milli, 8_000);
    let slot = slot_of(name("rb").as_bytes());
    let from = cluster.owner_of(slot).await;
    cluster.migrate_slot(slot, (from + 1) % 3).await;
    let two = Settle { epoch: 2, want: 2, kept: 2, ..first() };
    let settled = settle(&store, two).await.unwrap();
    assert_eq!((settled.settlement, settled.left_milli), (Settlement::Applied, 6_000), "it is found at once");

    // While it is on its way some of its keys are here and some are there: a node says so and does nothing.
    cluster.begin_migration(slot, from).await;
    let other = Settle { process: coordinator_support::OTHER, want: 2, ..first() };
    assert_eq!(settle(&store, other).await, Err(StoreFailure::NotDone));
    assert_eq!(settle(&store, two).await.unwrap().settlement, Settlement::Repeated, "all of these are here still");
    cluster.finish_migration(slot, from).await;
    let settled = until(|| settle(&store, other), Result::is_ok).await.unwrap();
    assert_eq!((settled.settlement, settled.granted, settled.left_milli), (Settlement::Applied, 2, 4_000));
}

#[tokio::test]
async fn what_is_new_in_a_slot_that_is_on_its_way_is_made_where_it_goes_or_not_at_all() {
    let cluster = RedisCluster::start().await;
    let store = connected(&format!("redis-cluster://{}", cluster.nodes[0].address()), SOON).await;
    let slot = slot_of(name("rb").as_bytes());
    let from = cluster.owner_of(slot).await;
    let to = (from + 1) % 3;
    cluster.begin_migration(slot, to).await;
    for command in one_of_each() {
        let is_of_several_keys = matches!(command, StoreCommand::Settle(_) | StoreCommand::Vote(_));
        let shown = format!("{command:?}");
        match store.apply(command).await {
            Ok(_) => assert!(!is_of_several_keys, "{shown}"),
            Err(failure) => assert!(is_of_several_keys && failure == StoreFailure::NotDone, "{shown}: {failure}"),
        }
    }
    let there = cluster.nodes[to].command(&["DBSIZE"]).await.unwrap().integer();
    assert_eq!(there, Some(2), "a counter and an operation");
    cluster.finish_migration(slot, to).await;
    let settled = settle(&store, Settle { want: 2, ..first() }).await.unwrap();
    assert_eq!((settled.settlement, settled.left_milli), (Settlement::Applied, 8_000));
}

#[tokio::test]
async fn a_node_that_is_lost_takes_no_others_budgets_with_it() {
    let mut cluster =
        RedisCluster::start_with(RedisServer::builder().setting("cluster-require-full-coverage", "no")).await;
    let store = connected(&format!("redis-cluster://{}", cluster.nodes[0].address()), SOON).await;
    let lost = cluster.owner_of(slot_of(name("rb").as_bytes())).await;
    let others = |key| Settle { budget: StateKey::new(KEY.bits() + key), ..first() };
    for key in 0..30 {
        // On a busy machine its nodes may lose sight of each other for a while.
        _ = until(|| settle(&store, others(key)), Result::is_ok).await;
    }
    cluster.nodes[lost].kill();
    _ = until(|| settle(&store, Settle { epoch: 2, ..first() }), |reply| *reply == Err(StoreFailure::NotDone)).await;
    let mut answered = 0;
    for key in 0..30 {
        answered += u32::from(settle(&store, others(key)).await.is_ok());
    }
    assert!((10..30).contains(&answered), "{answered} of 30");
}

#[tokio::test]
async fn a_slot_that_is_nobodys_is_found_soon_after_somebody_has_it() {
    let cluster = RedisCluster::start_with(RedisServer::builder().setting("cluster-require-full-coverage", "no")).await;
    let slot = slot_of(name("rb").as_bytes());
    let owner = cluster.owner_of(slot).await;
    for node in &cluster.nodes {
        node.command(&["CLUSTER", "DELSLOTS", &slot.to_string()]).await.unwrap().accepted().unwrap();
    }
    // By itself the map is asked for every half a minute, which is too late for what follows.
    let store = connecting(&format!("redis-cluster://{}", cluster.nodes[owner].address()), SOON);
    until(|| async { format!("{:?}", store.client().state()) }, |state| state.contains("Up")).await;
    assert_eq!(settle(&store, first()).await, Err(StoreFailure::NotDone));
    cluster.nodes[owner].command(&["CLUSTER", "ADDSLOTS", &slot.to_string()]).await.unwrap().accepted().unwrap();
    let settled = until(|| settle(&store, first()), Result::is_ok).await.unwrap();
    assert_eq!(settled.settlement, Settlement::Applied);
}
