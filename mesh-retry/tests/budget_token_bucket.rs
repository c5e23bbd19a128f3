//! The token bucket: what it holds, what it gains, and what it says when it has nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::budget::{After, Answer, Budget, BudgetKind, Denial, End, Extra, TokenBucket, TokenBucketConfig};

#[test]
fn it_starts_full_and_a_retry_or_a_hedge_costs_one() {
    let bucket = bucket(0, 0, 3_000);
    assert_eq!(level(&bucket, 0), 3_000);
    assert!(retry(&bucket, 0));
    let hedge = bucket.withdraw(Instant::ZERO, Extra::hedge());
    assert_eq!(hedge.paid().map(|paid| paid.units()), Some(1_000));
    assert_eq!(level(&bucket, 0), 1_000);
    assert!(retry(&bucket, 0));
    assert!(!retry(&bucket, 0));
    assert_eq!(level(&bucket, 0), 0);
}

#[test]
fn a_retry_needs_a_whole_token() {
    let bucket = bucket(1, 0, 1_999);
    assert!(retry(&bucket, 0));
    assert_eq!(level(&bucket, 0), 999);
    assert!(!retry(&bucket, 0));
    bucket.deposit(Instant::ZERO);
    assert!(retry(&bucket, 0), "exactly one is enough");
    assert_eq!(level(&bucket, 0), 0);
}

#[test]
fn every_price_is_the_same_whatever_the_attempt_is_made_for() {
    for extra in
        [After::Transient, After::TimedOut, After::Throttled].map(Extra::retry).into_iter().chain([Extra::hedge()])
    {
        let bucket = bucket(0, 0, 1_000);
        assert_eq!(bucket.withdraw(Instant::ZERO, extra).paid().map(|paid| paid.units()), Some(1_000), "{extra:?}");
    }
}

#[test]
fn first_attempts_bring_their_share_to_the_thousandth() {
    let bucket = bucket(7, 0, 10_000);
    empty(&bucket, 0);
    for count in 1..=142_u32 {
        bucket.deposit(Instant::ZERO);
        assert_eq!(level(&bucket, 0), 7 * count);
    }
    assert!(!retry(&bucket, 0));
    bucket.deposit(Instant::ZERO);
    assert!(retry(&bucket, 0));
    assert_eq!(level(&bucket, 0), 1);
}

#[test]
fn what_does_not_fit_is_lost() {
    let bucket = bucket(900, 0, 2_000);
    (0..100).for_each(|_| bucket.deposit(Instant::ZERO));
    assert_eq!(level(&bucket, 0), 2_000);
    assert!(retry(&bucket, 0));
    (0..2).for_each(|_| bucket.deposit(Instant::ZERO));
    assert_eq!(level(&bucket, 0), 2_000);
    assert!(retry(&bucket, 0) && retry(&bucket, 0) && !retry(&bucket, 0));
}

#[test]
fn a_first_attempt_that_finds_it_full_and_a_denial_write_nothing() {
    let full = bucket(900, 1_000, 2_000);
    let before = format!("{full:?}");
    (0..100).for_each(|millis| full.deposit(Instant::from_millis(millis)));
    assert_eq!(format!("{full:?}"), before);
    let empty = bucket(0, 1_000, 1_000);
    assert!(retry(&empty, 500));
    let before = format!("{empty:?}");
    assert!(!retry(&empty, 600) && !retry(&empty, 0));
    empty.deposit(Instant::from_millis(700));
    assert_eq!(format!("{empty:?}"), before);
}

#[test]
fn all_that_it_holds_may_be_spent_at_once_at_any_time() {
    for nanos in [0, 1, 3, 1_000_000_007, 86_400_000_000_001] {
        let bucket = TokenBucket::new(&TokenBucketConfig::default());
        let now = Instant::from_nanos(nanos);
        let granted = (0..20).filter(|_| bucket.withdraw(now, Extra::hedge()).is_granted()).count();
        assert_eq!(granted, 10, "at {nanos} ns");
    }
}

#[test]
fn time_brings_its_rate_up_to_the_burst() {
    // Two and a half a second.
    let bucket = bucket(0, 2_500, 5_000);
    empty(&bucket, 10_000);
    assert_eq!(level(&bucket, 10_100), 250);
    assert!(!retry(&bucket, 10_399));
    assert!(retry(&bucket, 10_400));
    assert!(!retry(&bucket, 10_799));
    assert!(retry(&bucket, 10_800));
    assert_eq!(level(&bucket, 12_000), 3_000);
    assert_eq!(level(&bucket, 12_800), 5_000);
    assert_eq!(level(&bucket, 1_000_000), 5_000);
}

#[test]
fn a_rate_that_is_no_whole_number_of_nanoseconds_loses_nothing_in_a_month() {
    // Three in a thousand seconds: one every 333.3 s.
    let bucket = bucket(0, 3, 1_000);
    empty(&bucket, 0);
    let mut granted = 0;
    let month = 30 * 86_400;
    for second in 1..=month {
        granted += u32::from(retry(&bucket, 1_000 * second));
    }
    // It is asked every second, so that each grant is late by two thirds of one at most, and loses that.
    assert!((7_760..=7_776).contains(&granted), "{granted} of 7,776");
}

#[test]
fn without_time_nothing_comes_however_long_it_takes() {
    let bucket = bucket(500, 0, 1_000);
    empty(&bucket, 0);
    assert_eq!(bucket.level(Instant::MAX).has_milli, 0);
    bucket.deposit(Instant::MAX);
    assert_eq!(bucket.level(Instant::ZERO).has_milli, 500);
}

