//! Round robin: exact turns, and what neither changes nor retries nor many handles may do to them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;
#[path = "support/weights.rs"]
mod weights;

use mesh_core::balance::{Balancer, Member, PickContext, Reason, Route, Strategy, ViewBuilder};
use mesh_core::route::Selector;
use mesh_core::service::Instance;
use support::*;
use weights::*;

#[test]
fn it_takes_turns_exactly_and_a_view_with_the_same_instances_goes_on_where_it_was() {
    let mut fleet = fleet(Strategy::RoundRobin, members(4));
    assert_eq!(sequence(&mut fleet, 10), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]);
    fleet.publish(members(4));
    assert_eq!(sequence(&mut fleet, 3), [2, 3, 0]);
    fleet.publish(all(&[7, 1, 1, 9]));
    assert_eq!(sequence(&mut fleet, 5), [1, 2, 3, 0, 1]);
}

#[test]
fn after_a_change_it_takes_turns_exactly_among_those_there_are() {
    let mut fleet = fleet(Strategy::RoundRobin, members(4));
    sequence(&mut fleet, 10);
    for count in [3, 7, 1, 5] {
        fleet.publish(members(count));
        let picks = sequence(&mut fleet, u64::from(count) * 3);
        let next = |pair: &[u16]| pair[1] == (pair[0] + 1) % count;
        assert!(picks.windows(2).all(next), "{picks:?}");
    }
}

#[test]
fn seed_0_begins_with_the_first_and_others_with_anyone_alike() {
    let mut firsts = Vec::new();
    for seed in 0..2_000 {
        let mut views = ViewBuilder::new(Strategy::RoundRobin);
        views.set_seed(seed);
        let balancer = Balancer::new();
        balancer.publish(views.build(members(10)));
        firsts.push(balancer.handle().next(0));
    }
    assert_eq!(firsts[0], 0);
    assert_by_weight(&count(firsts, 10), &[1.0; 10], "first picks of processes");
}

#[test]
fn views_that_nobody_has_picked_from_do_not_count_as_changes() {
    let mut fleet = fleet(Strategy::RoundRobin, Vec::new());
    for count in [1, 2, 5, 3] {
        fleet.publish(members(count));
    }
    assert_eq!(sequence(&mut fleet, 4), [0, 1, 2, 0]);
}

#[test]
fn a_weight_that_changes_at_every_third_pick_moves_nobodys_turn() {
    let mut fleet = fleet(Strategy::RoundRobin, members(5));
    let mut picks = Vec::new();
    for step in 0..500 {
        picks.extend(sequence(&mut fleet, 3));
        fleet.publish(all(&[1 + step % 2, 1, 1, 1, 1]));
    }
    assert_eq!(count(picks, 5), [300; 5]);
}

#[test]
fn an_instance_that_comes_and_goes_every_few_picks_takes_nobodys_share_and_has_its_own() {
    let count = 10;
    for flapping in [0, 4, 9] {
        for every in [1, 3, 5, 9, 10, 11] {
            for fresh in [false, true] {
                let seen = flap(count, flapping, every, fresh);
                let picks: u32 = seen.iter().sum();
                let [there, away] = [f64::from(picks) / 2.0 / 10.0, f64::from(picks) / 2.0 / 9.0];
                for (number, &seen) in (0..).zip(&seen) {
                    let expected = if number == flapping { there } else { there + away };
                    let error = f64::from(seen) / expected - 1.0;
                    assert!(error.abs() < 0.05, "{number} is off by {error} when {flapping} flaps every {every}");
                }
            }
        }
    }
}

#[test]
fn one_that_replaces_another_elsewhere_in_the_order_costs_nobody_its_turns() {
    // Every position but those of the two is another's in the other view, though there are as many.
    let sets: [Vec<Member>; 2] = [(0..10).map(member).collect(), (1..11).map(member).collect()];
    let mut fleet = fleet(Strategy::RoundRobin, sets[0].clone());
    let mut picks = Vec::new();
    for window in 1..=2_000 {
        picks.extend(sequence(&mut fleet, 5));
        fleet.publish(sets[window % 2].clone());
    }
    for (number, seen) in (0..).zip(count(picks, 11)) {
        let expected = if number == 0 || number == 10 { 500_u32 } else { 1_000 };
        assert!(seen.abs_diff(expected) <= expected / 20, "{number}: {seen}");
    }
}

