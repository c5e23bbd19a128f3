//! Breakers of the instances, one each: what is open is passed over, where all are the call waits or gives up, and a probe
//! is never lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::breaker::{BreakerConfig, OpenJitter, ProbeRule};
use mesh::mesh_retry::call::GiveUpReason;
use mesh::mesh_retry::classify::class_of_status;
use mesh::{Attempt, CallError, CallPolicy, Class, MeshConfig, RetryPolicy, ServiceMesh, Strategy};

use support::backend::Backend;
use support::world::{FOREVER, World, policy};
use support::{Lab, api, eventually, ms, plain, retries, secs, settle};

const EXTRA: &str = "mesh.client.extra_attempts";
const OPENED: &str = "closed to open by failures-in-row";

#[tokio::test(start_paused = true)]
async fn an_instance_that_fails_is_passed_over_until_its_time_is_over_and_no_call_needs_a_retry_meanwhile() {
    let lab = lab();
    let world = World::new(&lab, 3).await;
    let is_ill = |number| if number == 2 { Err("no") } else { Ok("yes") };
    let mut failed = 0;
    while lab.notes.of("mesh.client.breaker.transitions").is_empty() {
        failed +=
            usize::from(world.call(policy(RetryPolicy::never()), |number, _| (ms(0), is_ill(number))).await.is_err());
    }
    assert_eq!((failed, lab.notes.of("mesh.client.breaker.transitions")), (2, vec![format!("api-2: {OPENED}")]));
    let before = world.instances().len();
    for _ in 0..99 {
        world.call(policy(RetryPolicy::never()), |number, _| (ms(10), is_ill(number))).await.unwrap();
    }
    let later = world.instances().split_off(before);
    assert!(later.len() == 99 && !later.contains(&2), "{later:?}");
    assert!([1, 3].iter().all(|number| later.iter().filter(|at| *at == number).count() > 25), "{later:?}");
    // The open time is over, and the one probe finds it well.
    tokio::time::sleep(ms(10)).await;
    for _ in 0..40 {
        world.call(policy(RetryPolicy::never()), |_, _| (ms(0), Ok("yes"))).await.unwrap();
    }
    assert!(world.instances()[before + 99..].contains(&2));
    let told = lab.notes.of("mesh.client.breaker.transitions");
    assert_eq!(
        told[1..],
        ["api-2: open to half-open by open-time-over", "api-2: half-open to closed by probes-passed"]
    );
}

