//! Limits and throttles: an admission, and the end of what was admitted.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::limit::throttle::{AdaptiveThrottle, ThrottleConfig};
use mesh_retry::limit::{ConcurrencyLimit, End, LimitConfig};
use tokio::sync::Semaphore;

use crate::bench::Bench;
use crate::stepping;

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    for (kind, config) in [
        ("fixed", LimitConfig::fixed(HUNDRED)),
        ("aimd", LimitConfig::aimd()),
        ("vegas", LimitConfig::vegas()),
        ("gradient2", LimitConfig::gradient2()),
    ] {
        let limit = ConcurrencyLimit::new(&config, 1);
        bench.run(&format!("mesh/limit/{kind}"), |_| stepping(|now| admitted(&limit, now)));
    }
    let full = ConcurrencyLimit::new(&LimitConfig::fixed(NonZeroU32::MIN), 1);
    let _only = full.acquire(Instant::ZERO);
    bench.run("mesh/limit/full", |_| stepping(|now| _ = black_box(full.acquire(now).is_ok())));
    let throttle = AdaptiveThrottle::new(ThrottleConfig::sre());
    bench.run("mesh/throttle", |_| {
        stepping(|now| {
            let _ = black_box(throttle.admit(now, now.as_nanos()));
            throttle.ended(now, End::Success);
        })
    });
    semaphore(bench);
}

fn admitted(limit: &ConcurrencyLimit, now: Instant) {
    if let Ok(permit) = limit.acquire(now) {
        limit.release(now, black_box(permit), End::Success, Duration::from_millis(3));
    }
}

/// What tower's concurrency limit, and most others, are made of: the number that it admits stays.
fn semaphore(bench: &mut Bench<'_, '_>) {
    let semaphore = Semaphore::new(HUNDRED.get() as usize);
    bench.run("tokio/semaphore", |_| |ops| (0..ops).for_each(|_| _ = black_box(semaphore.try_acquire().is_ok())));
    let full = Semaphore::new(0);
    bench.run("tokio/semaphore/full", |_| |ops| (0..ops).for_each(|_| _ = black_box(full.try_acquire().is_ok())));
}

const HUNDRED: NonZeroU32 = NonZeroU32::new(100).unwrap();
