//! The rules of following a service, one a test, without a network and without time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::Arc;
use std::time::Duration;

use mesh_consul::mesh_core::machine::Machine as _;
use mesh_consul::mesh_core::machine::laws::{World, assert_hold};
use mesh_consul::mesh_core::rng::Rng;
use mesh_consul::mesh_core::service::Instance;
use mesh_consul::mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use mesh_consul::mesh_core::time::Instant;
use mesh_consul::watch::{
    QueryId, WatchAnswer, WatchConfig, WatchEffect, WatchInput, WatchMachine, WatchMode, WatchUpdate,
};
use mesh_consul::{ConsulError, Index};
use proptest::prelude::*;

#[test]
fn it_reads_first_and_then_blocks_on_the_index_it_was_given() {
    let mut run = Run::new();
    assert_eq!(run.asked(), None);
    run.answer(ok(42, &[1]));
    assert_eq!(run.said(), ["changed [1]"]);
    assert_eq!(run.asked(), Some((42, Duration::from_secs(55))));
}

#[test]
fn contents_are_compared_and_not_indices() {
    let mut run = Run::new();
    run.answer(ok(42, &[1]));
    run.after(Duration::from_secs(3), ok(43, &[1]));
    run.after(Duration::from_secs(3), ok(43, &[1, 2]));
    assert_eq!(run.said(), ["changed [1]", "confirmed", "changed [1, 2]"]);
}

#[test]
fn after_any_failure_it_reads_without_an_index() {
    for error in [failure(500, "rpc error making call: EOF"), failure(429, "slow down"), failure(403, "no")] {
        let mut run = Run::new();
        run.answer(ok(42, &[1]));
        assert!(run.asked().is_some());
        run.answer(Err(error));
        assert_eq!(run.asked(), None);
        // The equal index of an agent that started again, with other contents.
        run.answer(ok(42, &[]));
        assert!(run.said().contains(&"changed []".to_owned()));
    }
}

#[test]
fn an_index_that_falls_is_not_blocked_on() {
    let mut run = Run::new();
    run.answer(ok(42, &[1]));
    assert!(run.asked().is_some());
    run.after(Duration::from_secs(3), ok(12, &[1]));
    assert_eq!(run.asked(), None);
    run.answer(ok(12, &[1]));
    assert_eq!(run.asked().map(|(index, _)| index), Some(12));
}

#[test]
fn an_answer_without_an_index_is_polled_and_not_spun_on() {
    let mut run = Run::new();
    for _ in 0..10 {
        run.answer(Ok(WatchAnswer { index: None, ..good(1, &[1]) }));
        assert_eq!(run.asked(), None);
    }
    assert!(run.now >= Instant::from_millis(90_000), "{:?}", run.now);
}

#[test]
fn an_index_is_at_least_one_and_garbage_is_none() {
    let number = |text| Index::parse(text).map(Index::get);
    assert_eq!(number("0"), Some(1));
    assert_eq!(number("18446744073709551615"), Some(u64::MAX));
    for garbage in ["", "-1", "abc", "18446744073709551616", "1.5"] {
        assert_eq!(number(garbage), None, "{garbage}");
    }
}

#[test]
fn returns_at_once_without_a_change_are_braked_to_one_a_second() {
    let mut run = Run::new();
    for _ in 0..100 {
        run.answer(ok(42, &[1]));
        run.asked();
    }
    assert!(run.now >= Instant::from_millis(90_000), "{:?}", run.now);
}

#[test]
fn changes_come_at_most_five_a_second_after_a_burst_of_two() {
    let mut run = Run::new();
    let mut asked_at = vec![run.now];
    for change in 1..=20 {
        run.answer(ok(u64::from(change), &[change]));
        run.asked();
        asked_at.push(run.now);
    }
    assert_eq!(asked_at[1], asked_at[0]);
    assert_eq!(asked_at[20], Instant::from_millis(19 * 200));
}

#[test]
fn after_an_early_return_without_a_change_it_blocks_briefly() {
    let mut run = Run::new();
    run.answer(ok(42, &[1]));
    run.asked();
    // What an agent sends that shuts down.
    run.after(Duration::from_secs(3), ok(42, &[1]));
    assert_eq!(run.asked(), Some((42, Duration::from_secs(2))));
    run.after(Duration::from_secs(2), ok(42, &[1]));
    assert_eq!(run.asked(), Some((42, Duration::from_secs(55))));
}