#[test]
fn handles_made_for_one_pick_each_still_take_turns() {
    let fleet = fleet(Strategy::RoundRobin, members(32));
    let picks = (0..320).map(|entropy| fleet.balancer.handle().next(entropy));
    assert_eq!(count(picks, 32), [10; 32]);
}

#[test]
fn many_handles_share_one_rotation_but_for_the_turns_they_still_hold() {
    let fleet = fleet(Strategy::RoundRobin, members(10));
    let mut handles: Vec<_> = (0..7).map(|_| fleet.balancer.handle()).collect();
    let picks = (0..70_000).map(|step| handles[step % 7].next(0));
    let seen = count(picks, 10);
    // Each holds up to 31 turns, which are four of one instance at most.
    assert!(seen.iter().all(|seen| seen.abs_diff(7_000) <= 4 * 7), "{seen:?}");
}

#[test]
fn threads_that_pick_at_once_share_one_rotation() {
    let fleet = fleet(Strategy::RoundRobin, members(10));
    let balancer = &fleet.balancer;
    let seen: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let mut handle = balancer.handle();
                    count((0..10_000).map(|_| handle.next(0)), 10)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let total = |at: usize| seen.iter().map(|seen| seen[at]).sum::<u32>();
    assert!((0..10).all(|at| total(at).abs_diff(4_000) <= 4 * 4), "{seen:?}");
}

#[test]
fn a_retry_that_excludes_what_failed_takes_nobodys_turn() {
    // If it did, the first attempts would all go to the one that fails.
    let mut fleet = fleet(Strategy::RoundRobin, members(2));
    let tried = fleet.tried(&[0]);
    let mut firsts = Vec::new();
    for entropy in 0..100 {
        firsts.push(fleet.handle.next(entropy));
        if firsts.last() == Some(&0) {
            assert_eq!(fleet.handle.next_but(entropy, &tried), 1);
        }
    }
    let turns: Vec<u16> = (0..100).map(|turn| turn % 2).collect();
    assert_eq!(firsts, turns);
}

#[test]
fn picks_with_exclusions_go_to_all_others_alike_and_not_to_the_next_in_line() {
    let mut fleet = fleet(Strategy::RoundRobin, members(10));
    let tried = fleet.tried(&[1, 2, 3, 4, 5, 6, 7]);
    let picks: Vec<u16> = (0..9_000).map(|entropy| fleet.handle.next_but(entropy, &tried)).collect();
    let seen = count(picks, 10);
    assert_eq!(seen[1..8], [0; 7]);
    assert_by_weight(&[seen[0], seen[8], seen[9]], &[1.0; 3], "those not excluded");
    let tried = fleet.tried(&[0, 1, 2, 3, 4, 5, 6, 7]);
    fleet.publish(members(8));
    let context = PickContext { excluded: &tried, ..PickContext::default() };
    assert!(fleet.handle.pick(at(0), &context, 1).is_err(), "everybody is excluded");
}

#[test]
fn a_selector_that_is_not_registered_takes_turns_among_those_that_match() {
    let mut fleet = fleet(Strategy::RoundRobin, (0..6).map(|number| tagged(number, number % 2 == 1)).collect());
    assert_eq!([(); 4].map(|()| next_tagged(&mut fleet)), [1, 3, 5, 1]);
}

#[test]
fn a_selector_that_one_in_a_thousand_matches_is_served_without_a_thousand_turns() {
    let mut fleet = fleet(Strategy::RoundRobin, (0..1_000).map(|number| tagged(number, number == 700)).collect());
    assert_eq!(next_tagged(&mut fleet), 700);
    assert_eq!(fleet.handle.next(0), 8, "eight turns were passed over, and no more");
}

#[test]
fn ten_thousand_instances_are_met_once_a_lap() {
    let mut fleet = fleet(Strategy::RoundRobin, members(10_000));
    let seen = count(sequence(&mut fleet, 20_000), 10_000);
    assert!(seen.iter().all(|&seen| seen == 2));
}

