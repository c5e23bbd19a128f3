//! What all policies that go by keys owe: an owner, successors down to the last, and a reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod balance_hash_support;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use balance_hash_support::*;
use mesh_core::balance::{Member, PickContext, PickError, Reason, Route, Tried};
use mesh_core::rng::Rng;
use mesh_core::route::Selector;
use mesh_core::service::Instance;
use support::*;

#[test]
fn retries_reach_every_instance_once_and_then_say_that_all_are_excluded() {
    for strategy in hash_strategies() {
        for weights in [[1; 8], [65_535, 1, 1, 1, 1, 1, 1, 2]] {
            let all = (0..8).map(|number| weighted(number, weights[usize::from(number)])).collect();
            let mut fleet = fleet(strategy.clone(), all);
            for key in 0..20 {
                let (mut tried, mut seen) = (Tried::new(), BTreeSet::new());
                for attempt in 0..8 {
                    let (lease, why) =
                        fleet.handle.pick_explained(at(0), &keyed(nth_key(key), &tried), attempt).unwrap();
                    assert!(seen.insert(number(lease.instance())), "{strategy:?} goes to one twice");
                    tried.insert(lease.endpoint().id());
                    assert_eq!(why.reason, if attempt == 0 { Reason::Owner } else { Reason::Successor });
                }
                let error = fleet.handle.pick(at(0), &keyed(nth_key(key), &tried), 1).unwrap_err();
                assert_eq!(error, PickError::AllExcluded { matching: 8 });
            }
        }
    }
}

#[test]
fn a_key_goes_on_to_where_it_would_go_if_its_owner_left() {
    // Maglev's table is another without the owner, and so is Envoy's ring.
    let stable = |name: &str| name != "maglev";
    for strategy in hash_strategies().into_iter().filter(|strategy| stable(strategy.name())) {
        let text = format!("{strategy:?}");
        if text.contains("Xds") || text.contains("Maglev") {
            continue;
        }
        let mut all = fleet(strategy.clone(), members(8));
        for key in (0..50).map(nth_key) {
            let owner = all.owner(key);
            let tried = all.tried(&[owner]);
            let next = number(all.handle.pick(at(0), &keyed(key, &tried), 1).unwrap().instance());
            let others = (0..8).filter(|&number| number != owner).map(member).collect();
            assert_eq!(next, fleet(strategy.clone(), others).owner(key), "{text}");
        }
    }
}

#[test]
fn a_key_always_has_the_same_owner_and_a_request_without_one_goes_anywhere() {
    for strategy in hash_strategies() {
        let mut fleet = fleet(strategy.clone(), members(5));
        let none = Tried::new();
        let mut rng = Rng::from_seed(7);
        let mut seen = [0_u32; 5];
        let owner = fleet.owner(nth_key(1));
        for _ in 0..1_000 {
            let (lease, why) = fleet.handle.pick_explained(at(0), &keyed(nth_key(1), &none), rng.next_u64()).unwrap();
            assert_eq!((number(lease.instance()), why.reason), (owner, Reason::Owner), "{strategy:?}");
            drop(lease);
            let (lease, why) = fleet.handle.pick_explained(at(0), &PickContext::default(), rng.next_u64()).unwrap();
            assert_eq!((why.reason, why.informed), (Reason::NoKey, false));
            seen[usize::from(number(lease.instance()))] += 1;
        }
        assert!(seen.iter().all(|&seen| seen > 100), "{strategy:?}: {seen:?}");
    }
}

#[test]
fn one_instance_owns_every_key_and_two_share_them() {
    for strategy in hash_strategies() {
        let mut fleet = fleet(strategy.clone(), members(1));
        assert_eq!(tally(&fleet.owners(100), 1), [100]);
        fleet.publish(members(2));
        let seen = tally(&fleet.owners(2_000), 2);
        assert!(seen.iter().all(|&seen| seen > 700), "{strategy:?}: {seen:?}");
        assert!([0, 1, u64::MAX, u64::MAX - 1, 1 << 32].map(|hash| fleet.owner(hash)).iter().all(|&it| it < 2));
    }
}

#[test]
fn a_selector_that_one_of_a_thousand_matches_finds_it_for_every_key() {
    for strategy in hash_strategies() {
        let canary = |number: u16| {
            let built = Instance::builder("api", "127.0.0.1", 10_000 + number).tag("canary").build().unwrap();
            Member { instance: Arc::new(built), ..member(number) }
        };
        let mut all = members(1_000);
        all[613] = canary(613);
        let mut fleet = fleet(strategy.clone(), all.clone());
        let selector = Selector::any().tag("canary").unwrap();
        for key in (0..50).map(nth_key) {
            let context =
                PickContext { hash_key: Some(key), route: Route::Selector(&selector), ..PickContext::default() };
            let (lease, why) = fleet.handle.pick_explained(at(0), &context, 1).unwrap();
            assert_eq!((number(lease.instance()), why.reason), (613, Reason::Successor), "{strategy:?}");
        }
        let route = fleet.views.route(selector).unwrap();
        fleet.publish(all);
        let context = PickContext { hash_key: Some(1), route: Route::Registered(route), ..PickContext::default() };
        let (lease, why) = fleet.handle.pick_explained(at(0), &context, 1).unwrap();
        assert_eq!((number(lease.instance()), why.reason), (613, Reason::Owner));
    }
}

#[test]
fn picks_by_key_do_not_allocate_however_far_they_go() {
    for strategy in hash_strategies() {
        let mut fleet = fleet(strategy.clone(), (0..200).map(|number| weighted(number, 1 + number % 3)).collect());
        let selector = Selector::any().tag("nobody has this").unwrap();
        let tried = fleet.tried(&[1, 2, 3]);
        let counted = allocation_counter::measure(|| {
            for key in 0..200 {
                fleet.handle.pick(at(0), &keyed(nth_key(key), &tried), 1).unwrap();
                let context =
                    PickContext { hash_key: Some(key), route: Route::Selector(&selector), ..PickContext::default() };
                assert!(fleet.handle.pick(at(0), &context, 1).is_err());
            }
        });
        assert_eq!(counted.count_total, 0, "{strategy:?}");
    }
}