#[test]
fn the_patience_for_a_blocking_query_is_its_wait_a_sixteenth_and_ten_seconds() {
    let mut run = Run::new();
    run.answer(ok(42, &[1]));
    run.asked();
    let asked_at = run.now;
    run.time_out();
    let waited = run.now.since(asked_at);
    assert_eq!(waited, Duration::from_secs(65) + Duration::from_secs(55) / 16);
    assert_eq!(run.said().last().map(String::as_str), Some("failed transient"));
    assert_eq!(run.asked(), None);
}

#[test]
fn failures_back_off_by_their_class() {
    for (error, least, most) in [
        (failure(500, "No cluster leader"), Duration::from_millis(10), Duration::from_millis(100)),
        (failure(403, "Permission denied"), Duration::from_secs(10), Duration::from_secs(20)),
        (failure(400, "Invalid index"), Duration::from_secs(30), Duration::from_secs(30)),
        (failure(429, "too many"), Duration::from_secs(5), Duration::from_secs(10)),
    ] {
        let mut run = Run::new();
        let before = run.now;
        run.answer(Err(error.clone()));
        run.asked();
        let waited = run.now.since(before);
        assert!((least..=most).contains(&waited), "{error:?}: {waited:?}");
    }
    // And doubles up to its bound.
    let mut run = Run::new();
    for _ in 0..200 {
        let before = run.now;
        run.answer(Err(failure(500, "EOF")));
        run.asked();
        assert!(run.now.since(before) <= Duration::from_secs(10));
    }
    assert!(run.now > Instant::from_millis(200 * 3000), "full jitter below 10 s is 5 s on average: {:?}", run.now);
}

#[test]
fn without_a_leader_nobody_is_believed_to_have_left() {
    let mut run = Run::new();
    run.answer(ok(42, &[1, 2]));
    run.asked();
    let leaderless = |members: &[u16]| Ok(WatchAnswer { known_leader: false, ..good(43, members) });
    run.after(Duration::from_secs(3), leaderless(&[1]));
    run.answer(leaderless(&[1, 2, 3]));
    assert_eq!(run.said(), ["changed [1, 2]", "held", "changed [1, 2, 3]"]);
    run.answer(ok(44, &[1]));
    assert_eq!(run.said().last().map(String::as_str), Some("changed [1]"));
}

#[test]
fn a_first_answer_without_a_leader_is_better_than_none() {
    let mut run = Run::new();
    run.answer(Ok(WatchAnswer { known_leader: false, last_contact: Duration::from_secs(81), ..good(1, &[1]) }));
    assert_eq!(run.said(), ["changed [1]"]);
}

#[test]
fn an_old_answer_is_checked_with_the_leader_and_taken_if_that_fails() {
    let old = || Ok(WatchAnswer { last_contact: Duration::from_secs(11), ..good(7, &[1]) });
    let mut run = Run::new();
    run.answer(old());
    assert_eq!((run.said().len(), run.asked(), run.strict), (0, None, true));
    run.answer(ok(9, &[1, 2]));
    assert_eq!(run.said(), ["changed [1, 2]"]);
    let mut run = Run::new();
    run.answer(old());
    run.asked();
    run.answer(Err(failure(500, "No cluster leader")));
    assert_eq!(run.said(), ["changed [1]"]);
}

#[test]
fn a_server_that_is_behind_another_is_not_believed_that_somebody_left_unless_the_leader_says_so() {
    for (leader, said) in [
        (ok(44, &[1, 2]), ["changed [1, 2]", "failed transient", "confirmed"]),
        (ok(12, &[]), ["changed [1, 2]", "failed transient", "changed []"]),
        (Err(failure(500, "No cluster leader")), ["changed [1, 2]", "failed transient", "held"]),
    ] {
        let mut run = Run::new();
        run.answer(ok(42, &[1, 2]));
        run.answer(Err(failure(500, "rpc error making call: EOF")));
        run.answer(ok(41, &[1]));
        run.asked();
        assert!(run.strict);
        run.answer(leader);
        assert_eq!(run.said(), said);
    }
}

#[test]
fn polling_never_blocks() {
    let mut run = Run::of(WatchMode::Polling);
    for _ in 0..5 {
        let before = run.now;
        run.answer(ok(42, &[1]));
        assert_eq!(run.asked(), None);
        let waited = run.now.since(before);
        assert!((Duration::from_secs(10)..=Duration::from_secs(11)).contains(&waited), "{waited:?}");
    }
}

