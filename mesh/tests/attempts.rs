//! What an attempt knows of itself and tells its callee, on paused time; and budgets that are a policy's own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::mesh_core::recorder::{Measurement, Recorder};
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::budget::{Budget, BudgetConfig, TokenBucketConfig};
use mesh::mesh_retry::call::{AttemptKind, GiveUpReason};
use mesh::mesh_retry::deadline::Deadline;
use mesh::mesh_retry::hedge::HedgePolicy;
use mesh::{Attempt, CallError, CallPolicy, Instance, RetryPolicy, ServiceMesh};
use support::registry::Hearing;
use support::world::{FOREVER, World, policy};
use support::{Lab, ms, pass, retries, secs};

#[tokio::test(start_paused = true)]
async fn an_attempt_knows_its_number_and_what_made_it_necessary() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(4).await;
    let seen = run(&mesh, &policy(retries(3)), |_| ms(0)).await;
    assert_eq!(seen, [(1, AttemptKind::First), (2, AttemptKind::Retry), (3, AttemptKind::Retry)]);
    let mut retry = retries(2);
    let mut hedge = HedgePolicy::after(ms(50));
    hedge.attempts_max = NonZeroU32::new(2).unwrap();
    retry.hedge = Some(hedge);
    let seen = run(&mesh, &policy(retry), |_| ms(80)).await;
    let kinds = [AttemptKind::First, AttemptKind::Hedge, AttemptKind::Retry, AttemptKind::Hedge];
    assert_eq!(seen, [(1, kinds[0]), (2, kinds[1]), (3, kinds[2]), (4, kinds[3])]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_its_instance_wherever_one_is_wanted() {
    fn port_of(instance: &Instance) -> u16 {
        instance.port()
    }
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let policy = CallPolicy::default();
    let reply = mesh.call("api", &policy, |attempt| {
        assert_eq!((port_of(&attempt), attempt.as_ref().port()), (attempt.port(), attempt.port()));
        assert!(Arc::ptr_eq(attempt.instance(), &Arc::from(attempt.clone())));
        let shown = format!("{attempt:?}");
        assert!(shown.starts_with("Attempt { number: 1, kind: First,") && shown.len() < 1000, "{shown}");
        async move { Ok::<_, &str>(attempt.into_instance()) }
    });
    assert_eq!(reply.await.unwrap().authority(), format!("127.0.0.1:{}", support::port(1)));
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_the_time_left_when_it_is_asked_and_never_more() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    let mut retry = RetryPolicy::never();
    (retry.deadline, retry.attempt_timeout) = (Some(secs(1)), Some(ms(200)));
    let told = Mutex::new(Vec::new());
    let policy = policy(retry);
    let call = mesh.call("api", &policy, |attempt| {
        let told = &told;
        async move {
            for wait in [Duration::ZERO, Duration::from_micros(149_999), Duration::from_micros(50_000)] {
                tokio::time::sleep(wait).await;
                told.lock().unwrap().push((mesh_texts(&attempt), grpc_texts(&attempt)));
            }
            assert_eq!(attempt.deadline(), Deadline::at(Instant::from_millis(200)));
            std::future::pending::<Result<(), &str>>().await
        }
    });
    call.await.unwrap_err();
    assert_eq!(lab.now(), Instant::from_millis(200));
    // Tokio's timers have milliseconds: waits end at the next one.
    let told = told.into_inner().unwrap();
    let expected = [("200", "200000u"), ("50", "50000000n"), ("0", "0n")];
    for (told, (mesh, grpc)) in told.iter().zip(expected) {
        assert_eq!(told.0, [format!("mesh-remaining-ms: {mesh}"), "mesh-attempt: 1".to_owned()]);
        assert_eq!(told.1, [format!("grpc-timeout: {grpc}")]);
    }
    assert!(told.len() >= 2, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_deadline_tells_its_number_alone() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let mut retry = retries(2);
    retry.deadline = None;
    let told = Mutex::new(Vec::new());
    let policy = policy(retry);
    let call = mesh.call("api", &policy, |attempt| {
        assert_eq!((attempt.deadline(), attempt.remaining()), (Deadline::NEVER, None));
        told.lock().unwrap().extend(mesh_texts(&attempt).into_iter().chain(grpc_texts(&attempt)));
        async { Err::<(), _>("no") }
    });
    call.await.unwrap_err();
    assert_eq!(told.into_inner().unwrap(), ["mesh-attempt: 1", "mesh-attempt: 2", "grpc-previous-rpc-attempts: 1"]);
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_the_registry_was_waited_for_is_not_given_a_second_time() {
    for hedge in [None, Some(HedgePolicy::after(secs(100)))] {
        let lab = Lab::new();
        let mesh = lab.mesh_with(1).await;
        lab.registry.watches_are(Hearing::Silent);
        let mut retry = retries(3);
        (retry.deadline, retry.hedge) = (Some(secs(4)), hedge);
        let call = tokio::spawn(async move {
            let policy = policy(retry);
            let call = mesh.call("api", &policy, |attempt| async move {
                let left = attempt.remaining().unwrap();
                assert!(left <= secs(1), "{left:?}");
                std::future::pending::<Result<(), &str>>().await
            });
            call.await.unwrap_err().to_string()
        });
        pass(secs(3)).await;
        lab.registry.watches_are(Hearing::Clear);
        let error = call.await.unwrap();
        assert_eq!(lab.now(), Instant::from_millis(4000));
        assert!(error.contains("the deadline of 4s has passed"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_must_be_over_sooner_than_its_policy_says_is() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let mut retry = retries(3);
    retry.deadline = Some(secs(10));
    let at = |millis| Deadline::at(Instant::from_millis(millis));
    // Of several the earliest counts, and a later one than the policy's changes nothing.
    let sooner = policy(retry).deadline_at(at(300)).deadline_at(at(700)).deadline_at(Deadline::NEVER);
    let error = world.call(sooner.clone(), |_, _| (FOREVER, Ok("never"))).await.unwrap_err();
    assert!(error.to_string().contains("the deadline of 300ms has passed"), "{error}");
    assert_eq!(lab.now(), Instant::from_millis(300));
    let error = world.call(policy(retry).deadline_at(at(60_000)), |_, _| (FOREVER, Ok("never"))).await.unwrap_err();
    assert!(error.to_string().contains("the deadline of 10s has passed"), "{error}");
    assert_eq!(lab.now(), Instant::from_millis(10_300));
    // Its time is over for good.
    let error =
        world.call(sooner.classify(|_: &_| mesh::Class::Success), |_, _| (ms(0), Ok("late"))).await.unwrap_err();
    let over = GiveUpReason::DeadlineExceeded { deadline: Duration::ZERO };
    assert!(matches!(error, CallError::GaveUp { reason, attempts: 0, .. } if reason == over), "{error}");
    assert_eq!(world.instances().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_policy_with_a_budget_of_its_own_spends_that_and_not_the_services() {
    let mut lab = Lab::new();
    lab.config.calls.budget = Some(bucket(2));
    let levels = Levels::default();
    let _ = lab.mesh_with(2).await;
    let world = World::of(&lab, lab.builder().recorder(levels.clone()).build().await.unwrap());
    let own: Arc<dyn Budget> = bucket(5).build();
    let paid = policy(retries(3)).budget(Arc::clone(&own));
    let attempts = async |policy: &CallPolicy| {
        let error = world.call(policy.clone(), |_, _| (ms(0), Err("no"))).await.unwrap_err();
        (error.attempts(), matches!(error, CallError::GaveUp { reason: GiveUpReason::Budget(_), .. }))
    };
    // Clones share it, whatever they classify by.
    let classed = paid.clone().classify(|_: &_| mesh::Class::Transient);
    let error = world.call(classed, |_, _| (ms(0), Err("no"))).await.unwrap_err();
    assert_eq!((error.attempts(), own.level(lab.now()).has_milli), (3, 3000));
    assert_eq!(attempts(&paid).await, (3, false));
    assert_eq!(attempts(&paid).await, (2, true));
    assert_eq!(own.level(lab.now()).has_milli, 0);
    // Each retry, and each end of a call that wanted one more.
    assert_eq!(levels.take(), [4000, 3000, 3000, 2000, 1000, 1000, 0, 0]);
    assert_eq!(attempts(&policy(retries(3))).await, (3, false), "the service's is untouched");
    assert_eq!(attempts(&policy(retries(3))).await, (1, true));
    assert_eq!(levels.take(), [1000, 0, 0, 0]);
}

/// The levels of the budgets that were asked for more attempts, as the recorder is told of them.
#[derive(Clone, Debug, Default)]
struct Levels(Arc<Mutex<Vec<u32>>>);

impl Levels {
    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Recorder for Levels {
    fn record(&self, measurement: &Measurement<'_>) {
        if let Measurement::ExtraAttempt { budget_milli, .. } = measurement {
            self.0.lock().unwrap().extend(budget_milli);
        }
    }
}

/// Makes a call whose attempts all fail after `takes`, and says what each was.
async fn run(mesh: &ServiceMesh, policy: &CallPolicy, takes: impl Fn(u32) -> Duration) -> Vec<(u32, AttemptKind)> {
    let seen = Mutex::new(Vec::new());
    let call = mesh.call("api", policy, |attempt| {
        seen.lock().unwrap().push((attempt.number(), attempt.kind()));
        let takes = takes(attempt.number());
        async move {
            tokio::time::sleep(takes).await;
            Err::<(), _>("no")
        }
    });
    call.await.unwrap_err();
    seen.into_inner().unwrap()
}

fn mesh_texts(attempt: &Attempt) -> Vec<String> {
    attempt.headers().map(|(name, value)| format!("{name}: {value}")).collect()
}

fn grpc_texts(attempt: &Attempt) -> Vec<String> {
    attempt.grpc_headers().map(|(name, value)| format!("{name}: {value}")).collect()
}

/// So many attempts, and none after them.
fn bucket(burst: u32) -> BudgetConfig {
    let mut bucket = TokenBucketConfig::default();
    (bucket.ratio_milli, bucket.per_second_milli, bucket.burst_milli) = (0, 0, burst * 1000);
    BudgetConfig::TokenBucket(bucket)
}
