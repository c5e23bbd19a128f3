//! Budgets that threads share: whatever their interleaving, nothing is granted twice and nothing is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::budget::{
    After, AwsConfig, AwsStandard, Budget, ConcurrentConfig, ConcurrentRetries, End, Extra, GrpcThrottle,
    GrpcThrottleConfig, TokenBucket, TokenBucketConfig, WindowBudget, WindowConfig,
};

const THREADS: u32 = 4;
const ROUNDS: u32 = 50_000;

#[test]
fn a_bucket_that_never_fills_up_grants_just_what_it_was_given() {
    let mut config = TokenBucketConfig::default();
    (config.ratio_milli, config.per_second_milli, config.burst_milli) = (137, 0, 1_000_000_000);
    let bucket = TokenBucket::new(&config);
    // Room for all that will be deposited.
    let made = (0..100_000).filter(|_| retry(&bucket, Instant::ZERO)).count() as u64;
    assert_eq!(made, 100_000);
    let drained = (0..900_000).filter(|_| retry(&bucket, Instant::ZERO)).count() as u64;
    assert_eq!(drained, 900_000);
    let granted: u32 = fleet(|_, _| {
        bucket.deposit(Instant::ZERO);
        u32::from(retry(&bucket, Instant::ZERO))
    });
    let left = bucket.level(Instant::ZERO).has_milli;
    assert_eq!(u64::from(granted) * 1_000 + u64::from(left), 137 * u64::from(THREADS * ROUNDS));
}

#[test]
fn nobody_is_denied_while_there_is_plenty() {
    let mut config = TokenBucketConfig::brooker();
    config.burst_milli = 1_000 * (THREADS * ROUNDS + 1);
    let bucket = TokenBucket::new(&config);
    assert_eq!(fleet(|_, _| u32::from(retry(&bucket, Instant::ZERO))), THREADS * ROUNDS);
    assert_eq!(bucket.level(Instant::ZERO).has_milli, 1_000);
}

#[test]
fn a_bucket_grants_no_more_than_it_held_and_time_brought_to_threads_whose_clocks_differ() {
    let mut config = TokenBucketConfig::default();
    (config.ratio_milli, config.per_second_milli, config.burst_milli) = (0, 7_919_000, 5_000);
    let bucket = TokenBucket::new(&config);
    // Each thread's clock is 100 µs behind the one before it, and steps by 1 µs.
    let clock = |thread: u32, round: u32| Instant::from_nanos(u64::from(1_000 * round + 100_000 * (THREADS - thread)));
    let granted = fleet(|thread, round| u32::from(retry(&bucket, clock(thread, round))));
    let span = clock(0, ROUNDS - 1) - clock(THREADS - 1, 0);
    let most = 5.0 + 7_919.0 * span.as_secs_f64();
    assert!(f64::from(granted) <= most, "{granted} of {most}");
    // Whoever has the latest clock sees nearly all that time brings; asking every µs nothing is left over for long.
    assert!(f64::from(granted) > most - 8.0, "{granted} of {most}");
}

#[test]
fn a_window_grants_just_its_reserve_and_its_deposits() {
    let mut config = WindowConfig::default();
    (config.ttl, config.per_second, config.ratio_milli) = (Duration::from_secs(60), 10, 250);
    let window = WindowBudget::new(&config);
    // Across the borders of seven slots of six seconds.
    let clock = |round: u32| Instant::from_millis(u64::from(round) * 42_000 / u64::from(ROUNDS));
    let granted = fleet(|_, round| {
        window.deposit(clock(round));
        u32::from(retry(&window, clock(round)))
    });
    let rest = (0..100_000).filter(|_| retry(&window, clock(ROUNDS))).count() as u32;
    assert_eq!(granted + rest, 600 + THREADS * ROUNDS / 4);
}

