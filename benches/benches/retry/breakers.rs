//! Circuit breakers: a permit, and the record of how its call ended.
//!
//! Every call succeeds where a name says nothing else; of `mixed` calls one in eight fails, which opens none of them, and
//! `open` is a permit that is refused. Ours are told the time, which passes by 1 µs with each call; `clock` reads the standard
//! library's before the call and after it. The others read their own where they need it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use failsafe::{CircuitBreaker as _, Config, StateMachine, backoff, failure_policy};
use mesh_benches::timing::Clock;
use mesh_retry::Instant;
use mesh_retry::breaker::{Breaker, BreakerConfig, Forced, Verdict};
use recloser::Recloser;
use tokio::runtime::Builder;
use tower::{Service, ServiceExt as _, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerConfigBuilder, CircuitBreakerLayer, DefaultClassifier};

use crate::bench::Bench;
use crate::{Padded, stepping};

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    floors(bench);
    for (kind, config) in [
        ("consecutive", BreakerConfig::consecutive(FIVE)),
        ("time", BreakerConfig::hystrix()),
        ("count", BreakerConfig::resilience4j()),
        ("default", BreakerConfig::default()),
    ] {
        ours(bench, kind, &config);
    }
    recloser(bench);
    failsafe(bench, "consecutive", || failure_policy::consecutive_failures(FIVE.get(), backoff::constant(HOUR)));
    failsafe(bench, "time", || {
        failure_policy::success_rate_over_time_window(0.5, 20, TEN_SECONDS, backoff::constant(HOUR))
    });
    tower_resilience(bench, "consecutive", CircuitBreakerLayer::builder().consecutive_failures(5));
    tower_resilience(bench, "count", CircuitBreakerLayer::builder().sliding_window_size(100));
}

/// A word that is read, and one that is read and counted up: the least that a breaker can do for a call.
fn floors(bench: &mut Bench<'_, '_>) {
    let (state, counter) = (Padded(AtomicU64::new(1)), Padded(AtomicU64::new(0)));
    bench.run("floor/look-and-write", |_| {
        |ops| {
            for _ in 0..ops {
                black_box(state.0.load(Ordering::Acquire));
                black_box(counter.0.fetch_add(1, Ordering::AcqRel));
            }
        }
    });
    bench.run("floor/look-and-swap", |_| {
        |ops| {
            for _ in 0..ops {
                black_box(state.0.load(Ordering::Acquire));
                let one_more = |count: u64| Some(count + 1);
                let _ = black_box(counter.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more));
            }
        }
    });
}

fn ours(bench: &mut Bench<'_, '_>, kind: &str, config: &BreakerConfig) {
    let breaker = || Breaker::new(config, 1).expect("the presets are valid");
    let well = breaker();
    bench.run(&format!("mesh/breaker/{kind}"), |_| stepping(|now| call(&well, (now, now), TOOK, false)));
    let mixed = breaker();
    bench.run(&format!("mesh/breaker/{kind}/mixed"), |_| {
        let mut fails = one_in_eight();
        let mixed = &mixed;
        stepping(move |now| call(mixed, (now, now), TOOK, fails()))
    });
    let clocked = breaker();
    bench.run(&format!("mesh/breaker/{kind}/clock"), |_| {
        let (clock, clocked) = (Clock::start(), &clocked);
        move |ops| {
            for _ in 0..ops {
                let began = Instant::from_nanos(clock.nanos());
                let Ok(permit) = clocked.permit(began) else { continue };
                let ended = Instant::from_nanos(clock.nanos());
                black_box(clocked.record(ended, permit, Verdict::Succeeded(ended.since(began))));
            }
        }
    });
    let open = breaker();
    open.force(Forced::Open);
    bench.run(&format!("mesh/breaker/{kind}/open"), |_| stepping(|now| _ = black_box(open.permit(now).is_ok())));
}

