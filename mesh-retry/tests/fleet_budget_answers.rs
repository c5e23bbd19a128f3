//! One process of a fleet tells how it answered those who asked for retries.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_support;

use fleet_support::{Process, config, granted};
use mesh_retry::budget::{Answer, Budget as _};
use mesh_retry::coordinator::budget::{Fallback, FleetAnswers, FleetEvent, FleetInput, FleetState};
use mesh_retry::coordinator::store::StoreFailure;

#[test]
fn those_who_find_tokens_are_told_as_paid_for_by_the_lease_and_only_once() {
    let mut process = Process::leased(&config(), 5);
    process.hold(5);
    assert_eq!(process.paid(3), 3);
    process.pass(600);
    assert_eq!(told(&mut process), [of(3, 0, 0, 0)]);
    process.pass(100);
    assert_eq!(told(&mut process), []);
    assert_eq!(process.paid(1), 1);
    process.pass(600);
    assert_eq!(told(&mut process), [of(1, 0, 0, 0)]);
}

#[test]
fn who_is_told_to_ask_again_and_who_is_denied_is_told_apart() {
    let mut process = Process::leased(&config(), 5);
    assert_eq!(process.ask(), Answer::Later);
    let settle = process.want();
    assert_eq!(told(&mut process), [of(0, 0, 2, 0)]);
    process.reply(&settle, granted(0));
    assert_eq!((process.paid(4), told(&mut process)), (0, vec![]));
    process.pass(600);
    assert_eq!(told(&mut process), [of(0, 0, 0, 4)]);
}

#[test]
fn what_the_share_pays_and_does_not_is_told() {
    let mut config = config();
    (config.fallback, config.limits.ratio_milli, config.limits.per_second_milli) = (Fallback::Safe, 0, 0);
    (config.limits.burst_milli, config.processes_assumed) = (20_000, 5);
    let mut process = Process::new(&config);
    process.budget.deposit(process.now);
    for _ in 0..3 {
        let settle = process.next_settlement();
        process.fail(&settle, StoreFailure::Unknown);
    }
    assert_eq!(process.machine.state(), FleetState::LocalFallback);
    process.events();
    assert_eq!(process.paid(7), 4);
    process.pass(600);
    assert_eq!(told(&mut process), [of(0, 4, 0, 3)]);
    assert_eq!(process.paid(1), 0);
    process.pass(600);
    assert_eq!(told(&mut process), [of(0, 0, 0, 1)], "what was told is not told again");
}

#[test]
fn one_that_waits_for_its_first_answer_tells_of_its_share_and_of_those_put_off() {
    let mut config = config();
    (config.limits.ratio_milli, config.limits.per_second_milli) = (0, 0);
    (config.limits.burst_milli, config.processes_assumed) = (10_000, 5);
    let mut process = Process::new(&config);
    assert_eq!(process.paid(2), 2);
    assert_eq!(process.ask(), Answer::Later);
    process.input(FleetInput::Woken);
    // It is the share that has too little for the third, whom the store may have something for.
    assert_eq!(told(&mut process), [of(0, 2, 1, 0)]);
}

#[test]
fn what_was_paid_before_the_end_is_told_at_the_end() {
    let mut process = Process::leased(&config(), 5);
    process.hold(5);
    assert_eq!(process.paid(2), 2);
    process.input(FleetInput::Shutdown);
    assert_eq!(told(&mut process), [of(2, 0, 0, 0)]);
}

fn told(process: &mut Process) -> Vec<FleetAnswers> {
    let answers = |event| if let FleetEvent::Answered(answers) = event { Some(answers) } else { None };
    process.all_events().into_iter().filter_map(answers).collect()
}

fn of(by_lease: u64, by_share: u64, deferred: u64, denied: u64) -> FleetAnswers {
    let mut answers = FleetAnswers::default();
    (answers.by_lease, answers.by_share, answers.deferred, answers.denied) = (by_lease, by_share, deferred, denied);
    answers
}
