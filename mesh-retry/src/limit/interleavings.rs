//! What threads share without a lock, under every order in which two or three of them may come (loom): `scripts/loom`.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;
use mesh_core::machine::Machine as _;
use mesh_core::time::Instant;

use super::algorithm::{Algorithm, Sample, Step};
use super::bulkhead::{
    Bulkhead, BulkheadConfig, BulkheadEffect, BulkheadInput, BulkheadMachine, EntrantId, Left, Pass,
};
use super::occupancy::Occupancy;
use super::samples::Samples;
use super::throttle::{AdaptiveThrottle, ThrottleConfig};
use super::{Aggregate, ConcurrencyLimit, End, SampleWindow};
use crate::sync::{AtomicU32, Ordering};

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn nobody_is_let_in_beyond_the_limit_of_that_moment() {
    loom::model(|| {
        let occupancy = Arc::new(Occupancy::new(2));
        let caller = |occupancy: Arc<Occupancy>| {
            move || {
                if let Ok(seen) = occupancy.enter() {
                    assert!(seen.in_flight() <= seen.limit(), "{seen:?}");
                    occupancy.leave();
                }
            }
        };
        let others = [(); 2].map(|()| thread::spawn(caller(Arc::clone(&occupancy))));
        occupancy.set(1);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((occupancy.read().in_flight(), occupancy.read().limit()), (0, 1));
    });
}

#[test]
fn the_last_place_is_given_away_once() {
    loom::model(|| {
        let occupancy = Arc::new(Occupancy::new(1));
        let other = {
            let occupancy = Arc::clone(&occupancy);
            thread::spawn(move || occupancy.enter().is_ok())
        };
        let mine = occupancy.enter().is_ok();
        assert_ne!(mine, other.join().unwrap());
        assert_eq!(occupancy.read().in_flight(), 1);
    });
}

/// Counts the samples that it is told of, by steps that would lose some if two threads took them at once, or if one did
/// not see what the other wrote.
#[derive(Debug)]
struct Counting(Arc<AtomicU32>);

impl Algorithm for Counting {
    fn first(&self) -> Step {
        Step::to(5)
    }

    fn next(&self, _now: Instant, sample: &Sample) -> Step {
        assert_eq!(sample.rtt, MS);
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before + sample.count, Ordering::Relaxed);
        Step::to(5 + before + sample.count)
    }
}

#[test]
fn an_algorithm_is_asked_by_one_thread_at_a_time_and_told_of_each_sample_once() {
    loom::model(|| {
        let told = Arc::new(AtomicU32::new(0));
        let algorithm = Box::new(Counting(Arc::clone(&told)));
        let limit = Arc::new(ConcurrencyLimit::with_algorithm(algorithm, SampleWindow::EACH));
        let caller = |limit: Arc<ConcurrencyLimit>| {
            move || {
                let permit = limit.acquire(at(0)).unwrap();
                limit.release(at(0), permit, End::Success, MS);
            }
        };
        let other = thread::spawn(caller(Arc::clone(&limit)));
        caller(Arc::clone(&limit))();
        other.join().unwrap();
        // What was left for the next window goes with the next sample.
        caller(Arc::clone(&limit))();
        assert_eq!(told.load(Ordering::Relaxed), 3);
        assert_eq!((limit.limit(), limit.in_flight()), (8, 0));
    });
}

/// Is never asked of fewer samples than it wants.
#[derive(Debug)]
struct OfTwo;

impl Algorithm for OfTwo {
    fn first(&self) -> Step {
        Step::to(5)
    }

    fn next(&self, _now: Instant, sample: &Sample) -> Step {
        assert!(sample.count >= 2, "{sample:?}");
        Step::to(5)
    }
}

#[test]
fn a_window_that_one_thread_has_ended_is_not_ended_again_by_another() {
    let mut window = SampleWindow::EACH;
    window.samples_min = NonZeroU32::MIN.saturating_add(1);
    loom::model(move || {
        let limit = Arc::new(ConcurrencyLimit::with_algorithm(Box::new(OfTwo), window));
        let caller = |limit: Arc<ConcurrencyLimit>| {
            move || {
                let permit = limit.acquire(at(0)).unwrap();
                limit.release(at(0), permit, End::Success, MS);
            }
        };
        caller(Arc::clone(&limit))();
        let other = thread::spawn(caller(Arc::clone(&limit)));
        (0..2).for_each(|_| caller(Arc::clone(&limit))());
        other.join().unwrap();
        assert_eq!(limit.in_flight(), 0);
    });
}