#[test]
fn a_window_forgets_nothing_while_slots_change_all_the_time() {
    let mut config = WindowConfig::default();
    (config.ttl, config.per_second, config.ratio_milli) = (Duration::from_secs(1), 100, 0);
    let window = WindowBudget::new(&config);
    // A slot lasts for ten rounds. In any eleven slots no more than the reserve may be granted, and who lags behind takes part
    // in the slot of the others.
    let granted = fleet(|_, round| u32::from(retry(&window, Instant::from_millis(u64::from(round) * 10))));
    let bound = (ROUNDS / 10).div_ceil(11) * 100;
    assert!(granted <= bound + 100, "{granted} of {bound}");
    assert!(granted > bound / 2, "{granted} of {bound}");
}

#[test]
fn a_throttle_counts_every_end() {
    let mut config = GrpcThrottleConfig::default();
    (config.max_tokens, config.token_ratio_milli) = (1_000, 1);
    let throttle = GrpcThrottle::new(&config);
    (0..900).for_each(|_| throttle.ended(Instant::ZERO, End::Failed, None));
    // 200,000 ends: one failure for each thousand successes of each thread, and 300 more successes.
    fleet(|thread, round| {
        let end = if round % 1_001 == 1_000 { End::Failed } else { End::Succeeded };
        if thread < 3 || round < 40_040 {
            throttle.ended(Instant::ZERO, end, None);
        }
        0
    });
    let failures = 3 * (ROUNDS / 1_001) + 40_040 / 1_001;
    let successes = 3 * (ROUNDS - ROUNDS / 1_001) + 40_040 - 40_040 / 1_001;
    let tokens_milli = 100_000 + successes - 1_000 * failures;
    // Closed as it is, it tells its tokens.
    let mesh_retry::budget::Answer::Denied(denied) = throttle.withdraw(Instant::ZERO, Extra::hedge()) else {
        panic!("it has a tenth of its tokens");
    };
    assert_eq!(denied.has_milli, tokens_milli);
}

#[test]
fn a_quota_is_spent_once_and_earned_once() {
    let mut config = AwsConfig::aws_2024();
    config.capacity = 1_000_000;
    let quota = AwsStandard::new(&config);
    // Each round spends 5, gets 5 back every other round, and earns 1.
    let granted = fleet(|_, round| {
        let paid = quota.withdraw(Instant::ZERO, Extra::retry(After::Transient)).paid();
        quota.ended(Instant::ZERO, if round % 2 == 0 { End::Succeeded } else { End::Failed }, paid);
        quota.ended(Instant::ZERO, End::Succeeded, None);
        u32::from(paid.is_some())
    });
    let all = THREADS * ROUNDS;
    assert_eq!(granted, all);
    // The rewards of the first rounds may not fit.
    let left = quota.level(Instant::ZERO).has_milli * 5 / 1_000;
    let spent = 1_000_000 - 5 * all / 2 + all;
    assert!(left <= spent && left > spent - 20 * THREADS, "{left} of {spent}");
}

#[test]
fn no_more_retries_are_ever_under_way_than_the_limit() {
    let retries = ConcurrentRetries::new(&ConcurrentConfig::envoy());
    let under_way = AtomicU32::new(0);
    let granted = fleet(|_, _| {
        let paid = retries.withdraw(Instant::ZERO, Extra::retry(After::Transient)).paid();
        if paid.is_some() {
            let before = under_way.fetch_add(1, Ordering::SeqCst);
            assert!(before < 3, "{before} were under way");
            under_way.fetch_sub(1, Ordering::SeqCst);
            retries.ended(Instant::ZERO, End::Failed, paid);
        }
        u32::from(paid.is_some())
    });
    assert!(granted > ROUNDS);
    assert_eq!(retries.level(Instant::ZERO).has_milli, 3_000, "all were given back");
}

fn retry(budget: &dyn Budget, now: Instant) -> bool {
    budget.withdraw(now, Extra::retry(After::Transient)).is_granted()
}

/// Runs every round on every thread, all at once, with its numbers; the sum of what they return.
fn fleet(round: impl Fn(u32, u32) -> u32 + Sync) -> u32 {
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        let run = |thread: u32| {
            let (start, round) = (&start, &round);
            scope.spawn(move || {
                start.wait();
                (0..ROUNDS).map(|number| round(thread, number)).sum::<u32>()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}
