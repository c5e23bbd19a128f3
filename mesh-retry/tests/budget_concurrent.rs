//! Envoy's limit of retries that are under way at once.

use mesh_retry::Instant;
use mesh_retry::budget::{After, Answer, Budget, BudgetKind, ConcurrentConfig, ConcurrentRetries, End, Extra, Paid};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn three_retries_are_under_way_at_most_and_each_end_makes_room() {
    let retries = ConcurrentRetries::new(&ConcurrentConfig::envoy());
    (0..100).for_each(|_| retries.deposit(NOW));
    let paid: Vec<Paid> = (0..10).filter_map(|_| paid(&retries)).collect();
    assert_eq!(paid.len(), 3);
    for end in [End::Succeeded, End::Failed, End::Permanent, End::Cancelled, End::NotMade] {
        retries.ended(NOW, end, Some(paid[0]));
        assert!(self::paid(&retries).is_some(), "{end:?} makes room");
        assert!(self::paid(&retries).is_none(), "{end:?} makes room for one");
    }
    // First attempts take no part in it.
    (0..100).for_each(|_| retries.ended(NOW, End::Succeeded, None));
    assert!(self::paid(&retries).is_none());
}

#[test]
fn a_fifth_of_the_attempts_under_way_may_be_retries_and_three_in_any_case() {
    let retries = ConcurrentRetries::new(&ConcurrentConfig::envoy_budget());
    assert_eq!(retries.level(NOW).has_milli, 3_000);
    (0..19).for_each(|_| retries.deposit(NOW));
    assert_eq!(retries.level(NOW).most_milli, Some(3_000), "a fifth of 19 is less than four");
    retries.deposit(NOW);
    assert_eq!(retries.level(NOW).most_milli, Some(4_000));
    // Retries are attempts under way, too: with four of them there are 24, of which a fifth is four; of 25 it is five.
    let granted = (0..10).filter(|_| paid(&retries).is_some()).count();
    assert_eq!(granted, 4);
    retries.deposit(NOW);
    assert!(paid(&retries).is_some() && paid(&retries).is_none());
}

#[test]
fn the_failed_attempt_makes_room_before_its_retry_is_asked_for() {
    let mut config = ConcurrentConfig::envoy_budget();
    config.at_least = 0;
    let retries = ConcurrentRetries::new(&config);
    (0..5).for_each(|_| retries.deposit(NOW));
    retries.ended(NOW, End::Failed, None);
    assert!(paid(&retries).is_none(), "a fifth of four is none");
    retries.deposit(NOW);
    assert!(paid(&retries).is_some());
}

#[test]
fn with_a_limit_of_none_nothing_is_retried() {
    let mut config = ConcurrentConfig::envoy();
    config.at_least = 0;
    let retries = ConcurrentRetries::new(&config);
    (0..100).for_each(|_| retries.deposit(NOW));
    assert!(paid(&retries).is_none());
}

#[test]
fn a_denial_says_that_there_is_no_room_and_nobody_knows_when_there_is() {
    let retries = ConcurrentRetries::new(&ConcurrentConfig::envoy());
    while paid(&retries).is_some() {}
    let Answer::Denied(denied) = retries.withdraw(NOW, Extra::hedge()) else { panic!("three are under way") };
    assert_eq!((denied.budget, denied.has_milli, denied.wants_milli), (BudgetKind::Concurrent, 0, 1_000));
    assert_eq!(denied.retry_at, None);
    assert_eq!(retries.level(NOW).has_milli, 0);
}

#[test]
fn ends_too_many_make_no_room_that_was_not_there() {
    let retries = ConcurrentRetries::new(&ConcurrentConfig::envoy_budget());
    let one = paid(&retries);
    (0..10).for_each(|_| retries.ended(NOW, End::Failed, one));
    (0..10).for_each(|_| retries.ended(NOW, End::Failed, None));
    assert_eq!((0..10).filter(|_| paid(&retries).is_some()).count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(84), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_grant_ever_exceeds_the_limit_and_none_below_it_is_denied(
        at_least in 0..4_u32,
        share_milli in prop_oneof![Just(0), 1..=1_000_u32],
        steps in prop::collection::vec(0..5_u32, 1..300),
    ) {
        let mut config = ConcurrentConfig::envoy();
        (config.at_least, config.share_milli) = (at_least, share_milli);
        prop_assert_eq!(config.validate(), Ok(()));
        let retries = ConcurrentRetries::new(&config);
        let (mut first, mut extra) = (0_u32, Vec::new());
        for step in steps {
            let limit = ((first + extra.len() as u32) * share_milli / 1_000).max(at_least);
            match step {
                0 => {
                    retries.deposit(NOW);
                    first += 1;
                }
                1 if first > 0 => {
                    retries.ended(NOW, End::Failed, None);
                    first -= 1;
                }
                2 if !extra.is_empty() => retries.ended(NOW, End::Cancelled, extra.pop()),
                _ => {
                    let paid = paid(&retries);
                    prop_assert_eq!(paid.is_some(), (extra.len() as u32) < limit);
                    extra.extend(paid);
                }
            }
        }
    }
}

const NOW: Instant = Instant::ZERO;

fn paid(retries: &ConcurrentRetries) -> Option<Paid> {
    retries.withdraw(NOW, Extra::retry(After::Transient)).paid()
}