#[test]
fn a_member_given_twice_has_one_turn() {
    let twice = members(3).into_iter().chain(members(3)).collect();
    let mut fleet = fleet(Strategy::RoundRobin, twice);
    assert_eq!(sequence(&mut fleet, 4), [0, 1, 2, 0]);
}

#[test]
fn it_says_whether_it_was_a_turn_or_a_draw() {
    for strategy in [Strategy::RoundRobin, stride(), smooth()] {
        let mut fleet = fleet(strategy, all(&[3, 2, 1]));
        let mut reason = |tried: &[u16]| {
            let tried = fleet.tried(tried);
            let context = PickContext { excluded: &tried, ..PickContext::default() };
            fleet.handle.pick_explained(at(0), &context, 1).unwrap().1.reason
        };
        assert_eq!([reason(&[]), reason(&[0])], [Reason::Turn, Reason::Drawn]);
    }
}

/// Picks of `count` instances of which one is there for `every` picks and away for as many, again and again.
fn flap(count: u16, flapping: u16, every: u64, fresh: bool) -> Vec<u32> {
    let others = |number: &u16| *number != flapping;
    let mut fleet = fleet(Strategy::RoundRobin, members(count));
    let mut picks = Vec::new();
    for window in 0..2_000 / every * 2 {
        for _ in 0..every {
            if fresh {
                fleet.handle = fleet.balancer.handle();
            }
            picks.push(fleet.handle.next(0));
        }
        let back = window % 2 == 1;
        fleet.publish(if back { members(count) } else { (0..count).filter(others).map(member).collect() });
    }
    weights::count(picks, usize::from(count))
}

fn tagged(number: u16, is_tagged: bool) -> Member {
    let plain = Instance::builder("api", "127.0.0.1", 10_000 + number);
    Member::usable(if is_tagged { plain.tag("v2") } else { plain }.build().unwrap())
}

fn next_tagged(fleet: &mut Fleet) -> u16 {
    let selector = Selector::any().tag("v2").unwrap();
    let context = PickContext { route: Route::Selector(&selector), ..PickContext::default() };
    number(fleet.handle.pick(at(0), &context, 1).unwrap().instance())
}

#[test]
fn handles_that_are_made_for_a_few_picks_take_every_turn_there_is() {
    // The rest of a block of turns goes with its handle: where blocks and instances are in step, it would be the turns of
    // the same ones each time.
    for strategy in [Strategy::RoundRobin, stride()] {
        for (count, picks) in [(3_u16, 2_u64), (7, 4), (2, 3), (5, 15), (31, 33), (32, 40)] {
            let mut fleet = fleet(strategy.clone(), members(count));
            let mut seen = vec![0_u32; usize::from(count)];
            for _ in 0..3_000 {
                fleet.handle = fleet.balancer.handle();
                for picked in sequence(&mut fleet, picks) {
                    seen[usize::from(picked)] += 1;
                }
            }
            let fair = 3_000.0 * picks as f64 / f64::from(count);
            let worst = seen.iter().map(|&seen| (f64::from(seen) / fair - 1.0).abs()).fold(0.0, f64::max);
            // An eighth of a handle's turns is lost at most.
            let at_most = if picks <= 16 { 0.001 } else { 0.13 };
            assert!(worst <= at_most, "{count} instances, {picks} picks a handle: {seen:?}");
        }
    }
}

#[test]
fn a_handle_that_changes_between_routes_takes_every_turn_of_each() {
    for strategy in [Strategy::RoundRobin, stride()] {
        let mut fleet = fleet(strategy, members(3));
        let route = fleet.views.route(Selector::any().without_tag("canary").unwrap()).unwrap();
        fleet.publish(members(3));
        let mut seen = [[0_u32; 3]; 2];
        for step in 0..9_000 {
            let (at_route, route) = if step % 3 == 2 { (1, Route::Registered(route)) } else { (0, Route::All) };
            let context = PickContext { route, ..PickContext::default() };
            let lease = fleet.handle.pick(at(0), &context, step).unwrap();
            seen[at_route][usize::from(number(lease.instance()))] += 1;
        }
        assert_eq!(seen, [[2_000; 3], [1_000; 3]]);
    }
}
