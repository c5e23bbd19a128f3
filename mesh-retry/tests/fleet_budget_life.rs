//! One process of a fleet: what it asks the store, and what its calls are answered, through a life.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_support;

use core::sync::atomic::Ordering;
use core::time::Duration;

use fleet_support::{Process, config, granted};
use mesh_retry::Machine as _;
use mesh_retry::budget::{Answer, Budget as _, BudgetKind, Denial};
use mesh_retry::coordinator::budget::{FleetChange, FleetEvent, FleetInput, FleetState};
use mesh_retry::coordinator::store::{Settled, Settlement, StoreFailure};

#[test]
fn before_the_store_is_heard_the_share_of_the_assumed_fleet_answers_and_the_store_is_asked() {
    let mut process = Process::new(&config());
    assert_eq!(process.machine.state(), FleetState::NoAssignment);
    // A hundred for ten.
    assert_eq!(process.paid(10), 10);
    assert_eq!(process.wakes.load(Ordering::Relaxed), 1, "the driver is woken once");
    assert_eq!(process.ask(), Answer::Later, "the store may have more");
    process.input(FleetInput::Woken);
    let settle = process.effect().unwrap();
    assert_eq!((settle.epoch, settle.want, settle.kept, settle.returned), (1, 1, 0, 0));
    assert_eq!((settle.cumulative_requests, settle.reported_requests), (0, 0));
    process.reply(&settle, granted(1));
    assert_eq!(process.machine.state(), FleetState::Leased);
    assert_eq!((process.ask().is_granted(), process.ask().is_granted()), (true, false));
    let events = process.events();
    let (from, to, why) = (FleetState::NoAssignment, FleetState::Leased, FleetChange::Answered);
    assert_eq!(events[0], FleetEvent::StateChanged { from, to, why });
    assert!(matches!(events[1], FleetEvent::Settled { wanted: 1, granted: 1, left_milli: 500, processes: 5, .. }));
}

#[test]
fn tokens_are_worth_nothing_a_lease_after_they_were_asked_for_and_go_back() {
    let mut process = Process::leased(&config(), 5);
    process.hold(3);
    assert!(process.ask().is_granted());
    process.now += Duration::from_millis(997);
    assert!(process.ask().is_granted());
    process.now += Duration::from_millis(3);
    assert_eq!(process.ask(), Answer::Later);
    process.machine.handle_timeout(process.now);
    let settle = process.effect().unwrap();
    assert_eq!((settle.kept, settle.returned), (0, 1), "one token goes back");
    assert!(settle.want >= 2, "and somebody waits");
    process.reply(&settle, granted(2));
    assert_eq!(process.paid(5), 2);
}

#[test]
fn what_is_still_held_is_told_so_that_it_can_go_back_later() {
    let mut config = config();
    config.lease_ttl = Duration::from_secs(5);
    let mut process = Process::leased(&config, 5);
    process.hold(3);
    assert!(process.ask().is_granted());
    for _ in 0..10 {
        process.budget.deposit(process.now);
    }
    let told = process.next_settlement();
    assert_eq!((told.want, told.kept, told.returned), (0, 2, 0));
}

#[test]
fn tokens_that_are_worth_nothing_any_more_come_to_no_new_life_with_others() {
    let mut config = config();
    config.reply_within = config.lease_ttl;
    let mut process = Process::leased(&config, 5);
    assert!((0..50).all(|_| process.ask() == Answer::Later));
    process.input(FleetInput::Woken);
    let first = process.effect().unwrap();
    assert_eq!(first.want, 10);
    process.now += Duration::from_millis(900);
    assert!((0..50).all(|_| process.ask() == Answer::Later), "they wait for more than the first will bring");
    process.reply(&first, granted(10));
    let second = process.effect().unwrap();
    // The first lease is over by then, and no timer was looked at.
    process.now += Duration::from_millis(300);
    process.reply(&second, granted(1));
    assert_eq!(process.paid(50), 1);
    assert_eq!(process.next_settlement().returned, 10);
}

#[test]
fn a_lease_is_counted_from_when_it_was_asked_for() {
    let mut process = Process::leased(&config(), 5);
    let settle = process.want();
    process.now += Duration::from_millis(499);
    process.reply(&settle, granted(1));
    process.now += Duration::from_millis(502);
    assert!(!process.ask().is_granted());
}

#[test]
fn more_than_was_asked_for_is_not_believed() {
    let mut process = Process::leased(&config(), 5);
    let settle = process.want();
    process.reply(&settle, granted(1_000));
    assert_eq!(process.paid(1_000), 1);
}

