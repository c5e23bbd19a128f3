//! In-flight counts: exact whatever becomes of a lease, a view, a handle or a thread.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;

use mesh_core::balance::{Lease, Outcome, PickContext, Strategy};
use mesh_core::rng::Rng;
use mesh_core::service::Instance;
use support::*;

const OUTCOMES: [Outcome; 5] = [
    Outcome::Success,
    Outcome::Failure,
    Outcome::Overloaded { retry_after: None },
    Outcome::TimedOut,
    Outcome::Cancelled,
];

#[test]
fn a_lease_counts_until_it_is_finished_however_it_ends() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy, members(1));
        for outcome in OUTCOMES {
            let lease = fleet.handle.pick(at(0), &PickContext::default(), 1).unwrap();
            assert_eq!(lease.endpoint().in_flight(), 1);
            lease.finish(at(1), outcome);
            let lease = fleet.handle.pick_owned(at(0), &PickContext::default(), 1).unwrap();
            assert_eq!(fleet.in_flight(0), 1);
            lease.finish(at(1), outcome);
            assert_eq!(fleet.in_flight(0), 0, "{outcome:?}");
        }
    }
}

#[test]
fn a_lease_that_is_dropped_or_lost_in_a_panic_gives_its_count_back() {
    let mut fleet = fleet(Strategy::default(), members(1));
    drop(fleet.handle.pick(at(0), &PickContext::default(), 1).unwrap());
    let lease = fleet.handle.pick_owned(at(0), &PickContext::default(), 1).unwrap();
    let lost = std::thread::spawn(move || {
        let _held = lease;
        std::panic::resume_unwind(Box::new("lost"));
    });
    assert!(lost.join().is_err());
    assert_eq!(fleet.in_flight(0), 0);
}

#[test]
fn counts_survive_changes_of_weight_metadata_and_membership() {
    let mut fleet = fleet(Strategy::RoundRobin, members(2));
    let leases = fleet.take(4);
    fleet.publish(vec![weighted(0, 9), member(1), member(2)]);
    assert_eq!([fleet.in_flight(0), fleet.in_flight(1), fleet.in_flight(2)], [2, 2, 0]);
    let renamed = Instance::builder("api", "127.0.0.1", 10_000).tag("new").build().unwrap();
    fleet.publish(vec![mesh_core::balance::Member::usable(renamed), unhealthy(1)]);
    assert_eq!([fleet.in_flight(0), fleet.in_flight(1)], [2, 2]);
    drop(leases);
    assert_eq!([fleet.in_flight(0), fleet.in_flight(1)], [0, 0]);
}

#[test]
fn the_end_of_a_lease_whose_instance_left_touches_no_other() {
    let mut fleet = fleet(Strategy::default(), members(1));
    let before = fleet.views.endpoint(&key(0)).unwrap().id();
    let old = fleet.take(3);
    fleet.publish(vec![member(1)]);
    fleet.publish(vec![member(0)]);
    assert_ne!(fleet.views.endpoint(&key(0)).unwrap().id(), before, "an instance that comes back is another endpoint");
    let new = fleet.take(2);
    for lease in old {
        lease.finish(at(5), Outcome::Failure);
    }
    assert_eq!(fleet.in_flight(0), 2);
    assert_eq!(fleet.views.endpoint(&key(0)).unwrap().failures_in_row(), 0);
    drop(new);
    assert_eq!(fleet.in_flight(0), 0);
}

#[test]
fn an_instance_that_moved_to_another_address_starts_with_counters_of_its_own() {
    let mut fleet = fleet(Strategy::default(), members(1));
    let old = fleet.take(3);
    let moved = Instance::builder("api", "127.0.0.1", 20_000).id(key(0).id().as_str()).build().unwrap();
    fleet.publish(vec![mesh_core::balance::Member::usable(moved)]);
    assert_eq!(fleet.in_flight(0), 0);
    drop(old);
    assert_eq!(fleet.in_flight(0), 0);
}

#[test]
fn a_handle_turns_to_a_new_view_at_its_next_pick() {
    let mut fleet = fleet(Strategy::default(), members(1));
    assert_eq!(fleet.handle.view().version(), 1);
    fleet.publish(vec![member(7)]);
    let lease = fleet.handle.pick(at(0), &PickContext::default(), 1).unwrap();
    assert_eq!(number(lease.instance()), 7);
}

#[test]
fn a_view_that_is_older_than_the_published_one_is_not_published() {
    let mut fleet = fleet(Strategy::default(), members(1));
    let older = fleet.views.build(members(2));
    let newer = fleet.views.build(members(3));
    assert!(fleet.balancer.publish(Arc::clone(&newer)));
    assert!(!fleet.balancer.publish(older));
    assert!(!fleet.balancer.publish(newer));
    assert_eq!(fleet.balancer.view().census().registered, 3);
}

#[test]
fn many_threads_with_leases_dropped_on_others_and_views_swapped_leave_every_count_at_zero() {
    for strategy in strategies() {
        let mut fleet = fleet(strategy, members(5));
        let (send, receive) = std::sync::mpsc::channel::<Lease>();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (balancer, send) = (fleet.balancer.clone(), send.clone());
                scope.spawn(move || pick_for_a_while(&balancer, &send, thread));
            }
            drop(send);
            scope.spawn(move || receive.into_iter().for_each(|lease| _ = lease.finish(at(9), Outcome::Success)));
            for round in 0..200 {
                fleet.publish(members(3 + round % 3));
            }
        });
        let view = fleet.publish(members(5));
        assert!(view.registered().all(|(endpoint, _)| endpoint.in_flight() == 0), "{view:?}");
    }
}

fn pick_for_a_while(balancer: &mesh_core::balance::Balancer, send: &std::sync::mpsc::Sender<Lease>, seed: u64) {
    let mut handle = balancer.handle();
    let mut rng = Rng::from_seed(seed);
    for step in 0..5_000 {
        match rng.below(4) {
            0 => drop(handle.pick(at(step), &PickContext::default(), rng.next_u64()).unwrap()),
            1 => {
                let lease = handle.pick(at(step), &PickContext::default(), rng.next_u64()).unwrap();
                lease.finish(at(step + 1), OUTCOMES[rng.below(5) as usize]);
            }
            2 => send.send(handle.pick_owned(at(step), &PickContext::default(), rng.next_u64()).unwrap()).unwrap(),
            _ => handle = balancer.handle(),
        }
    }
}

trait Takes {
    fn take(&mut self, count: usize) -> Vec<Lease>;
}

impl Takes for Fleet {
    fn take(&mut self, count: usize) -> Vec<Lease> {
        let pick = |step| self.handle.pick_owned(at(0), &PickContext::default(), step as u64).unwrap();
        (0..count).map(pick).collect()
    }
}
