//! One process of a fleet whose attempts are paid for and not made: what they were paid with comes back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_support;

use core::time::Duration;
use std::sync::Arc;

use fleet_support::{Process, config, granted};
use mesh_retry::Machine as _;
use mesh_retry::budget::{Answer, Budget, End, Paid};
use mesh_retry::call::{CallEffect, CallInput, CallMachine, Terms};
use mesh_retry::classify::Class;
use mesh_retry::coordinator::budget::{FleetBudget, FleetInput, FleetState};
use mesh_retry::coordinator::store::StoreFailure;
use mesh_retry::policy::RetryPolicy;

#[test]
fn an_attempt_that_was_not_made_costs_nothing() {
    let mut process = Process::leased(&config(), 5);
    process.hold(2);
    for _ in 0..10 {
        let paid = process.pay();
        assert_eq!(paid.units(), 1_000);
        process.not_made(paid);
    }
    assert_eq!(process.paid(5), 2);
}

#[test]
fn only_one_that_was_not_made_gives_back_and_only_what_was_paid() {
    let mut process = Process::leased(&config(), 5);
    process.hold(2);
    let paid = process.pay();
    for end in [End::Succeeded, End::Failed, End::Permanent, End::Cancelled] {
        process.budget.ended(process.now, end, Some(paid));
    }
    process.budget.ended(process.now, End::NotMade, None);
    assert_eq!(process.paid(5), 1);
}

#[test]
fn a_price_that_this_budget_did_not_name_gives_nothing_to_lease_or_share() {
    let mut config = config();
    config.limits.per_second_milli = 0;
    let mut process = Process::leased(&config, 5);
    process.hold(2);
    for mark in [0, 2, u32::MAX >> 1] {
        process.not_made(Paid::new(1_000).marked(mark));
    }
    assert_eq!(process.paid(5), 2);
    process.input(FleetInput::Shutdown);
    let level = process.budget.level(process.now);
    assert_eq!(level.has_milli, 10_000, "what its share began with, and it has room for twice as much");
}

#[test]
fn a_token_comes_back_until_its_lease_ends_and_never_later() {
    for (after, left) in [(0, 2), (997, 2), (1_000, 0), (5_000, 0)] {
        let mut process = Process::leased(&config(), 5);
        process.hold(2);
        let paid = process.pay();
        process.now += Duration::from_millis(after);
        process.not_made(paid);
        assert_eq!(process.paid(5), left, "{after} ms later");
        process.now += Duration::from_secs(60);
        process.not_made(paid);
        assert_eq!(process.paid(5), 0, "a minute later");
    }
}

#[test]
fn a_token_of_a_lease_that_is_over_gives_nothing_to_the_next_one() {
    let mut process = Process::leased(&config(), 5);
    process.hold(1);
    let paid = process.pay();
    process.now += Duration::from_millis(1_500);
    process.hold(1);
    process.not_made(paid);
    assert_eq!(process.paid(5), 1);
}

#[test]
fn nor_where_it_comes_from_a_call_that_was_dropped_long_after_it_paid() {
    // It paid with the first of three leases, which follow one another with a break or without.
    for (waits, left) in [([900, 900], 1), ([900, 1_100], 0), ([1_500, 900], 0)] {
        let mut process = Process::leased(&config(), 5);
        process.hold(1);
        let call = waiting(&process);
        for wait in waits {
            process.now += Duration::from_millis(wait);
            process.hold(1);
            process.pay();
        }
        drop(call);
        assert_eq!(process.paid(5), left, "{waits:?}");
    }
}

#[test]
fn a_token_of_a_dropped_call_whose_lease_was_never_prolonged_goes_back_to_the_store() {
    let mut process = Process::leased(&config(), 5);
    process.hold(1);
    let call = waiting(&process);
    process.now += Duration::from_millis(1_500);
    drop(call);
    assert_eq!(process.ask(), Answer::Later, "it pays nothing");
    assert_eq!(process.pass(1_600).iter().map(|settle| settle.returned).sum::<u32>(), 1);
}

