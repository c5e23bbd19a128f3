//! Shared evidence: how a process votes, when votes lower its breaker's threshold, and what is left when the store is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use coordinator_support::voter::{BREAKER, FAILED, OK, PROCESS, Process, SUBJECT};
use coordinator_support::{Bell, at, ms, refused, store_time};
use mesh_retry::Machine as _;
use mesh_retry::breaker::{Breaker, Reason, State};
use mesh_retry::coordinator::store::{
    MemoryStore, Probed, ProcessId, StoreCommand, StoreFailure, StoreReply, Vote, Voted,
};
use mesh_retry::coordinator::votes::{Evidence, VotesConfig, VotesEvent, VotesInput, VotesMachine};

#[test]
fn a_process_votes_at_once_each_heartbeat_and_when_its_breaker_changes() {
    let mut process = Process::voted(1, 0);
    for _ in 0..20 {
        let waited = process.wait();
        assert!(ms(3750) <= waited && waited <= ms(5000), "{waited:?}");
        assert!(!process.count(1, 0));
    }
    process.now += ms(100);
    process.put(VotesInput::Changed(State::Open));
    assert!(process.count(1, 1), "at once");
    process.put(VotesInput::Changed(State::HalfOpen));
    assert_eq!(process.machine.poll_effect(), None, "which is as good as open");
    process.put(VotesInput::Changed(State::Closed));
    let under_way = process.sent();
    process.put(VotesInput::Changed(State::Open));
    assert_eq!(process.machine.poll_effect(), None, "one vote at a time");
    process.answer(&under_way, Ok(StoreReply::Voted(Voted { live: 1, open: 0 })));
    process.event();
    assert!(process.count(1, 1));
    for ordered in [State::ForcedOpen, State::Disabled, State::MetricsOnly] {
        process.put(VotesInput::Changed(State::Open));
        process.machine.poll_effect();
        process.put(VotesInput::Changed(ordered));
        process.wait();
        process.event();
        process.machine.poll_effect();
    }
}

#[test]
fn a_quorum_takes_two_and_more_than_half() {
    for (live, open, is_quorum) in [
        (1, 1, false),
        (2, 1, false),
        (2, 2, true),
        (3, 2, true),
        (4, 2, false),
        (5, 3, true),
        (6, 3, false),
        (0, 2, false),
        (1, 9, false),
        (u32::MAX, u32::MAX, true),
    ] {
        let mut process = Process::voted(live, open);
        assert_eq!(process.event().is_some(), is_quorum, "{open} of {live}");
        assert_eq!(process.lowered(), is_quorum, "{open} of {live}");
    }
    let mut config = VotesConfig::default();
    (config.open_min, config.share_milli) = (0, 0);
    assert!(config.validate().is_err());
    let evidence = Arc::new(Evidence::new(&config, Arc::new(Bell::default())));
    let mut machine = VotesMachine::new(config, SUBJECT, PROCESS, Arc::clone(&evidence), 1, at(0));
    let id = machine.poll_effect().unwrap().id;
    let answer = Ok(StoreReply::Voted(Voted { live: 1, open: 1 }));
    machine.handle_input(at(0), VotesInput::Answered { id, answer });
    assert_eq!(evidence.lowered_to(at(1)), None, "never one, whatever is configured");
}

#[test]
fn a_quorum_ends_when_the_store_says_so_and_some_time_after_it_is_silent() {
    let mut process = Process::voted(3, 2);
    assert_eq!(process.event(), Some(VotesEvent::Quorum { live: 3, open: 2 }));
    process.wait();
    process.count(3, 2);
    assert_eq!(process.event(), None, "told once");
    process.wait();
    process.count(4, 2);
    assert_eq!((process.event(), process.lowered()), (Some(VotesEvent::NoQuorum { by_store: true }), false));
    process.wait();
    let sent_at = process.now;
    let send = process.sent();
    process.now += ms(400);
    process.answer(&send, Ok(StoreReply::Voted(Voted { live: 2, open: 2 })));
    process.event();
    assert_eq!(process.event(), Some(VotesEvent::Quorum { live: 2, open: 2 }));
    let ended = loop {
        assert!(process.lowered());
        process.wait();
        process.machine.poll_effect();
        match process.event() {
            Some(VotesEvent::Failed { failure: StoreFailure::Unknown }) | None => {}
            Some(event) => break event,
        }
    };
    assert_eq!(ended, VotesEvent::NoQuorum { by_store: false });
    assert_eq!((process.now, process.lowered()), (sent_at + Duration::from_secs(15), false));
}

#[test]
fn a_vote_that_failed_is_cast_again_soon() {
    let mut process = Process::new();
    let send = process.sent();
    process.answer(&send, Err(StoreFailure::NotDone));
    assert_eq!(process.event(), Some(VotesEvent::Failed { failure: StoreFailure::NotDone }));
    assert_eq!(process.wait(), ms(1250));
    assert!(!process.count(1, 0));
}

#[test]
fn a_subject_that_is_no_concern_any_more_is_let_go_of_and_voted_on_for_the_last_time() {
    let mut process = Process::voted(3, 2);
    let send = process.ask();
    process.event();
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    process.event();
    process.put(VotesInput::Changed(State::HalfOpen));
    assert!(process.count(3, 3));
    process.put(VotesInput::Stop);
    let (last, release) = (process.sent(), process.sent());
    assert_eq!(last.command, LAST);
    assert!(matches!(release.command, StoreCommand::ReleaseProbe(_)));
    assert!(!process.lowered());
    process.answer(&last, Ok(StoreReply::Voted(Voted { live: 3, open: 3 })));
    assert_eq!((process.event(), process.lowered()), (None, false), "what others think is no concern any more");
    process.wait();
    process.event();
    for input in [VotesInput::Changed(State::Open), VotesInput::Stop] {
        process.put(input);
        assert_eq!((process.machine.poll_effect(), process.machine.poll_timeout()), (None, None));
    }
}

