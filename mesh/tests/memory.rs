//! What a mesh remembers of services, for a start while the registry cannot be asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh::mesh_cache::MemoryTier;
use mesh::mesh_cache::codec::JsonCodec;
use mesh::mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh::mesh_core::discovery::Freshness;
use mesh::mesh_core::snapshot::RegistryStatus;
use mesh::{CachedService, ServiceError, ServiceMesh, ServiceMeshBuilder, Source};
use support::registry::{Answer, Hearing, unreachable};
use support::{Lab, api, pass, secs};

const GRACE: Duration = Duration::from_secs(1);

fn sealer() -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; SealKey::BYTES]).unwrap()))
}

/// A mesh that shares `tier` with others.
async fn sharing(lab: &Lab, tier: &MemoryTier) -> ServiceMesh {
    builder(lab, tier).build().await.unwrap()
}

fn builder(lab: &Lab, tier: &MemoryTier) -> ServiceMeshBuilder {
    lab.builder().second_tier(tier.another()).seal(sealer())
}

fn tier(lab: &Lab) -> MemoryTier {
    MemoryTier::new(Arc::new(lab.clock))
}

async fn cached(mesh: &ServiceMesh) -> CachedService {
    mesh.get_service_with_cache("api").await.unwrap()
}

fn ids(service: &CachedService) -> Vec<String> {
    service.instances.iter().map(|instance| instance.id().to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_without_its_registry_is_served_what_the_fleet_remembers() {
    let lab = Lab::new();
    let tier = tier(&lab);
    let first = sharing(&lab, &tier).await;
    for number in [1, 2] {
        lab.registry.put(&api(number)).await;
    }
    assert_eq!(cached(&first).await.source, Source::Watch);
    pass(secs(20)).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    let second = sharing(&lab, &tier).await;
    let began = lab.now();
    let served = cached(&second).await;
    let waited = lab.now().since(began);
    assert!(waited < Duration::from_millis(100), "who is refused need not wait: {waited:?}");
    assert_eq!((ids(&served), served.source), (vec!["api-1".to_owned(), "api-2".to_owned()], Source::SecondTier));
    assert!(matches!(served.freshness, Freshness::Recalled { .. }), "{served:?}");
    assert!((Duration::from_millis(19_999)..Duration::from_secs(21)).contains(&served.age), "{served:?}");
    assert!(second.get_service_instance("api").await.is_ok(), "it is picked from");
    lab.registry.everything_is(&Answer::Truly);
    lab.registry.put(&api(3)).await;
    pass(secs(5)).await;
    let served = cached(&second).await;
    assert_eq!((served.instances.len(), served.source, served.age <= secs(6)), (3, Source::Watch, true));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_only_hangs_is_waited_for_a_moment() {
    let lab = Lab::new();
    let tier = tier(&lab);
    let first = lab_with_one(&lab, &tier).await;
    lab.registry.watches_are(Hearing::Silent);
    let second = sharing(&lab, &tier).await;
    let began = lab.now();
    assert_eq!(cached(&second).await.source, Source::SecondTier);
    let waited = lab.now().since(began);
    assert!((300..400).contains(&waited.as_millis()), "{waited:?}");
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn without_a_memory_a_silent_registry_is_an_error_as_before() {
    let lab = Lab::new();
    lab.registry.everything_is(&Answer::No(unreachable()));
    let mesh = sharing(&lab, &tier(&lab)).await;
    let error = mesh.get_service_with_cache("api").await.unwrap_err();
    assert!(matches!(error, ServiceError::Registry { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_another_key_and_everything_without_one() {
    let lab = Lab::new();
    let tier = tier(&lab);
    let _first = lab_with_one(&lab, &tier).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    let other = Sealer::with_keys(KeyRing::new(SealKey::new(1, &[8; SealKey::BYTES]).unwrap()));
    let stranger = lab.builder().second_tier(tier.another()).seal(other).build().await.unwrap();
    assert!(stranger.get_service_with_cache("api").await.is_err());
    // Where nobody seals, a hint is better than nothing while the registry is away.
    let lab = Lab::new();
    let tier = MemoryTier::new(Arc::new(lab.clock));
    lab.registry.put(&api(1)).await;
    let first = lab.builder().second_tier(tier.another()).build().await.unwrap();
    cached(&first).await;
    pass(secs(1)).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    let second = lab.builder().second_tier(tier.another()).build().await.unwrap();
    assert_eq!(cached(&second).await.source, Source::SecondTier);
}

#[tokio::test(start_paused = true)]
async fn who_was_ill_long_ago_is_tried_and_who_was_taken_out_is_not() {
    let lab = Lab::new();
    let tier = tier(&lab);
    lab.registry.put(&api(1)).await;
    lab.registry.put_as(&api(2), RegistryStatus::Critical).await;
    lab.registry.put_as(&api(3), RegistryStatus::Maintenance).await;
    let first = sharing(&lab, &tier).await;
    assert_eq!(ids(&cached(&first).await), ["api-1"]);
    pass(secs(2)).await;
    first.shutdown(GRACE).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    let soon = sharing(&lab, &tier).await;
    assert_eq!(ids(&cached(&soon).await), ["api-1"], "a list of just now says who is ill");
    pass(secs(120)).await;
    let later = sharing(&lab, &tier).await;
    assert_eq!(ids(&cached(&later).await), ["api-1", "api-2"], "nobody knows any more");
}

#[tokio::test(start_paused = true)]
async fn a_start_with_everything_down_finds_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.snapshot");
    let lab = Lab::new();
    lab.registry.put(&api(1)).await;
    let first = lab.builder().snapshot(&path).seal(sealer()).build().await.unwrap();
    cached(&first).await;
    pass(secs(31)).await;
    assert!(path.exists(), "it is written though nothing changed");
    lab.registry.put(&api(2)).await;
    pass(secs(1)).await;
    first.shutdown(GRACE).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    let second = lab.builder().snapshot(&path).seal(sealer()).build().await.unwrap();
    let served = cached(&second).await;
    assert_eq!((served.instances.len(), served.source), (2, Source::Disk), "it is written at the end as well");
    assert!(served.age < Duration::from_secs(10), "{served:?}");
    let stranger = lab.builder().snapshot(&path).build().await.unwrap();
    assert!(stranger.get_service_with_cache("api").await.is_err(), "sealed, it says nothing without the key");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_or_written_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.snapshot");
    std::fs::write(&path, "garbage").unwrap();
    let lab = Lab::new();
    lab.registry.put(&api(1)).await;
    for path in [path, directory.path().join("no/such/directory")] {
        let mesh = lab.builder().snapshot(&path).build().await.unwrap();
        assert_eq!(cached(&mesh).await.source, Source::Watch);
        pass(secs(31)).await;
        assert!(mesh.shutdown(GRACE).await.is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_comes_and_goes_is_not_noticed_by_those_who_call() {
    let lab = Lab::new();
    let tier = tier(&lab);
    tier.set_away(true);
    lab.registry.put(&api(1)).await;
    let mesh = sharing(&lab, &tier).await;
    assert_eq!(cached(&mesh).await.source, Source::Watch);
    tier.set_away(false);
    pass(secs(31)).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    let second = sharing(&lab, &tier).await;
    assert_eq!(cached(&second).await.source, Source::SecondTier, "what did not change is kept every so often");
}

#[tokio::test(start_paused = true)]
async fn a_cache_of_ones_own_shares_the_tier_of_the_mesh() {
    let lab = Lab::new();
    let tier = tier(&lab);
    let (one, two) = (sharing(&lab, &tier).await, sharing(&lab, &tier).await);
    let [one, two] = [one, two].map(|mesh| mesh.cache::<u32>("prices", JsonCodec::new(1)).build().unwrap());
    let key = mesh::mesh_cache::Key::new("bread").unwrap();
    pass(secs(1)).await;
    let found = |price| move || async move { Ok::<_, std::io::Error>(mesh::mesh_cache::Found::new(price)) };
    one.get_or_load(&key, found(3)).await.unwrap();
    pass(secs(1)).await;
    assert_eq!(two.get_or_load(&key, found(99)).await.unwrap().value.as_deref(), Some(&3));
}

/// A mesh that remembered instance 1, which the registry holds.
async fn lab_with_one(lab: &Lab, tier: &MemoryTier) -> ServiceMesh {
    lab.registry.put(&api(1)).await;
    let first = sharing(lab, tier).await;
    cached(&first).await;
    pass(secs(1)).await;
    first
}
