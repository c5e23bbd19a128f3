//! The registry in memory: registering, taking away, following, and what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod registry_world;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use mesh::registry::{MemoryConfig, MemoryRegistry};
use mesh_core::port::{Registry, RegistryError, Resolution, StateChange, Watch, WatchEvent};
use mesh_core::registration::{Part, PartState, Parts, Standing};
use mesh_core::service::{CheckRunner, HealthCheck, InstanceId, ServiceConfig, ServiceConfigBuilder};
use mesh_core::snapshot::RegistryStatus;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use registry_world::{name, ready};

#[tokio::test]
async fn a_registered_instance_is_found_with_its_check_and_nothing_said_of_its_health() {
    let registry = MemoryRegistry::new();
    let config = config("api", 1);
    registry.register(&config).await.unwrap();
    let found = resolve(&registry, "api").await;
    let [entry] = found.snapshot.entries() else { panic!("{found:?}") };
    assert_eq!(entry.instance(), config.instance());
    assert_eq!(entry.check(), config.check());
    assert_eq!(entry.status(), RegistryStatus::Unknown);
    assert!(found.known && found.authoritative && !registry.runs_checks());
}

#[tokio::test]
async fn registering_an_id_again_replaces_what_it_stood_for() {
    let registry = MemoryRegistry::new();
    registry.register(&config("api", 1)).await.unwrap();
    let moved = ServiceConfig::builder("api", "127.0.0.9", 9).id("api-1").build().unwrap();
    registry.register(&moved).await.unwrap();
    let found = resolve(&registry, "api").await;
    assert_eq!(found.snapshot.len(), 1);
    assert_eq!(found.snapshot.entries()[0].instance(), moved.instance());
}

#[tokio::test]
async fn one_id_in_two_services_is_two_instances() {
    let registry = MemoryRegistry::new();
    for service in ["api", "web"] {
        let config = ServiceConfig::builder(service, "127.0.0.1", 80).id("same").build().unwrap();
        registry.register(&config).await.unwrap();
    }
    registry.deregister(&name("web"), &"same".parse().unwrap(), Part::Service).await.unwrap();
    assert_eq!(resolve(&registry, "api").await.snapshot.len(), 1);
    assert!(resolve(&registry, "web").await.snapshot.is_empty());
}

#[tokio::test]
async fn a_service_stays_known_after_its_last_instance_left() {
    let registry = MemoryRegistry::new();
    assert!(!resolve(&registry, "api").await.known);
    registry.register(&config("api", 1)).await.unwrap();
    for _ in 0..2 {
        registry.deregister(&name("api"), &id(1), Part::Service).await.unwrap();
        let found = resolve(&registry, "api").await;
        assert!(found.known && found.snapshot.is_empty());
    }
}

#[tokio::test]
async fn taking_the_service_away_takes_its_check_too_and_not_the_other_way_round() {
    let registry = MemoryRegistry::new();
    let config = config("api", 1);
    registry.register(&config).await.unwrap();
    assert_eq!(inspect(&registry, &config).await.stands(), Parts::ALL);
    registry.deregister(&name("api"), &id(1), Part::Check).await.unwrap();
    assert_eq!(inspect(&registry, &config).await.stands(), Part::Service.into());
    assert_eq!(resolve(&registry, "api").await.snapshot.entries()[0].check(), None);
    registry.register(&config).await.unwrap();
    registry.deregister(&name("api"), &id(1), Part::Service).await.unwrap();
    assert_eq!(inspect(&registry, &config).await, Standing::ABSENT);
}

#[tokio::test]
async fn an_inspection_tells_what_matches_what_differs_and_what_is_missing() {
    let registry = MemoryRegistry::new();
    let (plain, heavier) = (builder(1).build().unwrap(), builder(1).weight(9).build().unwrap());
    let unchecked = builder(1).without_check().build().unwrap();
    let other_check = builder(1).check(HealthCheck::tcp()).build().unwrap();
    assert_eq!(inspect(&registry, &plain).await, Standing::ABSENT);
    registry.register(&plain).await.unwrap();
    let standing = |service, check| Standing { service, check };
    assert_eq!(inspect(&registry, &plain).await, standing(PartState::Matches, PartState::Matches));
    assert_eq!(inspect(&registry, &heavier).await, standing(PartState::Differs, PartState::Matches));
    assert_eq!(inspect(&registry, &other_check).await, standing(PartState::Matches, PartState::Differs));
    assert_eq!(inspect(&registry, &unchecked).await, standing(PartState::Matches, PartState::Differs));
    registry.register(&unchecked).await.unwrap();
    assert_eq!(inspect(&registry, &plain).await, standing(PartState::Matches, PartState::Absent));
}