#[test]
fn a_late_answer_is_ignored_and_counted() {
    let mut run = Run::new();
    let late = run.op;
    run.time_out();
    run.machine.handle_input(run.now, WatchInput::Answered { op: late, result: ok(42, &[1]) });
    assert_eq!((run.machine.ignored(), run.said()), (1, vec!["failed transient".to_owned()]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_of_machines_hold(seed: u64) {
        let world = World { script: vec![], answer: &any_answer, until: Instant::from_millis(300_000), seed };
        assert_hold(|| WatchMachine::new(WatchConfig::default(), WatchMode::Blocking, seed, Instant::ZERO), &world);
    }
}

/// An answer of any kind, early, late or never.
fn any_answer(effect: &WatchEffect, rng: &mut Rng) -> Option<(Duration, WatchInput)> {
    let WatchEffect::Query { op, .. } = effect;
    let members: Vec<u16> = (1..=3).filter(|_| rng.below(3) > 0).collect();
    let result = match rng.below(6) {
        0 => Err(failure(500, "EOF")),
        1 => Err(failure(403, "Permission denied")),
        2 => Ok(WatchAnswer { known_leader: false, ..good(rng.below(50), &members) }),
        3 => Ok(WatchAnswer { last_contact: Duration::from_secs(30), ..good(rng.below(50), &members) }),
        4 => return None,
        _ => Ok(good(rng.below(50), &members)),
    };
    Some((rng.up_to(Duration::from_secs(100)), WatchInput::Answered { op: *op, result }))
}

/// A machine and its time, which passes as the machine wants it to.
struct Run {
    machine: WatchMachine,
    now: Instant,
    op: QueryId,
    block: Option<(Index, Duration)>,
    strict: bool,
    /// Whether a query waits for its answer.
    waits: bool,
    said: Vec<String>,
}

impl Run {
    fn new() -> Self {
        Self::of(WatchMode::Blocking)
    }

    fn of(mode: WatchMode) -> Self {
        let now = Instant::ZERO;
        let mut machine = WatchMachine::new(WatchConfig::default(), mode, 7, now);
        let Some(WatchEffect::Query { op, block, strict, .. }) = machine.poll_effect() else { unreachable!() };
        Self { machine, now, op, block, strict, waits: true, said: vec![] }
    }

    /// Lets time pass until a query is under way, and says what it blocks on.
    fn asked(&mut self) -> Option<(u64, Duration)> {
        while !self.waits {
            if let Some(WatchEffect::Query { op, block, strict, .. }) = self.machine.poll_effect() {
                (self.op, self.block, self.strict, self.waits) = (op, block, strict, true);
            } else {
                self.time_out();
            }
        }
        self.block.map(|(index, wait)| (index.get(), wait))
    }

    /// Answers the query that is under way, or the next one.
    fn answer(&mut self, result: Result<WatchAnswer, ConsulError>) {
        self.after(Duration::ZERO, result);
    }

    /// As `answer`, so much after it was asked.
    fn after(&mut self, delay: Duration, result: Result<WatchAnswer, ConsulError>) {
        self.asked();
        self.now += delay;
        self.waits = false;
        self.machine.handle_input(self.now, WatchInput::Answered { op: self.op, result });
    }

    /// Lets time pass until the machine's next deadline.
    fn time_out(&mut self) {
        self.now = self.machine.poll_timeout().unwrap_or(self.now);
        self.waits = false;
        self.machine.handle_timeout(self.now);
    }

    /// All that was said so far.
    fn said(&mut self) -> Vec<String> {
        while let Some(update) = self.machine.poll_event() {
            self.said.push(match update {
                WatchUpdate::Changed(snapshot) => {
                    let ports: Vec<u16> = snapshot.iter().map(|entry| entry.instance().port()).collect();
                    format!("changed {ports:?}")
                }
                WatchUpdate::Confirmed => "confirmed".to_owned(),
                WatchUpdate::Held => "held".to_owned(),
                WatchUpdate::Failed(error) => format!("failed {}", error.class()),
                other => format!("{other:?}"),
            });
        }
        self.said.clone()
    }
}

fn ok(index: u64, ports: &[u16]) -> Result<WatchAnswer, ConsulError> {
    Ok(good(index, ports))
}

fn good(index: u64, ports: &[u16]) -> WatchAnswer {
    let entry = |port: &u16| {
        let built = Instance::builder("web", "10.0.0.1", *port).build();
        built.ok().map(|instance| Entry::new(Arc::new(instance), RegistryStatus::Passing, None))
    };
    WatchAnswer {
        index: Index::parse(&index.to_string()),
        known_leader: true,
        last_contact: Duration::ZERO,
        snapshot: Arc::new(Snapshot::new(ports.iter().filter_map(entry).collect())),
    }
}

fn failure(status: u16, body: &str) -> ConsulError {
    ConsulError::of_answer("read health", status, body.as_bytes(), None)
}
