//! `get_service_with_cache`: the healthy instances with the age, freshness and source of that knowledge, while the
//! registry is heard, after it was lost, and while its word is doubted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh::{CachedService, PickError, ServiceMesh, Source};
use mesh_core::discovery::Freshness;

use support::logs::Logs;
use support::registry::{Hearing, unreachable};
use support::{Lab, api, healthy, number_of, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn what_the_registry_says_now_is_live_and_ages_from_the_moment_it_was_said() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let first = cached(&mesh).await;
    assert_eq!((first.freshness, first.source, first.age), (Freshness::Live, Source::Watch, secs(0)));
    pass(secs(7)).await;
    assert_eq!(cached(&mesh).await.age, secs(7));
    lab.registry.put(&api(3)).await;
    settle().await;
    let changed = cached(&mesh).await;
    assert_eq!((numbers(&changed), changed.age), (vec![1, 2, 3], secs(0)));
}

#[tokio::test(start_paused = true)]
async fn after_the_registry_was_lost_the_last_good_list_is_served_with_its_age() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let began = lab.now();
    cached(&mesh).await;
    pass(secs(2)).await;
    lab.registry.watches_are(Hearing::Lost(unreachable()));
    pass(secs(3600)).await;
    let stale = cached(&mesh).await;
    assert_eq!(numbers(&stale), [1, 2]);
    assert_eq!(stale.freshness, Freshness::Stale { since: began + secs(2) });
    assert_eq!((stale.source, stale.age), (Source::LastKnownGood, secs(3602)));
    assert!(mesh.get_service_instance("api").await.is_ok(), "requests are placed all the while");

    lab.registry.watches_are(Hearing::Clear);
    settle().await;
    let again = cached(&mesh).await;
    assert_eq!((again.freshness, again.source, again.age), (Freshness::Live, Source::Watch, secs(0)));
}

#[tokio::test(start_paused = true)]
async fn every_loss_of_the_registry_is_logged_once_with_its_reason() {
    let (logs, _listening) = Logs::listen();
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    cached(&mesh).await;
    for losses in 1..=3 {
        lab.registry.watches_are(Hearing::Lost(unreachable()));
        pass(secs(60)).await;
        let text = logs.text();
        assert_eq!(text.matches("registry lost").count(), losses, "{text}");
        assert!(text.contains("service=api error=RegistryError(the registry cannot be reached"), "{text}");
        lab.registry.watches_are(Hearing::Clear);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_the_registry_was_lost_is_seen_when_it_is_back() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    cached(&mesh).await;
    lab.registry.watches_are(Hearing::Lost(unreachable()));
    settle().await;
    lab.registry.lose(&api(1)).await;
    lab.registry.put(&api(3)).await;
    settle().await;
    assert_eq!(numbers(&cached(&mesh).await), [1, 2]);
    lab.registry.watches_are(Hearing::Clear);
    settle().await;
    assert_eq!(numbers(&cached(&mesh).await), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_sudden_void_from_a_registry_that_may_be_wrong_is_doubted_for_a_while() {
    let lab = Lab::new();
    lab.registry.become_uncertain();
    let mesh = lab.mesh_with(2).await;
    let began = lab.now();
    cached(&mesh).await;
    for number in [1, 2] {
        lab.registry.lose(&api(number)).await;
    }
    pass(secs(29)).await;
    let doubted = cached(&mesh).await;
    assert_eq!(numbers(&doubted), [1, 2]);
    assert_eq!((doubted.freshness, doubted.source), (Freshness::Doubted { since: began }, Source::LastKnownGood));
    pass(secs(2)).await;
    let error = mesh.get_service_with_cache("api").await.unwrap_err();
    assert_eq!(error.pick(), Some(PickError::NoneRegistered));
}

#[tokio::test(start_paused = true)]
async fn a_void_that_is_filled_again_was_never_believed() {
    let lab = Lab::new();
    lab.registry.become_uncertain();
    let mesh = lab.mesh_with(1).await;
    cached(&mesh).await;
    lab.registry.lose(&api(1)).await;
    pass(secs(20)).await;
    lab.registry.put(&api(2)).await;
    settle().await;
    let filled = cached(&mesh).await;
    assert_eq!((numbers(&filled), filled.freshness), (vec![2], Freshness::Live));
    pass(secs(60)).await;
    assert_eq!(numbers(&cached(&mesh).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_void_from_a_registry_whose_word_is_certain_is_believed_at_once() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    cached(&mesh).await;
    lab.registry.lose(&api(1)).await;
    settle().await;
    assert!(healthy(&mesh, "api").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_questions_follow_the_registry_once() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let askers: Vec<_> = (0..1000)
        .map(|_| {
            let mesh = mesh.clone();
            tokio::spawn(async move { mesh.get_service_with_cache("api").await.unwrap() })
        })
        .collect();
    for asker in askers {
        assert_eq!(numbers(&asker.await.unwrap()), [1]);
    }
    assert_eq!(lab.registry.watches(), 1);
}

async fn cached(mesh: &ServiceMesh) -> CachedService {
    mesh.get_service_with_cache("api").await.unwrap()
}

fn numbers(service: &CachedService) -> Vec<u16> {
    service.instances.iter().map(|instance| number_of(instance)).collect()
}