/// Allocations in so many calls of each kind, of which one in eight fails.
pub(crate) fn allocations(calls: u64) -> [(&'static str, u64); 3] {
    let count = |config: BreakerConfig| {
        let breaker = Breaker::new(&config, 1).expect("the presets are valid");
        let mut fails = one_in_eight();
        let mut one = |now| call(&breaker, (now, now), TOOK, fails());
        allocation_counter::measure(|| (0..calls).for_each(|number| one(Instant::from_nanos(number * 1_000))))
            .count_total
    };
    [
        ("breaker, consecutive", count(BreakerConfig::consecutive(FIVE))),
        ("breaker, time window", count(BreakerConfig::hystrix())),
        ("breaker, count window", count(BreakerConfig::resilience4j())),
    ]
}

#[inline]
fn call(breaker: &Breaker, (began, ended): (Instant, Instant), took: Duration, fails: bool) {
    let Ok(permit) = breaker.permit(began) else { return };
    let verdict = if fails { Verdict::Failed(took) } else { Verdict::Succeeded(took) };
    black_box(breaker.record(ended, permit, verdict));
}

/// Its ring of 100 calls by default, of which half may fail.
fn recloser(bench: &mut Bench<'_, '_>) {
    let recloser = || Recloser::custom().open_wait(HOUR).build();
    let run = |recloser: &Recloser, fails: bool| _ = black_box(recloser.call(|| outcome(fails)));
    let well = recloser();
    bench.run("recloser/count", |_| |ops| (0..ops).for_each(|_| run(&well, false)));
    let mixed = recloser();
    bench.run("recloser/count/mixed", |_| {
        let (mut fails, mixed) = (one_in_eight(), &mixed);
        move |ops| (0..ops).for_each(|_| run(mixed, fails()))
    });
    let open = recloser();
    (0..1_000).for_each(|_| run(&open, true));
    bench.run("recloser/count/open", |_| |ops| (0..ops).for_each(|_| run(&open, false)));
}

fn failsafe<P>(bench: &mut Bench<'_, '_>, kind: &str, policy: impl Fn() -> P)
where
    P: failsafe::FailurePolicy + Send,
{
    let breaker = || Config::new().failure_policy(policy()).build();
    let well = breaker();
    bench.run(&format!("failsafe/{kind}"), |_| |ops| (0..ops).for_each(|_| run_failsafe(&well, false)));
    let mixed = breaker();
    bench.run(&format!("failsafe/{kind}/mixed"), |_| {
        let (mut fails, mixed) = (one_in_eight(), &mixed);
        move |ops| (0..ops).for_each(|_| run_failsafe(mixed, fails()))
    });
    let open = breaker();
    (0..1_000).for_each(|_| run_failsafe(&open, true));
    bench.run(&format!("failsafe/{kind}/open"), |_| |ops| (0..ops).for_each(|_| run_failsafe(&open, false)));
}

#[inline]
fn run_failsafe<P: failsafe::FailurePolicy>(breaker: &StateMachine<P, ()>, fails: bool) {
    let _ = black_box(breaker.call(|| outcome(fails)));
}

/// A service behind it that does nothing; each thread has a clone of the service, and all clones one breaker.
fn tower_resilience(bench: &mut Bench<'_, '_>, kind: &str, config: CircuitBreakerConfigBuilder<DefaultClassifier>) {
    let layer = config.build().expect("the numbers are within their bounds");
    let service = layer.layer_fn(service_fn(at_once));
    bench.run(&format!("tower-resilience/{kind}"), |_| {
        let mut service = service.clone();
        let runtime = Builder::new_current_thread().build().expect("a runtime starts");
        move |ops| {
            let calls = async {
                for _ in 0..ops {
                    let ready = service.ready().await.expect("the breaker is closed");
                    let _ = black_box(ready.call(()).await);
                }
            };
            runtime.block_on(tokio::task::unconstrained(calls));
        }
    });
}

fn at_once((): ()) -> Ready<Result<(), Infallible>> {
    ready(Ok(()))
}

#[inline]
fn outcome(fails: bool) -> Result<(), ()> {
    if black_box(fails) { Err(()) } else { Ok(()) }
}

/// Says of each call whether it fails.
fn one_in_eight() -> impl FnMut() -> bool {
    let mut calls = 0_u32;
    move || {
        calls = calls.wrapping_add(1);
        calls.is_multiple_of(8)
    }
}

const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();
const TOOK: Duration = Duration::from_millis(3);
const TEN_SECONDS: Duration = Duration::from_secs(10);
/// Longer than any of the measurements.
const HOUR: Duration = Duration::from_secs(3_600);
