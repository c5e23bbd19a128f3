//! Whatever becomes of a call, gates and budget get back what they gave, exactly once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Mutex;

use mesh_retry::budget::{Answer, Budget, BudgetKind, Denial, End, Extra, ExtraKind, Level, Paid};
use mesh_retry::call::{
    AttemptEnd, AttemptId, CallEffect, CallEvent, CallInput, CallMachine, Decision, GATES_MAX, Gate, GiveUpReason,
    Pass, Shut, Terms, Unavailable,
};
use mesh_retry::classify::Class;
use mesh_retry::hedge::{HedgeDelay, HedgePolicy};
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _, Rng};
use proptest::prelude::*;
use support::{Call, millis, plain};

mod support;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(8), ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn what_was_given_comes_back(seed: u64, steps in 0..60_u32) {
        let mut rng = Rng::from_seed(seed);
        let world = Shared::new(any_policy(&mut rng), rng.fork());
        play(&world, &mut rng, steps);
        world.assert_settled();
    }
}

#[test]
fn a_denied_retry_ends_the_call_with_the_numbers() {
    let world = Shared::new(plain(), Rng::from_seed(1)).with_budget(&[Answer::Denied(POOR)]);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    call.ended(attempt, Class::Transient);
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::Budget(POOR), attempts: 1 });
    assert_eq!(GiveUpReason::Budget(POOR).to_string(), "the test budget has 0.250 of an attempt and one costs 1.000");
}

#[test]
fn a_denied_copy_is_not_sent_and_the_call_goes_on() {
    let mut policy = plain();
    policy.hedge = Some(HedgePolicy::default());
    let world = Shared::new(policy, Rng::from_seed(1)).with_budget(&[Answer::Denied(POOR)]);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    call.wait();
    assert_eq!(call.decision(), Some(Decision::NoHedge(GiveUpReason::Budget(POOR))));
    assert_eq!((call.machine.tally().hedges, call.machine.tally().hedges_denied), (0, 1));
    call.ended(attempt, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 1 });
}

#[test]
fn a_budget_that_answers_later_is_asked_again_when_the_wait_is_over() {
    let world = Shared::new(plain(), Rng::from_seed(1)).with_budget(&[Answer::Later, Answer::Granted(Paid::new(0))]);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    call.ended(attempt, Class::Transient);
    let Some(Decision::Deferred { at }) = call.decision() else { panic!("nothing is paid for yet") };
    call.wait();
    assert_eq!(call.decision(), Some(Decision::Retry { at }), "now it is");
    let attempt = call.attempt(2, None);
    call.ended(attempt, Class::Success);
    drop(call);
    world.assert_settled();
}

#[test]
fn a_budget_that_has_not_answered_when_the_wait_is_over_ends_the_call() {
    let world = Shared::new(plain(), Rng::from_seed(1)).with_budget(&[Answer::Later, Answer::Later]);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    call.ended(attempt, Class::Transient);
    assert!(matches!(call.decision(), Some(Decision::Deferred { .. })));
    call.wait();
    assert_eq!(call.decision(), None, "no retry was paid for");
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::BudgetSilent, attempts: 1 });
}

#[test]
fn a_copy_does_not_wait_for_a_budget_that_answers_later() {
    let mut policy = plain();
    policy.hedge = Some(HedgePolicy::default());
    let world = Shared::new(policy, Rng::from_seed(1)).with_budget(&[Answer::Later]);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    call.wait();
    assert_eq!(call.decision(), Some(Decision::NoHedge(GiveUpReason::BudgetSilent)));
    assert_eq!((call.machine.tally().hedges, call.machine.tally().hedges_denied), (0, 1));
    call.ended(attempt, Class::Success);
    assert_eq!(call.over(), CallEvent::Succeeded { attempts: 1 });
}

#[test]
fn a_retry_that_is_paid_for_at_last_is_told_beside_the_copies_that_are_sent_with_it() {
    let mut policy = plain();
    policy.hedge = Some(HedgePolicy::default());
    policy.hedge.as_mut().unwrap().delay = HedgeDelay::After(Duration::ZERO);
    let granted = Answer::Granted(Paid::new(0));
    let answers = [Answer::Denied(POOR), Answer::Later, granted, granted];
    let world = Shared::new(policy, Rng::from_seed(1)).with_budget(&answers);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    assert_eq!(call.decision(), Some(Decision::NoHedge(GiveUpReason::Budget(POOR))));
    call.ended(attempt, Class::Transient);
    let Some(Decision::Deferred { at }) = call.decision() else { panic!("nothing is paid for yet") };
    call.wait();
    let decisions = [(); 3].map(|()| call.decision());
    assert_eq!(decisions, [Some(Decision::Retry { at }), Some(Decision::Hedge { at }), None]);
}

