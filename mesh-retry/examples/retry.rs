//! Drives the call machine in virtual time over callees that fail, and prints the course of each call.
//!
//! ```text
//! cargo run -p mesh-retry --example retry
//! ```
//!
//! It demonstrates that a call goes round the instances that fail, that it respects the wait that a callee
//! announced, that it stops where a retry could not end in time, and that calls which failed together come
//! back spread out. It exits with 1 when one of these did not hold.
#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::process::ExitCode;
use std::time::Duration;

use mesh_retry::call::{CallEffect, CallEvent, CallInput, CallMachine, Unavailable};
use mesh_retry::classify::{class_of_status, parse_retry_after};
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _};

fn main() -> ExitCode {
    let down = |instance: u64, _: Instant| if instance < 2 { (503, "") } else { (200, "") };
    let busy = |_: u64, now: Instant| if now < Instant::from_millis(3000) { (429, "3") } else { (200, "") };
    let dead = |_: u64, _: Instant| (500, "");

    let around = call("two of three instances are down", &RetryPolicy::default(), 1, &down);
    let patient = call("all are busy and ask for three seconds", &RetryPolicy::default(), 2, &busy);
    let mut bounded = RetryPolicy::aggressive();
    bounded.deadline = Some(Duration::from_millis(150));
    let stopped = call("all are broken, and the call has 150 ms", &bounded, 3, &dead);
    let fullest = crowd();

    let runs = [&around, &patient, &stopped];
    let attempts: u64 = runs.iter().map(|run| run.instances.len() as u64).sum();
    let held = around.succeeded
        && around.instances == [0, 1, 2]
        && patient.succeeded
        && patient.took >= Duration::from_secs(3)
        && !stopped.succeeded
        && stopped.took < Duration::from_millis(150)
        && fullest < 15;
    let succeeded = runs.iter().filter(|run| run.succeeded).count();
    println!(
        "RESULT calls=3 succeeded={succeeded} attempts={attempts} patient_ms={} stopped_ms={} fullest_tenth_percent={fullest} held={held}",
        patient.took.as_millis(),
        stopped.took.as_millis(),
    );
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How a call went.
struct Course {
    succeeded: bool,
    instances: Vec<u64>,
    took: Duration,
}

/// Makes one call to three instances that take 20 ms each and answer with a status and a `Retry-After`.
fn call(
    title: &str,
    policy: &RetryPolicy,
    entropy: u64,
    answer: &dyn Fn(u64, Instant) -> (u16, &'static str),
) -> Course {
    println!("{title}");
    let mut now = Instant::ZERO;
    let mut call = CallMachine::new(policy, entropy, now);
    let mut instances = Vec::new();
    let event = loop {
        while let Some(effect) = call.poll_effect() {
            let CallEffect::Attempt { attempt, number, .. } = effect else { continue };
            let Some(instance) = (0..3).find(|&n| !call.tried().contains(EndpointId::from_number(n))) else {
                call.handle_input(now, CallInput::Unavailable { attempt, reason: Unavailable::AllExcluded });
                continue;
            };
            call.handle_input(now, CallInput::Picked { attempt, endpoint: EndpointId::from_number(instance) });
            instances.push(instance);
            let sent = now;
            now += Duration::from_millis(20);
            let (status, retry_after) = answer(instance, sent);
            let class = class_of_status(status).with_retry_after(parse_retry_after(retry_after, None));
            println!("  {:>5} ms  attempt {number} at instance {instance}: {status} {class:?}", millis(sent));
            call.handle_input(now, CallInput::Ended { attempt, class });
        }
        if let Some(event) = call.poll_event() {
            break event;
        }
        if let Some(due) = call.poll_timeout() {
            println!("  {:>5} ms  waits until {} ms", millis(now), millis(due));
            now = now.max(due);
            call.handle_timeout(now);
        }
    };
    let said =
        if let CallEvent::GaveUp { reason, .. } = event { format!("gave up: {reason}") } else { format!("{event:?}") };
    println!("  {:>5} ms  {said}\n", millis(now));
    Course { succeeded: matches!(event, CallEvent::Succeeded { .. }), instances, took: now - Instant::ZERO }
}

/// Fails a thousand calls at one instant, prints when they come back, and returns the percentage in the fullest
/// tenth of the backoff.
fn crowd() -> usize {
    let policy = RetryPolicy::default();
    let mut tenths = [0_usize; 10];
    for entropy in 0..1000 {
        let mut call = CallMachine::new(&policy, entropy, Instant::ZERO);
        if let Some(CallEffect::Attempt { attempt, .. }) = call.poll_effect() {
            call.handle_input(Instant::ZERO, CallInput::Ended { attempt, class: class_of_status(500) });
        }
        let due = call.poll_timeout().unwrap_or(Instant::ZERO);
        tenths[(millis(due) / 10).min(9) as usize] += 1;
    }
    println!("a thousand calls fail at once, and come back");
    for (tenth, calls) in tenths.iter().enumerate() {
        println!("  {:>3} to {:>3} ms  {calls:>4} {}", tenth * 10, tenth * 10 + 10, "#".repeat(calls / 4));
    }
    println!();
    tenths.iter().max().map_or(100, |fullest| fullest.div_ceil(10))
}

fn millis(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000
}
