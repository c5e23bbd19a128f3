//! What budgets cost: no allocation, and little memory.

use std::hint::black_box;
use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::adaptive::RateLimiter;
use mesh_retry::budget::{
    After, Answer, AwsConfig, BudgetConfig, ConcurrentConfig, End, Extra, GrpcThrottleConfig, Paid, TokenBucket,
    WindowBudget, WindowConfig,
};

#[test]
fn no_budget_allocates_whatever_it_is_asked_and_answers() {
    for config in [
        BudgetConfig::default(),
        BudgetConfig::Window(WindowConfig::default()),
        BudgetConfig::GrpcThrottle(GrpcThrottleConfig::default()),
        BudgetConfig::AwsStandard(AwsConfig::default()),
        BudgetConfig::Concurrent(ConcurrentConfig::envoy_budget()),
    ] {
        let budget = config.build();
        let (mut granted, mut denied) = (0, 0);
        let counted = allocation_counter::measure(|| {
            for step in 0..5_000 {
                let now = Instant::from_millis(step);
                budget.deposit(now);
                let answer = budget.withdraw(now, Extra::retry(After::Transient));
                granted += u32::from(answer.is_granted());
                denied += u32::from(matches!(answer, Answer::Denied(_)));
                let end = if step % 3 == 0 { End::Succeeded } else { End::Failed };
                budget.ended(now, end, None);
                budget.ended(now, end, answer.paid().filter(|_| step % 100 > 0));
                black_box(budget.level(now));
            }
        });
        assert_eq!(counted.count_total, 0, "{config:?}");
        assert!(granted > 0 && denied > 0, "{config:?}: {granted} and {denied}");
    }
}

#[test]
fn the_rate_limiter_allocates_nothing() {
    let limiter = RateLimiter::new(Instant::ZERO);
    let counted = allocation_counter::measure(|| {
        for step in 0..5_000 {
            let now = Instant::from_millis(step);
            let _ = black_box(limiter.acquire(now, None, Duration::from_secs(1)));
            limiter.record(now, step % 1_000 == 999);
        }
    });
    assert_eq!(counted.count_total, 0);
    assert!(limiter.fill_rate().is_some());
}

#[test]
fn budgets_keep_to_cache_lines_of_their_own() {
    assert_eq!((size_of::<TokenBucket>(), align_of::<TokenBucket>()), (128, 128));
    assert_eq!((size_of::<WindowBudget>(), align_of::<WindowBudget>()), (256, 128));
    assert_eq!((size_of::<RateLimiter>(), align_of::<RateLimiter>()), (128, 128));
}

#[test]
fn a_price_keeps_what_its_budget_tells_of_it() {
    for units in [0, 1, 1_000, u32::MAX - 1] {
        assert_eq!((Paid::new(units).units(), Paid::new(units).mark()), (units, 0));
        assert_eq!((Paid::new(units).marked(u32::MAX).units(), Paid::new(units).marked(7).mark()), (units, 7));
    }
    assert_eq!(Paid::new(u32::MAX), Paid::new(u32::MAX - 1));
}

#[test]
fn an_answer_is_small_to_return() {
    assert!(size_of::<Answer>() <= 48, "{} bytes", size_of::<Answer>());
    assert_eq!(size_of::<Option<Paid>>(), 8);
}
