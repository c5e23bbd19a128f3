//! Evidence that the breakers of a fleet share, on paused time: when votes lower a threshold, who tries whether the service
//! is well again, and what is left without the store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;
mod votes_world;

use std::time::Duration;

use mesh::mesh_cache::coordinator_store::CoordinatorStore as _;
use mesh::mesh_retry::coordinator::store::{Probe, Probed, ProcessId, StoreCommand, StoreReply};

use support::logs::Logs;
use support::{eventually, ms, pass, secs, settle};
use votes_world::{
    ALONE, BREAKER, EVIDENCE, FAILURES, Fleet, LOWERED, Mode, Process, RIGHTS, VOTES, service_subject, tasks,
};

#[tokio::test(start_paused = true)]
async fn a_quorum_lowers_the_threshold_of_a_process_that_has_seen_few_failures_of_its_own() {
    let fleet = Fleet::of_service().await;
    let processes = fleet.processes(3).await;
    let [first, second, third] = &processes[..] else { panic!() };
    first.open().await;
    pass(secs(5)).await;
    third.fail(ALONE - 1).await;
    assert_eq!((third.last(BREAKER), third.last(EVIDENCE)), (String::new(), String::new()), "one of three is none");
    assert!(third.call(|_| true).await);
    second.fail(ALONE - 1).await;
    assert_eq!(second.last(BREAKER), "", "nor are the failures of one");
    second.fail(1).await;
    settle().await;
    assert_eq!(second.last(VOTES), "2 of 3", "a vote that changes is cast at once");
    assert_eq!(second.last(EVIDENCE), "quorum by store");
    eventually("the third hears of it", async || third.last(EVIDENCE) == "quorum by store").await;
    third.fail(LOWERED - 1).await;
    assert_eq!(third.last(BREAKER), "");
    third.fail(1).await;
    assert_eq!(third.last(BREAKER), "closed to open by evidence");
}

