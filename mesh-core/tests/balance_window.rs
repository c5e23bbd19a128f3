//! Counts that handles hold back: what a handle sees of its own, what others see, and that nothing is lost.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::mpsc::channel;

use mesh_core::balance::{Balancer, Lease, Outcome, PickContext, PickError, Strategy, ViewBuilder};
use mesh_core::rng::Rng;
use support::*;

/// A fleet whose handles hold counts back for 10 ms.
fn windowed(strategy: Strategy, count: u16) -> Fleet {
    let mut views = ViewBuilder::new(strategy);
    let balancer = Balancer::with_window(ms(10));
    balancer.publish(views.build(members(count)));
    let handle = balancer.handle();
    Fleet { views, balancer, handle }
}

#[test]
fn one_handle_alone_decides_as_it_does_on_exact_counts() {
    for strategy in strategies() {
        let mut exact = fleet(strategy.clone(), members(5));
        let mut held = windowed(strategy.clone(), 5);
        let mut rng = Rng::from_seed(3);
        let mut leases = Vec::new();
        for step in 0..2_000 {
            let (now, word) = (at(step), rng.next_u64());
            let context = PickContext { hash_key: Some(word % 7), ..PickContext::default() };
            let one = exact.handle.pick_owned(now, &context, word).unwrap();
            let other = held.handle.pick_owned(now, &context, word).unwrap();
            assert_eq!(one.instance().key(), other.instance().key(), "{} at step {step}", strategy.name());
            leases.push((one, other));
            if rng.below(3) > 0 {
                let (one, other) = leases.swap_remove(rng.below(leases.len() as u64) as usize);
                let outcome = if rng.below(9) == 0 { Outcome::Failure } else { Outcome::Success };
                one.finish(now, outcome);
                other.finish(now, outcome);
            }
        }
    }
}

#[test]
fn others_see_a_pick_once_it_is_older_than_the_window_or_makes_more_than_three() {
    let mut fleet = windowed(Strategy::RoundRobin, 1);
    let mut leases: Vec<Lease> = Vec::new();
    let mut pick = |fleet: &mut Fleet, millis: u64| {
        leases.push(fleet.handle.pick_owned(at(millis), &PickContext::default(), 0).unwrap());
        fleet.in_flight(0)
    };
    // The first has nothing to wait for; the next three are held back, the fourth makes too much.
    assert_eq!([10, 11, 12, 13, 14].map(|millis| pick(&mut fleet, millis)), [1, 1, 1, 1, 5]);
    assert_eq!([15, 23, 24].map(|millis| pick(&mut fleet, millis)), [5, 5, 8]);
    let mut end = |millis: u64| {
        leases.pop().unwrap().finish(at(millis), Outcome::Success);
        fleet.in_flight(0)
    };
    assert_eq!([25, 33, 34, 35].map(&mut end), [8, 8, 5, 5]);
}

#[test]
fn leases_that_are_dropped_are_held_back_no_further_than_others() {
    let mut fleet = windowed(Strategy::RoundRobin, 1);
    let pick = |fleet: &mut Fleet| fleet.handle.pick_owned(at(100), &PickContext::default(), 0).unwrap();
    let leases: Vec<Lease> = (0..9).map(|_| pick(&mut fleet)).collect();
    fleet.balancer.settle();
    assert_eq!(fleet.in_flight(0), 9);
    let seen = leases.into_iter().map(|lease| {
        drop(lease);
        fleet.in_flight(0)
    });
    assert_eq!(seen.collect::<Vec<_>>(), [9, 9, 9, 5, 5, 5, 5, 1, 1]);
    fleet.balancer.settle();
    assert_eq!(fleet.in_flight(0), 0);
}

#[test]
fn statistics_are_exact() {
    let mut fleet = windowed(Strategy::RoundRobin, 2);
    let held: Vec<Lease> =
        (0..5).map(|_| fleet.handle.pick_owned(at(1), &PickContext::default(), 0).unwrap()).collect();
    let stats = fleet.balancer.stats(at(1));
    assert_eq!((stats.picks, stats.endpoints.iter().map(|endpoint| endpoint.in_flight).sum::<u32>()), (5, 5));
    drop(held);
    assert!(fleet.balancer.stats(at(1)).endpoints.iter().all(|endpoint| endpoint.in_flight == 0));
}