#[test]
fn a_shut_gate_ends_a_call_before_its_first_attempt() {
    let world = Shared::new(plain(), Rng::from_seed(1)).shut_until(Instant::from_millis(9_000));
    let mut call = Call::new(&world);
    let CallEvent::GaveUp { reason: GiveUpReason::Shut(shut), attempts: 0 } = call.over() else { panic!() };
    assert_eq!(shut.to_string(), "the breaker is open: 700 of 500");
    assert_eq!(shut.opens_at, Some(Instant::from_millis(9_000)));
}

#[test]
fn a_retry_waits_for_a_gate_that_says_when_it_opens() {
    let world = Shared::new(plain(), Rng::from_seed(1)).with_budget(&[]);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    world.lock().shut_until = Some(Instant::from_millis(7_000));
    call.ended(attempt, Class::Transient);
    assert_eq!(call.wait(), millis(2_100));
    call.attempt(2, None);
}

#[test]
fn a_gate_that_stays_shut_for_longer_than_is_waited_for_ends_the_call() {
    let world = Shared::new(plain(), Rng::from_seed(1)).with_budget(&[]);
    let mut call = Call::new(&world);
    let attempt = call.attempt(1, None);
    world.lock().shut_until = Some(Instant::from_millis(50_000));
    call.ended(attempt, Class::Transient);
    let shut = Shut::new("breaker", "open", 700, 500).opening_at(Some(Instant::from_millis(50_000)));
    assert_eq!(call.over(), CallEvent::GaveUp { reason: GiveUpReason::Shut(shut), attempts: 1 });
}

const POOR: Denial = Denial::new(BudgetKind::Custom("test"), 250, 1000, None);

/// Lets a call take a random course, and drops it wherever it is.
fn play(world: &Shared, rng: &mut Rng, steps: u32) {
    let mut now = Instant::from_millis(1_000);
    let mut call = CallMachine::new(world, rng.next_u64(), now);
    let mut under_way: Vec<AttemptId> = Vec::new();
    for _ in 0..steps {
        while let Some(effect) = call.poll_effect() {
            match effect {
                CallEffect::Attempt { attempt, .. } => {
                    under_way.push(attempt);
                    let endpoint = EndpointId::from_number(rng.below(4));
                    if rng.below(4) > 0 {
                        call.handle_input(now, CallInput::Picked { attempt, endpoint });
                    }
                }
                CallEffect::Cancel { attempt, .. } => under_way.retain(|other| *other != attempt),
            }
        }
        if call.poll_event().is_some() {
            return;
        }
        now = if rng.below(9) == 0 { now.before(millis(rng.below(300))) } else { now + millis(rng.below(120)) };
        match call.poll_timeout() {
            Some(due) if rng.below(3) == 0 => {
                now = now.max(due);
                call.handle_timeout(now);
            }
            _ if !under_way.is_empty() => {
                let attempt = under_way.swap_remove(rng.below(under_way.len() as u64) as usize);
                call.handle_input(now, any_end(attempt, rng));
            }
            _ => {}
        }
    }
}

fn any_end(attempt: AttemptId, rng: &mut Rng) -> CallInput {
    let class = match rng.below(9) {
        0 => Class::Success,
        1 => Class::Permanent,
        2 => Class::Throttled { retry_after: Some(millis(rng.below(400))) },
        3 => return CallInput::TimedOut { attempt },
        4 => return CallInput::Unavailable { attempt, reason: Unavailable::AllExcluded },
        5 if rng.below(4) == 0 => return CallInput::Unavailable { attempt, reason: Unavailable::None },
        _ => Class::Transient,
    };
    CallInput::Ended { attempt, class }
}

