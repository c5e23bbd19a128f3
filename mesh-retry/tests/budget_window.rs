//! The sliding window: Finagle's and tower's traces, their two arithmetics, and an exact model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::budget::{
    After, Answer, Budget, BudgetKind, Denial, End, Extra, WindowBudget, WindowConfig, WindowRule,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const RULES: [WindowRule; 2] = [WindowRule::Finagle, WindowRule::Tower];

#[test]
fn towers_trace_of_slots_holds_wherever_the_slots_begin() {
    for rule in RULES {
        for start in (0..200).chain([12_345, 99_999]) {
            let budget = window(1, 0, 500, rule);
            budget.deposit(at(start));
            budget.deposit(at(start));
            assert!(retry(&budget, start + 901), "900 ms later deposits are valid, from {start} ms");
            let later = start + 901 + 2_001;
            assert!(!retry(&budget, later));
            budget.deposit(at(later));
            budget.deposit(at(later + 301));
            budget.deposit(at(later + 301 + 801));
            assert!(retry(&budget, later + 301 + 801), "the second and the third make two, from {start} ms");
            assert!(!retry(&budget, later + 301 + 801), "the first has expired, from {start} ms");
        }
    }
}

#[test]
fn towers_trace_of_the_reserve() {
    for rule in RULES {
        let budget = window(1, 5, 1_000, rule);
        assert_eq!((0..10).filter(|_| retry(&budget, 0)).count(), 5);
    }
}

#[test]
fn towers_other_traces_hold() {
    for rule in RULES {
        assert!(!retry(&window(1, 0, 1_000, rule), 0), "an empty one");
        let leaky = window(1, 0, 1_000, rule);
        leaky.deposit(at(0));
        assert!(!retry(&leaky, 3_000), "a leaky one");
    }
}

#[test]
fn a_deposit_counts_for_the_ttl_and_at_most_a_tenth_longer() {
    for start in [0, 1, 99, 100, 7_777] {
        let has = |age: u64| {
            let budget = window(1, 0, 1_000, WindowRule::Finagle);
            budget.deposit(at(start));
            budget.level(at(start + age)).has_milli
        };
        assert_eq!((has(0), has(999), has(1_000), has(1_100)), (1_000, 1_000, 1_000, 0), "from {start} ms");
    }
}

#[test]
fn what_was_withdrawn_comes_back_to_the_reserve_as_it_expires() {
    let budget = window(10, 1, 1_000, WindowRule::Finagle);
    assert_eq!((0..20).filter(|_| retry(&budget, 500)).count(), 10);
    assert!(!retry(&budget, 10_999));
    assert_eq!((0..20).filter(|_| retry(&budget, 11_000)).count(), 10);
    assert!(!retry(&budget, 21_999));
}

#[test]
fn a_fifth_of_ten_seconds_calls_and_ten_a_second_are_finagles_default() {
    let budget = WindowBudget::new(&WindowConfig::default());
    let granted = |calls: u64| {
        (0..calls).for_each(|call| budget.deposit(at(50_000 + call)));
        (0..1_000).filter(|_| retry(&budget, 51_000)).count()
    };
    assert_eq!(granted(1_000), 100 + 200);
}

#[test]
fn finagle_divides_a_thousand_and_tower_one() {
    // The share, what Finagle's arithmetic makes of it, and what tower's does, in thousandths.
    for (share, finagle, tower) in [
        (100, 100, 100),
        (200, 200, 200),
        (300, 300, 333),
        (500, 500, 500),
        (700, 700, 1_000),
        (1_000, 1_000, 1_000),
        (1_500, 1_501, 1_501),
        (4_000, 4_000, 4_000),
    ] {
        for (rule, expected) in [(WindowRule::Finagle, finagle), (WindowRule::Tower, tower)] {
            let budget = window(60, 0, share, rule);
            (0..1_000).for_each(|_| budget.deposit(at(0)));
            let granted = (0..10_000).filter(|_| retry(&budget, 0)).count();
            assert_eq!(granted, expected, "a share of {share} by {rule:?}");
        }
    }
}