#[test]
fn a_denial_is_remembered_and_says_when_to_ask_again() {
    let mut process = Process::leased(&config(), 5);
    let settle = process.want();
    process.reply(&settle, granted(0));
    let Answer::Denied(Denial { budget, has_milli, wants_milli, retry_at, .. }) = process.ask() else {
        panic!("it was to be denied");
    };
    assert_eq!((budget, has_milli, wants_milli), (BudgetKind::Fleet, 500, 1_000));
    let retry_at = retry_at.unwrap();
    let wait = retry_at.since(process.now);
    assert!((Duration::from_millis(150)..=Duration::from_millis(250)).contains(&wait), "{wait:?} for 200 ms");
    assert_eq!(process.effect(), None);
    process.now = retry_at;
    assert!(process.want().want >= 1);
}

#[test]
fn a_reply_that_comes_too_late_counts_for_nothing_and_what_it_granted_is_spent() {
    let mut process = Process::leased(&config(), 5);
    for _ in 0..7 {
        process.budget.deposit(process.now);
    }
    let unheard = process.want();
    assert_eq!((unheard.cumulative_requests, unheard.reported_requests), (7, 0));
    process.pass(500);
    let events = process.events();
    assert!(matches!(events[0], FleetEvent::Unsettled { failure: StoreFailure::Unknown, failures: 1, .. }));
    process.reply(&unheard, granted(1));
    assert_eq!(process.machine.ignored(), 1);
    assert!(!process.ask().is_granted());
    process.budget.deposit(process.now);
    let next = process.next_settlement();
    assert_eq!((next.epoch, next.kept, next.returned), (unheard.epoch + 1, 0, 0));
    assert_eq!((next.cumulative_requests, next.reported_requests), (8, 7), "what was told may have been credited");
    process.reply(&unheard, granted(1));
    assert_eq!(process.machine.ignored(), 2);
    assert!(!process.ask().is_granted());
}

#[test]
fn what_went_back_in_a_settlement_of_unknown_fate_is_gone_and_what_was_not_done_is_told_again() {
    for (failure, returned, reported) in [(StoreFailure::Unknown, 0, 4), (StoreFailure::NotDone, 2, 0)] {
        let mut process = Process::leased(&config(), 5);
        process.hold(2);
        process.pass(900);
        for _ in 0..4 {
            process.budget.deposit(process.now);
        }
        let back = process.next_settlement();
        assert_eq!((back.returned, back.cumulative_requests, back.reported_requests), (2, 4, 0));
        process.fail(&back, failure);
        let next = process.next_settlement();
        assert_eq!((next.returned, next.cumulative_requests, next.reported_requests), (returned, 4, reported));
        assert_eq!(next.epoch, back.epoch + 1);
    }
}

#[test]
fn requests_are_told_within_two_seconds_or_never() {
    let mut process = Process::leased(&config(), 5);
    process.budget.deposit(process.now);
    let settle = process.next_settlement();
    assert_eq!((settle.cumulative_requests, settle.reported_requests), (1, 0));
    process.reply(&settle, granted(0));
    process.budget.deposit(process.now);
    // Nobody drives the machine for three seconds.
    process.now += Duration::from_secs(3);
    let settle = process.next_settlement();
    assert_eq!((settle.cumulative_requests, settle.reported_requests), (2, 2));
}

#[test]
fn at_its_end_a_process_gives_back_what_it_holds() {
    let mut process = Process::leased(&config(), 5);
    process.hold(4);
    assert!(process.ask().is_granted());
    process.input(FleetInput::Shutdown);
    let settle = process.effect().unwrap();
    assert_eq!((settle.want, settle.kept, settle.returned), (0, 0, 3));
    process.reply(&settle, granted(0));
    assert_eq!((process.effect(), process.machine.poll_timeout()), (None, None));
    assert!(process.ask().is_granted(), "calls that are still made go by the share");
}

#[test]
fn at_its_end_what_is_granted_yet_goes_back_too() {
    let mut process = Process::leased(&config(), 5);
    let settle = process.want();
    process.input(FleetInput::Shutdown);
    process.reply(&settle, granted(1));
    let back = process.effect().unwrap();
    assert_eq!((back.want, back.returned), (0, 1));
    process.fail(&back, StoreFailure::NotDone);
    assert_eq!((process.effect(), process.machine.poll_timeout()), (None, None));
}

#[test]
fn a_name_that_another_process_has_too_is_no_lease() {
    let mut process = Process::leased(&config(), 5);
    let settle = process.want();
    process.reply(&settle, Settled { settlement: Settlement::Stale, ..granted(1) });
    assert!(!process.ask().is_granted());
    assert_eq!(process.machine.state(), FleetState::Expired);
}

#[test]
fn nobody_settles_who_does_nothing() {
    let mut process = Process::new(&config());
    assert_eq!(process.pass(3_600_000), []);
}
