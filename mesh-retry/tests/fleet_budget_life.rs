//! One process of a fleet: what it asks the store, and who answers its calls, through a life.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use mesh_retry::budget::{After, Answer, Budget as _, BudgetKind, Denial, Extra, TokenBucketConfig};
use mesh_retry::coordinator::budget::{
    Fallback, FleetBudget, FleetBudgetConfig, FleetChange, FleetEffect, FleetEvent, FleetInput, FleetMachine,
    FleetState, Wake,
};
use mesh_retry::coordinator::store::{ProcessId, Settle, Settled, Settlement, StateKey, StoreFailure, StoreTime};
use mesh_retry::{Instant, Machine as _};

#[derive(Debug)]
struct Count(Arc<AtomicU32>);

impl Wake for Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Process {
    budget: Arc<FleetBudget>,
    machine: FleetMachine,
    wakes: Arc<AtomicU32>,
    now: Instant,
}

fn config() -> FleetBudgetConfig {
    let mut config = FleetBudgetConfig::default();
    config.limits = TokenBucketConfig::default();
    (config.limits.ratio_milli, config.limits.per_second_milli, config.limits.burst_milli) = (100, 10_000, 100_000);
    config
}

impl Process {
    fn new(config: &FleetBudgetConfig) -> Self {
        let wakes = Arc::new(AtomicU32::new(0));
        let budget = Arc::new(FleetBudget::new(config, Box::new(Count(Arc::clone(&wakes)))));
        let now = Instant::from_millis(10_000);
        let machine = FleetMachine::new(Arc::clone(&budget), StateKey::new(1), ProcessId::new(2), 3, now);
        Self { budget, machine, wakes, now }
    }

    /// One that the store has answered, with nothing granted, as one of `processes`.
    fn leased(config: &FleetBudgetConfig, processes: u32) -> Self {
        let mut process = Self::new(config);
        process.budget.deposit(process.now);
        let settle = process.next_settlement();
        process.reply(&settle, Settled { processes, ..granted(0) });
        process.events();
        process
    }

    fn ask(&self) -> Answer {
        self.budget.withdraw(self.now, Extra::retry(After::Transient))
    }

    fn paid(&self, most: u32) -> u32 {
        (0..most).map(|_| u32::from(self.ask().is_granted())).sum()
    }

    fn input(&mut self, input: FleetInput) {
        self.machine.handle_input(self.now, input);
    }

    fn reply(&mut self, settle: &Settle, settled: Settled) {
        self.input(FleetInput::Reply { epoch: settle.epoch, settled });
    }

    fn fail(&mut self, settle: &Settle, failure: StoreFailure) {
        self.input(FleetInput::Failed { epoch: settle.epoch, failure });
    }

    fn effect(&mut self) -> Option<Settle> {
        self.machine.poll_effect().map(|effect| match effect {
            FleetEffect::Send(settle) => settle,
            other => panic!("{other:?}"),
        })
    }

    fn events(&mut self) -> Vec<FleetEvent> {
        core::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    /// Lets time pass until `millis` later, and returns what was sent.
    fn pass(&mut self, millis: u64) -> Vec<Settle> {
        let end = self.now + Duration::from_millis(millis);
        let mut sent = Vec::new();
        while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            sent.extend(core::iter::from_fn(|| self.effect()));
        }
        self.now = end;
        sent
    }

    /// Lets time pass until something is sent.
    fn next_settlement(&mut self) -> Settle {
        for _ in 0..100 {
            self.now = self.now.max(self.machine.poll_timeout().unwrap());
            self.machine.handle_timeout(self.now);
            if let Some(settle) = self.effect() {
                return settle;
            }
        }
        panic!("nothing is sent: {:?}", self.machine);
    }

    /// A call that finds nothing, and what is sent for it.
    fn want(&mut self) -> Settle {
        assert_eq!(self.ask(), Answer::Later);
        self.input(FleetInput::Woken);
        self.effect().unwrap()
    }

    /// With `tokens` that end in a second.
    fn hold(&mut self, tokens: u32) {
        for _ in 1..tokens {
            assert_eq!(self.ask(), Answer::Later);
        }
        let settle = self.want();
        self.reply(&settle, granted(tokens));
        self.events();
        assert!(self.effect().is_none());
    }
}

fn granted(granted: u32) -> Settled {
    Settled {
        at: StoreTime::from_micros(1),
        settlement: Settlement::Applied,
        granted,
        left_milli: 500,
        wait: Some(Duration::from_millis(200)),
        processes: 5,
    }
}

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
    let mut settle = process.want();
    for _ in 0..2 {
        process.fail(&settle, StoreFailure::NotDone);
        settle = process.next_settlement();
    }
    process.fail(&settle, StoreFailure::NotDone);
    process.events();
    assert_eq!(process.machine.state(), FleetState::LocalFallback);
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