#[tokio::test]
async fn a_check_that_the_mesh_runs_is_carried_but_is_no_part_of_the_registration() {
    let registry = MemoryRegistry::new();
    let check = |path| HealthCheck::http(path).run_by(CheckRunner::Mesh).interval(Duration::from_millis(20));
    let config = builder(1).check(check("/ready")).build().unwrap();
    registry.register(&config).await.unwrap();
    let standing = inspect(&registry, &config).await;
    assert_eq!(standing.wrong(Parts::of(&config)), Parts::NONE, "{standing:?}");
    registry.deregister(&name("api"), &id(1), Part::Check).await.unwrap();
    assert_eq!(resolve(&registry, "api").await.snapshot.entries()[0].check(), config.check());
    let changed = builder(1).check(check("/alive")).build().unwrap();
    assert_eq!(inspect(&registry, &changed).await.service, PartState::Differs);
}

#[tokio::test]
async fn a_watch_begins_with_what_there_is_even_of_an_unknown_service() {
    let registry = MemoryRegistry::new();
    let mut unknown = registry.watch(&name("nobody"));
    let first = now(&mut *unknown).unwrap();
    assert!(!first.known && first.snapshot.is_empty());
    registry.register(&config("nobody", 1)).await.unwrap();
    for mut watch in [unknown, registry.watch(&name("nobody"))] {
        let seen = now(&mut *watch).unwrap();
        assert!(seen.known && seen.snapshot.len() == 1);
    }
}

#[tokio::test]
async fn changes_that_nobody_read_in_between_are_one_event() {
    let registry = MemoryRegistry::new();
    let mut watch = registry.watch(&name("api"));
    for number in 0..100 {
        registry.register(&config("api", number)).await.unwrap();
    }
    assert_eq!(now(&mut *watch).unwrap().snapshot.len(), 100);
    assert!(now(&mut *watch).is_none());
}

#[tokio::test]
async fn what_changes_nothing_wakes_nobody() {
    let registry = MemoryRegistry::new();
    registry.register(&config("api", 1)).await.unwrap();
    let mut watch = registry.watch(&name("api"));
    let _first = now(&mut *watch).unwrap();
    registry.register(&config("api", 1)).await.unwrap();
    registry.register(&config("web", 1)).await.unwrap();
    registry.deregister(&name("api"), &id(2), Part::Service).await.unwrap();
    assert!(now(&mut *watch).is_none());
}

#[tokio::test]
async fn all_readers_of_a_state_share_one_snapshot() {
    let registry = MemoryRegistry::new();
    registry.register(&config("api", 1)).await.unwrap();
    let first = resolve(&registry, "api").await.snapshot;
    assert!(Arc::ptr_eq(&first, &resolve(&registry.clone(), "api").await.snapshot));
    assert!(Arc::ptr_eq(&first, &now(&mut *registry.watch(&name("api"))).unwrap().snapshot));
    registry.register(&config("api", 2)).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &resolve(&registry, "api").await.snapshot));
}

