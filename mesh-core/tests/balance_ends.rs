//! Every policy at the ends of what it may be given: weights that dwarf the rest, ten thousand instances, newcomers,
//! more retries than are remembered, threads that pick at the same moment.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod balance_hash_support;
mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};

use balance_hash_support::*;
use mesh_core::balance::policy::AdaptiveConfig;
use mesh_core::balance::{Handle, Lease, Outcome, PickContext, Strategy, Tried};
use mesh_core::rng::Rng;
use support::*;

fn any_key(rng: &mut Rng) -> PickContext<'static> {
    PickContext { hash_key: Some(rng.next_u64()), ..PickContext::default() }
}

/// The number of the next instance, whose request ends at once.
fn next(handle: &mut Handle, rng: &mut Rng, millis: u64) -> u16 {
    let lease = handle.pick(at(millis), &any_key(rng), rng.next_u64()).unwrap();
    let picked = number(lease.instance());
    lease.finish(at(millis), Outcome::Success);
    picked
}

#[test]
fn a_weight_of_65_535_among_ones_has_nearly_everything_and_leaves_nobody_out_of_reach() {
    for strategy in strategies() {
        // These look at no weights: the first two by nature, the last as an example.
        let ignores = ["round-robin", "random", "fewest-failures"].contains(&strategy.name());
        let heavy = |number| if number == 2 { 65_535 } else { 1 };
        let mut fleet = fleet(strategy.clone(), (0..5).map(|number| weighted(number, heavy(number))).collect());
        let mut rng = Rng::from_seed(1);
        let had = (0..2_000).filter(|step| next(&mut fleet.handle, &mut rng, *step) == 2).count();
        assert!(if ignores { had < 1_200 } else { had > 1_900 }, "{strategy:?}: {had} of 2,000");
        let tried = fleet.tried(&[2]);
        let seen: BTreeSet<u16> = (0..400)
            .map(|_| {
                let context = PickContext { excluded: &tried, ..any_key(&mut rng) };
                number(fleet.handle.pick(at(9_000), &context, rng.next_u64()).unwrap().instance())
            })
            .collect();
        assert_eq!(seen, BTreeSet::from([0, 1, 3, 4]), "{strategy:?}");
    }
}

#[test]
fn of_ten_thousand_instances_any_may_be_picked_and_any_be_excluded() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy.clone(), (0..10_000).map(|number| weighted(number, 1 + number % 3)).collect());
        let mut rng = Rng::from_seed(2);
        let mut seen = BTreeSet::new();
        for step in 0..200 {
            let context = any_key(&mut rng);
            let first = fleet.handle.pick_owned(at(step), &context, rng.next_u64()).unwrap();
            let mut tried = Tried::new();
            tried.insert(first.endpoint().id());
            let context = PickContext { excluded: &tried, ..context };
            let second = fleet.handle.pick_owned(at(step), &context, rng.next_u64()).unwrap();
            assert_ne!(first.endpoint().id(), second.endpoint().id(), "{strategy:?}");
            seen.extend([number(first.instance()), number(second.instance())]);
        }
        assert!(seen.len() > 300, "{strategy:?} went to {} of 10,000 with 400 requests", seen.len());
    }
}

#[test]
fn a_newcomer_beside_busy_instances_gets_something_and_two_choices_of_n_at_most() {
    for name in ["p2c-least-loaded", "peak-ewma", "adaptive", "weighted-round-robin", "weighted-random"] {
        let mut fleet = fleet(Strategy::from_name(name).unwrap(), members(10));
        let mut rng = Rng::from_seed(3);
        let mut held: Vec<Lease> = Vec::new();
        while held.len() < 50 {
            let lease = fleet.handle.pick_owned(at(0), &PickContext::default(), rng.next_u64()).unwrap();
            held.push(lease);
        }
        (0..500).for_each(|step| _ = next(&mut fleet.handle, &mut rng, step));
        fleet.publish(members(11));
        let had = (0..5_000).filter(|step| next(&mut fleet.handle, &mut rng, 500 + step) == 10).count();
        // 2/11 of 5,000 are 909, with a standard deviation of 27.
        assert!((300..=1_000).contains(&had), "{name}: {had} of 5,000");
    }
}

