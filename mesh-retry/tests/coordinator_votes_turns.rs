//! Whose turn it is to try a subject: who has the shared probe, for how long, and what those do who have it not, who call
//! seldom, or who have lost the store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::sync::Arc;
use std::time::Duration;

use coordinator_support::voter::{BREAKER, FAILED, Process};
use coordinator_support::{at, ms};
use mesh_retry::Machine as _;
use mesh_retry::breaker::{Breaker, State};
use mesh_retry::call::Gate as _;
use mesh_retry::coordinator::store::{Probed, ProcessId, StoreCommand, StoreFailure, StoreReply, Voted};
use mesh_retry::coordinator::votes::{ProbeRight, VotesEvent, VotesInput};

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
fn a_process_whose_probes_failed_keeps_the_others_off_until_its_lease_ends() {
    let mut process = Process::voted(1, 0);
    let send = process.ask();
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    process.put(VotesInput::Changed(State::HalfOpen));
    assert!(matches!(process.sent().command, StoreCommand::Vote(_)));
    process.put(VotesInput::Changed(State::Open));
    assert_eq!(process.machine.poll_effect(), None, "it does not let go");
    assert_eq!(process.evidence.right(process.now), None);
    assert!(process.evidence.may_probe(process.now).is_err(), "its own turn is over");
    let again = process.ask();
    assert_ne!(again.command, send.command, "the next is another turn");
}

#[test]
fn each_turn_has_another_holder_so_that_a_late_release_ends_no_other() {
    let mut holders: Vec<ProcessId> = Vec::new();
    // What a process remembers of a subject may go and come again.
    for seed in [1, 2] {
        let mut process = Process::seeded(seed);
        process.count(1, 0);
        for _ in 0..3 {
            let send = process.ask();
            let StoreCommand::Probe(probe) = send.command else { panic!("a probe") };
            holders.push(probe.holder);
            process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
            process.put(VotesInput::Changed(State::Closed));
            let release = process.sent();
            process.answer(&release, Ok(StoreReply::Probed(Probed::Released)));
        }
    }
    holders.sort_unstable();
    holders.dedup();
    assert_eq!(holders.len(), 6);
}

#[test]
fn a_probe_that_nobody_uses_is_let_go_of_at_the_end_of_its_lease_and_who_calls_so_seldom_goes_alone() {
    let mut process = Process::voted(1, 0);
    let send = process.ask();
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    process.now += ms(1000);
    process.put(VotesInput::Woken);
    assert_eq!(process.machine.poll_effect(), None, "nor is it renewed");
    process.event();
    assert_eq!(process.wait(), ms(1000));
    assert!(matches!(process.sent().command, StoreCommand::ReleaseProbe(_)));
    assert_eq!(process.event(), Some(VotesEvent::Probe { right: ProbeRight::Local }));
    process.now += Duration::from_secs(3600);
    assert_eq!(process.evidence.may_probe(process.now), Ok(()), "its next call comes when it comes");
    assert_eq!(process.bell.rung(), 0);
    process.put(VotesInput::Changed(State::HalfOpen));
    assert_eq!(process.evidence.right(process.now), Some(ProbeRight::Local));
    process.put(VotesInput::Changed(State::Open));
    assert_eq!(process.evidence.right(process.now), None);
    assert!(process.evidence.may_probe(process.now).is_err(), "the next time it asks again");
}

#[test]
fn a_process_that_is_half_open_and_makes_no_calls_does_not_keep_the_others_from_it_for_ever() {
    let mut process = Process::voted(1, 0);
    let send = process.ask();
    let asked_at = process.now;
    process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
    process.put(VotesInput::Changed(State::HalfOpen));
    let mut renewals = 0;
    loop {
        process.wait();
        let mut released = false;
        while let Some(send) = process.machine.poll_effect() {
            if matches!(send.command, StoreCommand::Probe(_)) {
                renewals += 1;
                process.answer(&send, Ok(StoreReply::Probed(Probed::Mine)));
            }
            released |= matches!(send.command, StoreCommand::ReleaseProbe(_));
        }
        if released {
            break;
        }
    }
    let held = process.now - asked_at;
    assert!(ms(18_000) < held && held <= ms(20_000), "ten leases at most, and it was {held:?}");
    assert!((26..=27).contains(&renewals), "{renewals}");
    assert_eq!(process.evidence.right(process.now), None, "what it lets go of is no right of its own");
}

