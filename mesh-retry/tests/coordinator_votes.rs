//! Shared evidence: how a process votes, when votes lower its breaker's threshold, who may probe, and what is left when the
//! store is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use coordinator_support::{Bell, at, ms, refused};
use mesh_retry::breaker::{Breaker, BreakerConfig, OpenJitter, Reason, State, Verdict};
use mesh_retry::coordinator::store::{Probed, ProcessId, StateKey, StoreCommand, StoreFailure, StoreReply, Voted};
use mesh_retry::coordinator::votes::{Evidence, ProbeRight, VotesConfig, VotesEvent, VotesInput, VotesMachine};
use mesh_retry::coordinator::{Sending, StoreAnswer};
use mesh_retry::{Instant, Machine as _};

/// A process with one subject.
struct Process {
    evidence: Arc<Evidence>,
    machine: VotesMachine,
    bell: Arc<Bell>,
    now: Instant,
}

impl Process {
    fn new() -> Self {
        let (config, bell) = (VotesConfig::default(), Arc::new(Bell::default()));
        let evidence = Arc::new(Evidence::new(&config, bell.clone()));
        let machine = VotesMachine::new(config, SUBJECT, PROCESS, Arc::clone(&evidence), 1, at(1000));
        Self { evidence, machine, bell, now: at(1000) }
    }

    /// One whose first vote was answered.
    fn voted(live: u32, open: u32) -> Self {
        let mut process = Self::new();
        process.count(live, open);
        process
    }

    fn put(&mut self, input: VotesInput) {
        self.machine.handle_input(self.now, input);
    }

    fn answer(&mut self, send: &Sending, answer: StoreAnswer) {
        self.put(VotesInput::Answered { id: send.id, answer });
    }

    fn sent(&mut self) -> Sending {
        self.machine.poll_effect().unwrap()
    }

    /// Answers the vote that is cast now; returns whether it is for open.
    fn count(&mut self, live: u32, open: u32) -> bool {
        let send = self.sent();
        let StoreCommand::Vote(vote) = send.command else { panic!("{send:?}") };
        assert_eq!((vote.subject, vote.voter, vote.live_for), (SUBJECT, PROCESS, Duration::from_secs(15)));
        self.answer(&send, Ok(StoreReply::Voted(Voted { live, open })));
        assert!(matches!(self.machine.poll_event(), Some(VotesEvent::Counted { .. })));
        vote.open
    }

    fn event(&mut self) -> Option<VotesEvent> {
        self.machine.poll_event()
    }

    fn wait(&mut self) -> Duration {
        let due = self.machine.poll_timeout().unwrap().max(self.now);
        let passed = due - self.now;
        self.now = due;
        self.machine.handle_timeout(due);
        passed
    }

    /// The breaker asks for the probe; returns the command.
    fn ask(&mut self) -> Sending {
        assert_eq!(self.evidence.may_probe(self.now), Err(self.now + ms(1000)));
        assert_eq!(self.bell.rung(), 1);
        self.put(VotesInput::Woken);
        let send = self.sent();
        assert!(matches!(send.command, StoreCommand::Probe(_)), "{send:?}");
        send
    }

    fn lowered(&self) -> bool {
        self.evidence.lowered_to(self.now).is_some()
    }
}

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
fn one_process_gets_the_probe_renews_it_while_half_open_and_lets_go_when_that_is_decided() {
    let mut process = Process::voted(1, 0);
    process.put(VotesInput::Changed(State::Open));
    process.count(2, 2);
    process.event();
    let send = process.ask();
    let asked_at = process.now;
    process.now += ms(100);
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    let until = asked_at + ms(2000);
    assert_eq!(process.event(), Some(VotesEvent::Probe { right: ProbeRight::Shared { until } }));
    assert_eq!(process.evidence.may_probe(process.now), Ok(()));
    assert_eq!(process.evidence.may_probe(until - Duration::from_nanos(1)), Ok(()));
    process.put(VotesInput::Changed(State::HalfOpen));
    process.wait();
    assert_eq!(process.now, asked_at + ms(2000) / 3);
    let renewal = process.sent();
    assert_eq!(renewal.command, send.command, "the same holder");
    process.answer(&renewal, Ok(StoreReply::Probed(Probed::Mine)));
    assert_eq!((process.evidence.may_probe(until), process.event()), (Ok(()), None));
    process.put(VotesInput::Changed(State::Closed));
    let (vote, release) = (process.sent(), process.sent());
    assert!(matches!(vote.command, StoreCommand::Vote(vote) if !vote.open), "and says at once that it is well");
    let (StoreCommand::ReleaseProbe(release), StoreCommand::Probe(probe)) = (&release.command, &send.command) else {
        panic!("{release:?}")
    };
    assert_eq!(release.holder, probe.holder);
    assert!(process.evidence.may_probe(process.now).is_err(), "its turn is over");
}

#[test]
fn a_process_whose_probes_failed_lets_others_try() {
    let mut process = Process::voted(1, 0);
    let send = process.ask();
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    process.put(VotesInput::Changed(State::HalfOpen));
    assert!(matches!(process.sent().command, StoreCommand::Vote(_)));
    process.put(VotesInput::Changed(State::Open));
    assert!(matches!(process.sent().command, StoreCommand::ReleaseProbe(_)));
    assert_eq!(process.evidence.right(process.now), None);
}