#[test]
fn a_token_that_comes_back_to_a_lease_that_was_prolonged_lasts_as_long_as_that() {
    let mut process = Process::leased(&config(), 5);
    process.hold(1);
    let paid = process.pay();
    process.now += Duration::from_millis(900);
    process.hold(2);
    process.not_made(paid);
    process.now += Duration::from_millis(900);
    assert_eq!(process.paid(5), 3);
}

#[test]
fn a_token_that_comes_back_and_is_not_used_goes_back_at_the_end_of_the_lease() {
    let mut process = Process::leased(&config(), 5);
    process.hold(1);
    let paid = process.pay();
    process.not_made(paid);
    let sent = process.pass(1_600);
    assert_eq!(sent.iter().map(|settle| settle.returned).sum::<u32>(), 1, "{sent:?}");
}

#[test]
fn what_was_given_back_was_not_wanted() {
    let mut process = Process::leased(&config(), 5);
    process.hold(1);
    for _ in 0..200 {
        let paid = process.pay();
        process.not_made(paid);
        process.now += Duration::from_millis(4);
    }
    process.now += Duration::from_millis(300);
    assert_eq!(process.want().want, 1, "the two hundred needed one token together");
}

#[test]
fn a_share_takes_back_what_it_paid_whoever_answers_by_then_and_no_more_than_it_holds() {
    let mut config = config();
    config.limits.per_second_milli = 0;
    let mut process = Process::new(&config);
    let first = process.pay();
    process.not_made(first);
    process.not_made(first);
    assert_eq!(process.paid(100), 10, "its tenth of a hundred");
    process.input(FleetInput::Woken);
    let settle = process.effect().unwrap();
    process.reply(&settle, granted(0));
    assert_eq!(process.machine.state(), FleetState::Leased);
    process.not_made(first);
    assert!(!process.ask().is_granted(), "it answers no calls");
    process.now += Duration::from_secs(1);
    let settle = process.want();
    process.lose_store(settle);
    assert_eq!(process.paid(100), 1);
}

#[test]
fn a_token_does_not_come_back_to_a_share() {
    let mut config = config();
    config.limits.per_second_milli = 0;
    let mut process = Process::leased(&config, 5);
    process.hold(2);
    let paid = process.pay();
    process.input(FleetInput::Shutdown);
    assert_eq!(process.effect().unwrap().returned, 1);
    process.not_made(paid);
    assert_eq!(process.paid(100), 10, "what its share held");
}

#[test]
fn a_token_that_comes_back_while_the_store_is_away_pays_until_its_lease_ends() {
    let mut process = Process::leased(&config(), 5);
    process.hold(1);
    let paid = process.pay();
    let settle = process.want();
    process.fail(&settle, StoreFailure::NotDone);
    assert_eq!(process.machine.state(), FleetState::Expired);
    process.not_made(paid);
    assert!(process.ask().is_granted());
    assert_eq!(process.ask(), Answer::Later);
}

#[test]
fn giving_back_allocates_nothing() {
    let mut process = Process::leased(&config(), 5);
    process.hold(10);
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            process.not_made(process.pay());
        }
    });
    assert_eq!((counted.count_total, process.paid(100)), (0, 10));
}

/// A call that waits for a retry, which the budget of `process` has paid.
fn waiting(process: &Process) -> CallMachine<Paying> {
    let terms = Paying { policy: RetryPolicy::default(), budget: Arc::clone(&process.budget) };
    let level = process.budget.level(process.now).has_milli;
    let mut call = CallMachine::new(terms, 1, process.now);
    let Some(CallEffect::Attempt { attempt, .. }) = call.poll_effect() else { panic!("it makes an attempt") };
    call.handle_input(process.now, CallInput::Ended { attempt, class: Class::Transient });
    assert_eq!(process.budget.level(process.now).has_milli, level - 1_000);
    call
}

struct Paying {
    policy: RetryPolicy,
    budget: Arc<FleetBudget>,
}

impl Terms for Paying {
    fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        Some(&*self.budget)
    }
}
