//! How many requests a limit lets in flight, what it asks its algorithm and when.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mesh_retry::limit::algorithm::{Algorithm, Sample, Step};
use mesh_retry::limit::{ConcurrencyLimit, End, LimitConfig, Limited, Permit, SampleWindow};
use mesh_retry::{Instant, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn presets() -> [LimitConfig; 5] {
    let fixed = LimitConfig::fixed(number(7));
    [fixed, LimitConfig::aimd(), LimitConfig::vegas(), LimitConfig::gradient2(), LimitConfig::envoy()]
}

/// Notes what it is told, and answers as it is told.
#[derive(Debug, Default)]
struct Script {
    seen: Mutex<Vec<(Instant, Sample)>>,
    limit: AtomicU32,
}

#[derive(Debug)]
struct Shared(Arc<Script>);

impl Algorithm for Shared {
    fn first(&self) -> Step {
        Step::to(self.0.limit.load(Ordering::Relaxed))
    }

    fn next(&self, now: Instant, sample: &Sample) -> Step {
        self.0.seen.lock().unwrap().push((now, *sample));
        Step::to(self.0.limit.load(Ordering::Relaxed))
    }
}

fn scripted(limit: u32, window: SampleWindow) -> (Arc<Script>, ConcurrencyLimit) {
    let script = Arc::new(Script { limit: AtomicU32::new(limit), ..Script::default() });
    let limit = ConcurrencyLimit::with_algorithm(Box::new(Shared(Arc::clone(&script))), window);
    (script, limit)
}

fn one(limit: &ConcurrencyLimit, now: Instant, end: End, rtt: Duration) {
    let permit = limit.acquire(now).unwrap();
    limit.release(now, permit, end, rtt);
}

#[test]
fn as_many_are_let_in_as_the_limit_says_and_the_refusal_tells_why() {
    let limit = ConcurrencyLimit::new(&LimitConfig::fixed(number(2)), 0);
    let first = limit.acquire(at(1)).unwrap();
    let second = limit.acquire(at(1)).unwrap();
    assert_eq!(limit.in_flight(), 2);
    let refused = limit.acquire(at(1)).unwrap_err();
    let Limited::AtLimit { limit: most, in_flight, .. } = refused else { panic!("{refused}") };
    assert_eq!((most, in_flight, refused.retry_at(), refused.name()), (2, 2, None, "concurrency-limit"));
    assert_eq!(refused.to_string(), "2 requests are in flight and 2 may be");
    limit.release(at(2), first, End::Success, MS);
    let third = limit.acquire(at(2)).unwrap();
    limit.release(at(3), second, End::Dropped, MS);
    limit.release(at(3), third, End::Ignored, MS);
    assert_eq!((limit.in_flight(), limit.limit()), (0, 2));
}

#[test]
fn a_refusal_knows_when_enough_requests_are_likely_to_have_ended() {
    let (script, limit) = scripted(5, SampleWindow::EACH);
    one(&limit, at(0), End::Success, 100 * MS);
    let held: Vec<Permit> = (0..5).map(|_| limit.acquire(at(100)).unwrap()).collect();
    // One of five that take 100 ms.
    assert_eq!(limit.acquire(at(100)).unwrap_err().retry_at(), Some(at(120)));
    script.limit.store(3, Ordering::Relaxed);
    let mut held = held.into_iter();
    limit.release(at(100), held.next().unwrap(), End::Success, 100 * MS);
    // Four are in flight and three may be: two have to end.
    assert_eq!(limit.acquire(at(100)).unwrap_err().retry_at(), Some(at(150)));
    held.for_each(|permit| limit.release(at(101), permit, End::Ignored, MS));
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn a_limit_that_falls_takes_nobody_out_of_flight() {
    let (script, limit) = scripted(3, SampleWindow::EACH);
    let held = [(); 3].map(|()| limit.acquire(at(0)).unwrap());
    script.limit.store(0, Ordering::Relaxed);
    let [first, second, third] = held;
    limit.release(at(1), first, End::Success, MS);
    assert_eq!((limit.limit(), limit.in_flight()), (1, 2), "a limit of nothing would never let a request find out");
    assert!(limit.acquire(at(1)).is_err());
    limit.release(at(1), second, End::Success, MS);
    assert!(limit.acquire(at(1)).is_err());
    limit.release(at(1), third, End::Success, MS);
    assert!(limit.acquire(at(1)).is_ok());
}

#[test]
fn a_window_ends_when_it_is_due_and_has_its_samples() {
    let mut window = SampleWindow::default();
    (window.length, window.samples_min) = (1_000 * MS, number(3));
    let (script, limit) = scripted(10, window);
    let seen = || script.seen.lock().unwrap().len();
    // The first is due at once.
    (0..2).for_each(|_| one(&limit, at(500), End::Success, MS));
    assert_eq!(seen(), 0);
    one(&limit, at(500), End::Success, 4 * MS);
    assert_eq!(seen(), 1);
    (0..20).for_each(|_| one(&limit, at(1_499), End::Success, 5 * MS));
    assert_eq!(seen(), 1);
    let outer = limit.acquire(at(1_499)).unwrap();
    one(&limit, at(1_500), End::Success, 26 * MS);
    assert_eq!(seen(), 2);
    // Due for long, and waiting for samples.
    limit.release(at(9_000), outer, End::Dropped, 6 * MS);
    one(&limit, at(9_000), End::Ignored, 6 * MS);
    one(&limit, at(9_000), End::Success, 6 * MS);
    assert_eq!(seen(), 2);
    one(&limit, at(9_000), End::Success, 6 * MS);
    let sample = |rtt, count, in_flight, dropped| Sample { rtt: rtt * MS, count, in_flight, dropped };
    let expected =
        [(at(500), sample(2, 3, 1, false)), (at(1_500), sample(6, 21, 2, false)), (at(9_000), sample(6, 3, 1, true))];
    assert_eq!(*script.seen.lock().unwrap(), expected);
}

#[test]
fn a_window_that_is_full_ends_before_its_time() {
    let (script, limit) = scripted(10, SampleWindow::default());
    let seen = || script.seen.lock().unwrap().len();
    let long = Duration::from_secs(300);
    (0..10).for_each(|_| one(&limit, at(0), End::Success, long));
    assert_eq!(seen(), 1);
    // Ten hours of requests in no time.
    (0..128).for_each(|_| one(&limit, at(0), End::Success, long));
    assert_eq!(seen(), 1);
    one(&limit, at(0), End::Success, long);
    assert_eq!(seen(), 2);
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_windows() {
    let mut window = SampleWindow::default();
    window.samples_min = NonZeroU32::MIN;
    let (script, limit) = scripted(10, window);
    let seen = || script.seen.lock().unwrap().len();
    one(&limit, at(10_000_000), End::Success, MS);
    assert_eq!(seen(), 1);
    one(&limit, at(9_999_500), End::Success, MS);
    assert_eq!(seen(), 1, "a thread that is a little behind does not end it");
    one(&limit, at(5_000), End::Success, MS);
    assert_eq!(seen(), 2);
    one(&limit, at(5_999), End::Success, MS);
    one(&limit, at(6_000), End::Success, MS);
    assert_eq!(seen(), 3);
}

#[test]
fn what_is_ignored_moves_nothing() {
    for config in presets() {
        let limit = ConcurrencyLimit::new(&config, 5);
        let first = limit.limit();
        (0..500).for_each(|step| one(&limit, at(step * 100), End::Ignored, Duration::from_secs(60)));
        assert_eq!((limit.limit(), limit.in_flight()), (first, 0), "{config:?}");
    }
}

#[test]
fn aimd_grows_by_one_a_sample_and_shrinks_with_the_first_drop() {
    let limit = ConcurrencyLimit::new(&LimitConfig::aimd(), 0);
    // As many as half of the limit are in flight all the time.
    let held: Vec<Permit> = (0..19).map(|_| limit.acquire(at(0)).unwrap()).collect();
    for grown in 21..=40 {
        one(&limit, at(1), End::Success, MS);
        assert_eq!(limit.limit(), grown);
    }
    one(&limit, at(1), End::Success, MS);
    assert_eq!(limit.limit(), 41, "20 are half of 40");
    one(&limit, at(1), End::Success, MS);
    assert_eq!(limit.limit(), 41, "and less than half of 41");
    one(&limit, at(1), End::Dropped, MS);
    assert_eq!((limit.limit(), limit.in_flight()), (36, 19));
    held.into_iter().for_each(|permit| limit.release(at(2), permit, End::Ignored, MS));
}

#[test]
fn neither_admission_nor_release_allocates() {
    for config in presets() {
        let limit = ConcurrencyLimit::new(&config, 5);
        let counted = allocation_counter::measure(|| {
            for step in 0..3_000 {
                let end = if step % 7 == 0 { End::Dropped } else { End::Success };
                one(&limit, at(step * 10), end, MS * (1 + step as u32 % 13));
            }
            let held: [Result<Permit, Limited>; 300] = core::array::from_fn(|_| limit.acquire(at(40_000)));
            held.into_iter().flatten().for_each(|permit| limit.release(at(40_000), permit, End::Ignored, MS));
        });
        assert_eq!(counted.count_total, 0, "{config:?}");
        assert_eq!(limit.in_flight(), 0);
    }
}

#[test]
fn threads_that_come_at_once_are_never_more_than_the_limit() {
    let limit = ConcurrencyLimit::new(&LimitConfig::fixed(number(3)), 0);
    let (inside, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let Ok(permit) = limit.acquire(at(0)) else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    limit.release(at(0), permit, End::Success, MS);
                }
            });
        }
    });
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn no_sample_is_lost_or_counted_twice_where_threads_end_windows_at_once() {
    let (script, limit) = scripted(100, SampleWindow::EACH);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5_000).for_each(|_| one(&limit, at(0), End::Success, MS)));
        }
    });
    one(&limit, at(0), End::Success, MS);
    let seen = script.seen.lock().unwrap();
    assert_eq!(seen.iter().map(|(_, sample)| sample.count).sum::<u32>(), 20_001);
    assert!(seen.iter().all(|(_, sample)| sample.rtt == MS), "a count and the sum of just that many");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: RngSeed::Fixed(8), ..ProptestConfig::default() })]

    #[test]
    fn requests_are_let_in_up_to_the_limit_and_all_are_let_out_again(
        preset in 0_usize..5,
        seed: u64,
        steps in proptest::collection::vec((0_u8..8, 0_u64..400, any::<bool>()), 1..600),
    ) {
        let config = presets()[preset];
        let limit = ConcurrencyLimit::new(&config, seed);
        let mut rng = Rng::from_seed(seed);
        let mut held: Vec<Permit> = Vec::new();
        let mut now = at(1_000);
        for (kind, millis, goes_back) in steps {
            now = if goes_back { now - MS * millis as u32 } else { now + MS * millis as u32 * 4 };
            if kind < 4 || held.is_empty() {
                let most = limit.limit();
                match limit.acquire(now) {
                    Ok(permit) => {
                        held.push(permit);
                        prop_assert!(held.len() as u32 <= most);
                    }
                    Err(Limited::AtLimit { limit, in_flight, .. }) => {
                        prop_assert_eq!((limit, in_flight), (most, held.len() as u32));
                        prop_assert!(in_flight >= limit);
                    }
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            } else {
                let permit = held.swap_remove(rng.below(held.len() as u64) as usize);
                let end = [End::Success, End::Success, End::Dropped, End::Ignored][usize::from(kind - 4)];
                limit.release(now, permit, end, rng.up_to(Duration::from_secs(7)));
            }
            prop_assert_eq!(limit.in_flight(), held.len() as u32);
            prop_assert!((1..=1_000).contains(&limit.limit()));
        }
        held.into_iter().for_each(|permit| limit.release(now, permit, End::Success, MS));
        prop_assert_eq!(limit.in_flight(), 0);
    }

    #[test]
    fn the_same_requests_and_the_same_entropy_lead_to_the_same_limits(
        preset in 0_usize..5,
        entropy: u64,
        rtts in proptest::collection::vec((0_u64..50_000, 0_u64..300), 1..300),
    ) {
        let run = || {
            let limit = ConcurrencyLimit::new(&presets()[preset], entropy);
            let mut now = Instant::ZERO;
            let step = |(micros, millis): &(u64, u64)| {
                now += MS * *millis as u32;
                one(&limit, now, End::Success, Duration::from_micros(*micros));
                limit.limit()
            };
            rtts.iter().map(step).collect::<Vec<u32>>()
        };
        prop_assert_eq!(run(), run());
    }
}
