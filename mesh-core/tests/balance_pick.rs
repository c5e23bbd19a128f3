//! What every policy owes: it honours exclusion, routes and eligibility, and says why when it cannot pick.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;

use mesh_core::balance::{Eligibility, Member, Outcome, PickContext, PickError, Route, Strategy, ViewBuilder, Wake};
use mesh_core::rng::Rng;
use mesh_core::route::{RouteId, Selector};
use mesh_core::service::{Instance, Weight};
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::*;

#[test]
fn a_balancer_without_a_view_says_that_the_registry_has_not_answered() {
    let balancer = mesh_core::balance::Balancer::new();
    let error = balancer.handle().pick(Instant::ZERO, &PickContext::default(), 1).unwrap_err();
    assert_eq!(error, PickError::Pending);
}

#[test]
fn every_reason_for_having_nobody_to_pick_is_told_apart() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy, vec![]);
        assert_eq!(fleet.refusal(PickContext::default()), PickError::NoneRegistered);

        let drained = Member { eligibility: Eligibility::Drained, ..member(3) };
        fleet.publish(vec![unhealthy(1), unhealthy(2), drained, weighted(4, 0)]);
        let expected = PickError::NoneHealthy { registered: 4, unhealthy: 2, drained: 2 };
        assert_eq!(fleet.refusal(PickContext::default()), expected);

        fleet.publish(members(2));
        let canary = Selector::any().tag("canary").unwrap();
        let context = PickContext { route: Route::Selector(&canary), ..PickContext::default() };
        assert_eq!(fleet.refusal(context), PickError::NoneMatching { usable: 2 });

        let tried = fleet.tried(&[0, 1]);
        let context = PickContext { excluded: &tried, ..PickContext::default() };
        assert_eq!(fleet.refusal(context), PickError::AllExcluded { matching: 2 });

        let mut other = ViewBuilder::new(Strategy::default());
        let route = other.route(canary.clone()).unwrap();
        let context = PickContext { route: Route::Registered(route), ..PickContext::default() };
        assert_eq!(fleet.refusal(context), PickError::UnknownRoute(route));
    }
}

#[test]
fn a_registered_route_picks_only_what_matches_it() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy, vec![]);
        let route = fleet.views.route(Selector::any().tag("v2").unwrap()).unwrap();
        assert_eq!(fleet.views.route(Selector::any().tag("v2").unwrap()).unwrap(), route, "interned once");
        fleet.publish(
            (0..6).map(|number| if number % 3 == 0 { tagged(number, "v2") } else { member(number) }).collect(),
        );
        let context = PickContext { route: Route::Registered(route), ..PickContext::default() };
        let mut seen = [0; 6];
        for entropy in 0..200 {
            let lease = fleet.handle.pick(at(entropy), &context, mixed(entropy)).unwrap();
            seen[usize::from(number(lease.instance()))] += 1;
        }
        assert!(seen[0] > 0 && seen[3] > 0 && seen[0] + seen[3] == 200, "{seen:?}");
    }
}

#[test]
fn a_route_can_be_registered_after_instances_are_known_and_be_empty() {
    let mut fleet = fleet(Strategy::default(), members(2));
    let route = fleet.views.route(Selector::any().tag("v2").unwrap()).unwrap();
    fleet.publish(members(2));
    let context = PickContext { route: Route::Registered(route), ..PickContext::default() };
    assert_eq!(fleet.refusal(context), PickError::NoneMatching { usable: 2 });
    assert_ne!(route, RouteId::ALL);
}

#[test]
fn weight_zero_drains_under_every_policy_even_when_all_are_zero() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy, vec![weighted(0, 0), weighted(1, 1), weighted(2, 0)]);
        for entropy in 0..50 {
            let lease = fleet.handle.pick(at(0), &PickContext::default(), mixed(entropy)).unwrap();
            assert_eq!(number(lease.instance()), 1);
        }
        fleet.publish(vec![weighted(0, 0), weighted(1, 0)]);
        let expected = PickError::NoneHealthy { registered: 2, unhealthy: 0, drained: 2 };
        assert_eq!(fleet.refusal(PickContext::default()), expected);
    }
}

