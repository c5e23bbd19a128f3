//! gRPC's throttle: the arithmetic of proposal A6.

use mesh_retry::budget::{After, Answer, Budget, BudgetKind, End, Extra, GrpcThrottle, GrpcThrottleConfig};
use mesh_retry::{Instant, Rng};

#[test]
fn from_full_four_retries_are_granted_and_the_fifth_failure_closes_it() {
    let throttle = throttle(10, 100);
    let mut granted = 0;
    for failure in 1..=5 {
        throttle.ended(NOW, End::Failed, None);
        granted += u32::from(retry(&throttle));
        assert_eq!(retry(&throttle), failure < 5, "after {failure} failures");
    }
    assert_eq!(granted, 4);
}

#[test]
fn one_success_reopens_it_from_half_and_fifty_one_from_nothing() {
    let throttle = throttle(10, 100);
    (0..5).for_each(|_| throttle.ended(NOW, End::Failed, None));
    assert!(!retry(&throttle));
    throttle.ended(NOW, End::Succeeded, None);
    assert!(retry(&throttle));
    (0..100).for_each(|_| throttle.ended(NOW, End::Failed, None));
    let needed = (1..).find(|_| {
        throttle.ended(NOW, End::Succeeded, None);
        retry(&throttle)
    });
    assert_eq!(needed, Some(51));
}

#[test]
fn it_is_open_above_a_failure_share_of_ratio_to_one_and_ratio_never_for_long_and_below_for_ever() {
    // 9.09 % with a ratio of 0.1. A hundred tokens, so that chance alone does not close it: 2 percentage points below, it
    // would take a run of luck 50 tokens long (under 1e-8 of a million steps by the ruin bound exp(-2 · 50 · drift /
    // variance), drift 0.022 and variance 0.08 a step).
    let open_share = |failing: f64| {
        let throttle = throttle(100, 100);
        let mut rng = Rng::from_seed(12);
        let open = (0..1_000_000).filter(|_| {
            throttle.ended(NOW, if rng.unit() < failing { End::Failed } else { End::Succeeded }, None);
            retry(&throttle)
        });
        open.count() as f64 / 1e6
    };
    assert_eq!(open_share(0.0709), 1.0);
    assert!(open_share(0.1109) < 0.02);
}

#[test]
fn three_decimals_of_the_ratio_count() {
    let throttle = throttle(2, 1);
    (0..2).for_each(|_| throttle.ended(NOW, End::Failed, None));
    let needed = (1..).find(|_| {
        throttle.ended(NOW, End::Succeeded, None);
        retry(&throttle)
    });
    assert_eq!(needed, Some(1_001));
}

#[test]
fn half_of_an_odd_number_of_tokens_is_a_half() {
    let throttle = throttle(3, 500);
    throttle.ended(NOW, End::Failed, None);
    assert!(retry(&throttle), "2 is more than 1.5");
    throttle.ended(NOW, End::Failed, None);
    throttle.ended(NOW, End::Succeeded, None);
    assert!(!retry(&throttle), "1.5 is not");
}

#[test]
fn neither_permanent_failures_nor_cancelled_attempts_count() {
    let throttle = throttle(1, 1_000);
    for end in [End::Permanent, End::Cancelled, End::NotMade] {
        throttle.ended(NOW, end, None);
        assert!(retry(&throttle), "{end:?}");
    }
    throttle.ended(NOW, End::Failed, None);
    for end in [End::Permanent, End::Cancelled, End::NotMade] {
        throttle.ended(NOW, end, None);
        assert!(!retry(&throttle), "{end:?}");
    }
}

#[test]
fn retries_and_hedges_are_free_and_their_ends_count_as_any() {
    let throttle = throttle(4, 100);
    throttle.deposit(NOW);
    let paid = throttle.withdraw(NOW, Extra::hedge()).paid();
    assert_eq!(paid.map(|paid| paid.units()), Some(0));
    (0..100).for_each(|_| assert!(retry(&throttle)));
    (0..2).for_each(|_| throttle.ended(NOW, End::Failed, paid));
    assert!(!throttle.withdraw(NOW, Extra::hedge()).is_granted());
}

#[test]
fn its_tokens_stay_between_none_and_all() {
    let throttle = throttle(10, 3_000);
    (0..1_000).for_each(|_| throttle.ended(NOW, End::Failed, None));
    (0..2).for_each(|_| throttle.ended(NOW, End::Succeeded, None));
    assert!(retry(&throttle));
    (0..1_000).for_each(|_| throttle.ended(NOW, End::Succeeded, None));
    (0..5).for_each(|_| throttle.ended(NOW, End::Failed, None));
    assert!(!retry(&throttle));
}

#[test]
fn a_denial_tells_its_tokens_and_the_level_how_many_failures_are_left() {
    let throttle = throttle(10, 100);
    assert_eq!((throttle.level(NOW).has_milli, throttle.level(NOW).most_milli), (5_000, Some(5_000)));
    throttle.ended(NOW, End::Failed, None);
    throttle.ended(NOW, End::Succeeded, None);
    assert_eq!(throttle.level(NOW).has_milli, 5_000, "from 9.1 the fifth closes it");
    (0..5).for_each(|_| throttle.ended(NOW, End::Failed, None));
    assert_eq!(throttle.level(NOW).has_milli, 0);
    let Answer::Denied(denied) = throttle.withdraw(NOW, Extra::hedge()) else { panic!("it is closed") };
    assert_eq!((denied.budget, denied.has_milli, denied.wants_milli), (BudgetKind::GrpcThrottle, 4_100, 5_001));
    assert_eq!(denied.retry_at, None);
}

const NOW: Instant = Instant::ZERO;

fn throttle(max_tokens: u32, token_ratio_milli: u32) -> GrpcThrottle {
    let mut config = GrpcThrottleConfig::default();
    (config.max_tokens, config.token_ratio_milli) = (max_tokens, token_ratio_milli);
    assert_eq!(config.validate(), Ok(()));
    GrpcThrottle::new(&config)
}

fn retry(throttle: &GrpcThrottle) -> bool {
    throttle.withdraw(NOW, Extra::retry(After::Transient)).is_granted()
}
