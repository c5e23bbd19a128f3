//! What threads share without a lock, under every order in which two or three of them may come (loom): `scripts/loom`.

use alloc::sync::Arc;
use core::time::Duration;

use loom::thread;

use super::hold::HoldRing;
use super::policy::Cursor;
use super::slab::{Blocks, Slab};
use super::window::Window;
use crate::service::{Instance, InstanceKey};
use crate::sync::AtomicU64;
use crate::time::Instant;

fn key() -> InstanceKey {
    Instance::builder("api", "127.0.0.1", 80).build().unwrap().key().clone()
}

/// One endpoint, in slot 0.
fn one() -> Blocks {
    let mut slab = Slab::new();
    assert_eq!(slab.enrol(key()), 0);
    slab.list()
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn requests_in_flight_are_never_more_than_have_begun_nor_fewer_than_none() {
    loom::model(|| {
        let blocks = one();
        let caller = |blocks: Blocks| {
            move || {
                blocks.get(0).start();
                let seen = blocks.get(0).in_flight();
                assert!((1..=2).contains(&seen), "{seen} while one's own is in flight");
                blocks.get(0).stop();
            }
        };
        let other = thread::spawn(caller(blocks.clone()));
        caller(blocks.clone())();
        other.join().unwrap();
        assert_eq!((blocks.get(0).picks(), blocks.get(0).in_flight()), (2, 0));
    });
}

#[test]
fn a_reader_sees_no_more_requests_in_flight_than_there_are_at_once() {
    loom::model(|| {
        let blocks = one();
        let counted = blocks.clone();
        // One at a time.
        let caller = thread::spawn(move || {
            for _ in 0..2 {
                counted.get(0).start();
                counted.get(0).stop();
            }
        });
        let seen = blocks.get(0).in_flight();
        assert!(seen <= 1, "{seen} at once");
        caller.join().unwrap();
    });
}

#[test]
fn what_handles_hold_back_is_told_once_whoever_tells_it() {
    loom::model(|| {
        let blocks = one();
        let window = Arc::new(Window::over(Duration::from_secs(1), &blocks, None));
        window.start_in(0, at(5_000));
        window.start_in(0, at(5_001));
        // One request ends on another thread while its handle picks and somebody settles.
        let elsewhere = Arc::clone(&window);
        let ends = thread::spawn(move || elsewhere.stop_in(0, Some(at(5_002))));
        let settles = {
            let window = Arc::clone(&window);
            thread::spawn(move || window.settle())
        };
        window.start_in(0, at(5_003));
        assert!(blocks.get(0).in_flight() <= 3);
        ends.join().unwrap();
        settles.join().unwrap();
        window.settle();
        assert_eq!((blocks.get(0).picks(), blocks.get(0).in_flight()), (3, 2));
    });
}

#[test]
fn what_is_held_back_is_told_when_the_last_of_two_threads_lets_go() {
    loom::model(|| {
        let blocks = one();
        let window = Arc::new(Window::over(Duration::from_secs(1), &blocks, None));
        window.start_in(0, at(0));
        let lease = Arc::clone(&window);
        let ends = thread::spawn(move || {
            lease.stop_in(0, None);
            drop(lease);
        });
        drop(window);
        ends.join().unwrap();
        assert_eq!((blocks.get(0).picks(), blocks.get(0).in_flight()), (1, 0));
    });
}

#[test]
fn failures_that_end_at_once_are_all_held() {
    let hold = Duration::from_secs(1);
    loom::model(move || {
        let ring = Arc::new(HoldRing::new(hold));
        let other = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.add(at(1_000), hold))
        };
        ring.add(at(1_000), hold);
        assert!(ring.count(at(1_000)) >= 1, "one's own");
        other.join().unwrap();
        assert_eq!(ring.count(at(1_000)), 2);
    });
}

#[test]
fn no_turn_is_taken_twice() {
    loom::model(|| {
        let shared = Arc::new(AtomicU64::new(0));
        let turns = |shared: &AtomicU64| {
            let mut cursor = Cursor::default();
            [cursor.next(shared), cursor.next(shared)]
        };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || turns(&shared))
        };
        let mut all = turns(&shared).to_vec();
        all.extend(other.join().unwrap());
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    });
}