#[test]
fn without_a_share_only_the_reserve_is_spent() {
    for rule in RULES {
        let budget = window(2, 3, 0, rule);
        (0..100).for_each(|_| budget.deposit(at(0)));
        assert_eq!((0..100).filter(|_| retry(&budget, 0)).count(), 6);
    }
}

#[test]
fn a_denial_says_what_there_is_and_when_withdrawals_will_have_expired() {
    let budget = window(10, 1, 500, WindowRule::Finagle);
    (0..4).for_each(|_| assert!(retry(&budget, 1_500)));
    (0..6).for_each(|_| assert!(retry(&budget, 3_200)));
    budget.deposit(at(4_000));
    let denied = denial(&budget, 5_000);
    assert_eq!((denied.budget, denied.has_milli, denied.wants_milli), (BudgetKind::Window, 500, 1_000));
    assert_eq!(denied.retry_at, Some(at(12_000)));
    assert!(!retry(&budget, 11_999));
    assert_eq!((0..9).filter(|_| retry(&budget, 12_000)).count(), 4);
    assert_eq!(denial(&budget, 12_500).retry_at, Some(at(14_000)));
    assert_eq!(
        denied.to_string(),
        "the window budget has 0.500 of an attempt and one costs 1.000; it may have it at 12s"
    );
}

#[test]
fn asking_again_helps_when_the_slot_ends_whose_withdrawal_is_the_oldest() {
    let budget = window(1, 1, 1_000, WindowRule::Finagle);
    assert!(retry(&budget, 50));
    for now in [50, 600, 1_099] {
        assert_eq!(denial(&budget, now).retry_at, Some(at(1_100)), "at {now} ms");
    }
    assert!(retry(&budget, 1_100));
}

#[test]
fn without_a_reserve_nobody_knows_when_asking_again_helps() {
    let budget = window(1, 0, 1_000, WindowRule::Finagle);
    assert_eq!(denial(&budget, 0).retry_at, None);
    budget.deposit(at(100));
    assert!(retry(&budget, 200));
    assert_eq!(denial(&budget, 200).retry_at, None, "what was withdrawn expires after what was deposited");
    assert_eq!(budget.level(at(200)).most_milli, None);
}

#[test]
fn a_withdrawal_that_outlives_its_deposit_is_a_debt_until_it_expires() {
    let budget = window(1, 1, 1_000, WindowRule::Finagle);
    budget.deposit(at(0));
    assert!(retry(&budget, 900) && retry(&budget, 900));
    assert_eq!(budget.level(at(1_200)).has_milli, 0);
    assert_eq!(denial(&budget, 1_200).retry_at, Some(at(2_000)));
}

#[test]
fn a_time_that_goes_back_is_taken_for_the_latest() {
    let budget = window(1, 2, 1_000, WindowRule::Finagle);
    assert!(retry(&budget, 10_000));
    budget.deposit(at(3_000));
    assert!(retry(&budget, 5_000), "the reserve is for all times");
    assert!(!retry(&budget, 5_000) && !retry(&budget, 10_000));
    budget.deposit(at(20_000));
    assert_eq!(budget.level(at(0)).has_milli, 3_000);
}

#[test]
fn a_deposit_that_comes_a_window_late_counts_with_those_that_have_its_place() {
    let budget = window(1, 0, 1_000, WindowRule::Finagle);
    (0..2).for_each(|_| budget.deposit(at(1_100)));
    budget.deposit(at(0));
    assert_eq!(budget.level(at(1_100)).has_milli, 3_000);
    assert_eq!(budget.level(at(2_199)).has_milli, 3_000);
    assert_eq!(budget.level(at(2_200)).has_milli, 0);
}

#[test]
fn nothing_is_given_back_when_an_attempt_ends() {
    let budget = window(1, 1, 1_000, WindowRule::Finagle);
    let paid = budget.withdraw(at(0), Extra::hedge()).paid();
    assert_eq!(paid.map(|paid| paid.units()), Some(1_000));
    budget.ended(at(0), End::Succeeded, paid);
    budget.ended(at(0), End::Cancelled, paid);
    assert!(!retry(&budget, 0));
}