#[tokio::test(start_paused = true)]
async fn where_all_are_open_a_call_waits_for_the_first_and_for_a_draw_on_top() {
    let (lab, world) = all_open(2).await;
    let (opened, before, extra) = (lab.now(), world.times().len(), lab.notes.of(EXTRA).len());
    let reply = world.call(policy(retries(2)), |_, _| (ms(0), Ok("yes"))).await.unwrap();
    // Both were opened within 10 ms of each other, a second long; the backoff's first wait comes on top.
    let at = world.times()[before].since(opened);
    assert!(at > ms(1080) && at <= ms(1100), "{at:?}");
    assert_eq!((reply, world.times().len() - before), ("yes", 1), "what was put off is no attempt");
    assert_eq!(lab.notes.of(EXTRA).len(), extra, "nor a retry");
    assert_eq!(lab.notes.of("mesh.client.call.duration").last().unwrap(), "ok after 1");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_not_wait_gives_up_with_the_reason() {
    let (lab, world) = all_open(3).await;
    let (opened, before) = (lab.now(), world.times().len());
    let (mut hurried, mut impatient) = (retries(3), retries(3));
    (hurried.deadline, impatient.retry_after_max) = (Some(ms(500)), ms(500));
    for retry in [RetryPolicy::never(), hurried, impatient] {
        let error = world.call(policy(retry), |_, _| (ms(0), Ok("yes"))).await.unwrap_err();
        let CallError::GaveUp { reason: GiveUpReason::Shut(shut), attempts: 0, last: None } = error else {
            panic!("{error}")
        };
        assert_eq!((shut.gate, shut.state, shut.value, shut.limit), ("instance-breaker", "open", 3, 3));
        assert!(shut.opens_at.unwrap().since(opened) <= secs(1));
        assert!(error.to_string().contains("the instance-breaker is open: 3 of 3"), "{error}");
    }
    assert_eq!((lab.now(), world.times().len()), (opened, before));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_let_through_does_not_wait_for_ever() {
    let (lab, world) = all_open(1).await;
    let before = world.times().len();
    tokio::time::sleep(secs(1)).await;
    // The one probe hangs, so that nobody else is let through.
    let probe = world.call(policy(RetryPolicy::never()), |_, _| (FOREVER, Ok("never")));
    let waits = async {
        settle().await;
        let began = lab.now();
        let error = world.call(policy(retries(4)), |_, _| (ms(0), Ok("yes"))).await.unwrap_err();
        assert_eq!(lab.now().since(began), ms(300), "three waits of the backoff's first");
        error
    };
    tokio::select! {
        _ = probe => panic!("it hangs"),
        error = waits => assert_eq!(error.attempts(), 0),
    }
    assert_eq!(world.times().len() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_avoids_what_is_open_and_what_was_tried_and_then_begins_anew() {
    let lab = lab();
    let world = World::new(&lab, 3).await;
    let ill = |number| if number == 2 { Err("no") } else { Ok("yes") };
    while lab.notes.of("mesh.client.breaker.transitions").is_empty() {
        let _ = world.call(policy(RetryPolicy::never()), |number, _| (ms(0), ill(number))).await;
    }
    let before = world.instances().len();
    // Every failure of an instance is followed by a success of its own, so that no other breaker opens.
    let error = world.call(policy(retries(3)), |_, _| (ms(0), Err("no"))).await.unwrap_err();
    assert_eq!(error.attempts(), 3);
    let tried = world.instances().split_off(before);
    assert!(!tried.contains(&2) && tried[0] != tried[1], "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_probe_whose_caller_left_or_whose_copy_won_is_free_again() {
    let (_lab, world) = all_open(1).await;
    tokio::time::sleep(secs(1)).await;
    for _ in 0..5 {
        let call = world.call(policy(RetryPolicy::never()), |_, _| (FOREVER, Ok("never")));
        assert!(tokio::time::timeout(ms(5), call).await.is_err());
    }
    let reply = world.call(policy(RetryPolicy::never()), |_, _| (ms(0), Ok("yes"))).await;
    assert_eq!(reply.unwrap(), "yes");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_counts_and_one_that_was_cut_short_does_not() {
    let lab = lab();
    let world = World::new(&lab, 1).await;
    let mut retry = RetryPolicy::never();
    for _ in 0..5 {
        let call = world.call(policy(retry), |_, _| (FOREVER, Ok("never")));
        assert!(tokio::time::timeout(ms(5), call).await.is_err());
    }
    assert!(lab.notes.of("mesh.client.breaker.transitions").is_empty());
    retry.attempt_timeout = Some(ms(5));
    for _ in 0..2 {
        world.call(policy(retry), |_, _| (FOREVER, Ok("never"))).await.unwrap_err();
    }
    assert_eq!(lab.notes.of("mesh.client.breaker.transitions"), [format!("api-1: {OPENED}")]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_comes_back_begins_with_a_closed_breaker() {
    let (lab, world) = all_open(1).await;
    lab.registry.lose(&api(1)).await;
    eventually("it is gone", async || world.mesh.get_healthy_services("api").await.is_err()).await;
    lab.registry.put(&api(1)).await;
    eventually("it is back", async || world.mesh.get_healthy_services("api").await.is_ok()).await;
    assert_eq!(world.call(policy(RetryPolicy::never()), |_, _| (ms(0), Ok("yes"))).await.unwrap(), "yes");
}

#[tokio::test]
async fn over_http_no_request_reaches_a_backend_whose_breaker_is_open() {
    let client = reqwest::Client::new();
    let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
    let mut config = plain();
    config.calls.instance_breaker = Some(breaker(secs(3)));
    config.service.strategy = Strategy::RoundRobin;
    let mesh = ServiceMesh::builder().config(config).build().await.unwrap();
    for backend in &backends {
        let config = mesh::ServiceConfig::builder("api", "127.0.0.1", backend.port()).without_check().build().unwrap();
        mesh.register_service(config).await.unwrap();
    }
    eventually("all are found", async || mesh.get_healthy_services("api").await.is_ok_and(|all| all.len() == 3)).await;
    backends[0].work_is(500);
    for _ in 0..60 {
        assert_eq!(get(&client, &mesh, retries_at_once(3)).await, 200);
    }
    assert_eq!(backends[0].served(), 2, "two failures in a row open it");
    let mut unhelped = 0;
    for _ in 0..60 {
        unhelped += u32::from(get(&client, &mesh, RetryPolicy::never()).await == 200);
    }
    // On a machine so slow that the open time passed, single probes fail.
    assert!(unhelped >= 58 && backends[0].served() <= 4, "{unhelped} of 60, {} served", backends[0].served());
    backends[0].work_is(200);
    let served = backends[0].served();
    eventually("it gets requests again", async || {
        get(&client, &mesh, RetryPolicy::never()).await == 200 && backends[0].served() > served + 3
    })
    .await;
}

async fn get(client: &reqwest::Client, mesh: &ServiceMesh, retry: RetryPolicy) -> u16 {
    type Reply = reqwest::Result<reqwest::Response>;
    let class =
        |reply: &Reply| reply.as_ref().map_or(Class::Transient, |reply| class_of_status(reply.status().as_u16()));
    let policy = CallPolicy::new(retry).unwrap().classify(class);
    let attempt = |instance: Attempt| client.get(format!("http://{}/", instance.authority())).send();
    mesh.call("api", &policy, attempt).await.unwrap().status().as_u16()
}

fn retries_at_once(attempts_max: u32) -> RetryPolicy {
    let mut retry = retries(attempts_max);
    (retry.backoff.base, retry.backoff.cap) = (ms(1), ms(1));
    retry
}

/// A world of so many instances whose breakers have all opened, within 20 ms.
async fn all_open(instances: u16) -> (Lab, World) {
    let lab = lab();
    let world = World::new(&lab, instances).await;
    while lab.notes.of("mesh.client.breaker.transitions").len() < usize::from(instances) {
        world.call(policy(RetryPolicy::never()), |_, _| (ms(1), Err("no"))).await.unwrap_err();
    }
    assert!(lab.now() < Instant::from_millis(20));
    (lab, world)
}

fn lab() -> Lab {
    let mut lab = Lab::new();
    let mut config: MeshConfig = plain();
    config.calls.instance_breaker = Some(breaker(secs(1)));
    // Other strategies prefer those that have not failed lately.
    config.service.strategy = Strategy::RoundRobin;
    lab.config = config;
    lab
}

/// Open after two failures in a row, for `time`, closed by one probe that is well.
fn breaker(time: Duration) -> BreakerConfig {
    let mut breaker = BreakerConfig::default();
    (breaker.failures_in_row, breaker.failure_rate_milli, breaker.slow_rate_milli) = (2, 0, 0);
    (breaker.open.base, breaker.open.max, breaker.open.jitter) = (time, secs(60), OpenJitter::None);
    (breaker.half_open.probes, breaker.half_open.rule) = (NonZeroU32::MIN, ProbeRule::NoneFails);
    breaker
}
