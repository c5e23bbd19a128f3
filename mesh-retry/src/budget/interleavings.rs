//! What threads share without a lock, under every order in which two or three of them may come (loom): `scripts/loom`.

use core::time::Duration;
use std::sync::Arc;

use loom::thread;

use super::{
    After, AwsConfig, AwsStandard, Budget, ConcurrentConfig, ConcurrentRetries, End, Extra, GrpcThrottle,
    GrpcThrottleConfig, Paid, TokenBucket, TokenBucketConfig, WindowBudget, WindowConfig,
};
use crate::Instant;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn retry(budget: &dyn Budget, now: Instant) -> Option<Paid> {
    budget.withdraw(now, Extra::retry(After::Transient)).paid()
}

/// Runs what the other thread does beside what this one does, and returns what both got.
fn both<T: 'static>(
    budget: &Arc<impl Budget + 'static>,
    other: impl FnOnce(&dyn Budget) -> T + 'static,
    this: impl FnOnce(&dyn Budget) -> T,
) -> (T, T) {
    let shared = Arc::clone(budget);
    let running = thread::spawn(move || other(&*shared));
    let mine = this(&**budget);
    (running.join().unwrap(), mine)
}

fn bucket(ratio_milli: u32, per_second_milli: u32, burst_milli: u32) -> Arc<TokenBucket> {
    Arc::new(TokenBucket::new(&TokenBucketConfig { ratio_milli, per_second_milli, burst_milli }))
}

#[test]
fn of_what_is_enough_for_one_retry_two_threads_get_one() {
    loom::model(|| {
        let bucket = bucket(0, 0, 1_500);
        let (theirs, mine) = both(&bucket, |b| retry(b, at(0)).is_some(), |b| retry(b, at(0)).is_some());
        assert!(theirs ^ mine, "{theirs} {mine}");
        assert_eq!(bucket.level(at(0)).has_milli, 500);
    });
}

#[test]
fn two_threads_whose_clocks_differ_get_no_more_than_time_brought() {
    loom::model(|| {
        // One a second.
        let bucket = bucket(0, 1_000, 1_000);
        assert!(retry(&*bucket, at(1_000)).is_some());
        let twice = |now: Instant| move |b: &dyn Budget| [retry(b, now), retry(b, now)].iter().flatten().count();
        let (theirs, mine) = both(&bucket, twice(at(2_000)), twice(at(1_500)));
        assert_eq!(theirs + mine, 1);
    });
}

#[test]
fn deposits_of_two_threads_are_neither_lost_nor_more_than_the_bucket_holds() {
    loom::model(|| {
        let bucket = bucket(600, 0, 2_000);
        assert!(retry(&*bucket, at(0)).is_some());
        let deposit = |b: &dyn Budget| b.deposit(at(0));
        both(&bucket, deposit, deposit);
        assert_eq!(bucket.level(at(0)).has_milli, 2_000);
        assert!(retry(&*bucket, at(0)).is_some() && retry(&*bucket, at(0)).is_some());
        assert!(retry(&*bucket, at(0)).is_none(), "what did not fit is lost");
    });
}

#[test]
fn a_deposit_and_a_retry_at_once_leave_what_both_make() {
    loom::model(|| {
        let bucket = bucket(300, 0, 3_000);
        assert!(retry(&*bucket, at(0)).is_some());
        let (_, granted) = both(
            &bucket,
            |b| {
                b.deposit(at(0));
                true
            },
            |b| retry(b, at(0)).is_some(),
        );
        assert!(granted);
        assert_eq!(bucket.level(at(0)).has_milli, 1_300);
    });
}

/// Reading a window takes many steps.
fn long_model(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.check(model);
}

fn window(per_second: u32) -> Arc<WindowBudget> {
    let ttl = Duration::from_secs(1);
    Arc::new(WindowBudget::new(&WindowConfig { ttl, per_second, ratio_milli: 1_000, ..WindowConfig::default() }))
}

#[test]
fn of_a_reserve_for_one_retry_two_threads_get_one_in_the_same_slot_and_in_neighbouring_ones() {
    for later in [0, 100] {
        long_model(move || {
            let window = window(1);
            let ask = |now: Instant| move |b: &dyn Budget| retry(b, now).is_some();
            let (theirs, mine) = both(&window, ask(at(1_000 + later)), ask(at(1_000)));
            assert!(theirs ^ mine, "{theirs} {mine}");
        });
    }
}

#[test]
fn withdrawals_of_a_slot_that_ends_meanwhile_are_not_forgotten() {
    long_model(|| {
        let window = window(2);
        assert!(retry(&*window, at(1_000)).is_some());
        // One thread still withdraws from the slot that the other ends.
        let ask = |now: Instant| move |b: &dyn Budget| retry(b, now).is_some();
        let (theirs, mine) = both(&window, ask(at(1_050)), ask(at(1_100)));
        assert!(theirs ^ mine, "{theirs} {mine}");
        assert!(retry(&*window, at(1_200)).is_none());
        assert!(retry(&*window, at(2_200)).is_some());
    });
}

