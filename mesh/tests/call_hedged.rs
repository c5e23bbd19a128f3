//! Calls that send copies of what takes long, on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::call::GiveUpReason;
use mesh::mesh_retry::classify::{FinalBy, Idempotency};
use mesh::mesh_retry::hedge::HedgePolicy;
use mesh::{CallPolicy, RetryPolicy};
use support::world::{FOREVER, World, policy};
use support::{Lab, in_flight, ms, retries};

#[tokio::test(start_paused = true)]
async fn a_copy_is_sent_elsewhere_after_the_delay_and_its_answer_is_the_callers() {
    let lab = Lab::new();
    let world = World::new(&lab, 3).await;
    let reply =
        world.call(hedged(2), |_, attempt| if attempt == 1 { (FOREVER, Ok("slow")) } else { (ms(7), Ok("quick")) });
    assert_eq!(reply.await.unwrap(), "quick");
    assert_eq!(world.times(), [0, 50].map(Instant::from_millis));
    let instances = world.instances();
    assert_ne!(instances[0], instances[1]);
    assert_eq!(lab.now(), Instant::from_millis(57));
    assert_eq!(lab.notes.of("mesh.client.call.duration"), ["ok after 2"]);
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["success", "cancelled"]);
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_may_still_win_after_its_copy_was_sent() {
    let lab = Lab::new();
    let world = World::new(&lab, 3).await;
    let reply =
        world.call(hedged(2), |_, attempt| if attempt == 1 { (ms(60), Ok("first")) } else { (ms(30), Ok("copy")) });
    assert_eq!(reply.await.unwrap(), "first");
    assert_eq!(lab.now(), Instant::from_millis(60));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_made_good_by_the_copy_that_is_under_way() {
    let lab = Lab::new();
    let world = World::new(&lab, 3).await;
    let reply =
        world.call(hedged(2), |_, attempt| if attempt == 1 { (ms(55), Err("no")) } else { (ms(30), Ok("yes")) });
    assert_eq!(reply.await.unwrap(), "yes");
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["failure", "success"]);
}

#[tokio::test(start_paused = true)]
async fn every_copy_that_takes_too_long_is_given_up_and_the_call_is_retried() {
    let lab = Lab::new();
    let world = World::new(&lab, 4).await;
    let mut retry = hedging(2);
    retry.attempt_timeout = Some(ms(80));
    let reply =
        world.call(policy(retry), |_, attempt| if attempt <= 2 { (FOREVER, Ok("slow")) } else { (ms(1), Ok("yes")) });
    assert_eq!(reply.await.unwrap(), "yes");
    // The copy began at 50 ms and ends at 130 ms; the retry waits for 100 ms.
    assert_eq!(world.times(), [0, 50, 230].map(Instant::from_millis));
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["timed-out", "timed-out", "success"]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_all_copies() {
    let lab = Lab::new();
    let world = World::new(&lab, 4).await;
    let mut retry = hedging(3);
    retry.deadline = Some(ms(120));
    let error = world.call(policy(retry), |_, _| (FOREVER, Ok("slow"))).await.unwrap_err();
    assert_eq!(error.attempts(), 3);
    assert_eq!(lab.now(), Instant::from_millis(120));
    assert!(error.to_string().contains("the deadline of 120ms has passed"), "{error}");
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_takes_every_copy_along() {
    let lab = Lab::new();
    let world = World::new(&lab, 4).await;
    let call = world.call(hedged(3), |_, _| (FOREVER, Ok("slow")));
    assert!(tokio::time::timeout(ms(70), call).await.is_err());
    assert_eq!(world.instances().len(), 2);
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_repeated_is_sent_once() {
    let lab = Lab::new();
    let world = World::new(&lab, 3).await;
    let policy = hedged(2).idempotency(Idempotency::NotIdempotent);
    let error = world.call(policy, |_, _| (ms(200), Err("no"))).await.unwrap_err();
    assert_eq!(world.times(), [Instant::ZERO]);
    assert!(
        matches!(
            error,
            mesh::CallError::GaveUp { reason: GiveUpReason::Final { by: FinalBy::Idempotency }, attempts: 1, .. }
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_a_service_is_shared_by_its_calls() {
    let mut lab = Lab::new();
    lab.config.calls = mesh::CallsConfig::default();
    let world = Arc::new(World::new(&lab, 2).await);
    let (attempts, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    for _ in 0..100 {
        let error = world.call(policy(retries(3)), |_, _| (ms(0), Err("no"))).await.unwrap_err();
        attempts.fetch_add(error.attempts(), Ordering::Relaxed);
        if matches!(error, mesh::CallError::GaveUp { reason: GiveUpReason::Budget(_), .. }) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (attempts, refused) = (attempts.into_inner(), refused.into_inner());
    // Ten at once, a fifth of the calls, and one in ten seconds of waiting.
    let most = 100 + 10 + 20 + u32::try_from(lab.now().as_nanos() / 10_000_000_000).unwrap() + 1;
    assert!((126..=most).contains(&attempts), "{attempts} of {most}");
    assert!(refused > 80, "{refused}");
}

fn hedged(copies: u32) -> CallPolicy {
    policy(hedging(copies))
}

/// Three attempts without jitter, each with so many copies 50 ms apart.
fn hedging(copies: u32) -> RetryPolicy {
    let mut retry = retries(3);
    let mut hedge = HedgePolicy::after(ms(50));
    hedge.attempts_max = NonZeroU32::new(copies).unwrap();
    retry.hedge = Some(hedge);
    retry
}
