//! Calls that have to be over at an instant that is not their policy's, and what their budget hears of attempts that
//! find no place.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use mesh_retry::budget::{Answer, Budget, End, Extra, Level, Paid, TokenBucket};
use mesh_retry::call::{CallEvent, CallInput, GiveUpReason, Terms, Unavailable};
use mesh_retry::classify::Class;
use mesh_retry::deadline::Deadline;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{Instant, Machine as _};
use support::{Call, millis, plain};

mod support;

#[test]
fn the_earlier_of_the_two_deadlines_bounds_an_attempt() {
    for (own, other, left) in [(None, 300, 300), (Some(200), 300, 200), (Some(300), 200, 200)] {
        let terms = bounded(own, other);
        let mut call = Call::new(&terms);
        call.attempt(1, Some(millis(left)));
        assert_eq!(call.wait(), millis(left));
        let reason = GiveUpReason::DeadlineExceeded { deadline: millis(left) };
        assert!(call.machine.poll_effect().is_some(), "it is cancelled");
        assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
    }
}

#[test]
fn no_retry_is_waited_for_that_could_not_start_before_it() {
    let (soon, later) = (bounded(None, 100), bounded(None, 101));
    let mut call = Call::new(&soon);
    let attempt = call.attempt(1, Some(millis(100)));
    call.ended(attempt, Class::Transient);
    let reason = GiveUpReason::DeadlineTooClose { needed: millis(100), left: millis(100) };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 1 });
    let mut call = Call::new(&later);
    let attempt = call.attempt(1, Some(millis(101)));
    call.ended(attempt, Class::Transient);
    assert_eq!(call.wait(), millis(100));
    call.attempt(2, Some(millis(1)));
}

#[test]
fn a_call_whose_time_is_over_before_it_starts_makes_no_attempt_and_asks_no_budget() {
    for late in [0, 1, 4000] {
        let mut terms = bounded(Some(500), 0);
        terms.until = Deadline::at(START.before(millis(late)));
        let mut call = Call::new(&terms);
        let reason = GiveUpReason::DeadlineExceeded { deadline: Duration::ZERO };
        assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 0 });
        assert_eq!(terms.budget.seen(), (0, 0));
    }
}

#[test]
fn an_attempt_that_finds_no_place_in_time_did_not_take_place() {
    let terms = bounded(None, 50);
    let mut call = Call::new(&terms);
    let attempt = call.attempt(1, Some(millis(50)));
    call.pass(millis(50));
    call.unavailable(attempt, Unavailable::None);
    let reason = GiveUpReason::DeadlineExceeded { deadline: millis(50) };
    assert_eq!(call.over(), CallEvent::GaveUp { reason, attempts: 0 });
    drop(call);
    assert_eq!(terms.budget.seen(), (1, 1));

    let mut call = Call::new(&terms);
    let attempt = call.attempt(1, Some(millis(50)));
    call.pass(millis(49));
    call.unavailable(attempt, Unavailable::None);
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::NoInstance, attempts: 0 });
    drop(call);
    assert_eq!(terms.budget.seen(), (2, 2));
}

#[test]
fn a_budget_hears_once_of_an_attempt_that_is_placed_at_the_second_try() {
    let terms = bounded(None, 10_000);
    let mut call = Call::new(&terms);
    let attempt = call.attempt(1, Some(millis(10_000)));
    call.picked(attempt, 1);
    call.ended(attempt, Class::Transient);
    call.wait();
    assert_eq!(terms.budget.seen(), (2, 1));
    let (attempt, _) = call.asked().unwrap();
    call.unavailable(attempt, Unavailable::AllExcluded);
    assert_eq!(terms.budget.seen(), (2, 1), "it is still to come");
    let (attempt, _) = call.asked().unwrap();
    call.put(CallInput::Ended { attempt, class: Class::Success });
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 2 });
    drop(call);
    assert_eq!(terms.budget.seen(), (2, 2));
}

/// A policy, an instant at which all is over, and a budget that counts.
#[derive(Debug)]
struct Bounded {
    policy: RetryPolicy,
    until: Deadline,
    budget: Counted,
}

impl Terms for &Bounded {
    fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    fn deadline(&self) -> Deadline {
        self.until
    }

    fn budget(&self) -> Option<&dyn Budget> {
        Some(&self.budget)
    }
}

/// Counts the attempts that it lets through and those of whose end it hears.
#[derive(Debug)]
struct Counted {
    bucket: TokenBucket,
    begun: AtomicU32,
    ended: AtomicU32,
}

impl Counted {
    fn seen(&self) -> (u32, u32) {
        (self.begun.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed))
    }
}

impl Budget for Counted {
    fn deposit(&self, now: Instant) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.bucket.deposit(now);
    }

    fn withdraw(&self, now: Instant, extra: Extra) -> Answer {
        let answer = self.bucket.withdraw(now, extra);
        self.begun.fetch_add(u32::from(answer.is_granted()), Ordering::Relaxed);
        answer
    }

    fn ended(&self, now: Instant, end: End, paid: Option<Paid>) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.bucket.ended(now, end, paid);
    }

    fn level(&self, now: Instant) -> Level {
        self.bucket.level(now)
    }
}

fn bounded(own: Option<u64>, other: u64) -> Bounded {
    let mut policy = plain();
    policy.deadline = own.map(millis);
    let (begun, ended) = (AtomicU32::new(0), AtomicU32::new(0));
    let budget = Counted { bucket: TokenBucket::new(&Default::default()), begun, ended };
    Bounded { policy, until: Deadline::after(START, millis(other)), budget }
}

/// When [`Call`]s start.
const START: Instant = Instant::from_millis(5000);
