//! Calls that share a policy share no jitter, whatever they copy of it.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_retry::backoff::{Backoff, Cause, Jitter};
use mesh_retry::call::{CallEffect, CallInput, CallMachine};
use mesh_retry::classify::Class;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{Instant, Machine as _};

#[test]
fn calls_with_a_copy_of_one_policy_wait_for_different_times() {
    let policy = RetryPolicy::default();
    let waits: BTreeSet<Duration> = (0..1000).map(|entropy| first_wait(&policy.clone(), entropy)).collect();
    assert_eq!(waits.len(), 1000);
}

#[test]
fn the_first_waits_of_many_calls_are_spread_over_the_whole_ceiling() {
    let policy = RetryPolicy::default();
    let ceiling = policy.backoff.ceiling(1, Cause::Failed).as_nanos() as f64;
    let calls = 100_000;
    let waits = (0..calls).map(|entropy| first_wait(&policy, entropy).as_nanos() as f64);
    let mean = waits.sum::<f64>() / calls as f64;
    assert!((mean / (ceiling / 2.0) - 1.0).abs() < 0.01, "the mean is {mean} of a ceiling of {ceiling}");
}

#[test]
fn the_draws_of_one_call_differ_from_retry_to_retry() {
    let mut policy = RetryPolicy::default();
    policy.attempts_max = policy.attempts_max.saturating_add(100);
    policy.backoff.multiplier_milli = 1000;
    let waits = waits(&policy, 7);
    assert_eq!(waits.len(), 102);
    assert_eq!(waits.iter().collect::<BTreeSet<_>>().len(), 102);
}

#[test]
fn calls_share_no_wait_whatever_their_jitter() {
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Proportional, Jitter::Decorrelated] {
        let mut policy = RetryPolicy::default();
        policy.backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60));
        policy.backoff.jitter = jitter;
        let waits: Vec<_> = (0..1000).flat_map(|call| waits(&policy, call << 32)).collect();
        assert_eq!((waits.len(), waits.iter().collect::<BTreeSet<_>>().len()), (2000, 2000), "{jitter:?}");
    }
}

#[test]
fn equal_entropy_gives_equal_waits() {
    let policy = RetryPolicy::aggressive();
    assert_eq!(waits(&policy, 11), waits(&policy, 11));
    assert_ne!(waits(&policy, 11), waits(&policy, 12));
}

fn first_wait(policy: &RetryPolicy, entropy: u64) -> Duration {
    waits(policy, entropy)[0]
}

/// How long a call waits after each of its attempts, all of which fail at once.
fn waits(policy: &RetryPolicy, entropy: u64) -> Vec<Duration> {
    let mut now = Instant::ZERO;
    let mut call = CallMachine::new(policy, entropy, now);
    let mut waits = Vec::new();
    while let Some(CallEffect::Attempt { attempt, .. }) = call.poll_effect() {
        call.handle_input(now, CallInput::Ended { attempt, class: Class::Transient });
        if let Some(due) = call.poll_timeout() {
            waits.push(due - now);
            now = due;
            call.handle_timeout(now);
        }
    }
    waits
}
