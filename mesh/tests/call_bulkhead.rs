//! The bulkhead of a service: who finds no room waits in order, until his deadline at most, and no place is ever lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mesh::mesh_core::rng::Rng;
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::limit::bulkhead::{BulkheadConfig, Refusal};
use mesh::{Attempt, CallError, CallPolicy, RetryPolicy, ServiceMesh};

use support::world::{FOREVER, World, policy};
use support::{Lab, ms, retries, secs, settle};

const QUEUE: &str = "mesh.client.queue.duration";

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_says_why() {
    let (lab, world) = world(1, 1).await;
    let calls = async { tokio::join!(call(&world, ms(50)), call(&world, ms(50)), call(&world, ms(50))) };
    let (first, second, third) = calls.await;
    let error = third.unwrap_err();
    let CallError::NotAdmitted { reason } = &error else { panic!("{error}") };
    assert_eq!(*reason, Refusal::QueueFull { waiting_max: 1, retry_at: None });
    assert_eq!(error.to_string(), "not let in: 1 calls wait already");
    assert!(error.is_transient() && error.attempts() == 0 && error.last().is_none());
    assert_eq!((first.unwrap(), second.unwrap(), lab.now()), ("yes", "yes", Instant::from_millis(100)));
    let noted = lab.notes.of(QUEUE);
    assert_eq!(noted, ["admitted after 0ns", "bulkhead-queue-full after 0ns", "admitted after 50ms"]);
    assert_eq!(lab.notes.of("mesh.client.call.duration")[0], "bulkhead-queue-full after 0");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_let_in_in_order_and_a_place_lasts_as_long_as_the_call_and_its_retries() {
    let (lab, world) = world(1, 9).await;
    let order = AtomicU32::new(0);
    let turn = async |takes| {
        call(&world, takes).await.unwrap();
        (order.fetch_add(1, Ordering::Relaxed), lab.now())
    };
    // The first fails once and waits for 100 ms before its retry, all of it inside.
    let first = world.call(policy(retries(2)), |_, made| (ms(10), if made == 1 { Err("no") } else { Ok("yes") }));
    let (first, a, b, c) = tokio::join!(first, turn(ms(10)), turn(ms(10)), turn(ms(10)));
    assert_eq!(first.unwrap(), "yes");
    let at = |millis| Instant::from_millis(millis);
    assert_eq!([a, b, c], [(0, at(130)), (1, at(140)), (2, at(150))]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_while_a_call_waits_and_what_is_left_is_the_attempts() {
    let (lab, world) = world(1, 9).await;
    let mut hurried = RetryPolicy::never();
    hurried.deadline = Some(ms(30));
    let (mut patient, late) = (hurried, world.call(policy(hurried), |_, _| (ms(0), Ok("yes"))));
    patient.deadline = Some(ms(60));
    let third = async {
        let error = world.call(policy(patient), |_, _| (FOREVER, Ok("never"))).await.unwrap_err();
        (error.attempts(), lab.now())
    };
    let (_, late, third) = tokio::join!(call(&world, ms(40)), late, third);
    let CallError::NotAdmitted { reason } = late.unwrap_err() else { panic!("it was late") };
    assert_eq!(reason, Refusal::DeadlinePassed { waited: ms(30) });
    assert_eq!(third, (1, Instant::from_millis(60)), "it went in at 40 ms and had 20 ms left");
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_as_long_as_anybody_may_is_let_go_at_that_time() {
    let (lab, world) = world(1, 9).await;
    let waits = async {
        let CallError::NotAdmitted { reason } = call(&world, ms(0)).await.unwrap_err() else {
            panic!("it had no place")
        };
        (reason, lab.now())
    };
    let (_, (reason, at)) = tokio::join!(call(&world, secs(3)), waits);
    assert!(matches!(reason, Refusal::WaitedTooLong { .. }), "{reason}");
    assert_eq!(at, Instant::from_millis(1000));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_is_forgotten_and_those_behind_move_up() {
    let (lab, world) = world(1, 2).await;
    let leaves = async {
        let left = tokio::time::timeout(ms(10), call(&world, ms(0))).await.is_err();
        assert!(left && lab.notes.of(QUEUE).contains(&"cancelled after 10ms".to_owned()));
        // The place in the queue is free again.
        call(&world, ms(10)).await.unwrap();
        lab.now()
    };
    let behind = async {
        call(&world, ms(10)).await.unwrap();
        lab.now()
    };
    let (_, last, behind) = tokio::join!(call(&world, ms(50)), leaves, behind);
    assert_eq!((behind, last), (Instant::from_millis(60), Instant::from_millis(70)));
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_caller_who_leaves_in_the_middle_of_an_attempt_goes_to_the_next() {
    let (lab, world) = world(1, 1).await;
    let leaves = tokio::time::timeout(ms(20), call(&world, FOREVER));
    let (left, next) = tokio::join!(leaves, call(&world, ms(5)));
    assert!(left.is_err());
    assert_eq!((next.unwrap(), lab.now()), ("yes", Instant::from_millis(25)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_or_made_while_a_hundred_tasks_come_and_leave_at_random() {
    let mut lab = Lab::new();
    lab.config.calls.bulkhead = Some(bulkhead(4, 40));
    let mesh = lab.mesh_with(2).await;
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..100)
        .map(|task| tokio::spawn(come_and_leave(mesh.clone(), task, Arc::clone(&inside), Arc::clone(&most))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((inside.load(Ordering::Relaxed), most.load(Ordering::Relaxed)), (0, 4));
    // All four places are there, and no fifth.
    let world = World::of(&lab, mesh);
    let five = async { tokio::join!(hang(&world), hang(&world), hang(&world), hang(&world), hang(&world)) };
    assert!(tokio::time::timeout(ms(300), five).await.is_err());
    assert_eq!(world.instances().len(), 4);
}

/// Counts itself inside for as long as it is there.
struct Inside(Arc<AtomicU32>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn come_and_leave(mesh: ServiceMesh, task: u64, inside: Arc<AtomicU32>, most: Arc<AtomicU32>) {
    let (mut rng, policy) = (Rng::from_seed(task), CallPolicy::new(RetryPolicy::never()).unwrap());
    for _ in 0..20 {
        let takes = Duration::from_micros(rng.below(2_000));
        let attempt = |_: Attempt| {
            let count = inside.fetch_add(1, Ordering::Relaxed) + 1;
            most.fetch_max(count, Ordering::Relaxed);
            let guard = Inside(Arc::clone(&inside));
            async move {
                tokio::time::sleep(takes).await;
                drop(guard);
                Ok::<_, &str>(())
            }
        };
        let patience = Duration::from_micros(rng.below(6_000));
        let _ = tokio::time::timeout(patience, mesh.call("api", &policy, attempt)).await;
    }
    settle().await;
}

async fn hang(world: &World) {
    let _ = call(world, FOREVER).await;
}

async fn call(world: &World, takes: Duration) -> Result<&'static str, CallError<&'static str>> {
    world.call(policy(RetryPolicy::never()), |_, _| (takes, Ok("yes"))).await
}

async fn world(concurrent: u32, waiting: u32) -> (Lab, World) {
    let mut lab = Lab::new();
    lab.config.calls.bulkhead = Some(bulkhead(concurrent, waiting));
    let world = World::new(&lab, 2).await;
    // So that calls wait for nothing else, and come in the order in which they are made.
    world.mesh.get_service("api").await.unwrap();
    (lab, world)
}

fn bulkhead(concurrent: u32, waiting: u32) -> BulkheadConfig {
    let mut bulkhead = BulkheadConfig::default();
    (bulkhead.concurrent_max, bulkhead.waiting_max) = (NonZeroU32::new(concurrent).unwrap(), waiting);
    bulkhead
}
