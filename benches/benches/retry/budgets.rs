//! Budgets: what comes in with a call, and what goes out with a retry.
//!
//! Where a name says nothing else, one operation is a deposit and a withdrawal that is granted, in a budget that is neither
//! full nor empty, so that both are written. Ours are told the time, which passes by 1 µs; `clock` reads the standard
//! library's once for both, as tower's and governor's read theirs.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{Quota, RateLimiter};
use mesh_benches::timing::Clock;
use mesh_retry::Instant;
use mesh_retry::adaptive;
use mesh_retry::budget::{
    After, AwsConfig, AwsStandard, Budget, ConcurrentConfig, ConcurrentRetries, End, Extra, GrpcThrottle,
    GrpcThrottleConfig, TokenBucket, TokenBucketConfig, WindowBudget, WindowConfig,
};
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::bench::Bench;

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    floors(bench);
    token_buckets(bench);
    others(bench);
    rate_limiters(bench);
    tower(bench);
    governor(bench);
}

/// A counter up by one and down by one, the latter only where there is one; and the same without looking.
fn floors(bench: &mut Bench<'_, '_>) {
    let tokens = Padded(AtomicU64::new(1 << 32));
    bench.run("floor/two-writes", |_| {
        |ops| {
            for _ in 0..ops {
                tokens.0.fetch_add(1, Ordering::Relaxed);
                black_box(tokens.0.fetch_sub(1, Ordering::Relaxed));
            }
        }
    });
    bench.run("floor/write-and-swap", |_| {
        |ops| {
            for _ in 0..ops {
                tokens.0.fetch_add(1, Ordering::Relaxed);
                let one_less = |tokens: u64| tokens.checked_sub(1);
                let _ = black_box(tokens.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less));
            }
        }
    });
}

fn token_buckets(bench: &mut Bench<'_, '_>) {
    let half_full = half_full_bucket();
    bench.run("mesh/token-bucket", |_| pairs(&half_full));
    let shared: &dyn Budget = &half_full;
    bench.run("mesh/token-bucket/dyn", |_| pairs(shared));
    bench.run("mesh/token-bucket/clock", |_| {
        let clock = Clock::start();
        let half_full = &half_full;
        move |ops| (0..ops).for_each(|_| pair(half_full, Instant::from_nanos(clock.nanos())))
    });
    // What a call pays that needs no retry, while others need few.
    let full = TokenBucket::new(&TokenBucketConfig::default());
    bench.run("mesh/token-bucket/full", |_| stepping(|now| full.deposit(now)));
    // While the callee is down: a fifth of what is asked for is granted.
    let down = TokenBucket::new(&TokenBucketConfig::brooker());
    bench.run("mesh/token-bucket/down", |_| pairs(&down));
    bench.run("mesh/token-bucket/denied", |_| stepping(|now| _ = black_box(down.withdraw(now, RETRY))));
}

fn others(bench: &mut Bench<'_, '_>) {
    let mut config = WindowConfig::default();
    config.ratio_milli = 1_000;
    let window = WindowBudget::new(&config);
    bench.run("mesh/window", |_| pairs(&window));
    bench.run("mesh/window/deposit", |_| stepping(|now| window.deposit(now)));
    let throttle = GrpcThrottle::new(&GrpcThrottleConfig::default());
    bench.run("mesh/grpc-throttle", |_| {
        stepping(|now| {
            throttle.ended(now, End::Failed, None);
            (0..10).for_each(|_| throttle.ended(now, End::Succeeded, None));
        })
    });
    let quota = AwsStandard::new(&AwsConfig::default());
    bench.run("mesh/aws-standard", |_| {
        stepping(|now| {
            let paid = quota.withdraw(now, RETRY).paid();
            quota.ended(now, End::Succeeded, black_box(paid));
        })
    });
    let retries = ConcurrentRetries::new(&ConcurrentConfig::default());
    bench.run("mesh/concurrent", |_| {
        stepping(|now| {
            let paid = retries.withdraw(now, RETRY).paid();
            retries.ended(now, End::Succeeded, black_box(paid));
        })
    });
}

/// AWS's adaptive mode: an attempt's turn, and its reply.
fn rate_limiters(bench: &mut Bench<'_, '_>) {
    let turn = |limiter: &adaptive::RateLimiter, now: Instant| {
        _ = black_box(limiter.acquire(now, None, Duration::MAX));
        limiter.record(now, false);
    };
    let idle = adaptive::RateLimiter::new(Instant::ZERO);
    bench.run("mesh/rate-limiter/idle", |_| stepping(|now| turn(&idle, now)));
    let limiting = adaptive::RateLimiter::new(Instant::ZERO);
    limiting.record(Instant::from_nanos(1), true);
    bench.run("mesh/rate-limiter/limiting", |_| stepping(|now| turn(&limiting, now)));
}

fn tower(bench: &mut Bench<'_, '_>) {
    let budget = TpsBudget::new(Duration::from_secs(10), 10, 1.0);
    bench.run("tower/tps-budget", |_| {
        |ops| {
            for _ in 0..ops {
                budget.deposit();
                black_box(budget.withdraw());
            }
        }
    });
    bench.run("tower/tps-budget/deposit", |_| |ops| (0..ops).for_each(|_| budget.deposit()));
}

/// It has no deposits: one operation is one check.
fn governor(bench: &mut Bench<'_, '_>) {
    let plenty = NonZeroU32::MAX;
    let allowed = RateLimiter::direct(Quota::per_second(plenty));
    bench.run("governor/allowed", |_| |ops| (0..ops).for_each(|_| _ = black_box(allowed.check())));
    let denied = RateLimiter::direct(Quota::per_hour(NonZeroU32::MIN));
    _ = denied.check();
    bench.run("governor/denied", |_| |ops| (0..ops).for_each(|_| _ = black_box(denied.check())));
}

/// A bucket in which as much comes in as goes out.
fn half_full_bucket() -> TokenBucket {
    let mut config = TokenBucketConfig::brooker();
    (config.ratio_milli, config.burst_milli) = (1_000, 2_000_000);
    let bucket = TokenBucket::new(&config);
    (0..1_000).for_each(|_| _ = bucket.withdraw(Instant::ZERO, RETRY));
    bucket
}

fn pairs<'a, B: Budget + ?Sized>(budget: &'a B) -> impl FnMut(u64) + use<'a, B> {
    stepping(|now| pair(budget, now))
}

#[inline]
fn pair(budget: &(impl Budget + ?Sized), now: Instant) {
    budget.deposit(now);
    let _ = black_box(budget.withdraw(now, RETRY));
}

/// A worker whose time passes by 1 µs with each operation.
pub(crate) fn stepping(mut operation: impl FnMut(Instant)) -> impl FnMut(u64) {
    let mut nanos = 0;
    move |ops| {
        for _ in 0..ops {
            nanos += 1_000;
            operation(Instant::from_nanos(nanos));
        }
    }
}

/// Alone on its pair of cache lines, which the processor fetches together.
#[repr(align(128))]
struct Padded(AtomicU64);

const RETRY: Extra = Extra::retry(After::Transient);
