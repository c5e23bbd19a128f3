//! Agents and servers that die, freeze, restart and lose their leader, as a watch sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod world;

use std::time::Duration;

use mesh_consul::mesh_core::port::{Registry as _, WatchEvent};
use mesh_consul::mesh_core::snapshot::RegistryStatus::Passing;
use mesh_consul::{Consul, ConsulRegistry, ErrorClass, QueryOptions};
use mesh_testkit::{ConsulCluster, ConsulServer, Fault, FaultProxy};
use world::*;

#[tokio::test]
async fn a_killed_agent_is_lost_and_its_successors_empty_catalogue_is_seen() {
    let mut server = ConsulServer::start().await;
    register(&registry(&server), &web("a", 1)).await;
    let mut watch = watch(&client(&server));
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    server.kill();
    lost(&mut watch).await;
    server.start_again().await;
    // Its index is lower: a query on the old one would wait in vain.
    until(&mut watch, Vec::is_empty).await;
}

#[tokio::test]
async fn an_agent_that_restarts_with_an_equal_index_and_other_contents_is_seen_through() {
    let mut server = ConsulServer::builder().persistent().start().await;
    let registry = registry(&server);
    for number in 0..30_u16 {
        register(&registry, &web(&format!("w{number}"), 1000 + number)).await;
    }
    let mut watch = watch(&client(&server));
    until(&mut watch, |seen| seen.len() == 30).await;
    for round in 0..3_u16 {
        server.stop().await;
        server.start_empty().await;
        let left = web(&format!("left{round}"), 2000 + round);
        register(&registry, &left).await;
        until(&mut watch, |seen| ids(seen) == [left.id().as_str()]).await;
    }
}

#[tokio::test]
async fn an_agent_that_restarts_with_its_data_has_its_instances_still() {
    let mut server = ConsulServer::builder().persistent().start().await;
    let registry = registry(&server);
    register(&registry, &web("a", 1)).await;
    let mut watch = watch(&client(&server));
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    server.kill();
    lost(&mut watch).await;
    server.start_again().await;
    register(&registry, &web("b", 2)).await;
    until(&mut watch, |seen| ids(seen) == ["a", "b"]).await;
}

#[tokio::test]
async fn a_frozen_agent_is_lost_within_the_patience_and_heard_again() {
    let server = ConsulServer::start().await;
    register(&registry(&server), &web("a", 1)).await;
    let mut config = config(&server.url());
    config.watch.wait = Duration::from_secs(1);
    config.watch.answer_within = Duration::from_millis(500);
    let mut watch = watch(&Consul::new(config).expect("a client"));
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    server.freeze();
    lost(&mut watch).await;
    server.thaw();
    assert!(matches!(heard(&mut watch).await, WatchEvent::Confirmed));
}

#[tokio::test]
async fn the_leaders_death_is_no_loss_to_a_stale_watch() {
    let mut cluster = ConsulCluster::start().await;
    let registry = registry(&cluster.client);
    register(&registry, &web("a", 1)).await;
    let mut watch = watch(&client(&cluster.client));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
    let leader = cluster.leader().await;
    cluster.servers[leader].kill();
    // A registration is taken at once by the agent, and seen when there is a leader again.
    register(&registry, &web("b", 2)).await;
    let said = until(&mut watch, |seen| ids(seen) == ["a", "b"]).await;
    assert!(said.iter().all(|said| said != "[]"), "never seen without an instance: {said:?}");
}

#[tokio::test]
async fn a_leader_that_freezes_is_no_loss_to_a_stale_watch() {
    let cluster = ConsulCluster::start().await;
    let registry = registry(&cluster.client);
    register(&registry, &web("a", 1)).await;
    let mut watch = watch(&client(&cluster.client));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
    let leader = cluster.leader().await;
    cluster.servers[leader].freeze();
    // What was forwarded to the frozen leader hangs for 36 s; whoever gives up and asks again gets through.
    let b = web("b", 2);
    let registered =
        tokio::time::timeout(Duration::from_secs(90), async { while registry.register(&b).await.is_err() {} });
    assert!(registered.await.is_ok(), "not registered within 90 s");
    let said = until(&mut watch, |seen| ids(seen) == ["a", "b"]).await;
    assert!(said.iter().all(|said| said != "[]"), "{said:?}");
    cluster.servers[leader].thaw();
}

