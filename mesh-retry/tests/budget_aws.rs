//! The quota of AWS SDKs, with the constants of both specifications.

use mesh_retry::Instant;
use mesh_retry::budget::{After, Answer, AwsConfig, AwsStandard, Budget, BudgetKind, End, Extra, Paid};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn of_500_a_hundred_retries_are_left_in_2024_and_fifty_after_timeouts() {
    let config = AwsConfig::aws_2024();
    assert_eq!((granted(config, After::Transient), granted(config, After::Throttled)), (100, 100));
    assert_eq!((granted(config, After::TimedOut), granted(config, After::Slow)), (50, 100));
}

#[test]
fn of_500_thirty_five_are_left_in_2026_and_a_hundred_after_throttling() {
    let config = AwsConfig::aws_2026();
    assert_eq!((granted(config, After::Transient), granted(config, After::TimedOut)), (35, 35));
    assert_eq!((granted(config, After::Throttled), granted(config, After::Slow)), (100, 35));
}

#[test]
fn a_retry_that_succeeds_gets_back_what_it_cost_and_those_before_it_do_not() {
    for (config, after, cost) in [
        (AwsConfig::aws_2024(), After::Transient, 5),
        (AwsConfig::aws_2024(), After::TimedOut, 10),
        (AwsConfig::aws_2026(), After::Transient, 14),
        (AwsConfig::aws_2026(), After::Throttled, 5),
    ] {
        let quota = AwsStandard::new(&config);
        let (first, second) = (paid(&quota, after), paid(&quota, after));
        assert_eq!(first.map(Paid::units), Some(cost));
        quota.ended(NOW, End::Failed, first);
        quota.ended(NOW, End::Succeeded, second);
        assert_eq!(units(&quota, config), 500 - cost, "{after:?}");
    }
}

#[test]
fn a_first_attempt_that_succeeds_brings_one_and_no_other_end_brings_anything() {
    let config = AwsConfig::aws_2024();
    let quota = AwsStandard::new(&config);
    let lost = paid(&quota, After::TimedOut);
    for end in [End::Failed, End::Permanent, End::Cancelled] {
        quota.ended(NOW, end, lost);
        quota.ended(NOW, end, None);
    }
    quota.deposit(NOW);
    quota.ended(NOW, End::NotMade, None);
    assert_eq!(units(&quota, config), 490);
    quota.ended(NOW, End::Succeeded, None);
    assert_eq!(units(&quota, config), 491);
}

#[test]
fn a_retry_that_was_not_made_gets_back_what_it_cost() {
    let config = AwsConfig::aws_2024();
    let quota = AwsStandard::new(&config);
    let (spent, unspent) = (paid(&quota, After::Transient), paid(&quota, After::TimedOut));
    quota.ended(NOW, End::NotMade, unspent);
    quota.ended(NOW, End::Cancelled, spent);
    assert_eq!(units(&quota, config), 495);
    quota.ended(NOW, End::NotMade, unspent);
    assert_eq!(units(&quota, config), 500, "never more than the capacity");
}

#[test]
fn it_never_holds_more_than_at_the_start() {
    let config = AwsConfig::aws_2024();
    let quota = AwsStandard::new(&config);
    let taken = paid(&quota, After::Transient);
    (0..3).for_each(|_| quota.ended(NOW, End::Succeeded, None));
    quota.ended(NOW, End::Succeeded, taken);
    assert_eq!(units(&quota, config), 500);
    assert_eq!(granted_of(&quota, After::Transient), 100);
}

#[test]
fn time_brings_nothing() {
    let quota = AwsStandard::new(&AwsConfig::aws_2024());
    assert_eq!(granted_of(&quota, After::Transient), 100);
    assert!(!quota.withdraw(Instant::MAX, Extra::hedge()).is_granted());
}

#[test]
fn a_denial_says_how_much_of_a_retry_is_left() {
    let quota = AwsStandard::new(&AwsConfig::aws_2026());
    assert_eq!(granted_of(&quota, After::Transient), 35);
    let Answer::Denied(denied) = quota.withdraw(NOW, Extra::retry(After::TimedOut)) else { panic!("10 are left") };
    assert_eq!((denied.budget, denied.has_milli, denied.wants_milli), (BudgetKind::AwsStandard, 714, 1_000));
    assert_eq!(denied.retry_at, None);
    assert_eq!(quota.level(NOW).has_milli, 714);
    assert_eq!(quota.level(NOW).most_milli, Some(35_714));
    // What costs less may be had still.
    assert_eq!(granted_of(&quota, After::Throttled), 2);
}

#[test]
fn what_costs_nothing_is_always_granted() {
    let mut config = AwsConfig::aws_2024();
    config.transient_cost = 0;
    let quota = AwsStandard::new(&config);
    (0..10_000).for_each(|_| assert!(paid(&quota, After::Transient).is_some()));
    assert_eq!(quota.level(NOW).has_milli, u32::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(83), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_spends_what_an_integer_would(
        capacity in 1..60_u32,
        steps in prop::collection::vec((0..4_u32, 0..4_u32), 1..200),
    ) {
        let mut config = AwsConfig::aws_2026();
        (config.capacity, config.transient_cost, config.timeout_cost) = (capacity, 7, 11);
        let (quota, mut left, mut under_way) = (AwsStandard::new(&config), capacity, vec![None]);
        let prices = [(After::Transient, 7), (After::TimedOut, 11), (After::Throttled, 5), (After::Slow, 7)];
        for (price, step) in steps {
            let (after, cost) = prices[price as usize];
            if step < 2 {
                let paid = paid(&quota, after);
                prop_assert_eq!(paid.map(Paid::units), (left >= cost).then_some(cost));
                left -= paid.map_or(0, Paid::units);
                under_way.extend(paid.map(Some));
            } else {
                let paid = under_way.pop().flatten();
                let end = if step == 2 { End::Succeeded } else { End::Failed };
                quota.ended(NOW, end, paid);
                let earned = if step == 2 { paid.map_or(1, Paid::units) } else { 0 };
                left = (left + earned).min(capacity);
            }
            prop_assert_eq!(quota.level(NOW).has_milli, left * 1_000 / 7);
        }
    }
}

const NOW: Instant = Instant::ZERO;

fn paid(quota: &AwsStandard, after: After) -> Option<Paid> {
    quota.withdraw(NOW, Extra::retry(after)).paid()
}

fn granted(config: AwsConfig, after: After) -> usize {
    assert_eq!(config.validate(), Ok(()));
    granted_of(&AwsStandard::new(&config), after)
}

fn granted_of(quota: &AwsStandard, after: After) -> usize {
    (0..1_000).filter(|_| paid(quota, after).is_some()).count()
}

/// What it holds, in AWS's units: where a retry costs 5 or 14, the level tells it to a unit.
fn units(quota: &AwsStandard, config: AwsConfig) -> u32 {
    (quota.level(NOW).has_milli * config.transient_cost).div_ceil(1_000)
}
