//! What threads share without a lock, under every order in which two or three of them may come (loom): `scripts/loom`.

use core::time::Duration;
use std::sync::Arc;

use loom::thread;

use super::RateLimiter;
use crate::Instant;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A limiter that lets 3.5 attempts a second pass, and holds nothing.
fn limiting() -> RateLimiter {
    let limiter = RateLimiter::new(at(0));
    (0..5).for_each(|_| limiter.record(at(0), false));
    limiter.record(at(1_000), true);
    assert_eq!(limiter.fill_rate().map(|rate| (rate * 100.0) as u64), Some(336));
    while limiter.acquire(at(1_000), None, Duration::ZERO).is_ok() {}
    limiter
}

#[test]
fn what_two_threads_take_at_once_is_taken_twice() {
    loom::model(|| {
        let limiter = Arc::new(limiting());
        let alone = limiting();
        let waits: Vec<Duration> = (0..2).map(|_| alone.acquire(at(1_000), None, Duration::MAX).unwrap()).collect();
        let other = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || limiter.acquire(at(1_000), None, Duration::MAX).unwrap())
        };
        let mine = limiter.acquire(at(1_000), None, Duration::MAX).unwrap();
        let theirs = other.join().unwrap();
        assert_eq!([mine.min(theirs), mine.max(theirs)], *waits);
    });
}

#[test]
fn a_throttled_reply_is_heeded_whoever_has_the_turn() {
    loom::model(|| {
        let limiter = Arc::new(RateLimiter::new(at(0)));
        let reply = |limiter: Arc<RateLimiter>, is_throttled| {
            move || {
                limiter.record(at(600), is_throttled);
            }
        };
        let other = thread::spawn(reply(Arc::clone(&limiter), true));
        reply(Arc::clone(&limiter), false)();
        other.join().unwrap();
        assert!(limiter.fill_rate().is_some());
        // Nothing holds the turn any more: the next reply moves the rate.
        let before = limiter.fill_rate();
        limiter.record(at(9_000), false);
        limiter.record(at(9_600), false);
        assert_ne!(limiter.fill_rate(), before);
    });
}

#[test]
fn two_throttled_replies_at_once_cut_the_rate_once_or_twice_and_count_twice() {
    loom::model(|| {
        let limiter = Arc::new(limiting());
        let throttled = |limiter: Arc<RateLimiter>| move || limiter.record(at(1_400), true);
        let other = thread::spawn(throttled(Arc::clone(&limiter)));
        throttled(Arc::clone(&limiter))();
        other.join().unwrap();
        let rate = limiter.fill_rate().unwrap();
        let cut = rate / 3.36;
        assert!((cut - 0.7).abs() < 1e-9 || (cut - 0.49).abs() < 1e-9, "{cut}");
        // Both replies, and the one that tells: 3 in half a second, of which 0.8 counts, and 0.2 of the 4.8 before.
        limiter.record(at(1_500), true);
        let used = (3.0 * 2.0 * 0.8 + 4.8 * 0.2_f64).min(rate);
        assert!((limiter.fill_rate().unwrap() / (used * 0.7) - 1.0).abs() < 1e-9);
    });
}