#[test]
fn a_fleet_that_another_takes_the_places_of_at_once_leaves_no_table_behind() {
    // As many as share a block: the others are given the very slots of those who leave with the same change.
    for strategy in hash_strategies() {
        let mut fleet = fleet(strategy.clone(), members(32));
        let others = || (1_000..1_032).map(member).collect::<Vec<_>>();
        fleet.publish(others());
        let mut anew = support::fleet(strategy.clone(), others());
        let owners = |fleet: &mut Fleet| (0..500).map(|key| fleet.port(nth_key(key))).collect::<Vec<_>>();
        assert_eq!(owners(&mut fleet), owners(&mut anew), "{strategy:?}");
    }
}

#[test]
fn retries_beyond_what_is_remembered_avoid_the_eight_before() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy.clone(), (0..12).map(|number| weighted(number, 1 + number)).collect());
        let (mut tried, mut last) = (Tried::new(), Vec::new());
        let mut rng = Rng::from_seed(4);
        let key = rng.next_u64();
        for attempt in 0..40 {
            let context = PickContext { hash_key: Some(key), excluded: &tried, ..PickContext::default() };
            let lease = fleet.handle.pick_owned(at(attempt), &context, rng.next_u64()).unwrap();
            let id = lease.endpoint().id();
            assert!(!last.iter().rev().take(Tried::CAPACITY).any(|tried| *tried == id), "{strategy:?} at {attempt}");
            last.push(id);
            tried.insert(id);
        }
    }
}

#[test]
fn retries_of_a_key_reach_every_instance_once_while_the_fleet_is_full() {
    for of in hashings() {
        let mut fleet = fleet(bounded(1.0, of.clone()), members(8));
        let busy: Vec<Lease> = (0..80)
            .map(|key| fleet.handle.pick_owned(at(0), &keyed(nth_key(key), &Tried::new()), 1).unwrap())
            .collect();
        let (mut tried, mut seen) = (Tried::new(), BTreeSet::new());
        for _ in 0..8 {
            let lease = fleet.handle.pick_owned(at(0), &keyed(nth_key(3), &tried), 1).unwrap();
            assert!(seen.insert(number(lease.instance())), "{of:?} goes to one twice");
            tried.insert(lease.endpoint().id());
        }
        drop(busy);
    }
}

#[test]
fn threads_that_pick_at_the_same_moment_exceed_the_bound_by_one_for_each_other_at_most() {
    const THREADS: u32 = 3;
    let fleet = fleet(bounded(1.25, hashings()[0].clone()), members(4));
    let balancer = fleet.balancer.clone();
    for round in 0..300_u64 {
        let barrier = Arc::new(Barrier::new(THREADS as usize));
        let picker = |thread| {
            let (mut handle, barrier) = (balancer.handle(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                // All at one key, so that one instance would take them all.
                let pick = |_| handle.pick_owned(at(0), &keyed(nth_key(round), &Tried::new()), thread).unwrap();
                (0..5).map(pick).collect::<Vec<Lease>>()
            })
        };
        let threads: Vec<_> = (0..u64::from(THREADS)).map(picker).collect();
        let held: Vec<Lease> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let limit = (1_250 * held.len() as u32).div_ceil(4_000) + THREADS - 1;
        for number in 0..4 {
            let in_flight = fleet.in_flight(number);
            assert!(in_flight <= limit, "round {round}: {in_flight} at {number}, {limit} at most");
        }
    }
}

#[test]
fn envoys_slots_are_the_bound_or_one_more_for_its_rounding_twice() {
    for of in hashings() {
        for factor in [100_u64, 125, 150, 200] {
            for count in [3_u16, 4, 7] {
                let mut fleet = fleet(bounded(factor as f64 / 100.0, of.clone()), members(count));
                let owner = fleet.owner(5);
                let mut held = Vec::new();
                for total in 1..=60_u64 {
                    held.push(fleet.handle.pick_owned(at(0), &keyed(5, &Tried::new()), 1).unwrap());
                    // max(1, ceil(((total × factor + 99) / 100) × weight share)), `BoundedLoadHashingLoadBalancer`.
                    let slots = (total * factor).div_ceil(100).div_ceil(u64::from(count)).max(1);
                    let at_owner = u64::from(fleet.in_flight(owner));
                    assert!(
                        at_owner <= slots && slots <= at_owner + 1,
                        "{of:?} {factor} % of {total}: {at_owner}, {slots}"
                    );
                }
            }
        }
    }
}