#[tokio::test(start_paused = true)]
async fn a_path_that_is_well_for_a_process_is_never_opened_by_the_others() {
    let fleet = Fleet::of_service().await;
    let processes = fleet.processes(5).await;
    let Some((healthy, ill)) = processes.split_last() else { panic!() };
    for process in ill {
        process.open().await;
    }
    pass(secs(5)).await;
    assert_eq!(healthy.last(EVIDENCE), "quorum by store");
    for call in 0..600 {
        // Two failures in a row are what others hear of it and no more.
        assert_eq!(healthy.call(|_| call % 3 == 0).await, call % 3 == 0);
        pass(ms(50)).await;
        if call % 100 == 0 {
            // They are down all the while.
            for process in ill {
                process.fail(1).await;
            }
        }
    }
    assert!(healthy.notes.of(VOTES).len() > 5 && healthy.last(VOTES) == "4 of 5", "{}", healthy.last(VOTES));
    assert_eq!((healthy.last(EVIDENCE), healthy.last(BREAKER)), ("quorum by store".to_owned(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn one_process_alone_is_no_quorum_however_often_it_opens() {
    let fleet = Fleet::of_service().await;
    let process = fleet.process(1).await;
    for _ in 0..3 {
        process.open().await;
        assert_eq!(process.last(VOTES), "1 of 1");
        closes(&process, secs(1)).await;
        process.fail(ALONE - 1).await;
        assert_eq!(process.last(BREAKER), "half-open to closed by probes-passed");
        assert!(process.call(|_| true).await);
    }
    assert!(process.notes.of(EVIDENCE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_many_processes_one_at_a_time_tries_whether_the_service_is_well() {
    let fleet = Fleet::of_service().await;
    let processes = fleet.processes(6).await;
    for process in &processes {
        process.open().await;
    }
    // An attempt takes longer than a lease.
    fleet.callee.takes(secs(5));
    fleet.callee.reached();
    let callers: Vec<_> = processes.iter().cloned().map(|process| tokio::spawn(calls(process, false))).collect();
    pass(secs(9)).await;
    assert_eq!(fleet.callee.reached(), (1, 1), "since the first open time was over");
    pass(secs(40)).await;
    let (reached, at_once) = fleet.callee.reached();
    assert!((6..=10).contains(&reached) && at_once == 1, "{reached} tried, {at_once} at once");
    let shared: usize = processes.iter().map(|process| turns(process, "shared")).sum();
    assert!(shared >= 7 && processes.iter().all(|process| turns(process, "local") == 0), "{shared}");
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    // It is well again, and one after another finds out.
    fleet.callee.takes(ms(200));
    pass(secs(6)).await;
    fleet.callee.reached();
    let callers: Vec<_> = processes.iter().cloned().map(|process| tokio::spawn(calls(process, true))).collect();
    eventually("all have closed", async || {
        processes.iter().all(|process| process.last(BREAKER) == "half-open to closed by probes-passed")
    })
    .await;
    pass(secs(5)).await;
    assert!(processes.iter().all(|process| process.last(EVIDENCE) == "no quorum by store"));
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn who_finds_it_well_lets_the_next_one_try_at_once_and_who_finds_it_down_after_his_lease() {
    for is_well in [true, false] {
        let fleet = Fleet::of_service().await;
        let process = fleet.process(1).await;
        process.open().await;
        fleet.store.commands();
        eventually("it has tried", async || {
            process.call(|_| is_well).await;
            process.last(BREAKER).starts_with("half-open to")
        })
        .await;
        settle().await;
        assert_eq!(releases(&fleet), usize::from(is_well));
        if !is_well {
            assert!(matches!(probed(&fleet).await, Probed::Others { .. }));
            pass(secs(2)).await;
        }
        assert_eq!(probed(&fleet).await, Probed::Mine);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_store_breakers_are_local_and_with_it_again_they_are_not() {
    for (mode, word) in [(Mode::Refuses, "not-done"), (Mode::Silent, "unknown"), (Mode::Panics, "unknown")] {
        let fleet = Fleet::of_service().await;
        let processes = fleet.processes(3).await;
        let [first, second, third] = &processes[..] else { panic!() };
        for process in [first, second] {
            process.open().await;
        }
        eventually("there is a quorum", async || third.last(EVIDENCE) == "quorum by store").await;
        fleet.store.set(mode);
        pass(secs(16)).await;
        assert_eq!(third.last(EVIDENCE), "no quorum by silence");
        assert!(third.notes.of(FAILURES).iter().all(|failure| failure == word), "{:?}", third.notes.of(FAILURES));
        assert!(!third.notes.of(FAILURES).is_empty());
        third.fail(ALONE - 1).await;
        assert_eq!(third.last(BREAKER), "", "it goes by its own threshold");
        third.open().await;
        assert_eq!(third.last(BREAKER), "closed to open by failures-in-row");
        for process in &processes {
            closes(process, secs(2)).await;
            assert_eq!(process.last(RIGHTS), "local");
        }
        fleet.store.set(Mode::Answers);
        for process in [first, second] {
            process.open().await;
        }
        eventually("there is a quorum again", async || third.last(EVIDENCE) == "quorum by store").await;
        third.fail(LOWERED).await;
        assert_eq!(third.last(BREAKER), "closed to open by evidence");
        closes(third, secs(8)).await;
        assert_eq!(turns(third, "shared"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_calls_seldom_closes_its_breaker_all_the_same() {
    for mode in [Mode::Answers, Mode::Refuses, Mode::Silent] {
        let fleet = Fleet::of_service().await;
        let process = fleet.process(1).await;
        process.open().await;
        fleet.store.set(mode);
        let mut calls = 0;
        while process.last(BREAKER) != "half-open to closed by probes-passed" {
            pass(secs(30)).await;
            process.call(|_| true).await;
            calls += 1;
            assert!(calls <= 2, "{mode:?}: one to ask, and one to try");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_half_open_and_makes_no_calls_keeps_the_others_from_it_for_a_while_only() {
    let fleet = Fleet::of_service().await;
    let processes = fleet.processes(2).await;
    for process in &processes {
        process.open().await;
    }
    let [idle, busy] = &processes[..] else { panic!() };
    try_and_leave(&fleet, idle).await;
    fleet.callee.takes(ms(0));
    closes(busy, secs(30)).await;
    assert!(busy.notes.of(RIGHTS).contains(&"others".to_owned()), "{:?}", busy.notes.of(RIGHTS));
    assert_eq!(busy.last(RIGHTS), "shared");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_go_of_the_probe_and_leaves_no_task_whatever_the_store_does() {
    for (mode, grace, most) in [
        (Mode::Answers, secs(5), ms(0)),
        (Mode::Silent, secs(5), ms(1_001)),
        (Mode::Silent, ms(100), ms(100)),
        (Mode::Panics, secs(5), ms(1_001)),
    ] {
        let fleet = Fleet::of_service().await;
        let process = fleet.process(1).await;
        process.open().await;
        try_and_leave(&fleet, &process).await;
        assert!(matches!(probed(&fleet).await, Probed::Others { .. }), "it has it");
        fleet.store.set(mode);
        let began = fleet.lab.now();
        assert!(process.mesh.shutdown(grace).await.is_clean());
        let took = fleet.lab.now().since(began);
        assert!(took <= most, "{mode:?}: {took:?}");
        if mode == Mode::Answers {
            assert_eq!(probed(&fleet).await, Probed::Mine);
        }
        drop(process);
        settle().await;
        assert_eq!((tasks(), fleet.store.holders()), (0, 1), "{mode:?}: no task is left, nor a connection");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_from_one_zone_says_nothing_of_another() {
    let fleet = Fleet::of_service().await;
    let near = [fleet.process_in(1, Some("a")).await, fleet.process_in(2, Some("a")).await];
    let far = [fleet.process_in(3, Some("b")).await, fleet.process(4).await];
    for process in &near {
        process.open().await;
    }
    pass(secs(5)).await;
    assert_eq!(near.each_ref().map(|process| process.last(VOTES)), ["2 of 2", "2 of 2"]);
    for process in &far {
        assert_eq!((process.last(VOTES), process.last(EVIDENCE)), ("0 of 1".to_owned(), String::new()));
        process.fail(ALONE - 1).await;
        assert_eq!(process.last(BREAKER), "");
    }
}

#[tokio::test(start_paused = true)]
async fn the_recorder_and_the_log_are_told_of_votes() {
    let (logs, _listening) = Logs::listen_to(tracing::Level::INFO);
    let fleet = Fleet::of_service().await;
    let processes = fleet.processes(2).await;
    for process in &processes {
        process.open().await;
    }
    let [first, second] = &processes[..] else { panic!() };
    assert_eq!(first.notes.of(VOTES)[..2], ["0 of 1", "1 of 2"]);
    assert_eq!(second.notes.of(VOTES)[..2], ["0 of 2", "2 of 2"]);
    closes(second, secs(1)).await;
    pass(secs(5)).await;
    assert_eq!(second.notes.of(RIGHTS), ["shared"]);
    assert_eq!(second.notes.of(EVIDENCE), ["quorum by store", "no quorum by store"]);
    let text = logs.text();
    assert_eq!(text.matches("enough processes find it open service=api live=2 open=2").count(), 2, "{text}");
    assert_eq!(
        text.matches("too few processes are known to find it open service=api by=\"store\"").count(),
        2,
        "{text}"
    );
}

/// Calls until the breaker has closed, which takes no longer than its open time and `more`.
async fn closes(process: &Process, more: Duration) {
    let closed = async {
        while process.last(BREAKER) != "half-open to closed by probes-passed" {
            process.call(|_| true).await;
            tokio::time::sleep(ms(50)).await;
        }
    };
    let closed = tokio::time::timeout(secs(5) + more, closed).await;
    assert!(closed.is_ok(), "{:?}, {:?}", process.notes.of(BREAKER), process.notes.of(RIGHTS));
    settle().await;
}

/// Calls until the breaker is half-open, and leaves in the middle of that attempt, so that nothing is decided.
async fn try_and_leave(fleet: &Fleet, process: &Process) {
    fleet.callee.takes(secs(1_000));
    while !process.last(BREAKER).contains("half-open") {
        let _ = tokio::time::timeout(ms(50), process.call(|_| true)).await;
        pass(ms(50)).await;
    }
}

/// Calls, again and again.
async fn calls(process: Process, is_well: bool) {
    loop {
        process.call(|_| is_well).await;
        tokio::time::sleep(ms(50)).await;
    }
}

/// How often it was said of the process that it has this right.
fn turns(process: &Process, right: &str) -> usize {
    process.notes.of(RIGHTS).iter().filter(|word| *word == right).count()
}

/// How often a probe was let go of since this was asked last.
fn releases(fleet: &Fleet) -> usize {
    let commands = fleet.store.commands();
    commands.iter().filter(|command| matches!(command, StoreCommand::ReleaseProbe(_))).count()
}

/// Whether the probe of the service is free.
async fn probed(fleet: &Fleet) -> Probed {
    let probe = Probe { subject: service_subject(), holder: ProcessId::new(7), lease: ms(1) };
    let reply = fleet.store.apply(StoreCommand::Probe(probe)).await.unwrap();
    let StoreReply::Probed(probed) = reply else { panic!("{reply:?}") };
    probed
}