#[test]
fn what_is_held_back_is_told_when_the_last_lease_is_gone_even_of_those_who_left() {
    // As many as share a block, which leaves with them.
    let mut fleet = windowed(Strategy::RoundRobin, 32);
    let endpoint = fleet.views.endpoint(&key(0)).unwrap();
    let pick = |fleet: &mut Fleet| fleet.handle.pick_owned(at(1), &PickContext::default(), 0).unwrap();
    let leases: Vec<Lease> = (0..96).map(|_| pick(&mut fleet)).collect();
    fleet.publish(Vec::new());
    assert!(matches!(fleet.handle.pick(at(2), &PickContext::default(), 0), Err(PickError::NoneRegistered)));
    fleet.balancer.settle();
    assert_eq!((endpoint.picks(), endpoint.in_flight()), (3, 3));
    drop(leases);
    assert_eq!((endpoint.picks(), endpoint.in_flight()), (3, 0));
}

#[test]
fn a_handle_that_is_dropped_tells_what_it_holds_back() {
    let mut fleet = windowed(Strategy::RoundRobin, 1);
    for _ in 0..2 {
        fleet.handle.pick(at(100), &PickContext::default(), 0).unwrap().finish(at(100), Outcome::Success);
    }
    let endpoint = fleet.views.endpoint(&key(0)).unwrap();
    assert_eq!((endpoint.picks(), endpoint.in_flight()), (1, 1));
    drop(fleet);
    assert_eq!((endpoint.picks(), endpoint.in_flight()), (2, 0));
}

#[test]
fn an_instance_that_joins_in_the_place_of_others_begins_at_nothing() {
    let mut fleet = windowed(Strategy::RoundRobin, 40);
    let pick = |fleet: &mut Fleet| fleet.handle.pick_owned(at(1), &PickContext::default(), 0).unwrap();
    let leases: Vec<Lease> = (0..80).map(|_| pick(&mut fleet)).collect();
    fleet.publish((100..140).map(member).collect());
    drop(pick(&mut fleet));
    fleet.balancer.settle();
    for number in 100..140 {
        assert_eq!(fleet.in_flight(number), 0, "{number}");
    }
    drop(leases);
    fleet.balancer.settle();
    assert!((100..140).all(|number| fleet.in_flight(number) == 0));
}

#[test]
fn nothing_is_lost_between_threads_whose_leases_end_elsewhere_while_views_change() {
    const THREADS: u64 = 3;
    const PICKS: u64 = 60_000;
    let mut fleet = windowed(Strategy::default(), 3);
    let endpoints: Vec<_> = (0..3).map(|number| fleet.views.endpoint(&key(number)).unwrap()).collect();
    let (sent, received) = channel::<Lease>();
    let finisher = std::thread::spawn(move || {
        for (step, lease) in received.into_iter().enumerate() {
            if step % 2 == 0 {
                lease.finish(at(step as u64 / 100), Outcome::Success);
            }
        }
    });
    let picker = |thread: u64| {
        let (balancer, sent) = (fleet.balancer.clone(), sent.clone());
        std::thread::spawn(move || {
            let (mut handle, mut rng) = (balancer.handle(), Rng::from_seed(thread));
            for step in 0..PICKS {
                let (now, word) = (at(step / 100), rng.next_u64());
                if word.is_multiple_of(3) {
                    sent.send(handle.pick_owned(now, &PickContext::default(), word).unwrap()).unwrap();
                } else {
                    handle.pick(now, &PickContext::default(), word).unwrap().finish(now, Outcome::Success);
                }
            }
        })
    };
    let pickers: Vec<_> = (0..THREADS).map(picker).collect();
    drop(sent);
    let mut weight = 1;
    while pickers.iter().any(|thread| !thread.is_finished()) {
        weight = weight % 7 + 1;
        fleet.publish((0..3).map(|number| weighted(number, weight)).collect());
        fleet.balancer.settle();
        assert!(endpoints.iter().all(|endpoint| endpoint.in_flight() <= (THREADS * PICKS) as u32));
    }
    pickers.into_iter().for_each(|thread| thread.join().unwrap());
    finisher.join().unwrap();
    fleet.balancer.settle();
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.in_flight()).sum::<u32>(), 0);
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.picks()).sum::<u64>(), THREADS * PICKS);
}