#[test]
fn who_takes_a_sample_takes_its_place_in_the_histogram_too() {
    loom::model(|| {
        let samples = Arc::new(Samples::new(Aggregate::Quantile { milli: 1_000 }));
        let other = {
            let samples = Arc::clone(&samples);
            thread::spawn(move || samples.add(Duration::from_nanos(64 * 7), 2, true))
        };
        let first = samples.take();
        other.join().unwrap();
        let second = samples.take();
        let all: Vec<Sample> = first.into_iter().chain(second).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].rtt, Duration::from_nanos(64 * 7));
    });
}

#[test]
fn what_a_throttle_counts_while_its_window_moves_on_is_taken_off_once() {
    let mut config = ThrottleConfig::sre();
    config.window = Duration::from_secs(3);
    loom::model(move || {
        // Slices of a second.
        let throttle = Arc::new(AdaptiveThrottle::new(config));
        throttle.ended(at(0), End::Success);
        let other = {
            let throttle = Arc::clone(&throttle);
            thread::spawn(move || {
                throttle.ended(at(0), End::Success);
                throttle.ended(at(2_000), End::Success);
            })
        };
        // The first leaves the window.
        throttle.ended(at(3_000), End::Success);
        let accepts = throttle.level(at(3_000)).accepts;
        assert!(accepts <= 4, "{accepts}");
        other.join().unwrap();
        assert!(throttle.level(at(3_000)).accepts <= 3);
        let level = throttle.level(at(60_000));
        assert_eq!((level.accepts, level.requests), (0, 0), "all leave, and nobody twice");
    });
}

fn of_one() -> Arc<Bulkhead> {
    let mut config = BulkheadConfig::without_queue(NonZeroU32::MIN);
    config.waiting_max = 2;
    Arc::new(Bulkhead::new(config))
}

#[test]
fn a_place_is_given_to_one() {
    loom::model(|| {
        let bulkhead = of_one();
        let caller = |bulkhead: Arc<Bulkhead>| {
            move || {
                if let Ok(pass) = bulkhead.enter(at(0)) {
                    assert_eq!(bulkhead.inside(), 1);
                    assert_eq!(bulkhead.leave(at(1), pass), Left::Unawaited);
                }
            }
        };
        let others = [(); 2].map(|()| thread::spawn(caller(Arc::clone(&bulkhead))));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((bulkhead.inside(), bulkhead.waiting()), (0, 0));
    });
}

/// The queue as a driver keeps it, with the passes that it has handed out.
struct Driver {
    queue: Mutex<(BulkheadMachine, Vec<Pass>)>,
    bulkhead: Arc<Bulkhead>,
}

impl Driver {
    fn tell(&self, input: BulkheadInput) {
        let mut held = self.queue.lock().unwrap();
        let (machine, passes) = &mut *held;
        machine.handle_input(at(1), input);
        while let Some(effect) = machine.poll_effect() {
            if let BulkheadEffect::Admit { pass, .. } = effect {
                passes.push(pass);
            }
        }
    }

    fn leave(&self, pass: Pass) {
        if self.bulkhead.leave(at(1), pass) == Left::Awaited {
            self.tell(BulkheadInput::Left);
        }
    }
}

/// A bulkhead of one with somebody inside.
fn occupied() -> (Arc<Driver>, Pass) {
    let bulkhead = of_one();
    let pass = bulkhead.enter(at(0)).unwrap();
    let queue = Mutex::new((BulkheadMachine::new(Arc::clone(&bulkhead)), Vec::new()));
    (Arc::new(Driver { queue, bulkhead }), pass)
}

#[test]
fn whoever_waits_goes_in_when_the_last_leaves_in_whatever_order_they_come() {
    loom::model(|| {
        let (driver, pass) = occupied();
        let leaves = {
            let driver = Arc::clone(&driver);
            thread::spawn(move || driver.leave(pass))
        };
        driver.tell(BulkheadInput::Enter { id: EntrantId::from_number(1), deadline: None });
        leaves.join().unwrap();
        assert_eq!(driver.queue.lock().unwrap().1.len(), 1, "admitted, and once");
        assert_eq!((driver.bulkhead.inside(), driver.bulkhead.waiting()), (1, 0));
    });
}

#[test]
fn whoever_goes_in_past_the_queue_leaves_nobody_behind() {
    loom::model(|| {
        let (driver, pass) = occupied();
        let leaves = {
            let driver = Arc::clone(&driver);
            thread::spawn(move || driver.leave(pass))
        };
        let passes_by = {
            let driver = Arc::clone(&driver);
            thread::spawn(move || {
                if let Ok(pass) = driver.bulkhead.enter(at(1)) {
                    driver.leave(pass);
                }
            })
        };
        driver.tell(BulkheadInput::Enter { id: EntrantId::from_number(1), deadline: None });
        leaves.join().unwrap();
        passes_by.join().unwrap();
        assert_eq!(driver.queue.lock().unwrap().1.len(), 1, "admitted, and once");
        assert_eq!((driver.bulkhead.inside(), driver.bulkhead.waiting()), (1, 0));
    });
}