#[tokio::test]
async fn without_a_quorum_what_was_known_stays_and_it_goes_on_after() {
    let mut cluster = ConsulCluster::start().await;
    let registry = registry(&cluster.client);
    register(&registry, &web("a", 1)).await;
    let mut watch = watch(&client(&cluster.client));
    until(&mut watch, |seen| ids(seen) == ["a"]).await;
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    // Nothing is seen to leave while nobody leads.
    let silence = tokio::time::timeout(Duration::from_secs(5), until(&mut watch, |seen| ids(seen) != ["a"]));
    assert!(silence.await.is_err());
    cluster.servers[0].start_again().await;
    register(&registry, &web("b", 2)).await;
    until(&mut watch, |seen| ids(seen) == ["a", "b"]).await;
}

#[tokio::test]
async fn a_client_agent_that_dies_takes_its_instances_with_it_and_the_servers_say_so() {
    let mut cluster = ConsulCluster::start().await;
    register(&registry(&cluster.client), &web("a", 1)).await;
    let mut watch = watch(&client(&cluster.servers[0]));
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
    cluster.client.kill();
    // The node's check fails, and the node's check counts.
    until(&mut watch, |seen| matches!(seen.as_slice(), [(_, status)] if *status != Passing)).await;
    cluster.client.start_again().await;
    until(&mut watch, |seen| *seen == [("a".to_owned(), Passing)]).await;
}

#[tokio::test]
async fn a_connection_limit_of_three_is_enough_for_many_watches_and_registrations() {
    let server = ConsulServer::builder().connections_max(3).start().await;
    let mut config = config(&server.url());
    config.watches_max = 1.try_into().expect("1");
    config.requests_max = 1.try_into().expect("1");
    config.watch.poll_interval = Duration::from_millis(200);
    let consul = Consul::new(config).expect("a client");
    let registry = ConsulRegistry::new(consul.clone());
    let mut watches: Vec<_> = ["web", "db", "cache", "queue"]
        .into_iter()
        .map(|service| consul.watch(&name(service), &QueryOptions::default()).expect("valid"))
        .collect();
    for watch in &mut watches {
        until(watch, Vec::is_empty).await;
    }
    register(&registry, &web("a", 1)).await;
    until(&mut watches[0], |seen| ids(seen) == ["a"]).await;
    assert_eq!(consul.watches(), (1, 3));
}

#[tokio::test]
async fn a_network_that_resets_truncates_and_swallows_is_survived() {
    let server = ConsulServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let mut through = config(&format!("http://{}", proxy.address()));
    through.watch.wait = Duration::from_secs(1);
    through.watch.answer_within = Duration::from_secs(1);
    let mut watch = watch(&Consul::new(through).expect("a client"));
    let registry = registry(&server);
    until(&mut watch, Vec::is_empty).await;
    for (number, fault) in
        [Fault::Reset, Fault::ResetAfter(100), Fault::TruncateAfter(300), Fault::BlackHole].into_iter().enumerate()
    {
        proxy.set(fault);
        lost(&mut watch).await;
        let number = u16::try_from(number).expect("few");
        register(&registry, &web(&format!("w{number}"), 1 + number)).await;
        proxy.set(Fault::None);
        until(&mut watch, |seen| seen.len() == usize::from(number) + 1).await;
    }
}

#[tokio::test]
async fn all_who_follow_a_service_share_one_query_and_it_ends_some_time_after_them() {
    let server = ConsulServer::start().await;
    let mut config = config(&server.url());
    config.linger = Duration::from_millis(50);
    let consul = Consul::new(config).expect("a client");
    let mut many: Vec<_> = (0..20).map(|_| watch(&consul)).collect();
    for watch in &mut many {
        until(watch, Vec::is_empty).await;
    }
    assert_eq!(consul.watches(), (1, 0));
    drop(many);
    eventually("the watch has ended", || async { consul.watches() == (0, 0) }).await;
    let mut again = watch(&consul);
    until(&mut again, Vec::is_empty).await;
}

#[tokio::test]
async fn a_missing_leader_is_named() {
    let mut cluster =
        ConsulCluster::start_with(ConsulServer::builder().no_leader_after(Duration::from_millis(200))).await;
    let leaderless = client(&cluster.servers[2]);
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    let mut options = QueryOptions::default();
    options.consistency = mesh_consul::Consistency::Leader;
    eventually("no leader", || async {
        let read = leaderless.health(&name("web"), &options).await;
        read.is_err_and(|error| error.class() == ErrorClass::NoLeader)
    })
    .await;
}

async fn lost(watch: &mut mesh_consul::watch::ServiceWatch) {
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        while !matches!(watch.next().await, WatchEvent::Lost(_)) {}
    });
    assert!(found.await.is_ok(), "not lost within 30 s");
}

async fn heard(watch: &mut mesh_consul::watch::ServiceWatch) -> WatchEvent {
    let heard = async {
        loop {
            let event = watch.next().await;
            if !matches!(event, WatchEvent::Lost(_)) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("heard again within 30 s")
}