#[test]
fn nobody_is_denied_what_there_is_while_a_slot_ends() {
    long_model(|| {
        let window = window(3);
        assert!(retry(&*window, at(1_000)).is_some());
        let ask = |now: Instant| move |b: &dyn Budget| retry(b, now).is_some();
        let (theirs, mine) = both(&window, ask(at(1_050)), ask(at(1_100)));
        assert!(theirs && mine, "{theirs} {mine}");
        assert!(retry(&*window, at(1_100)).is_none());
    });
}

#[test]
fn who_ends_a_slot_too_late_forgets_no_withdrawal_of_it() {
    long_model(|| {
        let window = window(3);
        assert!(retry(&*window, at(1_000)).is_some());
        let (theirs, mine) = both(
            &window,
            |b| [retry(b, at(1_050)), retry(b, at(1_100))].iter().flatten().count(),
            |b| retry(b, at(1_100)).iter().count(),
        );
        assert_eq!(theirs + mine, 2);
        assert!(retry(&*window, at(1_200)).is_none());
    });
}

#[test]
fn deposits_that_come_at_once_all_count_and_only_they() {
    long_model(|| {
        let window = window(0);
        let deposit = |b: &dyn Budget| {
            b.deposit(at(1_000));
            usize::from(retry(b, at(1_000)).is_some())
        };
        let (theirs, mine) = both(&window, deposit, deposit);
        let rest = usize::from(retry(&*window, at(1_000)).is_some());
        assert_eq!(theirs + mine + rest, 2, "{theirs} {mine} {rest}");
        assert!(retry(&*window, at(1_000)).is_none());
    });
}

#[test]
fn failures_and_successes_at_once_all_count() {
    loom::model(|| {
        let throttle = Arc::new(GrpcThrottle::new(&GrpcThrottleConfig { max_tokens: 4, token_ratio_milli: 500 }));
        throttle.ended(at(0), End::Failed, None);
        both(
            &throttle,
            |b| {
                b.ended(at(0), End::Failed, None);
                b.ended(at(0), End::Succeeded, None);
            },
            |b| b.ended(at(0), End::Succeeded, None),
        );
        // 4 − 2 + 2 · 0.5 = 3, of which two close it; what is half a token off would answer otherwise.
        let mut answers = vec![retry(&*throttle, at(0)).is_some()];
        for end in [End::Failed, End::Succeeded] {
            throttle.ended(at(0), end, None);
            answers.push(retry(&*throttle, at(0)).is_some());
        }
        assert_eq!(answers, [true, false, true]);
    });
}

#[test]
fn a_quota_never_holds_more_than_its_capacity_nor_spends_more() {
    loom::model(|| {
        let quota = Arc::new(AwsStandard::new(&AwsConfig { capacity: 11, ..AwsConfig::aws_2024() }));
        let paid = retry(&*quota, at(0));
        let (theirs, mine) = both(
            &quota,
            |b| [retry(b, at(0)), retry(b, at(0))].iter().flatten().count(),
            move |b| {
                b.ended(at(0), End::Succeeded, paid);
                b.ended(at(0), End::Succeeded, None);
                0
            },
        );
        assert!((1..=2).contains(&theirs) && mine == 0);
        // 11 − 5, then the refund and the reward, as far as they fit, and five for each of theirs.
        let left = quota.level(at(0)).has_milli / 200;
        assert!(left <= 11 - 5 * theirs as u32 + 1 && left >= 11 - 5 * theirs as u32, "{left} after {theirs}");
    });
}

#[test]
fn no_more_retries_are_under_way_than_the_limit_and_all_are_given_back() {
    loom::model(|| {
        let retries = Arc::new(ConcurrentRetries::new(&ConcurrentConfig { at_least: 1, share_milli: 0 }));
        let under_way = Arc::new(loom::sync::atomic::AtomicU32::new(0));
        let attempt = |under_way: Arc<loom::sync::atomic::AtomicU32>| {
            move |b: &dyn Budget| {
                let paid = retry(b, at(0));
                if paid.is_some() {
                    let before = under_way.fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
                    assert_eq!(before, 0);
                    under_way.fetch_sub(1, loom::sync::atomic::Ordering::Relaxed);
                    b.ended(at(0), End::Failed, paid);
                }
            }
        };
        both(&retries, attempt(Arc::clone(&under_way)), attempt(under_way));
        assert!(retry(&*retries, at(0)).is_some() && retry(&*retries, at(0)).is_none());
    });
}

#[test]
fn first_attempts_that_come_and_go_at_once_are_counted() {
    loom::model(|| {
        let retries = Arc::new(ConcurrentRetries::new(&ConcurrentConfig { at_least: 0, share_milli: 500 }));
        retries.deposit(at(0));
        both(
            &retries,
            |b| b.deposit(at(0)),
            |b| {
                b.deposit(at(0));
                b.ended(at(0), End::Failed, None);
            },
        );
        // Two under way, of which half, and then three, of which one.
        assert!(retry(&*retries, at(0)).is_some() && retry(&*retries, at(0)).is_none());
    });
}
