//! No pick allocates.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh_core::balance::{Outcome, PickContext};
use mesh_core::rng::Rng;
use support::*;

#[test]
fn neither_pick_nor_finish_nor_drop_allocates() {
    for strategy in strategies() {
        let weights = |number: u16| if number.is_multiple_of(2) { weighted(number, 3) } else { member(number) };
        let mut fleet = fleet(strategy.clone(), (0..100).map(weights).collect());
        let tried = fleet.tried(&[1, 2, 3]);
        let mut rng = Rng::from_seed(2);
        let counted = allocation_counter::measure(|| {
            for step in 0..1_000 {
                let context = PickContext { excluded: &tried, ..PickContext::default() };
                fleet.handle.pick(at(step), &context, rng.next_u64()).unwrap().finish(at(step + 1), Outcome::Success);
                drop(fleet.handle.pick(at(step), &PickContext::default(), rng.next_u64()).unwrap());
                let owned = fleet.handle.pick_owned(at(step), &PickContext::default(), rng.next_u64()).unwrap();
                owned.finish(at(step + 1), Outcome::Cancelled);
            }
        });
        assert_eq!(counted.count_total, 0, "{}", strategy.name());
    }
}

#[test]
fn a_failure_allocates_once_an_endpoint_and_then_never_again() {
    let mut fleet = fleet(mesh_core::balance::Strategy::default(), members(1));
    let mut fail = |step| {
        let lease = fleet.handle.pick(at(step), &PickContext::default(), step).unwrap();
        lease.finish(at(step), Outcome::Failure);
    };
    fail(0);
    let counted = allocation_counter::measure(|| (1..1_000).for_each(&mut fail));
    assert_eq!(counted.count_total, 0);
}
