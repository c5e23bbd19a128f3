//! Bounded load: nobody is ever above the bound, and keys move no further than they must.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod balance_hash_support;
mod support;

use balance_hash_support::*;
use mesh_core::balance::policy::HashStrategy;
use mesh_core::balance::{Lease, Outcome, PickContext, Reason, Tried};
use mesh_core::rng::Rng;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::*;

/// ⌈factor × total × weight / weights⌉, in whole numbers.
fn capacity(factor_milli: u64, total: u64, weight: u16, weights: &[u16]) -> u64 {
    let all: u64 = weights.iter().copied().map(u64::from).sum();
    (factor_milli * total * u64::from(weight)).div_ceil(1_000 * all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, rng_seed: RngSeed::Fixed(10), ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_ever_above_the_bound_whatever_happened_before(
        of in proptest::sample::select(hashings()),
        factor_milli in prop_oneof![Just(1_000_u64), Just(1_001), Just(1_250), 1_000_u64..3_000],
        weights in proptest::collection::vec(prop_oneof![3 => 1_u16..6, 1 => Just(65_535_u16)], 1..9),
        steps in proptest::collection::vec((any::<u64>(), 0_u8..4), 1..150),
    ) {
        let all = (0..).zip(&weights).map(|(number, &weight)| weighted(number, weight)).collect();
        let mut fleet = fleet(bounded(factor_milli as f64 / 1_000.0, of), all);
        let mut held: Vec<Lease> = Vec::new();
        for (word, kind) in steps {
            if kind == 0 && !held.is_empty() {
                held.swap_remove(word as usize % held.len()).finish(at(1), Outcome::Success);
                continue;
            }
            // Half of all requests ask for one key.
            let hash = if kind == 1 { word } else { 42 };
            let before = (0..).zip(&weights).map(|(number, _)| u64::from(fleet.in_flight(number)));
            let before: Vec<u64> = before.collect();
            let context = PickContext { hash_key: Some(hash), ..PickContext::default() };
            let lease = fleet.handle.pick_owned(at(0), &context, word).unwrap();
            let picked = usize::from(number(lease.instance()));
            held.push(lease);
            let limit = capacity(factor_milli, held.len() as u64, weights[picked], &weights);
            prop_assert!(before[picked] < limit, "{} of {limit} at {picked}: {before:?}", before[picked] + 1);
        }
    }
}

#[test]
fn the_bound_is_reached_and_not_exceeded_by_one_as_envoy_does() {
    for of in hashings() {
        // Four instances and factor 2: of T requests ⌈T / 2⌉. Envoy's `active / slots <= 1` lets one more in.
        let mut fleet = fleet(bounded(2.0, of.clone()), members(4));
        let owner = fleet.owner(7);
        let held: Vec<u16> = fleet.hold(7, 8).into_iter().map(|lease| number(lease.instance())).collect();
        let at_owner: Vec<bool> = held.iter().map(|&number| number == owner).collect();
        // Of the first 1, of 2 still 1, of 3 2, of 4 2, of 5 3, and so on.
        assert_eq!(at_owner, [true, false, true, false, true, false, true, false], "{of:?}");
        assert_eq!(held[1], held[3], "what the owner passes on has one successor");
    }
}

#[test]
fn a_heavier_owner_takes_its_larger_share_before_it_passes_keys_on() {
    for of in hashings() {
        // Three of six units of weight: ⌈T / 2⌉ of T requests.
        let mut fleet = fleet(bounded(1.0, of.clone()), vec![weighted(0, 3), member(1), member(2), member(3)]);
        let key = (0..).map(nth_key).find(|&key| fleet.owner(key) == 0).unwrap();
        let held = fleet.hold(key, 6);
        let at_owner: Vec<bool> = held.iter().map(|lease| number(lease.instance()) == 0).collect();
        assert_eq!(at_owner, [true, false, true, false, true, false], "{of:?}");
    }
}

#[test]
fn with_factor_one_one_key_fills_every_instance_alike() {
    for of in hashings() {
        let mut fleet = fleet(bounded(1.0, of.clone()), members(5));
        let held = fleet.hold(7, 50);
        assert_eq!((0..5).map(|number| fleet.in_flight(number)).collect::<Vec<_>>(), [10; 5], "{of:?}");
        drop(held);
    }
}

#[test]
fn capacities_follow_the_weights() {
    for of in hashings() {
        let mut fleet = fleet(bounded(1.0, of.clone()), vec![weighted(0, 1), weighted(1, 2), weighted(2, 5)]);
        let _held = fleet.hold(9, 80);
        assert_eq!([0, 1, 2].map(|number| fleet.in_flight(number)), [10, 20, 50], "{of:?}");
    }
}

#[test]
fn an_idle_fleet_places_keys_as_the_policy_that_it_bounds() {
    for of in hashings() {
        let mut bound = fleet(bounded(1.0, of.clone()), members(9));
        assert_eq!(bound.owners(500), fleet(unbounded(of.clone()), members(9)).owners(500), "{of:?}");
        // And once more after a change, when the picker before is taken over from.
        bound.publish(members(8));
        assert_eq!(bound.owners(500), fleet(unbounded(of.clone()), members(8)).owners(500), "{of:?}");
    }
}

#[test]
fn where_all_that_may_serve_are_full_the_least_loaded_for_its_weight_serves() {
    for of in hashings() {
        let mut fleet = fleet(bounded(1.0, of), vec![weighted(0, 1), weighted(1, 2), member(2), member(3)]);
        let (full, tried) = (fleet.tried(&[1, 2, 3]), fleet.tried(&[2, 3]));
        let context = PickContext { hash_key: Some(1), excluded: &full, ..PickContext::default() };
        let held: Vec<Lease> = (0..6).map(|_| fleet.handle.pick_owned(at(0), &context, 1).unwrap()).collect();
        assert_eq!(fleet.in_flight(0), 6, "there is nobody else");
        let context = PickContext { hash_key: Some(1), excluded: &tried, ..PickContext::default() };
        let more: Vec<Lease> = (0..12).map(|_| fleet.handle.pick_owned(at(0), &context, 1).unwrap()).collect();
        assert_eq!([0, 1].map(|number| fleet.in_flight(number)), [6, 12]);
        // (6 + 1) / 1 against (12 + 1) / 2.
        assert_eq!(number(fleet.handle.pick(at(0), &context, 1).unwrap().instance()), 1);
        drop((held, more));
    }
}

#[test]
fn who_is_passed_on_is_called_a_successor() {
    for of in hashings() {
        let mut fleet = fleet(bounded(1.25, of), members(6));
        let none = Tried::new();
        let mut reasons = Vec::new();
        let mut held = Vec::new();
        for _ in 0..2 {
            let (lease, why) = fleet.handle.pick_explained(at(0), &keyed(5, &none), 1).unwrap();
            reasons.push(why.reason);
            drop(lease);
            held.extend(fleet.hold(5, 1));
        }
        assert_eq!(reasons, [Reason::Owner, Reason::Successor]);
    }
}

#[test]
fn ten_thousand_instances_take_a_burst_of_one_key_within_the_bound() {
    let mut fleet = fleet(bounded(1.25, HashStrategy::RingHash(Default::default())), members(10_000));
    let held = fleet.hold(3, 300);
    // 1.25 × 300 / 10,000 is below one, so everyone has one at most.
    let mut numbers: Vec<u16> = held.iter().map(|lease| number(lease.instance())).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 300);
}