#[test]
fn a_time_that_goes_back_brings_nothing_and_takes_nothing_away() {
    let bucket = bucket(0, 1_000, 4_000);
    empty(&bucket, 10_000);
    assert!(!retry(&bucket, 5_000));
    assert_eq!(level(&bucket, 5_000), 0);
    assert_eq!(level(&bucket, 11_000), 1_000);
    assert!(retry(&bucket, 11_000));
    assert!(!retry(&bucket, 0) && !retry(&bucket, 11_000));
    assert_eq!(level(&bucket, 13_000), 2_000);
}

#[test]
fn the_far_ends_of_time_are_times_as_any() {
    for per_second in [0, 1, 3, 1_000, 500_000_001, 1_000_000_000] {
        let bucket = bucket(0, per_second, 2_000);
        for now in [Instant::MAX, Instant::MAX, Instant::ZERO, Instant::MAX] {
            let _ = bucket.withdraw(now, Extra::hedge());
            bucket.deposit(now);
            assert!(bucket.level(now).has_milli <= 2_000);
        }
        assert!(!bucket.withdraw(Instant::MAX, Extra::hedge()).is_granted(), "two at {per_second}");
    }
}

#[test]
fn a_denial_says_what_there_is_what_it_takes_and_when_time_will_have_brought_it() {
    let bucket = bucket(300, 250, 1_500);
    assert!(retry(&bucket, 2_000));
    bucket.deposit(Instant::from_millis(2_000));
    let denied = denial(&bucket, 2_000);
    assert_eq!((denied.budget, denied.has_milli, denied.wants_milli), (BudgetKind::TokenBucket, 800, 1_000));
    assert_eq!(denied.retry_at, Some(Instant::from_millis(2_800)));
    assert_eq!(
        denied.to_string(),
        "the token-bucket budget has 0.800 of an attempt and one costs 1.000; it may have it at 2.8s"
    );
    assert_eq!(denied.name(), "token-bucket");
    let at = denied.retry_at.unwrap();
    assert!(!bucket.withdraw(at - Duration::from_nanos(1), Extra::hedge()).is_granted());
    assert!(bucket.withdraw(at, Extra::hedge()).is_granted());
}

#[test]
fn where_time_brings_nothing_nobody_knows_when_asking_again_helps() {
    let bucket = bucket(300, 0, 1_000);
    empty(&bucket, 0);
    assert_eq!(denial(&bucket, 0).retry_at, None);
    assert_eq!(denial(&bucket, 0).to_string(), "the token-bucket budget has 0.000 of an attempt and one costs 1.000");
}

#[test]
fn a_bucket_that_can_never_hold_one_says_so() {
    let bucket = bucket(1_000, 1_000, 999);
    assert_eq!(denial(&bucket, 5_000).retry_at, None);
    assert_eq!(denial(&bucket, 5_000).has_milli, 999);
}

#[test]
fn what_was_paid_for_an_attempt_that_was_not_made_is_given_back_and_never_more_than_the_bucket_holds() {
    let bucket = bucket(0, 0, 2_000);
    let paid = bucket.withdraw(Instant::ZERO, Extra::hedge()).paid();
    bucket.ended(Instant::ZERO, End::NotMade, None);
    assert_eq!(level(&bucket, 0), 1_000, "a first attempt has paid nothing");
    for _ in 0..3 {
        bucket.ended(Instant::ZERO, End::NotMade, paid);
        assert_eq!(level(&bucket, 0), 2_000);
    }
    let granted = (0..5).filter(|_| bucket.withdraw(Instant::ZERO, Extra::hedge()).is_granted()).count();
    assert_eq!(granted, 2);
}

#[test]
fn nothing_is_given_back_when_an_attempt_ends() {
    let bucket = bucket(0, 0, 2_000);
    let paid = bucket.withdraw(Instant::ZERO, Extra::hedge()).paid();
    for end in [End::Succeeded, End::Failed, End::Permanent, End::Cancelled] {
        bucket.ended(Instant::ZERO, end, paid);
        bucket.ended(Instant::ZERO, end, None);
    }
    assert_eq!(level(&bucket, 0), 1_000);
}

#[test]
fn the_presets_have_their_numbers() {
    let config = TokenBucketConfig::default();
    assert_eq!((config.ratio_milli, config.per_second_milli, config.burst_milli), (200, 100, 10_000));
    let brooker = TokenBucketConfig::brooker();
    assert_eq!((brooker.ratio_milli, brooker.per_second_milli, brooker.burst_milli), (100, 0, 5_000));
    assert_eq!((config.validate(), brooker.validate()), (Ok(()), Ok(())));
    assert_eq!(TokenBucket::new(&brooker).level(Instant::ZERO).most_milli, Some(5_000));
}

fn bucket(ratio_milli: u32, per_second_milli: u32, burst_milli: u32) -> TokenBucket {
    let mut config = TokenBucketConfig::default();
    (config.ratio_milli, config.per_second_milli, config.burst_milli) = (ratio_milli, per_second_milli, burst_milli);
    TokenBucket::new(&config)
}

fn retry(bucket: &TokenBucket, millis: u64) -> bool {
    bucket.withdraw(Instant::from_millis(millis), Extra::retry(After::Transient)).is_granted()
}

/// Spends all there is at that time, which must be whole retries.
fn empty(bucket: &TokenBucket, millis: u64) {
    while retry(bucket, millis) {}
    assert_eq!(level(bucket, millis), 0);
}

fn level(bucket: &TokenBucket, millis: u64) -> u32 {
    bucket.level(Instant::from_millis(millis)).has_milli
}

fn denial(bucket: &TokenBucket, millis: u64) -> Denial {
    match bucket.withdraw(Instant::from_millis(millis), Extra::retry(After::Transient)) {
        Answer::Denied(denial) => denial,
        answer @ (Answer::Granted(_) | Answer::Later) => panic!("{answer:?}"),
    }
}