#[test]
fn a_run_of_failures_wakes_the_owner_once_and_a_success_ends_the_run() {
    let mut fleet = fleet(Strategy::default(), members(1));
    fleet.views.set_wake_after(NonZeroU32::new(3).unwrap());
    fleet.publish(members(1));
    let failures = [Outcome::Failure, Outcome::TimedOut, Outcome::Cancelled, Outcome::Failure, Outcome::Failure];
    let wakes: Vec<Wake> = failures.into_iter().map(|outcome| fleet.end(outcome)).collect();
    assert_eq!(wakes, [Wake::No, Wake::No, Wake::No, Wake::Sweep, Wake::No]);
    assert_eq!(fleet.end(Outcome::Success), Wake::No);
    assert_eq!(fleet.views.endpoint(&key(0)).unwrap().failures_in_row(), 0);
    assert_eq!(fleet.end(Outcome::Failure), Wake::No);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(13), ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_excluded_drained_or_unhealthy_is_never_picked(
        states in proptest::collection::vec((0_u16..4, any::<bool>(), any::<bool>()), 0..12),
        excluded in proptest::collection::vec(0_u16..12, 0..6),
        seed: u64,
    ) {
        let canary = Selector::any().tag("v2").unwrap();
        for strategy in strategies() {
            let all: Vec<Member> = states.iter().enumerate().map(|(at, &(weight, healthy, canary))| {
                let number = at as u16;
                let member = if canary { tagged(number, "v2") } else { member(number) };
                let eligibility = if healthy { Eligibility::Usable } else { Eligibility::Unhealthy };
                Member { weight: Weight::new(weight), eligibility, ..member }
            }).collect();
            let mut fleet = fleet(strategy, all.clone());
            let excluded: Vec<u16> = excluded.iter().copied().filter(|&number| usize::from(number) < all.len()).collect();
            let tried = fleet.tried(&excluded);
            let mut rng = Rng::from_seed(seed);
            for route in [Route::All, Route::Selector(&canary)] {
                let may_serve = |member: &&Member| {
                    let number = number(&member.instance);
                    let matches = route == Route::All || canary.matches(&member.instance);
                    matches && !excluded.contains(&number) && states[usize::from(number)].1 && !member.weight.is_drained()
                };
                let expected: Vec<u16> = all.iter().filter(may_serve).map(|member| number(&member.instance)).collect();
                for attempt in 0..8 {
                    let hash_key = (attempt % 2 == 0).then(|| rng.next_u64());
                    let context = PickContext { route, hash_key, excluded: &tried, ..PickContext::default() };
                    match fleet.handle.pick(at(0), &context, rng.next_u64()) {
                        Ok(lease) => prop_assert!(expected.contains(&number(lease.instance()))),
                        Err(_) => prop_assert!(expected.is_empty(), "refused though {:?} could serve", expected),
                    }
                }
            }
        }
    }
}

trait Refusals {
    fn refusal(&mut self, context: PickContext<'_>) -> PickError;
    fn end(&mut self, outcome: Outcome) -> Wake;
}

impl Refusals for Fleet {
    fn refusal(&mut self, context: PickContext<'_>) -> PickError {
        self.handle.pick(at(0), &context, 7).unwrap_err()
    }

    fn end(&mut self, outcome: Outcome) -> Wake {
        self.handle.pick(at(0), &PickContext::default(), 7).unwrap().finish(at(1), outcome)
    }
}

fn tagged(number: u16, tag: &str) -> Member {
    let instance = Instance::builder("api", "127.0.0.1", 10_000 + number).tag(tag).build().unwrap();
    Member { instance: Arc::new(instance), ..member(number) }
}

fn mixed(entropy: u64) -> u64 {
    mesh_core::rng::mix(entropy + 1)
}
