//! The life of an operation that is to be carried out once: how it begins, who waits, what is kept, and what is told when
//! the store does not answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::time::Duration;

use coordinator_support::{at, ms, refused};
use mesh_retry::coordinator::idempotency::{
    Operation, OperationConfig, OperationEnd, OperationEvent, OperationInput, OperationMachine, OperationRefusal,
    Right, StoreLost,
};
use mesh_retry::coordinator::store::{
    Abandoned, Begun, Fence, Fingerprint, Finished, OwnerToken, RESULT_BYTES_MAX, Renewed, StateKey, StoreCommand,
    StoreFailure, StoreReply,
};
use mesh_retry::coordinator::{SendId, Sending, StoreAnswer};
use mesh_retry::{Instant, Machine as _};

/// A machine driven by hand.
struct Driven {
    machine: OperationMachine,
    now: Instant,
}

impl Driven {
    fn new(config: OperationConfig) -> Self {
        Self { machine: OperationMachine::new(config, OPERATION, 1, at(1000)), now: at(1000) }
    }

    fn put(&mut self, input: OperationInput) {
        self.machine.handle_input(self.now, input);
    }

    fn answer(&mut self, id: SendId, answer: StoreAnswer) {
        self.put(OperationInput::Answered { id, answer });
    }

    fn sent(&mut self) -> Option<Sending> {
        self.machine.poll_effect()
    }

    fn event(&mut self) -> Option<OperationEvent> {
        self.machine.poll_event()
    }

    /// Answers the command that is sent now.
    fn reply(&mut self, reply: StoreReply) -> StoreCommand {
        let Sending { id, command } = self.sent().unwrap();
        self.answer(id, Ok(reply));
        command
    }

    /// Goes to the next deadline.
    fn wait(&mut self) -> Duration {
        let due = self.machine.poll_timeout().unwrap().max(self.now);
        let passed = due - self.now;
        self.now = due;
        self.machine.handle_timeout(due);
        passed
    }

    fn running(config: OperationConfig) -> Self {
        let mut driven = Self::new(config);
        driven.reply(begun(Begun::Fresh { fence: FENCE }));
        assert_eq!(driven.event(), Some(OperationEvent::Run { right: Right::First { fence: FENCE } }));
        driven
    }
}

#[test]
fn whoever_is_first_carries_it_out_and_its_result_is_kept() {
    let mut driven = Driven::new(OperationConfig::default());
    let Some(Sending { id, command: StoreCommand::Begin(begin) }) = driven.sent() else { panic!("it begins") };
    assert_eq!((begin.key, begin.fingerprint, begin.owner), (OPERATION.key, OPERATION.fingerprint, OPERATION.owner));
    assert_eq!((begin.lease, begin.keep), (Duration::from_secs(10), Duration::from_secs(86_400)));
    driven.answer(id, Ok(begun(Begun::Fresh { fence: FENCE })));
    assert_eq!(driven.event(), Some(OperationEvent::Run { right: Right::First { fence: FENCE } }));
    driven.put(OperationInput::Finish { result: vec![1, 2] });
    let StoreCommand::Finish(finish) = driven.reply(StoreReply::Finished(Finished::Kept)) else { panic!("it ends") };
    assert_eq!((finish.fence, finish.result, finish.keep), (FENCE, vec![1, 2], Duration::from_secs(86_400)));
    assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::Kept }));
    assert_eq!((driven.machine.poll_timeout(), driven.sent()), (None, None));
    driven.put(OperationInput::Abandon);
    assert_eq!((driven.sent(), driven.event(), driven.machine.ignored()), (None, None, 1));
}

#[test]
fn what_is_done_is_told_and_another_operation_under_the_key_is_refused() {
    let mut driven = Driven::new(OperationConfig::default());
    driven.reply(begun(Begun::Done { result: vec![7] }));
    assert_eq!(driven.event(), Some(OperationEvent::Done { result: vec![7] }));
    let mut driven = Driven::new(OperationConfig::default());
    driven.reply(begun(Begun::Mismatch));
    assert_eq!(driven.event(), Some(OperationEvent::Refused { why: OperationRefusal::Mismatch }));
}

#[test]
fn what_is_done_and_cannot_be_read_is_not_done_again_though_it_would_be_without_a_store() {
    let mut config = OperationConfig::default();
    config.store_lost = StoreLost::RunAnyway;
    let mut driven = Driven::new(config);
    driven.reply(begun(Begun::Unreadable));
    assert_eq!(driven.event(), Some(OperationEvent::Refused { why: OperationRefusal::Unreadable }));
    assert_eq!((driven.machine.poll_timeout(), driven.sent()), (None, None));
}