#[test]
fn each_turn_has_another_holder_so_that_a_late_release_ends_no_other() {
    let mut process = Process::voted(1, 0);
    let mut holders = Vec::new();
    for _ in 0..3 {
        let send = process.ask();
        let StoreCommand::Probe(probe) = send.command else { panic!("a probe") };
        holders.push(probe.holder);
        process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
        process.put(VotesInput::Changed(State::Closed));
        let release = process.sent();
        process.answer(&release, Ok(StoreReply::Probed(Probed::Released)));
    }
    holders.dedup();
    assert_eq!(holders.len(), 3);
}

#[test]
fn a_probe_that_nobody_uses_is_let_go_of_at_the_end_of_its_lease() {
    let mut process = Process::voted(1, 0);
    let send = process.ask();
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    process.now += ms(1000);
    process.put(VotesInput::Woken);
    assert_eq!(process.machine.poll_effect(), None, "nor is it renewed");
    assert_eq!(process.wait(), ms(1000));
    assert!(matches!(process.sent().command, StoreCommand::ReleaseProbe(_)));
    assert_eq!(process.evidence.right(process.now), None);
}

#[test]
fn who_is_not_the_one_waits_for_the_others_lease_and_no_longer_than_his_own_would_be() {
    for (lease_left, waits) in [(ms(700), ms(700)), (Duration::from_secs(3600), ms(2000))] {
        let mut process = Process::voted(1, 0);
        let send = process.ask();
        process.answer(&send, Ok(StoreReply::Probed(Probed::Others { lease_left })));
        let until = process.now + waits;
        assert_eq!(process.event(), Some(VotesEvent::Probe { right: ProbeRight::Others { until } }));
        assert_eq!(process.evidence.may_probe(process.now), Err(until));
        assert_eq!(process.bell.rung(), 0, "nobody is asked meanwhile");
        process.now = until;
        process.ask();
    }
}

#[test]
fn without_the_store_each_process_probes_by_itself() {
    for answer in [Some(Err(StoreFailure::NotDone)), Some(Ok(StoreReply::Voted(Voted { live: 1, open: 1 }))), None] {
        let mut process = Process::voted(1, 0);
        let send = process.ask();
        match answer {
            Some(answer) => process.answer(&send, answer),
            None => assert_eq!(process.wait(), ms(500)),
        }
        let until = process.now + ms(2000);
        assert!(matches!(process.event(), Some(VotesEvent::Failed { .. })));
        assert_eq!(process.event(), Some(VotesEvent::Probe { right: ProbeRight::Local { until } }));
        assert_eq!(process.evidence.may_probe(process.now), Ok(()));
        process.now = until;
        process.ask();
    }
    let process = Process::voted(1, 0);
    assert!(process.evidence.may_probe(at(1000)).is_err());
    assert_eq!(process.evidence.may_probe(at(1999)), Err(at(2000)));
    assert_eq!(process.evidence.may_probe(at(2000)), Ok(()), "nor does a driver that has died keep it");
}

#[test]
fn a_subject_that_is_no_concern_any_more_is_let_go_of() {
    let mut process = Process::voted(3, 2);
    let send = process.ask();
    process.event();
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    process.put(VotesInput::Stop);
    assert!(matches!(process.sent().command, StoreCommand::ReleaseProbe(_)));
    assert!(!process.lowered());
    process.wait();
    process.put(VotesInput::Changed(State::Open));
    assert_eq!((process.machine.poll_effect(), process.machine.poll_timeout()), (None, None));
}

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
fn a_breaker_is_half_open_only_when_it_is_its_turn_and_by_itself_when_the_store_is_lost() {
    let mut process = Process::voted(1, 0);
    let breaker = Breaker::with_evidence(&BREAKER(), 1, Arc::clone(&process.evidence)).unwrap();
    for _ in 0..20 {
        let permit = breaker.permit(process.now).unwrap();
        breaker.record(process.now, permit, FAILED);
    }
    assert_eq!(process.bell.rung(), 0);
    process.now += ms(5000);
    let refused = breaker.permit(process.now).unwrap_err();
    assert_eq!((refused.state, refused.retry_at), (State::Open, Some(process.now + ms(1000))));
    assert_eq!(process.bell.rung(), 1);
    process.put(VotesInput::Woken);
    process.sent();
    let ask = process.sent();
    process.answer(&ask, Ok(StoreReply::Probed(Probed::Others { lease_left: ms(300) })));
    let refused = breaker.permit(process.now).unwrap_err();
    assert_eq!(refused.retry_at, Some(process.now + ms(300)));
    process.now += ms(300);
    let ask = process.ask();
    process.answer(&ask, Ok(StoreReply::Probed(Probed::Mine)));
    assert!(breaker.permit(process.now).unwrap().is_probe());
    assert_eq!(breaker.state(process.now), State::HalfOpen);
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

const BREAKER: fn() -> BreakerConfig = || {
    let mut config = BreakerConfig::consecutive(NonZeroU32::new(20).unwrap());
    config.open.jitter = OpenJitter::None;
    (config.open.base, config.open.max) = (ms(5000), ms(5000));
    config
};

const OK: Verdict = Verdict::Succeeded(ms(10));
const FAILED: Verdict = Verdict::Failed(ms(10));
const SUBJECT: StateKey = StateKey::new(1);
const PROCESS: ProcessId = ProcessId::new(2 << 64);
