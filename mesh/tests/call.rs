//! A call from end to end on paused time: where its attempts go, how long it waits, when it gives up, and what the
//! caller gets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use mesh::mesh_core::route::Selector;
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::call::GiveUpReason;
use mesh::{Attempt, CallError, CallPolicy, Class, Outcome, PickError, RetryPolicy, ServiceError};

use support::world::{FOREVER, Reply, World, policy};
use support::{Lab, api, every, in_flight, instance_of, ms, number_of, retries, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_makes_one_attempt_and_waits_for_nothing() {
    let lab = Lab::new();
    let world = World::new(&lab, 3).await;
    assert_eq!(world.call(CallPolicy::default(), |_, _| (ms(0), Ok("done"))).await.unwrap(), "done");
    assert_eq!((world.instances().len(), lab.now()), (1, Instant::ZERO));
    assert_eq!(lab.notes.of("mesh.client.call.duration"), ["ok after 1"]);
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["success"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_an_instance_that_was_not_tried() {
    for _ in 0..20 {
        let lab = Lab::new();
        let world = World::new(&lab, 4).await;
        let reply =
            world.call(policy(retries(4)), |_, attempt| (ms(0), if attempt < 4 { Err("no") } else { Ok("yes") }));
        assert_eq!(reply.await.unwrap(), "yes");
        let mut instances = world.instances();
        instances.sort_unstable();
        assert_eq!(instances, [1, 2, 3, 4], "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_were_tried_the_list_begins_anew() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let error = world.call(policy(retries(6)), |_, _| (ms(0), Err("no"))).await.unwrap_err();
    let instances = world.instances();
    assert_eq!((instances.len(), error.attempts()), (6, 6));
    for pair in instances.chunks(2) {
        assert_ne!(pair[0], pair[1], "{instances:?}");
    }
    assert_eq!(lab.notes.of("mesh.lb.refusals"), ["all-excluded", "all-excluded"]);
}

#[tokio::test(start_paused = true)]
async fn a_single_instance_is_tried_again() {
    let lab = Lab::new();
    let world = World::new(&lab, 1).await;
    let reply = world.call(policy(retries(3)), |_, attempt| (ms(0), if attempt < 3 { Err("no") } else { Ok("yes") }));
    assert_eq!(reply.await.unwrap(), "yes");
    assert_eq!(world.instances(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_waits_between_attempts_are_those_of_the_backoff() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let error = world.call(policy(retries(5)), |_, _| (ms(7), Err("no"))).await.unwrap_err();
    // 100, 200, 400 and 800 ms of waiting, after attempts of 7 ms each.
    assert_eq!(world.times(), [0, 107, 314, 721, 1528].map(Instant::from_millis));
    assert_eq!(lab.now(), Instant::from_millis(1535), "nothing is waited for after the last");
    let text = "given up after 5 attempts: all attempts that the policy allows have failed: 5; the last failed: no";
    assert_eq!(error.to_string(), text);
    assert!(error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_one_attempt_makes_one() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let error = world.call(policy(RetryPolicy::never()), |_, _| (ms(0), Err("no"))).await.unwrap_err();
    assert_eq!((error.attempts(), error.last(), lab.now()), (1, Some(&"no"), Instant::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_an_attempt_that_hangs() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let mut retry = retries(3);
    retry.deadline = Some(ms(400));
    let error = world.call(policy(retry), |_, _| (FOREVER, Ok("never"))).await.unwrap_err();
    assert_eq!(lab.now(), Instant::from_millis(400));
    let text = "given up after 1 attempt: the deadline of 400ms has passed; the last timed out";
    assert_eq!((error.to_string().as_str(), error.last()), (text, None));
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["timed-out"]);
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_timeout_ends_the_attempt_and_not_the_call() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let mut retry = retries(3);
    retry.attempt_timeout = Some(ms(50));
    let reply = world.call(policy(retry), |_, attempt| (if attempt == 1 { FOREVER } else { ms(49) }, Ok("late")));
    assert_eq!(reply.await.unwrap(), "late");
    assert_eq!(lab.now(), Instant::from_millis(50 + 100 + 49));
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["timed-out", "success"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_gets_no_more_time_than_the_deadline_leaves() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let mut retry = retries(5);
    (retry.attempt_timeout, retry.deadline) = (Some(ms(100)), Some(ms(250)));
    let error = world.call(policy(retry), |_, _| (FOREVER, Ok("never"))).await.unwrap_err();
    // The second attempt begins at 200 ms and is cut short at 250 ms.
    assert_eq!((error.attempts(), lab.now()), (2, Instant::from_millis(250)));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_outlast_the_deadline_is_not_begun() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let mut retry = retries(5);
    retry.deadline = Some(ms(250));
    let error = world.call(policy(retry), |_, _| (ms(0), Err("no"))).await.unwrap_err();
    // 100 ms were waited for; a further 200 ms would end at 300 ms.
    assert_eq!((error.attempts(), lab.now()), (2, Instant::from_millis(100)));
    let text = "given up after 2 attempts: the next attempt would have to wait for 200ms and the deadline is in \
                150ms; the last failed: no";
    assert_eq!(error.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn an_announced_wait_is_waited_for_on_top_of_the_backoff() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let throttled = policy(retries(3)).classify(|reply: &Reply| match reply {
        Ok(_) => Class::Success,
        Err(_) => Class::Throttled { retry_after: Some(secs(2)) },
    });
    let reply = world.call(throttled, |_, attempt| (ms(0), if attempt == 1 { Err("busy") } else { Ok("yes") }));
    assert_eq!(reply.await.unwrap(), "yes");
    assert_eq!(world.times(), [Instant::ZERO, Instant::from_millis(2100)]);
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["overloaded", "success"]);
}

#[tokio::test(start_paused = true)]
async fn an_announced_wait_that_is_too_long_is_not_cut_short() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let throttled =
        policy(retries(3)).classify(|_: &Reply| Class::Throttled { retry_after: Some(Duration::from_secs(60)) });
    let error = world.call(throttled, |_, _| (ms(0), Err("busy"))).await.unwrap_err();
    let text = "given up after 1 attempt: the callee asked for a wait of 60s and the policy allows 10s; the last \
                failed: busy";
    assert_eq!((error.to_string().as_str(), lab.now()), (text, Instant::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_repeated_and_not_held_against_the_instance() {
    let lab = Lab::new();
    let world = World::new(&lab, 1).await;
    let permanent = policy(retries(3)).classify(|_: &Reply| Class::Permanent);
    for _ in 0..10 {
        let error = world.call(permanent.clone(), |_, _| (ms(0), Err("no such user"))).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "given up after 1 attempt: the failure is permanent; the last failed: no such user"
        );
        assert!(!error.is_transient());
    }
    let [lease] = every(&world.mesh, "api").await.try_into().unwrap();
    assert_eq!(lease.endpoint().failures_in_row(), 0);
    assert_eq!(lease.endpoint().held(lab.now()), 0);
}

#[tokio::test(start_paused = true)]
async fn transient_failures_and_timeouts_are_held_against_the_instance() {
    let lab = Lab::new();
    let world = World::new(&lab, 1).await;
    let mut retry = retries(4);
    retry.attempt_timeout = Some(ms(10));
    let wait = |attempt| if attempt % 2 == 0 { FOREVER } else { ms(0) };
    world.call(policy(retry), |_, attempt| (wait(attempt), Err("no"))).await.unwrap_err();
    let [lease] = every(&world.mesh, "api").await.try_into().unwrap();
    assert_eq!(lease.endpoint().failures_in_row(), 4);
    assert!(lease.endpoint().held(lab.now()) > 0);
    lease.finish(Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_classed_as_a_failure_is_returned_in_the_end() {
    let lab = Lab::new();
    let world = World::new(&lab, 2).await;
    let never_good = policy(retries(3)).classify(|_: &Reply| Class::Transient);
    let reply = world.call(never_good, |_, attempt| (ms(0), Ok(["first", "second", "third"][attempt - 1])));
    assert_eq!(reply.await.unwrap(), "third", "the service's own word");
    assert_eq!(lab.notes.of("mesh.client.call.duration"), ["attempts-exhausted after 3"]);
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["failure"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_loses_its_last_instance_on_the_way_says_both_things() {
    let lab = Lab::new();
    let (world, retrying) = (World::new(&lab, 1).await, policy(retries(3)));
    let registry = lab.registry.clone();
    let reply = world.mesh.call("api", &retrying, |_| {
        let registry = registry.clone();
        async move {
            registry.lose(&api(1)).await;
            settle().await;
            Err::<(), _>("shutting down")
        }
    });
    let error = reply.await.unwrap_err();
    assert_eq!(error.to_string(), "api: no instance is registered, after 1 attempt; the last failed: shutting down");
    let CallError::NoInstance { reason: ServiceError::Pick { source, .. }, attempts: 1, last } = error else {
        panic!()
    };
    assert_eq!((source, last), (PickError::NoneRegistered, Some("shutting down")));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_joins_during_an_attempt_is_used_by_the_next() {
    let lab = Lab::new();
    let (world, retrying) = (World::new(&lab, 1).await, policy(retries(3)));
    let registry = lab.registry.clone();
    let reply = world.mesh.call("api", &retrying, |instance: Attempt| {
        let registry = registry.clone();
        async move {
            registry.put(&api(2)).await;
            settle().await;
            if number_of(&instance) == 2 { Ok(()) } else { Err("not me") }
        }
    });
    reply.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_to_its_route_on_every_attempt() {
    let lab = Lab::new();
    for number in 1..=6 {
        let config = instance_of("api", number);
        let config = if number > 3 { config.tag("canary") } else { config };
        lab.registry.put(&config.build().unwrap()).await;
    }
    let world = World::of(&lab, lab.mesh().await);
    let route = world.mesh.route("api", Selector::any().tag("canary").unwrap()).await.unwrap();
    world.call(policy(retries(5)).route(route), |_, _| (ms(0), Err("no"))).await.unwrap_err();
    let instances = world.instances();
    assert!(instances.len() == 5 && instances.iter().all(|number| *number > 3), "{instances:?}");
}

#[test]
fn a_policy_that_breaks_a_rule_is_refused_with_field_value_and_rule() {
    let refusal = |change: fn(&mut RetryPolicy)| {
        let mut retry = RetryPolicy::default();
        change(&mut retry);
        let (new, from) = (CallPolicy::new(retry).unwrap_err(), CallPolicy::try_from(retry).unwrap_err());
        assert_eq!(new, from);
        new.to_string()
    };
    let zero = "0ns is not allowed: must be longer than zero";
    assert_eq!(refusal(|retry| retry.backoff.base = Duration::ZERO), format!("backoff.base: {zero}"));
    assert_eq!(refusal(|retry| retry.deadline = Some(Duration::ZERO)), format!("deadline: {zero}, or left out"));
    let text = refusal(|retry| retry.attempt_timeout = Some(Duration::ZERO));
    assert_eq!(text, format!("attempt_timeout: {zero}, or left out"));
    let text = refusal(|retry| retry.backoff.cap = Duration::from_millis(1));
    assert_eq!(text, "backoff.cap: 1ms is not allowed: must be at least base, which is 100ms");
    let text = refusal(|retry| retry.backoff.multiplier_milli = 999);
    assert_eq!(text, "backoff.multiplier_milli: 999 is not allowed: must be at least 1000, which is 1.0");
    for preset in [RetryPolicy::default(), RetryPolicy::aggressive(), RetryPolicy::conservative(), RetryPolicy::never()]
    {
        assert_eq!(*CallPolicy::new(preset).unwrap().retry(), preset);
    }
}

#[test]
fn an_error_keeps_its_cause_for_those_who_follow_sources() {
    let io = std::io::Error::other("the disk is full");
    let attempts_max = NonZeroU32::MIN;
    let gave_up =
        CallError::GaveUp { reason: GiveUpReason::AttemptsExhausted { attempts_max }, attempts: 1, last: Some(io) };
    let source = std::error::Error::source(&gave_up).unwrap();
    assert_eq!(source.to_string(), "the disk is full");
    let service = "api".parse().unwrap();
    let reason = ServiceError::Pick { service, source: PickError::NoneRegistered };
    let none = CallError::<std::io::Error>::NoInstance { reason, attempts: 0, last: None };
    let pick = std::error::Error::source(&none).and_then(std::error::Error::source).unwrap();
    assert_eq!(pick.downcast_ref(), Some(&PickError::NoneRegistered));
    assert_eq!(none.to_string(), "api: no instance is registered");
}

#[test]
fn the_last_error_can_be_had_by_value_even_where_it_is_no_error_to_the_standard_library() {
    let last: Option<Box<dyn std::error::Error>> = Some("the disk is full".into());
    let gave_up = CallError::GaveUp { reason: GiveUpReason::Permanent, attempts: 1, last };
    assert_eq!(gave_up.into_last().unwrap().to_string(), "the disk is full");
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_spawned_with_captured_and_borrowed_state() {
    fn is_send<F: Future + Send>(future: F) -> F {
        future
    }
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let spawned = tokio::spawn(async move {
        let (mut tries, policy) = (0, policy(retries(3)).classify(|_: &Result<u16, String>| Class::Success));
        let call = mesh.call("api", &policy, |instance| {
            tries += 1;
            async move {
                tokio::task::yield_now().await;
                Ok::<_, String>(instance.port())
            }
        });
        is_send(call).await.map(|_| tries)
    });
    assert_eq!(spawned.await.unwrap().unwrap(), 1);
}
