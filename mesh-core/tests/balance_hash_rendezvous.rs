//! Weighted rendezvous: exact shares, and the least movement there is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod balance_hash_support;
mod support;

use balance_hash_support::*;
use mesh_core::balance::{Member, Strategy};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::*;

#[test]
fn shares_follow_the_weights() {
    // Chi-squared with 4 and 2 degrees of freedom, significance 0.001.
    for (weights, at_most) in [(vec![1_u16; 5], 18.47), (vec![1, 2, 4, 8, 16], 18.47), (vec![1, 1, 65_535], 13.82)] {
        let all = (0..).zip(&weights).map(|(number, &weight)| weighted(number, weight)).collect();
        let mut fleet = fleet(Strategy::Rendezvous, all);
        let seen = tally(&fleet.owners(if weights.len() == 3 { 400_000 } else { 50_000 }), weights.len());
        let statistic = chi_squared(&seen, &weights);
        assert!(statistic < at_most, "{weights:?}: {seen:?}, chi-squared {statistic}");
    }
}

#[test]
fn ten_thousand_instances_share_the_keys() {
    let mut fleet = fleet(Strategy::Rendezvous, members(10_000));
    let owners = fleet.owners(2_000);
    let distinct: std::collections::BTreeSet<u16> = owners.into_iter().collect();
    // 10,000 × (1 - (1 - 1/10,000)^2,000) = 1,813 of 2,000, with a standard deviation of 13.
    assert!((1_745..1_880).contains(&distinct.len()), "{}", distinct.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: RngSeed::Fixed(11), ..ProptestConfig::default() })]

    #[test]
    fn keys_move_only_from_who_leaves_to_who_joins_and_with_the_weight_that_changes(
        weights in proptest::collection::vec(1_u16..=65_535, 2..20),
        changed in any::<proptest::sample::Index>(),
        to in 1_u16..=65_535,
    ) {
        let changed = changed.index(weights.len()) as u16;
        let with = |weight| -> Vec<Member> {
            let of = |number, usual| weighted(number, if number == changed { weight } else { usual });
            (0..).zip(&weights).map(|(number, &usual)| of(number, usual)).collect()
        };
        let usual = weights[usize::from(changed)];
        let mut fleet = fleet(Strategy::Rendezvous, with(usual));
        let before = fleet.owners(300);
        fleet.publish(with(0));
        for (&before, after) in before.iter().zip(fleet.owners(300)) {
            let holds = if before == changed { after != changed } else { after == before };
            prop_assert!(holds, "{before} to {after} as {changed} leaves");
        }
        fleet.publish(with(to));
        for (&before, after) in before.iter().zip(fleet.owners(300)) {
            let (gains, loses) = (to > usual && after == changed, to < usual && before == changed);
            prop_assert!(before == after || gains || loses, "{before} to {after}, of {changed}: {usual} to {to}");
        }
    }
}
