//! What a call machine costs: no allocation, and little to copy.

use std::hint::black_box;

use mesh_retry::call::{CallEffect, CallEvent, CallInput, CallMachine};
use mesh_retry::classify::Class;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _};

#[test]
fn a_call_that_succeeds_at_once_allocates_nothing() {
    let counted = allocation_counter::measure(|| {
        let end = run(&RetryPolicy::default(), 1);
        assert_eq!(end, Some(CallEvent::Succeeded { attempts: 1 }));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_call_that_retries_allocates_nothing_either() {
    let mut policy = RetryPolicy::aggressive();
    policy.attempts_max = policy.attempts_max.saturating_add(20);
    let counted = allocation_counter::measure(|| {
        let end = run(&policy, 25);
        assert_eq!(end, Some(CallEvent::Succeeded { attempts: 25 }));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_call_machine_fits_into_fifteen_cache_lines() {
    assert!(size_of::<CallMachine>() <= 960, "{} bytes", size_of::<CallMachine>());
    let borrowing = size_of::<CallMachine<&RetryPolicy>>();
    assert!(borrowing <= 768, "{borrowing} bytes");
}

/// Runs a call whose attempt number `succeeds` is the first to succeed.
fn run(policy: &RetryPolicy, succeeds: u32) -> Option<CallEvent> {
    let mut now = Instant::ZERO;
    let mut call = CallMachine::new(black_box(policy), 7, now);
    loop {
        if let Some(CallEffect::Attempt { attempt, number, .. }) = call.poll_effect() {
            let endpoint = EndpointId::from_number(u64::from(number));
            call.handle_input(now, CallInput::Picked { attempt, endpoint });
            let class = if number >= succeeds { Class::Success } else { Class::Transient };
            call.handle_input(now, CallInput::Ended { attempt, class });
        }
        if let Some(event) = call.poll_event() {
            return Some(event);
        }
        now = call.poll_timeout()?;
        call.handle_timeout(now);
    }
}