#[test]
fn a_store_without_room_is_neither_waited_for_nor_done_without() {
    let mut config = OperationConfig::default();
    config.store_lost = StoreLost::RunAnyway;
    let mut driven = Driven::new(config);
    driven.reply(begun(Begun::Full));
    assert_eq!(driven.event(), Some(OperationEvent::Refused { why: OperationRefusal::StoreFull }));
    assert_eq!((driven.machine.poll_timeout(), driven.sent()), (None, None));
}

#[test]
fn somebody_elses_end_is_waited_for_with_questions_that_become_rarer() {
    let mut driven = Driven::new(OperationConfig::default());
    let lease_left = Duration::from_secs(9);
    driven.reply(begun(Begun::InFlight { lease_left }));
    assert_eq!(driven.event(), Some(OperationEvent::Waiting { lease_left }));
    for step in [1000 / 16, 125, 250, 500, 1000, 1000, 1000] {
        let waited = driven.wait();
        assert!(ms(step) / 2 <= waited && waited <= ms(step + 1), "{waited:?} of {step}");
        driven.reply(begun(Begun::InFlight { lease_left }));
        assert_eq!(driven.event(), None, "told once");
    }
    driven.wait();
    driven.reply(begun(Begun::Done { result: vec![7] }));
    assert_eq!(driven.event(), Some(OperationEvent::Done { result: vec![7] }));
}

#[test]
fn waiting_ends_at_its_time_with_a_last_question() {
    let mut config = OperationConfig::default();
    config.wait_max = ms(100);
    let mut driven = Driven::new(config);
    let lease_left = Duration::from_secs(9);
    driven.reply(begun(Begun::InFlight { lease_left }));
    driven.event();
    while driven.now < at(1100) {
        driven.wait();
        assert_eq!(driven.event(), None);
        driven.reply(begun(Begun::InFlight { lease_left }));
    }
    assert_eq!(driven.now, at(1100));
    assert_eq!(driven.event(), Some(OperationEvent::Refused { why: OperationRefusal::InFlight { lease_left } }));
    config.wait_max = Duration::ZERO;
    let mut driven = Driven::new(config);
    driven.reply(begun(Begun::InFlight { lease_left }));
    assert_eq!(driven.event(), Some(OperationEvent::Refused { why: OperationRefusal::InFlight { lease_left } }));
}

#[test]
fn the_lease_is_renewed_each_third_of_it_counted_from_when_that_was_asked() {
    let mut driven = Driven::new(OperationConfig::default());
    let Some(Sending { id, .. }) = driven.sent() else { panic!("it begins") };
    driven.now = at(1400);
    driven.answer(id, Ok(begun(Begun::TakenOver { fence: FENCE })));
    assert_eq!(driven.event(), Some(OperationEvent::Run { right: Right::TakenOver { fence: FENCE } }));
    driven.wait();
    assert_eq!(driven.now, at(1000) + Duration::from_secs(10) / 3);
    for _ in 0..10 {
        let asked_at = driven.now;
        let Some(Sending { id, command: StoreCommand::Renew(renew) }) = driven.sent() else { panic!("it renews") };
        assert_eq!((renew.fence, renew.lease), (FENCE, Duration::from_secs(10)));
        driven.now += ms(300);
        driven.answer(id, Ok(StoreReply::Renewed(Renewed::Kept)));
        driven.wait();
        assert_eq!((driven.now, driven.event()), (asked_at + Duration::from_secs(10) / 3, None));
    }
}

#[test]
fn a_lease_that_cannot_be_renewed_lapses_and_is_recovered_when_nobody_took_over() {
    let mut driven = Driven::new(OperationConfig::default());
    let Sending { id, .. } = driven.sent().unwrap();
    driven.now += ms(400);
    driven.answer(id, Ok(begun(Begun::Fresh { fence: FENCE })));
    driven.event();
    let mut asked = 0;
    let lapsed = loop {
        driven.wait();
        asked += u32::from(driven.sent().is_some());
        if let Some(event) = driven.event() {
            break event;
        }
    };
    assert_eq!((lapsed, driven.now), (OperationEvent::Lapsed, at(11_000)));
    assert!((3..=5).contains(&asked), "{asked}");
    let id = loop {
        driven.wait();
        if let Some(Sending { id, .. }) = driven.sent() {
            break id;
        }
    };
    let asked_at = driven.now;
    driven.now += ms(400);
    driven.answer(id, Ok(StoreReply::Renewed(Renewed::Kept)));
    assert_eq!(driven.event(), Some(OperationEvent::Recovered));
    while driven.now < asked_at + Duration::from_secs(10) {
        assert_eq!(driven.event(), None);
        driven.wait();
    }
    assert_eq!(
        (driven.event(), driven.now),
        (Some(OperationEvent::Lapsed), asked_at + Duration::from_secs(10)),
        "again"
    );
}

