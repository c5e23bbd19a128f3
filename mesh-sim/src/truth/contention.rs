//! Optimistic concurrency under contention: the model of "Exponential Backoff And Jitter" (Marc Brooker, AWS
//! Architecture Blog, 2015), on the production backoff.
//!
//! Clients read a version, write with it, and are refused when another wrote in between; whoever is refused waits as
//! its backoff says and reads again. Every message takes |N(10 ms, 2 ms)|.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use mesh_core::rng::Rng;
use mesh_core::time::saturating_nanos;
use mesh_retry::backoff::{Backoff, Cause, Waits};

/// How one contention ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Contention {
    /// When the last client had committed, in milliseconds.
    pub(super) millis: f64,
    /// How many writes the server saw.
    pub(super) writes: u32,
}

/// A message on its way, or a client's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Read,
    Version(u32),
    Write(u32),
    Committed,
    Refused,
}

/// Lets `clients` clients commit once each.
pub(super) fn contend(clients: u32, backoff: &Backoff, rng: &mut Rng) -> Contention {
    let mut steps = BinaryHeap::new();
    let mut made = 0_u64;
    let mut post = |steps: &mut BinaryHeap<_>, at: u64, client: u32, step: Step| {
        made += 1;
        steps.push(Reverse((at, made, client, step)));
    };
    for client in 0..clients {
        let at = delay(rng);
        post(&mut steps, at, client, Step::Read);
    }
    let mut refused = vec![Waits::new(); clients as usize];
    let (mut version, mut writes, mut last) = (0, 0, 0);
    while let Some(Reverse((now, _, client, step))) = steps.pop() {
        let at = now + delay(rng);
        match step {
            Step::Read => post(&mut steps, at, client, Step::Version(version)),
            Step::Version(seen) => post(&mut steps, at, client, Step::Write(seen)),
            Step::Write(seen) => {
                writes += 1;
                let answer = if seen == version { Step::Committed } else { Step::Refused };
                version += u32::from(seen == version);
                post(&mut steps, at, client, answer);
            }
            Step::Committed => last = last.max(now),
            Step::Refused => {
                let wait = saturating_nanos(backoff.delay(&mut refused[client as usize], Cause::Failed, rng));
                post(&mut steps, at + wait, client, Step::Read);
            }
        }
    }
    Contention { millis: last as f64 / 1e6, writes }
}

/// |N(10 ms, 2 ms)| in nanoseconds.
fn delay(rng: &mut Rng) -> u64 {
    let radius = (-2.0 * libm::log(1.0 - rng.unit())).sqrt();
    let normal = radius * libm::cos(core::f64::consts::TAU * rng.unit());
    (10e6 + 2e6 * normal).abs() as u64
}
