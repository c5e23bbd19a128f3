//! One process of a fleet whose store does not answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_support;

use core::time::Duration;

use fleet_support::{Process, config, granted};
use mesh_retry::budget::{Answer, Budget as _};
use mesh_retry::coordinator::budget::{Fallback, FleetBudgetConfig, FleetChange, FleetEvent, FleetInput, FleetState};
use mesh_retry::coordinator::store::StoreFailure;

#[test]
fn without_a_store_the_process_expires_and_goes_by_its_share_before_long() {
    let mut process = Process::leased(&config(), 5);
    process.hold(1);
    let asked_at = process.now;
    assert_eq!(process.paid(2), 1);
    process.input(FleetInput::Woken);
    let mut states = Vec::new();
    while process.machine.state() != FleetState::LocalFallback {
        process.pass(10);
        states.push(process.machine.state());
        assert!(process.now.since(asked_at) < Duration::from_millis(1_600), "{:?}", process.machine);
    }
    assert!(states.contains(&FleetState::Leased) && states.contains(&FleetState::Expired));
    // Of ten as one of ten at the start there is room for a fifth of a hundred, and a second brings two.
    assert!((12..=15).contains(&process.paid(100)));
    let Answer::Denied(denial) = process.ask() else { panic!("it was to be denied") };
    assert!(denial.retry_at.is_some_and(|at| at > process.now));
}

#[test]
fn a_store_that_refuses_is_given_up_after_three_refusals() {
    let mut process = Process::leased(&config(), 5);
    let mut settle = process.want();
    let began = process.now;
    for _ in 0..2 {
        process.fail(&settle, StoreFailure::NotDone);
        assert_eq!(process.machine.state(), FleetState::Expired);
        assert_eq!(process.ask(), Answer::Later);
        settle = process.next_settlement();
        assert!(settle.want > 0);
    }
    process.fail(&settle, StoreFailure::NotDone);
    assert_eq!(process.machine.state(), FleetState::LocalFallback);
    assert!(process.now.since(began) < Duration::from_millis(200));
    let changes = process
        .events()
        .into_iter()
        .filter_map(|event| if let FleetEvent::StateChanged { to, why, .. } = event { Some((to, why)) } else { None });
    let expected = [(FleetState::Expired, FleetChange::LeaseOver), (FleetState::LocalFallback, FleetChange::Failures)];
    assert_eq!(changes.collect::<Vec<_>>(), expected);
}

/// Goes by its share, as one of five.
fn alone(config: &FleetBudgetConfig) -> Process {
    let mut process = Process::leased(config, 5);
    let settle = process.want();
    process.lose_store(settle);
    process.events();
    process
}

#[test]
fn outages_that_follow_each_other_fill_no_share() {
    let mut config = config();
    config.limits.per_second_milli = 0;
    let mut process = alone(&config);
    assert_eq!(process.paid(100), 10);
    for _ in 0..5 {
        let settle = process.next_settlement();
        assert_eq!(settle.want, 0);
        process.reply(&settle, granted(0));
        assert_eq!(process.machine.state(), FleetState::Leased);
        let mut settle = process.want();
        for _ in 0..3 {
            process.fail(&settle, StoreFailure::Unknown);
            if process.machine.state() != FleetState::LocalFallback {
                settle = process.next_settlement();
            }
        }
        assert_eq!(process.machine.state(), FleetState::LocalFallback);
        assert_eq!(process.paid(100), 0);
    }
}

#[test]
fn first_attempts_without_a_store_fill_the_share_and_are_never_told_to_the_store() {
    let mut config = config();
    config.limits.per_second_milli = 0;
    let mut process = alone(&config);
    assert_eq!(process.paid(100), 10);
    for _ in 0..35 {
        process.budget.deposit(process.now);
    }
    assert_eq!(process.paid(100), 3);
    let settle = process.next_settlement();
    assert_eq!(settle.cumulative_requests, settle.reported_requests);
    process.reply(&settle, granted(0));
    process.budget.deposit(process.now);
    let settle = process.next_settlement();
    assert_eq!(settle.cumulative_requests, settle.reported_requests + 1);
}

#[test]
fn each_fallback_gives_what_it_says() {
    for (fallback, start, in_a_minute) in
        [(Fallback::Pessimistic, 0, 0), (Fallback::Safe, 10, 20), (Fallback::Optimistic, 100, 100)]
    {
        let mut config = config();
        config.fallback = fallback;
        config.limits.per_second_milli = 1;
        let process = alone(&config);
        assert_eq!(process.paid(1_000), start, "{fallback:?}");
        config.limits.per_second_milli = 100_000;
        let mut process = alone(&config);
        process.pass(60_000);
        assert_eq!(process.paid(1_000), in_a_minute, "{fallback:?}");
    }
}

#[test]
fn a_share_holds_one_retry_however_many_processes_there_are() {
    let mut config = config();
    (config.processes_assumed, config.limits.burst_milli) = (1_000, 10_000);
    let mut process = Process::new(&config);
    assert_eq!(process.paid(1), 0, "a hundredth to begin with");
    process.pass(200_000);
    assert_eq!(process.paid(10), 1);
}

#[test]
fn no_call_allocates_whoever_answers_it() {
    let mut leased = Process::leased(&config(), 5);
    leased.hold(20);
    for process in [Process::new(&config()), leased, alone(&config())] {
        let mut paid = 0;
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                process.budget.deposit(process.now);
                paid += process.paid(1);
            }
        });
        assert_eq!(counted.count_total, 0, "{:?}", process.machine.state());
        assert!((10..100).contains(&paid), "{paid} in {:?}", process.machine.state());
    }
}
