//! What a balancer says of itself: why a pick went where it did, and what it counted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh_core::balance::{Eligibility, Outcome, PickContext, Reason, Strategy};
use mesh_core::rng::Rng;
use support::*;

#[test]
fn a_pick_that_is_asked_for_its_reasons_goes_where_it_would_have_gone_unasked() {
    for strategy in strategies() {
        let weights = |number: u16| if number.is_multiple_of(3) { weighted(number, 4) } else { member(number) };
        for all in [members(7), (0..7).map(weights).collect()] {
            let (mut asked, mut unasked) = (fleet(strategy.clone(), all.clone()), fleet(strategy.clone(), all));
            let mut rng = Rng::from_seed(3);
            let mut held = Vec::new();
            for step in 0..2_000_u64 {
                let tried = if step % 5 == 0 { [step as u16 % 7, 3] } else { [3, 3] };
                let (excluded, excluded_there) = (asked.tried(&tried), unasked.tried(&tried));
                let (entropy, hash_key) = (rng.next_u64(), (step % 3 > 0).then(|| rng.next_u64()));
                let context = PickContext { excluded: &excluded, hash_key, ..PickContext::default() };
                let there = PickContext { excluded: &excluded_there, hash_key, ..PickContext::default() };
                let (context, there) =
                    if step % 2 == 0 { (context, there) } else { (plain(hash_key), plain(hash_key)) };
                let (lease, explanation) = asked.handle.pick_explained(at(step), &context, entropy).unwrap();
                let other = unasked.handle.pick_owned(at(step), &there, entropy).unwrap();
                assert_eq!(lease.instance().key(), other.instance().key(), "{} at {step}", strategy.name());
                assert_eq!(explanation.strategy, strategy.name());
                held.push((lease, other));
                if held.len() > 12 {
                    let (lease, other) = held.swap_remove((entropy % 12) as usize);
                    let outcome = if entropy % 4 == 0 { Outcome::Failure } else { Outcome::Success };
                    lease.finish(at(step), outcome);
                    other.finish(at(step), outcome);
                }
            }
        }
    }
}

#[test]
fn every_built_in_policy_says_what_decided() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy.clone(), members(5));
        for entropy in 0..50 {
            let (_, explanation) = fleet.handle.pick_explained(at(0), &plain(Some(entropy)), entropy).unwrap();
            assert_ne!(explanation.reason, Reason::Unsaid, "{}", strategy.name());
            assert_eq!(explanation.candidates, 5);
        }
    }
}

#[test]
fn of_what_was_compared_the_lowest_score_is_picked() {
    for strategy in strategies() {
        let mut compared = 0;
        let mut fleet = fleet(strategy.clone(), (0..6).map(|number| weighted(number, number + 1)).collect());
        let mut rng = Rng::from_seed(8);
        let mut held = Vec::new();
        for step in 0..300 {
            let (lease, explanation) =
                fleet.handle.pick_explained(at(step), &plain(Some(rng.next_u64())), rng.next_u64()).unwrap();
            let scores: Vec<f64> = explanation.considered.iter().map(|considered| considered.score).collect();
            if let Some(least) = scores.iter().copied().reduce(f64::min) {
                let mine = explanation.considered.iter().find(|one| one.endpoint == lease.endpoint().id()).unwrap();
                assert!(mine.score <= least || !explanation.informed, "{}: {explanation:?}", strategy.name());
                compared += 1;
            }
            held.push(lease);
        }
        let compares = ["least-loaded", "p2c-least-loaded", "peak-ewma", "fewest-failures"].contains(&strategy.name());
        assert!(!compares || compared == 300, "{}: {compared} picks were compared", strategy.name());
    }
}

#[test]
fn a_pick_between_idle_instances_counts_as_one_without_information() {
    let mut fleet = fleet(Strategy::from_name("p2c-least-loaded").unwrap(), members(3));
    for step in 0..200 {
        fleet.handle.pick(at(step), &PickContext::default(), step).unwrap().finish(at(step), Outcome::Success);
    }
    let held: Vec<_> =
        (0..10).map(|step| fleet.handle.pick_owned(at(0), &PickContext::default(), step).unwrap()).collect();
    let before = fleet.balancer.stats(at(0)).picks_uninformed;
    assert!((203 - 64..=203).contains(&before), "reported in batches: {before}");
    // While all have load, every pick is informed.
    for step in 0..100 {
        fleet.handle.pick(at(step), &PickContext::default(), step).unwrap().finish(at(step), Outcome::Success);
    }
    drop((fleet.handle, held));
    let after = fleet.balancer.stats(at(0)).picks_uninformed;
    assert!((201..=203).contains(&after), "the rest is reported when the handle goes: {after}");
}

#[test]
fn a_pick_that_is_asked_for_its_reasons_counts_as_any_other() {
    let mut fleet = fleet(Strategy::default(), members(3));
    for step in 0..200 {
        let (lease, why) = fleet.handle.pick_explained(at(step), &PickContext::default(), step).unwrap();
        assert!(!why.informed);
        lease.finish(at(step), Outcome::Success);
    }
    let told = fleet.balancer.stats(at(200));
    assert!(told.picks == 200 && (200 - 64..=200).contains(&told.picks_uninformed), "in batches: {told:?}");
    drop(fleet.handle);
    assert_eq!(fleet.balancer.stats(at(200)).picks_uninformed, 200);
}

#[test]
fn the_stats_of_an_instance_say_what_it_carries_and_why_it_is_out() {
    let all = vec![weighted(0, 7), unhealthy(1), weighted(2, 0), member(3)];
    let mut fleet = fleet(Strategy::LeastLoaded(Default::default()), all);
    for step in 0..10 {
        fleet.handle.pick(at(0), &PickContext::default(), step).unwrap().finish(at(0), Outcome::Failure);
    }
    let held = fleet.handle.pick_owned(at(0), &PickContext::default(), 1).unwrap();
    let stats = fleet.balancer.stats(at(500));
    assert_eq!((stats.strategy.as_str(), stats.picks, stats.version), ("least-loaded", 11, 1));
    let states: Vec<_> = stats.endpoints.iter().map(|endpoint| endpoint.eligibility).collect();
    assert_eq!(states, [Eligibility::Usable, Eligibility::Unhealthy, Eligibility::Drained, Eligibility::Usable]);
    let of = |number: u16| &stats.endpoints[usize::from(number)];
    assert_eq!(of(0).weight.get(), 7);
    assert_eq!(of(0).held + of(3).held, 10);
    assert_eq!(of(0).picks + of(3).picks, 11);
    assert_eq!(of(0).in_flight + of(3).in_flight, 1);
    assert_eq!(of(number(held.instance())).in_flight, 1);
    assert_eq!([of(1).picks, of(2).picks], [0, 0]);
}

#[test]
fn the_picks_of_instances_that_left_or_moved_are_not_lost_from_the_sum() {
    let mut fleet = fleet(Strategy::RoundRobin, members(4));
    for step in 0..40 {
        drop(fleet.handle.pick(at(0), &PickContext::default(), step).unwrap());
    }
    fleet.publish(members(2));
    assert_eq!(fleet.balancer.stats(at(0)).picks, 40);
    for step in 0..10 {
        drop(fleet.handle.pick(at(0), &PickContext::default(), step).unwrap());
    }
    let stats = fleet.balancer.stats(at(0));
    assert_eq!((stats.picks, stats.endpoints.len()), (50, 2));
}

fn plain(hash_key: Option<u64>) -> PickContext<'static> {
    PickContext { hash_key, ..PickContext::default() }
}