#[tokio::test]
async fn an_operation_that_is_never_polled_does_nothing() {
    let registry = MemoryRegistry::new();
    drop(registry.register(&config("api", 1)));
    assert!(!resolve(&registry, "api").await.known);
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_no_event() {
    let registry = MemoryRegistry::new();
    let mut watch = registry.watch(&name("api"));
    let _first = now(&mut *watch).unwrap();
    {
        let mut waiting = watch.next();
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        registry.register(&config("api", 1)).await.unwrap();
        // Dropped with the event already there for it.
    }
    assert_eq!(now(&mut *watch).unwrap().snapshot.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_watch_ends_at_the_final_state_of_registrations_from_many_tasks() {
    let registry = MemoryRegistry::new();
    let watchers: Vec<_> = (0..4).map(|_| tokio::spawn(until_final(registry.watch(&name("api"))))).collect();
    let tasks: Vec<_> = (0..8_u16)
        .map(|task| {
            let registry = registry.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    registry.register(&config("api", 1 + task * 100 + number)).await.unwrap();
                    if number % 2 == 1 {
                        let gone = id(1 + task * 100 + number);
                        registry.deregister(&name("api"), &gone, Part::Service).await.unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let last = resolve(&registry, "api").await;
    assert_eq!(last.snapshot.len(), 400);
    registry.register(&config("api", LAST)).await.unwrap();
    for watcher in watchers {
        let seen = tokio::time::timeout(PATIENCE, watcher).await.expect("a watch missed the last change").unwrap();
        assert_eq!(seen, resolve(&registry, "api").await);
    }
}

#[tokio::test]
async fn ten_thousand_instances_register_one_by_one_while_somebody_follows() {
    let registry = MemoryRegistry::new();
    let follower = tokio::spawn(until_final(registry.watch(&name("api"))));
    for number in 1..=10_000 {
        registry.register(&config("api", number)).await.unwrap();
        tokio::task::yield_now().await;
    }
    registry.register(&config("api", LAST)).await.unwrap();
    let seen = tokio::time::timeout(PATIENCE, follower).await.unwrap().unwrap();
    assert_eq!(seen.snapshot.len(), 10_001);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_many_instances_lets_changes_gather() {
    let registry = MemoryRegistry::new();
    for number in 1..=2_000 {
        registry.register(&config("api", number)).await.unwrap();
    }
    let mut watch = registry.watch(&name("api"));
    assert_eq!(now(&mut *watch).unwrap().snapshot.len(), 2_000);
    registry.register(&config("api", 2_001)).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(now(&mut *watch).is_none());
    registry.register(&config("api", 2_002)).await.unwrap();
    tokio::time::advance(Duration::from_millis(2)).await;
    assert_eq!(now(&mut *watch).unwrap().snapshot.len(), 2_002);
}

#[tokio::test]
async fn a_name_beyond_the_bound_is_refused_while_all_others_are_in_use() {
    let registry = bounded(2, 10);
    registry.register(&config("api", 1)).await.unwrap();
    registry.register(&config("web", 1)).await.unwrap();
    let refused = registry.register(&config("third", 1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "not valid for this registry: service: third is one more than services_max = 2");
    assert_eq!(refused.state_changed(), StateChange::No);
    assert!(!resolve(&registry, "third").await.known);
    registry.register(&config("web", 2)).await.unwrap();
}

#[tokio::test]
async fn a_name_without_instances_makes_room_unless_somebody_follows_it() {
    let registry = bounded(2, 10);
    for service in ["api", "web"] {
        registry.register(&config(service, 1)).await.unwrap();
        registry.deregister(&name(service), &id(1), Part::Service).await.unwrap();
    }
    let mut followed = registry.watch(&name("api"));
    registry.register(&config("third", 1)).await.unwrap();
    assert!(resolve(&registry, "api").await.known);
    assert!(!resolve(&registry, "web").await.known);
    assert!(registry.register(&config("fourth", 1)).await.is_err());
    registry.register(&config("api", 2)).await.unwrap();
    assert_eq!(now(&mut *followed).unwrap().snapshot.len(), 1);
}

#[tokio::test]
async fn an_instance_beyond_the_bound_is_refused_but_one_of_those_may_be_replaced() {
    let registry = bounded(10, 2);
    registry.register(&config("api", 1)).await.unwrap();
    registry.register(&config("api", 2)).await.unwrap();
    let refused = registry.register(&config("api", 3)).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Invalid { .. }), "{refused:?}");
    assert!(refused.to_string().ends_with("id: api-3 of service api is one more than instances_max = 2"), "{refused}");
    registry.register(&builder(2).weight(7).build().unwrap()).await.unwrap();
    assert_eq!(resolve(&registry, "api").await.snapshot.len(), 2);
}

#[tokio::test]
async fn following_unknown_names_leaves_nothing_behind() {
    let registry = MemoryRegistry::new();
    let watches: Vec<_> = (0..100).map(|number| registry.watch(&name(&format!("unknown-{number}")))).collect();
    let twice = registry.watch(&name("unknown-7"));
    assert_eq!(format!("{registry:?}"), "MemoryRegistry { known: 0, followed_only: 100, .. }");
    drop(watches);
    assert_eq!(format!("{registry:?}"), "MemoryRegistry { known: 0, followed_only: 1, .. }");
    drop(twice);
    assert_eq!(format!("{registry:?}"), "MemoryRegistry { known: 0, followed_only: 0, .. }");
}

proptest! {
    #![proptest_config(same_every_time())]

    #[test]
    fn it_holds_what_a_map_would_and_every_watch_ends_there(steps in prop::collection::vec(step(), 1..60)) {
        let registry = MemoryRegistry::new();
        let mut model = BTreeMap::new();
        let mut early = registry.watch(&name("api"));
        let mut seen = None;
        for step in &steps {
            match step {
                Step::Register(number, weight) => {
                    let config = builder(*number).weight(*weight).build().unwrap();
                    ready(registry.register(&config)).unwrap();
                    model.insert(config.id().clone(), config);
                }
                Step::Deregister(number) => {
                    ready(registry.deregister(&name("api"), &id(*number), Part::Service)).unwrap();
                    model.remove(&id(*number));
                }
                Step::Read => seen = now(&mut *early).or(seen),
                Step::GiveUp => drop(early.next()),
            }
        }
        seen = now(&mut *early).or(seen);
        let held = ready(registry.resolve(&name("api"))).unwrap();
        prop_assert_eq!(seen, Some(held.clone()));
        prop_assert_eq!(now(&mut *registry.watch(&name("api"))), Some(held.clone()));
        let held: Vec<_> = held.snapshot.iter().map(|entry| entry.instance().clone()).collect();
        let mut wanted: Vec<_> = model.values().map(|config| config.instance().clone()).collect();
        wanted.sort_by(|one, other| one.key().cmp(other.key()));
        prop_assert_eq!(held, wanted);
    }
}

fn same_every_time() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Register(u16, u16),
    Deregister(u16),
    Read,
    GiveUp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u16, 0..3_u16).prop_map(|(number, weight)| Step::Register(number, weight)),
        2 => (0..6_u16).prop_map(Step::Deregister),
        1 => Just(Step::Read),
        1 => Just(Step::GiveUp),
    ]
}

/// Follows until the instance `LAST` shows, and returns that event.
async fn until_final(mut watch: Box<dyn Watch>) -> Resolution {
    loop {
        if let WatchEvent::Snapshot(seen) = watch.next().await
            && seen.snapshot.iter().any(|entry| *entry.instance().id() == id(LAST))
        {
            return seen;
        }
    }
}

/// The event that is there already, if any.
fn now(watch: &mut dyn Watch) -> Option<Resolution> {
    let event = registry_world::now(watch)?;
    let WatchEvent::Snapshot(resolution) = &event else { panic!("{event:?}") };
    Some(resolution.clone())
}

async fn resolve(registry: &MemoryRegistry, service: &str) -> Resolution {
    registry.resolve(&name(service)).await.unwrap()
}

async fn inspect(registry: &MemoryRegistry, config: &ServiceConfig) -> Standing {
    registry.inspect(config).await.unwrap()
}

fn bounded(services: usize, instances: usize) -> MemoryRegistry {
    let mut config = MemoryConfig::default();
    config.services_max = NonZeroUsize::new(services).unwrap();
    config.instances_max = NonZeroUsize::new(instances).unwrap();
    MemoryRegistry::with_config(config)
}

fn config(service: &str, number: u16) -> ServiceConfig {
    ServiceConfig::builder(service, "127.0.0.1", 8080).id(id(number)).build().unwrap()
}

fn builder(number: u16) -> ServiceConfigBuilder {
    ServiceConfig::builder("api", "127.0.0.1", 8080).id(id(number))
}

fn id(number: u16) -> InstanceId {
    format!("api-{number}").parse().unwrap()
}

const LAST: u16 = 65_000;
const PATIENCE: Duration = Duration::from_secs(30);
