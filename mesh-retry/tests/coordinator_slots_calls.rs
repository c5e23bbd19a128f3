//! What calls make of the slots of a fleet's retries.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coordinator_support::{Bell, at, ms};
use mesh_retry::backoff::Jitter;
use mesh_retry::budget::{Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};
use mesh_retry::call::{CallEffect, CallEvent, CallInput, CallMachine, Decision, GiveUpReason, Terms};
use mesh_retry::classify::Class;
use mesh_retry::coordinator::slots::{RetrySlots, SlotsConfig, SlotsInput, SlotsMachine, Slotted};
use mesh_retry::coordinator::store::{Slots, StateKey, StoreReply, StoreTime};
use mesh_retry::deadline::Deadline;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _};

#[test]
fn a_call_waits_for_its_slot_on_top_of_its_backoff_or_for_a_part_of_what_is_left_before_its_deadline() {
    let mut policy = RetryPolicy::default();
    policy.backoff.jitter = Jitter::None;
    let retry_of = |policy: RetryPolicy, first: u64, seed: u64| {
        let slots = with_block(first);
        let terms = Slotted::new(policy, slots);
        let mut call = CallMachine::new(terms, seed, Instant::ZERO);
        let Some(CallEffect::Attempt { attempt, .. }) = call.poll_effect() else { panic!("an attempt") };
        call.handle_input(Instant::ZERO, CallInput::Picked { attempt, endpoint: EndpointId::from_number(1) });
        call.handle_input(Instant::ZERO, CallInput::Ended { attempt, class: Class::Transient });
        (call.take_decision(), call.poll_event())
    };
    let (Some(Decision::Retry { at: retried_at }), None) = retry_of(policy, 5, 7) else { panic!("a retry") };
    assert!(at(100 + 500) <= retried_at && retried_at < at(100 + 600), "{retried_at:?}");
    policy.deadline = Some(ms(400));
    let early = (0..10).map(|seed| {
        let (Some(Decision::Retry { at: retried_at }), None) = retry_of(policy, 5, seed) else { panic!("a retry") };
        assert!(at(100) <= retried_at && retried_at < at(400), "{retried_at:?}");
        retried_at
    });
    assert!(BTreeSet::from_iter(early).len() >= 9, "they are spread");
    policy.deadline = Some(ms(100));
    let (None, Some(CallEvent::GaveUp { reason, .. })) = retry_of(policy, 0, 7) else { panic!("no retry") };
    assert!(matches!(reason, GiveUpReason::DeadlineTooClose { .. }), "{reason:?}");
}

#[test]
fn a_retry_that_is_denied_or_too_late_takes_no_number() {
    #[derive(Debug)]
    struct Poor;
    impl Budget for Poor {
        fn deposit(&self, _: Instant) {}
        fn withdraw(&self, _: Instant, _: Extra) -> Answer {
            Answer::Denied(Denial::new(BudgetKind::Custom("poor"), 0, 1_000, None))
        }
        fn ended(&self, _: Instant, _: End, _: Option<Paid>) {}
        fn level(&self, _: Instant) -> Level {
            Level::new(0, None)
        }
    }
    struct With(Option<Poor>, RetryPolicy);
    impl Terms for With {
        fn policy(&self) -> &RetryPolicy {
            &self.1
        }
        fn budget(&self) -> Option<&dyn Budget> {
            self.0.as_ref().map(|budget| -> &dyn Budget { budget })
        }
    }
    let mut hurried = RetryPolicy::default();
    hurried.deadline = Some(Duration::from_nanos(1));
    let makers = [(Some(Poor), RetryPolicy::default()), (None, hurried)];
    for (budget, policy) in makers {
        let slots = with_block(3);
        let left = slots.left();
        let terms = Slotted::new(With(budget, policy), Arc::clone(&slots));
        let mut call = CallMachine::new(terms, 7, Instant::ZERO);
        let Some(CallEffect::Attempt { attempt, .. }) = call.poll_effect() else { panic!("an attempt") };
        call.handle_input(Instant::ZERO, CallInput::Ended { attempt, class: Class::Transient });
        assert!(matches!(call.poll_event(), Some(CallEvent::GaveUp { .. })));
        assert_eq!(slots.left(), left);
    }
}

#[test]
fn slots_change_nothing_about_when_a_call_has_to_be_over() {
    struct Until(RetryPolicy);
    impl Terms for Until {
        fn policy(&self) -> &RetryPolicy {
            &self.0
        }
        fn deadline(&self) -> Deadline {
            Deadline::at(at(1500))
        }
    }
    let slots = with_block(0);
    let slotted = Slotted::new(Until(RetryPolicy::default()), Arc::clone(&slots));
    assert_eq!(slotted.deadline(), Deadline::at(at(1500)));
}

/// Slots with a block whose next number is `first`.
fn with_block(first: u64) -> Arc<RetrySlots> {
    let config = SlotsConfig::default();
    let slots = Arc::new(RetrySlots::new(&config, Arc::new(Bell::default())));
    let mut machine = SlotsMachine::new(config, StateKey::new(1), Arc::clone(&slots), 1, Instant::ZERO);
    let id = machine.poll_effect().unwrap().id;
    let answer = Ok(StoreReply::Slots(Slots { at: StoreTime::default(), first }));
    machine.handle_input(Instant::ZERO, SlotsInput::Answered { id, answer });
    slots
}
