//! The rules of keeping a connection, one a test, without a network and without time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::redis::link::{LinkInput, Phase};
use mesh_cache::redis::{ConnectFailure, Epoch, Unfit};
use mesh_core::time::Instant;
use redis_support::run::{Run, timed_out};

#[test]
fn it_connects_at_once_and_is_up_when_the_connection_is_ready() {
    let mut run = Run::new();
    assert_eq!((run.asked(), run.machine.phase()), (vec!["connect 1".to_owned()], Phase::Connecting));
    run.put(LinkInput::Connected { attempt: Epoch::new(1) });
    assert_eq!(
        (run.said(), run.machine.phase(), run.machine.up()),
        (vec!["up 1".into()], Phase::Up, Some(Epoch::new(1)))
    );
}

#[test]
fn three_time_outs_in_a_row_end_the_connection_and_none_before() {
    let mut run = Run::up();
    for _ in 0..2 {
        run.time_out();
    }
    assert_eq!((run.asked(), run.said()), (vec![], vec![]));
    run.time_out();
    assert_eq!(run.machine.phase(), Phase::Suspect);
    assert_eq!((run.asked(), run.said()), (vec!["abandon 1".into()], vec!["down 1 silent".into()]));
}

#[test]
fn an_answer_takes_the_suspicion_away() {
    let mut run = Run::up();
    for _ in 0..10 {
        run.time_out();
        run.time_out();
        run.put(LinkInput::CallAnswered { epoch: Epoch::new(1) });
    }
    assert_eq!((run.machine.phase(), run.machine.counters().timeouts), (Phase::Up, 20));
}

#[test]
fn calls_that_wait_side_by_side_count_as_one() {
    let mut run = Run::up();
    let began = run.now;
    run.pass(Duration::from_millis(50));
    for _ in 0..200 {
        run.put(timed_out(began, 50));
    }
    assert_eq!((run.machine.phase(), run.machine.counters().timeouts), (Phase::Up, 1));
}

#[test]
fn a_call_that_hardly_waited_is_no_sign() {
    let mut run = Run::up();
    for _ in 0..100 {
        run.pass(Duration::from_millis(5));
        run.put(timed_out(run.now, 5));
    }
    assert_eq!((run.machine.phase(), run.machine.counters().timeouts), (Phase::Up, 0));
}

#[test]
fn a_ping_is_sent_every_second_and_one_that_is_missed_ends_the_connection() {
    let (mut run, mut pause) = (Run::up(), Duration::from_secs(1));
    for number in 0..3 {
        run.pass(pause);
        assert_eq!(run.asked(), [format!("ping {number}")]);
        run.pass(Duration::from_millis(10));
        let ping = run.ping.unwrap();
        run.put(LinkInput::Pong { ping });
        pause = Duration::from_millis(990);
    }
    run.pass(pause);
    assert_eq!(run.asked(), ["ping 3"]);
    run.pass(Duration::from_millis(499));
    assert_eq!(run.machine.phase(), Phase::Up);
    run.pass(Duration::from_millis(1));
    assert_eq!((run.machine.phase(), run.said()), (Phase::Suspect, vec!["down 1 ping-missed".to_owned()]));
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up() {
    let mut run = Run::new();
    run.asked();
    run.pass(Duration::from_millis(1999));
    assert_eq!(run.asked(), Vec::<String>::new());
    run.pass(Duration::from_millis(1));
    assert_eq!(run.asked().first().map(String::as_str), Some("cancel 1"));
    assert_eq!(run.said(), ["still down connect-timed-out"]);
    run.put(LinkInput::Connected { attempt: Epoch::new(1) });
    assert_eq!((run.machine.up(), run.machine.counters().ignored), (None, 1));
}

#[test]
fn waits_grow_with_each_attempt_and_never_beyond_their_bound() {
    for seed in 0..50 {
        let mut run = Run::with_seed(seed);
        for attempt in 1..12_u32 {
            run.put(LinkInput::ConnectFailed {
                attempt: Epoch::new(attempt.into()),
                failure: ConnectFailure::Unreachable,
            });
            let waited = run.until_connect();
            let most = Duration::from_millis(100 << (attempt - 1).min(10)).min(Duration::from_secs(10));
            assert!(waited <= most, "seed {seed}, attempt {attempt}: {waited:?}");
        }
    }
}

#[test]
fn a_server_that_accepts_and_fails_is_not_hammered() {
    let mut run = Run::new();
    let mut attempts = 0;
    while run.now < Instant::from_millis(120_000) {
        attempts += 1;
        run.put(LinkInput::Connected { attempt: run.attempt });
        run.pass(Duration::from_secs(1));
        run.put(LinkInput::Closed { epoch: run.attempt });
        run.until_connect();
    }
    assert!(attempts < 40, "{attempts} attempts in 120 s");
}

#[test]
fn after_a_stable_connection_the_next_one_is_made_soon() {
    for seed in 0..50 {
        let mut run = Run::with_seed(seed);
        for _ in 0..10 {
            run.put(LinkInput::ConnectFailed { attempt: run.attempt, failure: ConnectFailure::Unreachable });
            run.until_connect();
        }
        run.put(LinkInput::Connected { attempt: run.attempt });
        for _ in 0..10 {
            run.pass(Duration::from_secs(1));
            let ping = run.ping.unwrap();
            run.put(LinkInput::Pong { ping });
        }
        run.put(LinkInput::Closed { epoch: run.attempt });
        assert!(run.until_connect() <= Duration::from_millis(100));
    }
}

#[test]
fn a_replica_and_a_loading_server_are_left_and_a_busy_or_full_one_is_not() {
    for (unfit, leaves) in [
        (Unfit::ReadOnly, true),
        (Unfit::Loading, true),
        (Unfit::MasterDown, true),
        (Unfit::Busy, false),
        (Unfit::Oom, false),
    ] {
        let mut run = Run::up();
        run.put(LinkInput::Unfit { epoch: Epoch::new(1), unfit });
        assert_eq!(run.machine.up().is_none(), leaves, "{unfit:?}");
        assert_eq!(run.said(), if leaves { vec![format!("down 1 {}", unfit.name())] } else { vec![] });
    }
}

#[test]
fn what_concerns_an_older_connection_is_ignored() {
    let mut run = Run::up();
    run.put(LinkInput::Closed { epoch: Epoch::new(1) });
    run.until_connect();
    run.put(LinkInput::Connected { attempt: Epoch::new(2) });
    let before = run.machine.counters();
    let old = Epoch::new(1);
    for input in [
        LinkInput::Closed { epoch: old },
        LinkInput::Unfit { epoch: old, unfit: Unfit::ReadOnly },
        LinkInput::CallAnswered { epoch: old },
        LinkInput::CallTimedOut { epoch: old, began: run.now, waited: Duration::from_millis(50) },
        LinkInput::Connected { attempt: old },
        LinkInput::ConnectFailed { attempt: old, failure: ConnectFailure::Tls },
    ] {
        run.put(input);
    }
    assert_eq!((run.machine.up(), run.machine.counters().ignored), (Some(Epoch::new(2)), before.ignored + 6));
}