#[test]
fn a_last_vote_waits_for_the_one_under_way_and_is_cast_once() {
    let mut process = Process::voted(1, 0);
    process.put(VotesInput::Changed(State::Open));
    let under_way = process.sent();
    process.put(VotesInput::Stop);
    assert_eq!(process.machine.poll_effect(), None, "one vote at a time, in their order");
    process.answer(&under_way, Ok(StoreReply::Voted(Voted { live: 3, open: 3 })));
    assert_eq!((process.event(), process.lowered()), (None, false));
    let last = process.sent();
    assert_eq!(last.command, LAST);
    process.answer(&last, Err(StoreFailure::NotDone));
    assert_eq!(process.event(), Some(VotesEvent::Failed { failure: StoreFailure::NotDone }));
    assert_eq!((process.machine.poll_effect(), process.machine.poll_timeout()), (None, None));
    let mut silent = Process::new();
    silent.sent();
    silent.put(VotesInput::Stop);
    assert_eq!(silent.wait(), ms(500));
    assert_eq!(silent.sent().command, LAST, "nor is one waited for without end that is not answered");
    assert_eq!(silent.wait(), ms(500));
    assert_eq!((silent.machine.poll_effect(), silent.machine.poll_timeout()), (None, None));
}

#[test]
fn a_process_that_was_stopped_is_one_voter_when_it_is_there_again_and_one_that_crashed_is_two_until_its_vote_ends() {
    for (stops, live) in [(true, 1), (false, 2)] {
        let mut store = MemoryStore::new();
        let mut process = Process::new();
        process.put(VotesInput::Changed(State::Open));
        carry_out(&mut process, &mut store);
        carry_out(&mut process, &mut store);
        process.now += ms(1000);
        if stops {
            process.put(VotesInput::Stop);
            carry_out(&mut process, &mut store);
        }
        let mut vote = |at, open| {
            let vote = Vote { subject: SUBJECT, voter: ProcessId::new(3 << 64), open, live_for: ms(15_000) };
            store.apply(store_time(at), &StoreCommand::Vote(vote))
        };
        let again = process.now + ms(1);
        assert_eq!(vote(again, true), StoreReply::Voted(Voted { live, open: live }), "{stops}");
        let later = process.now + ms(14_000);
        assert_eq!(vote(later, false), StoreReply::Voted(Voted { live: 1, open: 0 }), "{stops}");
    }
}

/// Lets the store answer what the process sends.
fn carry_out(process: &mut Process, store: &mut MemoryStore) {
    let send = process.sent();
    let reply = store.apply(store_time(process.now), &send.command);
    process.answer(&send, Ok(reply));
}

/// The vote of a process that goes.
const LAST: StoreCommand = StoreCommand::Vote(Vote { subject: SUBJECT, voter: PROCESS, open: false, live_for: ms(1) });

#[test]
fn a_breaker_opens_after_fewer_failures_of_its_own_while_there_is_a_quorum_and_never_without_one_of_its_own() {
    let mut process = Process::voted(3, 2);
    let breaker = Breaker::with_evidence(&BREAKER(), 1, Arc::clone(&process.evidence)).unwrap();
    let end = |process: &Process, verdict| {
        let permit = breaker.permit(process.now).unwrap();
        breaker.record(process.now, permit, verdict)
    };
    for _ in 0..1000 {
        assert_eq!(end(&process, OK), None, "it is well for this process");
        assert_eq!(end(&process, FAILED), None);
        assert_eq!(end(&process, FAILED), None);
    }
    assert_eq!(end(&process, OK), None);
    process.wait();
    process.event();
    process.count(3, 1);
    for _ in 0..19 {
        assert_eq!(end(&process, FAILED), None, "20 without a quorum");
    }
    process.wait();
    process.event();
    process.count(3, 2);
    assert_eq!(end(&process, OK), None);
    let opened = [FAILED; 3].map(|verdict| end(&process, verdict));
    assert_eq!(opened.map(|told| told.map(|told| told.reason)), [None, None, Some(Reason::Evidence { failures: 3 })]);
    assert_eq!(Reason::Evidence { failures: 3 }.name(), "evidence");
}

#[test]
fn a_configuration_is_checked_field_by_field() {
    let check = |change: fn(&mut VotesConfig)| {
        let mut config = VotesConfig::default();
        change(&mut config);
        refused(config.validate())
    };
    assert_eq!(check(|_| {}), None);
    assert_eq!(check(|config| config.open_min = 1), Some("open_min"));
    assert_eq!(check(|config| config.share_milli = 1000), Some("share_milli"));
    assert_eq!(check(|config| config.heartbeat = ms(99)), Some("heartbeat"));
    assert_eq!(check(|config| config.live_for = ms(9_999)), Some("live_for"));
    assert_eq!(check(|config| config.probe_lease = ms(99)), Some("probe_lease"));
    assert_eq!(check(|config| config.reply_within = ms(1_001)), Some("reply_within"));
    let config: VotesConfig = serde_json::from_str(r#"{"lowered_to":1,"heartbeat":"1s"}"#).unwrap();
    assert_eq!((config.lowered_to, config.heartbeat), (NonZeroU32::MIN, ms(1000)));
}