#[test]
fn requests_without_a_key_are_spread_and_bounded() {
    let mut fleet = fleet(bounded(1.1, HashStrategy::Rendezvous), members(10));
    let mut rng = Rng::from_seed(2);
    let pick = |_| fleet.handle.pick_owned(at(0), &PickContext::default(), rng.next_u64()).unwrap();
    let held: Vec<Lease> = (0..1_000).map(pick).collect();
    let most = (0..10).map(|number| fleet.in_flight(number)).max().unwrap();
    assert!((100..=110).contains(&most), "{most}");
    drop(held);
}

trait Holds {
    /// Picks `count` times for `hash` and keeps the leases.
    fn hold(&mut self, hash: u64, count: u32) -> Vec<Lease>;
}

impl Holds for Fleet {
    fn hold(&mut self, hash: u64, count: u32) -> Vec<Lease> {
        let context = PickContext { hash_key: Some(hash), ..PickContext::default() };
        (0..count).map(|_| self.handle.pick_owned(at(0), &context, 1).unwrap()).collect()
    }
}

#[test]
fn an_instance_that_fails_fast_is_not_sent_what_the_others_have_no_room_for() {
    for of in [HashStrategy::Rendezvous, HashStrategy::Maglev(maglev_config(1_009))] {
        let mut shares = Vec::new();
        for hold in ["1s", "0s"] {
            let of = serde_json::to_value(unbounded(of.clone())).unwrap();
            let text = serde_json::json!({ "bounded-load": { "of": of, "failure_hold": hold } });
            let mut fleet = fleet(serde_json::from_value(text).unwrap(), members(10));
            let mut rng = Rng::from_seed(5);
            let (mut held, mut failed) = (std::collections::VecDeque::new(), 0.0);
            for now in 0..20_000_u64 {
                let context = PickContext { hash_key: Some(rng.next_u64()), ..PickContext::default() };
                let lease = fleet.handle.pick_owned(at(now), &context, rng.next_u64()).unwrap();
                if number(lease.instance()) == 3 {
                    failed += 1.0 / 20_000.0;
                    lease.finish(at(now), Outcome::Failure);
                } else {
                    held.push_back(lease);
                }
                if held.len() > 40 {
                    held.pop_front().unwrap().finish(at(now), Outcome::Success);
                }
            }
            shares.push(failed);
        }
        assert!(shares[0] < 0.02 && shares[1] > 0.12, "with the hold, without: {shares:?}");
    }
}