#[test]
fn adaptive_turns_by_the_variation_and_at_the_interval_that_it_is_given() {
    // Three of ten are eight times slower, so that under rotation the loads vary by 1.1 of their mean.
    let in_force = |variation_percent: u32, interval: u64, millis: u64| {
        let mut config = AdaptiveConfig::default();
        (config.variation_percent, config.interval) = (variation_percent, ms(interval));
        let mut fleet = fleet(Strategy::Adaptive(config), members(10));
        let mut rng = Rng::from_seed(6);
        let mut running: std::collections::BTreeMap<u64, Vec<Lease>> = std::collections::BTreeMap::new();
        for now in 0..millis {
            for lease in running.remove(&now).into_iter().flatten() {
                lease.finish(at(now), Outcome::Success);
            }
            let lease = fleet.handle.pick_owned(at(now), &PickContext::default(), rng.next_u64()).unwrap();
            let takes = if number(lease.instance()) < 3 { 400 } else { 50 };
            running.entry(now + takes).or_default().push(lease);
        }
        fleet.balancer.stats(at(millis)).in_force.unwrap()
    };
    assert_eq!(in_force(50, 1_000, 15_000), "least-loaded");
    assert_eq!(in_force(500, 1_000, 15_000), "weighted-round-robin");
    assert_eq!(in_force(50, 20_000, 15_000), "weighted-round-robin", "it has not looked twice yet");
    assert_eq!(in_force(50, 100, 3_000), "least-loaded");
}

#[test]
fn adaptive_does_not_waver_while_one_instance_hangs() {
    let mut fleet = fleet(Strategy::Adaptive(AdaptiveConfig::default()), members(10));
    let mut rng = Rng::from_seed(8);
    let mut running: std::collections::BTreeMap<u64, Vec<Lease>> = std::collections::BTreeMap::new();
    let (mut in_force, mut switches, mut hung) = ("weighted-round-robin", Vec::new(), 0);
    for now in (0..600_000).step_by(5) {
        for lease in running.remove(&now).into_iter().flatten() {
            let outcome = if number(lease.instance()) == 0 { Outcome::TimedOut } else { Outcome::Success };
            lease.finish(at(now), outcome);
        }
        let lease = fleet.handle.pick_owned(at(now), &PickContext::default(), rng.next_u64()).unwrap();
        let hangs = number(lease.instance()) == 0;
        hung += u32::from(hangs);
        running.entry(now + if hangs { 10_000 } else { 50 }).or_default().push(lease);
        let now_in_force = fleet.balancer.stats(at(now)).in_force.unwrap();
        if now_in_force != in_force {
            in_force = now_in_force;
            switches.push((now, in_force));
        }
    }
    assert!(switches.len() <= 3, "{switches:?}");
    assert!(hung < 300, "{hung} requests of 120,000 went to the one that hangs");
}

#[test]
fn as_many_choices_as_configured_are_made_also_where_some_are_excluded() {
    let three: Strategy = serde_json::from_str(r#"{ "p2c-least-loaded": { "choices": 10 } }"#).unwrap();
    let mut fleet = fleet(three, members(10));
    let tried = fleet.tried(&[9]);
    let context = PickContext { excluded: &tried, ..PickContext::default() };
    let mut rng = Rng::from_seed(9);
    // All but one are busy: nine choices of nine find it.
    let held: Vec<Lease> = (0..8).map(|_| fleet.handle.pick_owned(at(0), &context, rng.next_u64()).unwrap()).collect();
    let idle = (0..9).find(|&number| fleet.in_flight(number) == 0).unwrap();
    for _ in 0..200 {
        assert_eq!(number(fleet.handle.pick(at(0), &context, rng.next_u64()).unwrap().instance()), idle);
    }
    drop(held);
}

#[test]
fn the_statistics_name_what_stands_in_for_a_table_or_a_cycle_that_would_not_do() {
    let in_force = |strategy: Strategy, all| fleet(strategy, all).balancer.stats(at(0)).in_force;
    let text = |text: &str| serde_json::from_str::<Strategy>(text).unwrap();
    assert_eq!(in_force(maglev(7), members(8)), Some("rendezvous"));
    assert_eq!(in_force(maglev(7), members(7)), None);
    let of_maglev = text(r#"{ "bounded-load": { "of": { "maglev": { "size": 7 } } } }"#);
    assert_eq!(in_force(of_maglev, members(8)), Some("rendezvous"));
    let smooth = text(r#"{ "weighted-round-robin": { "sequence": "smooth" } }"#);
    assert_eq!(in_force(smooth.clone(), vec![weighted(0, 65_535), weighted(1, 65_534)]), Some("stride"));
    assert_eq!(in_force(smooth.clone(), vec![weighted(0, 3), weighted(1, 2)]), None);
    assert_eq!(in_force(smooth, vec![]), None);
}
