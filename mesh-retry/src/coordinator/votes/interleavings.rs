//! What a breaker and the machine of votes share without a lock, under every order in which they may come (loom):
//! `scripts/loom`.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use mesh_core::machine::Machine as _;
use mesh_core::time::Instant;

use super::super::store::{Probed, ProcessId, StateKey, StoreCommand, StoreReply};
use super::super::wake::Wake;
use super::{Evidence, ProbeRight, VotesConfig, VotesInput, VotesMachine};

#[derive(Debug, Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn evidence() -> (Arc<Evidence>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    (Arc::new(Evidence::new(&VotesConfig::default(), bell.clone())), bell)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn of_two_calls_that_want_to_probe_one_wakes_the_driver() {
    loom::model(|| {
        let (evidence, bell) = evidence();
        let shared = Arc::clone(&evidence);
        let other = thread::spawn(move || shared.may_probe(at(1)));
        let mine = evidence.may_probe(at(1));
        assert_eq!((mine, other.join().unwrap()), (Err(at(1001)), Err(at(1001))));
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_turn_that_is_given_while_a_call_asks_is_used_or_asked_for_but_never_both() {
    loom::model(|| {
        let (evidence, bell) = evidence();
        let shared = Arc::clone(&evidence);
        let other = thread::spawn(move || shared.may_probe(at(1)));
        evidence.set_turn(ProbeRight::Shared { until: at(500) });
        let asked = bell.0.load(Ordering::SeqCst);
        match other.join().unwrap() {
            Ok(()) => assert_eq!(bell.0.load(Ordering::SeqCst), 0),
            Err(until) => assert_eq!((until, bell.0.load(Ordering::SeqCst)), (at(1001), 1.max(asked))),
        }
        assert!(evidence.right(at(1)).is_some(), "what was given is not lost");
    });
}

#[test]
fn a_call_beside_the_end_of_a_turn_that_was_not_used_goes_by_the_turn_or_alone_and_never_asks() {
    loom::model(|| {
        let (evidence, bell) = evidence();
        let mut machine = with_turn_until_2_s(&evidence);
        bell.0.store(0, Ordering::SeqCst);
        let shared = Arc::clone(&evidence);
        let other = thread::spawn(move || shared.may_probe(at(1_999)));
        machine.handle_timeout(at(2_000));
        assert_eq!((other.join().unwrap(), bell.0.load(Ordering::SeqCst)), (Ok(()), 0));
        assert_eq!(evidence.right(at(2_000)), Some(ProbeRight::Local));
    });
}

/// The machine of a breaker that is open, and may try until 2 s.
fn with_turn_until_2_s(evidence: &Arc<Evidence>) -> VotesMachine {
    assert!(evidence.may_probe(at(0)).is_err());
    let (subject, process) = (StateKey::new(1), ProcessId::new(2 << 64));
    let mut machine = VotesMachine::new(VotesConfig::default(), subject, process, Arc::clone(evidence), 3, at(0));
    while let Some(send) = machine.poll_effect() {
        if matches!(send.command, StoreCommand::Probe(_)) {
            let answer = Ok(StoreReply::Probed(Probed::Mine));
            machine.handle_input(at(0), VotesInput::Answered { id: send.id, answer });
        }
    }
    assert_eq!(evidence.right(at(1)), Some(ProbeRight::Shared { until: at(2_000) }));
    machine
}
