//! What retries and the machine share without a lock, under every order in which they may come (loom): `scripts/loom`.

use core::time::Duration;
use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use mesh_core::rng::Rng;

use super::super::wake::Wake;
use super::{RetrySlots, SlotsConfig};

#[derive(Debug, Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ten slots with a block of `count` numbers, and what wakes the driver.
fn slots(count: u32) -> (Arc<RetrySlots>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let slots = Arc::new(RetrySlots::new(&SlotsConfig::default(), bell.clone()));
    slots.refill(0, count);
    (slots, bell)
}

fn take(slots: &RetrySlots, seed: u64) -> Duration {
    slots.take(&mut Rng::from_seed(seed))
}

#[test]
fn two_retries_take_two_numbers_and_the_driver_is_woken_for_both_reasons_once() {
    loom::model(|| {
        let (slots, bell) = slots(2);
        let shared = Arc::clone(&slots);
        let other = thread::spawn(move || take(&shared, 1));
        let (mine, theirs) = (take(&slots, 2), other.join().unwrap());
        let mut taken = [mine.as_millis() / 100, theirs.as_millis() / 100];
        taken.sort_unstable();
        assert_eq!((taken, slots.left()), ([0, 3], 0));
        // Whoever comes last may say so first, and then the other has nothing to add.
        assert!((1..=2).contains(&bell.0.load(Ordering::SeqCst)));
        assert_eq!(slots.woken_for(), super::hot::EMPTY);
    });
}

#[test]
fn a_retry_beside_a_new_block_takes_a_number_of_either_and_the_driver_hears_of_the_new_ones_first_use() {
    loom::model(|| {
        let (slots, bell) = slots(1);
        let shared = Arc::clone(&slots);
        let other = thread::spawn(move || take(&shared, 1));
        let left = slots.refill(5, 11);
        let slot = other.join().unwrap().as_millis() / 100;
        match (left, slots.left()) {
            (0, 11) => assert_eq!(slot, 0, "of the old one"),
            (1, 10) => {
                assert_eq!(slot, 5, "of the new one");
                assert!(slots.woken_for() > 0 && bell.0.load(Ordering::SeqCst) == 1);
            }
            other => panic!("{other:?}"),
        }
    });
}