#[test]
fn an_owner_that_was_taken_over_from_is_told() {
    let mut driven = Driven::running(OperationConfig::default());
    driven.wait();
    driven.reply(StoreReply::Renewed(Renewed::Fenced));
    assert_eq!((driven.event(), driven.machine.poll_timeout()), (Some(OperationEvent::TakenAway), None));
    let mut driven = Driven::running(OperationConfig::default());
    driven.put(OperationInput::Finish { result: vec![] });
    driven.reply(StoreReply::Finished(Finished::Fenced));
    assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::Fenced }));
}

#[test]
fn a_result_that_is_too_long_is_not_sent_and_the_operation_goes_on() {
    let mut driven = Driven::running(OperationConfig::default());
    driven.put(OperationInput::Finish { result: vec![0; RESULT_BYTES_MAX + 1] });
    assert_eq!(driven.event(), Some(OperationEvent::ResultTooLong { bytes: RESULT_BYTES_MAX + 1 }));
    assert_eq!(driven.sent(), None);
    driven.put(OperationInput::Finish { result: vec![0; RESULT_BYTES_MAX] });
    assert!(matches!(driven.sent(), Some(Sending { command: StoreCommand::Finish(_), .. })));
}

#[test]
fn an_end_that_is_not_answered_is_told_again_until_it_is_unknown() {
    let mut driven = Driven::running(OperationConfig::default());
    driven.put(OperationInput::Finish { result: vec![5] });
    let first = driven.sent().unwrap().command;
    let mut told = 1;
    let end = loop {
        if let Some(event) = driven.event() {
            break event;
        }
        driven.wait();
        if let Some(Sending { command, .. }) = driven.sent() {
            assert_eq!(command, first);
            told += 1;
        }
    };
    assert_eq!(end, OperationEvent::Ended { how: OperationEnd::Unknown });
    assert!(at(11_000) <= driven.now && driven.now <= at(11_500), "{:?}", driven.now);
    assert!((8..=20).contains(&told), "{told}");
    let mut driven = Driven::running(OperationConfig::default());
    driven.put(OperationInput::Finish { result: vec![5] });
    let late = driven.sent().unwrap().id;
    driven.wait();
    driven.wait();
    driven.answer(late, Ok(StoreReply::Finished(Finished::Fenced)));
    assert_eq!((driven.event(), driven.machine.ignored()), (None, 1), "nobody waits for it");
    driven.reply(StoreReply::Finished(Finished::Kept));
    assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::Kept }));
}

#[test]
fn what_was_not_carried_out_is_forgotten_and_what_is_unknown_handed_over() {
    let mut driven = Driven::running(OperationConfig::default());
    driven.put(OperationInput::Abandon);
    assert!(matches!(driven.reply(StoreReply::Abandoned(Abandoned::Forgotten)), StoreCommand::Abandon(_)));
    assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::Forgotten }));
    let mut driven = Driven::running(OperationConfig::default());
    driven.put(OperationInput::HandOver);
    let StoreCommand::Renew(renew) = driven.reply(StoreReply::Renewed(Renewed::Kept)) else { panic!("a renewal") };
    assert_eq!(renew.lease, Duration::ZERO);
    assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::HandedOver }));
}

