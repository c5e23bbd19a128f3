//! What two threads learn at once, in every order: `scripts/loom`.

use alloc::sync::Arc;
use core::time::Duration;

use loom::thread;

use super::decay::Decay;
use super::word::{Estimate, Nanos, learn};
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

#[test]
fn two_latencies_that_are_learnt_at_once_are_learnt_in_some_order() {
    let decay = Decay::over(Duration::from_secs(10));
    let (slow, fast) = (Nanos::of(Duration::from_millis(90)), Nanos::of(Duration::from_millis(10)));
    let now = Instant::from_millis(5_000);
    loom::model(move || {
        let cell = Arc::new(AtomicU64::new(0));
        let other = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || learn(&cell, slow, now, &decay))
        };
        learn(&cell, fast, now, &decay);
        other.join().unwrap();
        // The peak is never lost: fast first and then slow, or slow first and then fast, which takes nothing off at once.
        let word = cell.load(Ordering::Relaxed);
        assert_eq!(Estimate::read(word, now, &decay), Estimate::Measured(slow));
    });
}