#[test]
fn the_far_ends_of_time_and_of_the_configuration_are_bounded() {
    let mut config = WindowConfig::default();
    (config.ttl, config.per_second, config.ratio_milli) = (Duration::MAX, u32::MAX, u32::MAX);
    let budget = WindowBudget::new(&config);
    for now in [Instant::MAX, Instant::ZERO, Instant::MAX] {
        budget.deposit(now);
        assert!(budget.withdraw(now, Extra::hedge()).is_granted());
        assert_eq!(budget.level(now).has_milli, u32::MAX);
    }
    config.ttl = Duration::ZERO;
    (config.per_second, config.ratio_milli) = (1, 1);
    let budget = WindowBudget::new(&config);
    assert!(budget.withdraw(Instant::MAX, Extra::hedge()).is_granted());
    assert!(!budget.withdraw(Instant::MAX, Extra::hedge()).is_granted());
}

/// Deposits and withdrawals with their slots, exactly.
#[derive(Default)]
struct Model {
    entries: Vec<(u64, i64)>,
}

impl Model {
    fn balance(&self, reserve: i64, slot: u64) -> (u64, i64) {
        let latest = self.entries.iter().map(|entry| entry.0).fold(slot, u64::max);
        let live = self.entries.iter().filter(|entry| entry.0 + 10 >= latest);
        (latest, reserve + live.map(|entry| entry.1).sum::<i64>())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(82), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_an_exact_window_does(
        ttl in 1..=60_u64,
        per_second in 0..3_u32,
        share in prop_oneof![Just(0), 1..1_500_u32],
        steps in prop::collection::vec((prop_oneof![Just(0), 0..20_u64, 0..700_u64, 0..30_000_u64], 0..5_u32), 1..200),
    ) {
        let budget = window(ttl, per_second, share, WindowRule::Finagle);
        let (deposit, withdrawal) = 1_000_000_u32.checked_div(share).map_or((0, 1), |withdrawal| (1_000, i64::from(withdrawal)));
        let reserve = i64::from(per_second) * i64::try_from(ttl).unwrap() * withdrawal;
        let (mut model, mut millis) = (Model::default(), 0);
        for (passed, step) in steps {
            millis += passed;
            // Some are told a little late.
            let now = millis - if step == 4 { millis.min(150) } else { 0 };
            let slot = now / (100 * ttl);
            if step < 2 {
                budget.deposit(at(now));
                // Where nothing is deposited nobody tells of the time either; what comes late counts in its own slot.
                if deposit > 0 {
                    model.entries.push((slot, deposit));
                }
            } else {
                let (latest, balance) = model.balance(reserve, slot);
                let granted = retry(&budget, now);
                prop_assert_eq!(granted, balance >= withdrawal, "{} of {}", balance, withdrawal);
                if granted {
                    model.entries.push((latest, -withdrawal));
                }
            }
            let (_, balance) = model.balance(reserve, slot);
            prop_assert_eq!(i64::from(budget.level(at(now)).has_milli), balance.max(0) * 1_000 / withdrawal);
        }
    }
}

fn window(ttl: u64, per_second: u32, ratio_milli: u32, rule: WindowRule) -> WindowBudget {
    let mut config = WindowConfig::default();
    (config.ttl, config.per_second) = (Duration::from_secs(ttl), per_second);
    (config.ratio_milli, config.rule) = (ratio_milli, rule);
    assert_eq!(config.validate(), Ok(()));
    WindowBudget::new(&config)
}

fn retry(budget: &WindowBudget, millis: u64) -> bool {
    budget.withdraw(at(millis), Extra::retry(After::Transient)).is_granted()
}

fn denial(budget: &WindowBudget, millis: u64) -> Denial {
    match budget.withdraw(at(millis), Extra::retry(After::Transient)) {
        Answer::Denied(denial) => denial,
        answer @ (Answer::Granted(_) | Answer::Later) => panic!("{answer:?}"),
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}