fn any_policy(rng: &mut Rng) -> RetryPolicy {
    let mut policy = plain();
    policy.attempts_max = NonZeroU32::MIN.saturating_add(rng.below(5) as u32);
    policy.deadline = (rng.below(2) == 0).then(|| millis(1 + rng.below(1_500)));
    policy.attempt_timeout = (rng.below(3) == 0).then(|| millis(1 + rng.below(500)));
    if rng.below(3) > 0 {
        let mut hedge = HedgePolicy::after(millis(rng.below(200)));
        hedge.attempts_max = NonZeroU32::MIN.saturating_add(1 + rng.below(4) as u32);
        policy.hedge = Some(hedge);
    }
    policy
}

/// What the calls of these tests go by: gates and a budget that keep books.
#[derive(Debug)]
struct Shared {
    policy: RetryPolicy,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    rng: Rng,
    /// What the budget is to say, in this order; then at random.
    answers: Vec<Answer>,
    shut_until: Option<Instant>,
    random: bool,
    next: u64,
    inside: BTreeMap<u64, Instant>,
    paid: BTreeMap<u32, ExtraKind>,
    deposits: u32,
    first_ends: u32,
}

impl Shared {
    fn new(policy: RetryPolicy, rng: Rng) -> Self {
        let books = Books {
            rng,
            answers: Vec::new(),
            shut_until: None,
            random: true,
            next: 0,
            inside: BTreeMap::new(),
            paid: BTreeMap::new(),
            deposits: 0,
            first_ends: 0,
        };
        Self { policy, books: Mutex::new(books) }
    }

    fn with_budget(self, answers: &[Answer]) -> Self {
        self.lock().answers = answers.iter().rev().copied().collect();
        self.lock().random = false;
        self
    }

    fn shut_until(self, at: Instant) -> Self {
        self.lock().shut_until = Some(at);
        self
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn assert_settled(&self) {
        let books = self.lock();
        assert!(books.inside.is_empty(), "gates were not told of {:?}", books.inside);
        assert!(books.paid.is_empty(), "the budget was not told of {:?}", books.paid);
        assert!(books.first_ends <= books.deposits + 8);
    }
}

impl Terms for &Shared {
    fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        Some(*self)
    }

    fn gates(&self) -> [Option<&dyn Gate>; GATES_MAX] {
        [Some(*self), None, Some(*self)]
    }
}

impl Budget for Shared {
    fn deposit(&self, _: Instant) {
        self.lock().deposits += 1;
    }

    fn withdraw(&self, _: Instant, extra: Extra) -> Answer {
        let mut books = self.lock();
        books.next += 1;
        let paid = books.next as u32;
        let answer = match books.answers.pop() {
            Some(answer) => answer,
            None if !books.random => Answer::Granted(Paid::new(0)),
            None => match books.rng.below(5) {
                0 => Answer::Denied(POOR),
                1 => Answer::Later,
                _ => Answer::Granted(Paid::new(0)),
            },
        };
        if !matches!(answer, Answer::Granted(_)) {
            return answer;
        }
        books.paid.insert(paid, extra.kind);
        Answer::Granted(Paid::new(paid))
    }

    fn ended(&self, _: Instant, _: End, paid: Option<Paid>) {
        let mut books = self.lock();
        match paid {
            Some(paid) => assert!(books.paid.remove(&paid.units()).is_some(), "{paid:?} is settled twice"),
            None => books.first_ends += 1,
        }
    }

    fn level(&self, _: Instant) -> Level {
        Level::new(0, None)
    }
}

impl Gate for Shared {
    fn admit(&self, now: Instant, _: u64) -> Result<Pass, Shut> {
        let mut books = self.lock();
        let is_shut = books.shut_until.is_some_and(|until| now < until);
        if is_shut || (books.random && books.answers.is_empty() && books.rng.below(9) == 0) {
            return Err(Shut::new("breaker", "open", 700, 500).opening_at(books.shut_until));
        }
        books.next += 1;
        let pass = books.next;
        books.inside.insert(pass, now);
        Ok(Pass(pass))
    }

    fn ended(&self, now: Instant, Pass(pass): Pass, end: AttemptEnd, took: Duration) {
        let began = self.lock().inside.remove(&pass).expect("a pass that was given, told of once");
        if end != AttemptEnd::NotMade {
            assert_eq!(now.since(began), took);
        }
    }

    fn shut(&self, now: Instant) -> Option<Shut> {
        let until = self.lock().shut_until.filter(|until| now < *until);
        until.map(|until| Shut::new("breaker", "open", 700, 500).opening_at(Some(until)))
    }
}