#[test]
fn a_call_that_goes_away_before_it_begins_takes_back_what_it_began() {
    type Check = fn(&StoreCommand) -> bool;
    let cases: [(Begun, Check); 2] = [
        (Begun::Fresh { fence: FENCE }, |command: &StoreCommand| matches!(command, StoreCommand::Abandon(_))),
        (Begun::TakenOver { fence: FENCE }, |command: &StoreCommand| matches!(command, StoreCommand::Renew(_))),
    ];
    for (begin, is_taken_back) in cases {
        let mut driven = Driven::new(OperationConfig::default());
        let begin_id = driven.sent().unwrap().id;
        driven.put(OperationInput::Abandon);
        assert_eq!(driven.event(), None);
        driven.answer(begin_id, Ok(begun(begin)));
        assert_eq!(driven.event(), None, "it does not run");
        assert!(is_taken_back(&driven.sent().unwrap().command));
    }
    for answer in [Ok(begun(Begun::Done { result: vec![] })), Ok(begun(Begun::Full)), Err(StoreFailure::Unknown)] {
        let mut driven = Driven::new(OperationConfig::default());
        let begin_id = driven.sent().unwrap().id;
        driven.put(OperationInput::Abandon);
        driven.answer(begin_id, answer);
        assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::CalledOff }));
    }
    let mut driven = Driven::new(OperationConfig::default());
    driven.reply(begun(Begun::InFlight { lease_left: ms(1) }));
    driven.event();
    driven.put(OperationInput::Abandon);
    assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::CalledOff }));
}

#[test]
fn a_begin_that_is_not_answered_is_sent_again_with_the_same_owner() {
    let mut driven = Driven::new(OperationConfig::default());
    let first = driven.sent().unwrap();
    driven.answer(first.id, Err(StoreFailure::Unknown));
    driven.wait();
    let second = driven.sent().unwrap();
    assert_eq!(second.command, first.command);
    assert_eq!(driven.wait(), ms(500), "its answer is waited for");
    driven.wait();
    assert_eq!(driven.reply(begun(Begun::Fresh { fence: FENCE })), first.command);
    assert_eq!(driven.event(), Some(OperationEvent::Run { right: Right::First { fence: FENCE } }));
}

#[test]
fn what_becomes_of_an_operation_whose_store_is_lost_is_for_the_configuration_to_say() {
    let lost = |driven: &mut Driven| loop {
        driven.sent();
        if let Some(event) = driven.event() {
            break event;
        }
        driven.wait();
    };
    let mut config = OperationConfig::default();
    let mut driven = Driven::new(config);
    assert_eq!(lost(&mut driven), OperationEvent::Refused { why: OperationRefusal::StoreLost });
    assert!(at(3000) <= driven.now && driven.now <= at(3500), "{:?}", driven.now);
    config.store_lost = StoreLost::RunAnyway;
    for end in [OperationInput::Finish { result: vec![] }, OperationInput::Abandon, OperationInput::HandOver] {
        let mut driven = Driven::new(config);
        assert_eq!(lost(&mut driven), OperationEvent::Run { right: Right::Unprotected });
        assert_eq!(driven.machine.poll_timeout(), None);
        driven.put(end);
        assert_eq!(driven.event(), Some(OperationEvent::Ended { how: OperationEnd::Unprotected }));
        assert_eq!(driven.sent(), None);
    }
}

#[test]
fn nobody_runs_anyway_who_was_told_that_somebody_is_at_it() {
    let mut config = OperationConfig::default();
    config.store_lost = StoreLost::RunAnyway;
    let mut driven = Driven::new(config);
    driven.reply(begun(Begun::InFlight { lease_left: Duration::from_secs(9) }));
    driven.event();
    let refused = loop {
        driven.wait();
        driven.sent();
        if let Some(event) = driven.event() {
            break event;
        }
    };
    assert_eq!(refused, OperationEvent::Refused { why: OperationRefusal::StoreLost });
    assert!(at(31_000) <= driven.now && driven.now <= at(31_500), "{:?}: it may come back while it waits", driven.now);
}

#[test]
fn a_configuration_is_checked_field_by_field() {
    let check = |change: fn(&mut OperationConfig)| {
        let mut config = OperationConfig::default();
        change(&mut config);
        refused(config.validate())
    };
    assert_eq!(check(|_| {}), None);
    assert_eq!(check(|config| config.lease = ms(99)), Some("lease"));
    assert_eq!(check(|config| config.keep = ms(9_999)), Some("keep"));
    assert_eq!(check(|config| config.reply_within = ms(3_334)), Some("reply_within"));
    assert_eq!(check(|config| config.ask_every = ms(9)), Some("ask_every"));
    let text = r#"{"lease":"20s","store_lost":"run-anyway"}"#;
    let config: OperationConfig = serde_json::from_str(text).unwrap();
    assert_eq!((config.lease, config.store_lost), (Duration::from_secs(20), StoreLost::RunAnyway));
}

fn begun(begun: Begun) -> StoreReply {
    StoreReply::Begun(begun)
}

const FENCE: Fence = Fence::new(9);
const OPERATION: Operation =
    Operation { key: StateKey::new(1), fingerprint: Fingerprint::new(2), owner: OwnerToken::new(3) };
