//! What holds of a breaker that threads share, and that it never allocates.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod breaker_support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use breaker_support::*;
use mesh_retry::Instant;
use mesh_retry::breaker::{BreakerConfig, Forced, State, Verdict, WindowKind};

#[test]
fn nothing_that_it_does_allocates() {
    for config in [BreakerConfig::resilience4j(), BreakerConfig::default(), consecutive(3)] {
        let breaker = breaker(config);
        let counted = allocation_counter::measure(|| {
            for step in 0..10_000_u64 {
                let now = at(step * 100);
                if let Ok(permit) = breaker.permit(now) {
                    let verdict = if step % 1_000 < 600 { FAILED } else { OK };
                    breaker.record(now, permit, if step % 7 == 0 { Verdict::Ignored } else { verdict });
                }
                let _ = (breaker.state(now), breaker.counts(now), breaker.next_transition_at());
            }
            breaker.force(Forced::MetricsOnly);
            breaker.reset();
        });
        assert_eq!(counted.count_total, 0);
    }
}

#[test]
fn no_call_is_lost_or_counted_twice_whoever_ends_it() {
    let mut by_time = BreakerConfig::hystrix();
    by_time.window = WindowKind::Time { buckets: number(4), width: secs(1) };
    let mut by_count = BreakerConfig::resilience4j();
    by_count.window = WindowKind::Count { calls: number(4_000) };
    for mut config in [by_time, by_count] {
        config.failures_in_row = 1;
        let breaker = breaker(config);
        breaker.force(Forced::Disabled);
        thread::scope(|scope| {
            for worker in 0..4_u64 {
                let breaker = &breaker;
                scope.spawn(move || {
                    for step in 0..10_000_u64 {
                        // The last 4,000 calls of all are of the last second and of one kind for each worker.
                        let now = Instant::from_nanos(step * 100_000);
                        call(breaker, now, if worker % 2 == 0 { FAILED } else { OK });
                    }
                });
            }
        });
        let counts = breaker.counts(at(0));
        if matches!(config.window, WindowKind::Time { .. }) {
            assert_eq!(numbers(counts), (40_000, 20_000, 0));
        } else {
            assert_eq!(counts.calls, 4_000);
            // One by one the failures leave, and the ring holds as many as the head says.
            let (failed, mut seen) = (counts.failed, 0);
            for _ in 0..4_000 {
                let before = breaker.counts(at(0)).failed;
                call(&breaker, at(0), OK);
                seen += before - breaker.counts(at(0)).failed;
            }
            assert_eq!((seen, breaker.counts(at(0)).failed), (failed, 0));
        }
    }
}

#[test]
fn never_more_probes_are_out_than_there_are_places() {
    let mut config = consecutive(1);
    config.half_open.probes = number(3);
    (config.open.base, config.open.max) = (std::time::Duration::from_millis(1), std::time::Duration::from_millis(1));
    let breaker = breaker(config);
    let (out, clock, transitions) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for worker in 0..4_u64 {
            let (breaker, out, clock, transitions) = (&breaker, &out, &clock, &transitions);
            scope.spawn(move || {
                for step in 0..20_000_u64 {
                    let now = Instant::from_nanos(clock.fetch_add(100_000, Ordering::SeqCst));
                    let Ok(permit) = breaker.permit(now) else { continue };
                    let told = if permit.is_probe() {
                        assert!(out.fetch_add(1, Ordering::SeqCst) < 3);
                        out.fetch_sub(1, Ordering::SeqCst);
                        match (step + worker) % 3 {
                            0 => {
                                breaker.give_back(permit);
                                None
                            }
                            1 => breaker.record(now, permit, FAILED),
                            _ => breaker.record(now, permit, OK),
                        }
                    } else {
                        breaker.record(now, permit, FAILED)
                    };
                    transitions.fetch_add(u64::from(told.is_some()), Ordering::SeqCst);
                }
            });
        }
    });
    assert!(transitions.load(Ordering::SeqCst) > 100);
    let later = Instant::from_nanos(clock.load(Ordering::SeqCst)) + secs(120);
    assert!(breaker.state(later) == State::Closed || breaker.permit(later).is_ok(), "it is not stuck");
}