#[test]
fn who_is_not_the_one_asks_again_long_before_the_others_lease_is_over_and_not_when_all_others_do() {
    let mut waits = Vec::new();
    for seed in 0..50 {
        for lease_left in [ms(2000), Duration::from_secs(3600), ms(130), ms(7)] {
            let mut process = Process::seeded(seed);
            process.count(1, 0);
            let send = process.ask();
            process.answer(&send, Ok(StoreReply::Probed(Probed::Others { lease_left })));
            let Err(until) = process.evidence.may_probe(process.now) else { panic!("it is another's turn") };
            assert_eq!(process.event(), Some(VotesEvent::Probe { right: ProbeRight::Others { until } }));
            let waited = until - process.now;
            assert!(ms(125).min(lease_left) <= waited && waited <= ms(250).min(lease_left), "{waited:?}");
            assert_eq!(process.bell.rung(), 0, "nobody is asked meanwhile");
            process.now = until;
            process.ask();
            waits.extend((lease_left == ms(2000)).then_some(waited));
        }
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 40 && waits[5] < ms(160) && waits[waits.len() - 5] > ms(215), "{waits:?}");
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
        assert!(matches!(process.event(), Some(VotesEvent::Failed { .. })));
        assert_eq!(process.event(), Some(VotesEvent::Probe { right: ProbeRight::Local }));
        process.now += Duration::from_secs(3600);
        assert_eq!(process.evidence.may_probe(process.now), Ok(()), "however seldom it calls");
        process.put(VotesInput::Changed(State::HalfOpen));
        process.put(VotesInput::Changed(State::Open));
        assert!(process.evidence.may_probe(process.now).is_err(), "the store may be there the next time");
    }
    let process = Process::voted(1, 0);
    assert!(process.evidence.may_probe(at(1000)).is_err());
    assert_eq!(process.evidence.may_probe(at(1999)), Err(at(2000)));
    assert_eq!(process.evidence.may_probe(at(2000)), Ok(()), "nor does a driver that has died keep it");
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
    assert_eq!((breaker.refusal(process.now), breaker.shut(process.now)), (None, None), "to ask may help");
    let refused = breaker.permit(process.now).unwrap_err();
    assert_eq!(breaker.refusal(process.now), Some(refused));
    assert_eq!(breaker.shut(process.now).unwrap().opens_at, refused.retry_at);
    assert_eq!((refused.state, refused.retry_at), (State::Open, Some(process.now + ms(1000))));
    assert_eq!(process.bell.rung(), 1);
    process.put(VotesInput::Woken);
    process.sent();
    let ask = process.sent();
    process.answer(&ask, Ok(StoreReply::Probed(Probed::Others { lease_left: ms(100) })));
    let refused = breaker.permit(process.now).unwrap_err();
    assert_eq!(refused.retry_at, Some(process.now + ms(100)));
    assert_eq!(breaker.refusal(process.now), Some(refused));
    assert_eq!(breaker.shut(process.now).unwrap().opens_at, refused.retry_at);
    assert_eq!(process.bell.rung(), 0, "to look asks nobody");
    process.now += ms(100);
    let ask = process.ask();
    process.answer(&ask, Ok(StoreReply::Probed(Probed::Mine)));
    assert_eq!((breaker.refusal(process.now), breaker.shut(process.now)), (None, None));
    assert!(breaker.permit(process.now).unwrap().is_probe());
    assert_eq!(breaker.state(process.now), State::HalfOpen);
}
