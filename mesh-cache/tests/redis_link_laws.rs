//! What holds of a link in any world: the laws of machines, and one connection at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::redis::link::{LinkEffect, LinkInput, LinkMachine, PingId};
use mesh_cache::redis::{ConnectFailure, Epoch, LinkConfig, Unfit};
use mesh_core::machine::laws::{World, assert_hold};
use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use proptest::prelude::*;
use redis_support::run::Run;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_of_machines_hold(seed: u64, script in prop::collection::vec((0..60_000_u64, any_input()), 0..40)) {
        let script = script.into_iter().map(|(at, input)| (Instant::from_millis(at), input)).collect();
        let world = World { script, answer: &any_answer, until: Instant::from_millis(120_000), seed };
        assert_hold(|| LinkMachine::new(LinkConfig::default(), seed, Instant::ZERO), &world);
    }

    #[test]
    fn one_connection_at_a_time_each_newer_than_the_last(
        seed: u64,
        steps in prop::collection::vec((0..3_000_u64, any_input()), 0..200),
    ) {
        let mut run = Run::with_seed(seed);
        let mut watch = Order::default();
        for (pause, input) in steps {
            run.pass(Duration::from_millis(pause));
            // Half of the inputs concern the connection or attempt of the moment.
            let input = if run.now.as_nanos().is_multiple_of(2) { current(input, &run) } else { input };
            run.put(input);
            watch.follow(&mut run);
        }
    }
}

/// What must hold of the effects and events of any run.
#[derive(Default)]
struct Order {
    attempting: Option<u64>,
    last_attempt: Option<u64>,
    up: Option<u64>,
    last_up: u64,
}

impl Order {
    fn follow(&mut self, run: &mut Run) {
        for step in std::mem::take(&mut run.trace) {
            let words: Vec<&str> = step.split(' ').collect();
            let number = words.get(1).and_then(|number| number.parse().ok());
            match (words[0], number) {
                ("connect", attempt) => {
                    assert_eq!((self.attempting, self.up), (None, None), "{step}: two at a time");
                    (self.attempting, self.last_attempt) = (attempt, attempt);
                }
                ("cancel", attempt) => assert_eq!((self.attempting, attempt), (None, self.last_attempt), "{step}"),
                ("still", _) => self.attempting = None,
                ("up", epoch) => {
                    assert_eq!(self.attempting.take(), epoch, "{step}: of no attempt");
                    assert!(epoch > Some(self.last_up), "{step}: not newer");
                    (self.up, self.last_up) = (epoch, epoch.unwrap());
                }
                ("down", epoch) => assert_eq!(self.up.take(), epoch, "{step}"),
                ("abandon", epoch) => {
                    assert_eq!((self.up, epoch), (None, Some(self.last_up)), "{step}: calls still served")
                }
                _ => assert!(self.up.is_some(), "{step}: without a connection"),
            }
        }
    }
}

/// `input`, about what `run` does now.
fn current(input: LinkInput, run: &Run) -> LinkInput {
    let (epoch, began) = (run.attempt, run.now);
    match (input, run.ping) {
        (LinkInput::Connected { .. }, _) => LinkInput::Connected { attempt: epoch },
        (LinkInput::ConnectFailed { failure, .. }, _) => LinkInput::ConnectFailed { attempt: epoch, failure },
        (LinkInput::Pong { .. }, Some(ping)) => LinkInput::Pong { ping },
        (LinkInput::Missed { .. }, Some(ping)) => LinkInput::Missed { ping },
        (LinkInput::CallTimedOut { waited, .. }, _) => LinkInput::CallTimedOut { epoch, began, waited },
        (LinkInput::CallAnswered { .. }, _) => LinkInput::CallAnswered { epoch },
        (LinkInput::Closed { .. }, _) => LinkInput::Closed { epoch },
        (LinkInput::Unfit { unfit, .. }, _) => LinkInput::Unfit { epoch, unfit },
        (input @ (LinkInput::Pong { .. } | LinkInput::Missed { .. }), None) => input,
    }
}

fn any_input() -> impl Strategy<Value = LinkInput> {
    let epoch = (0..6_u64).prop_map(Epoch::new);
    (0..8_u8, epoch, any::<u16>(), 0..5_usize).prop_map(|(kind, epoch, millis, which)| {
        let failures =
            [ConnectFailure::Unreachable, ConnectFailure::TimedOut, ConnectFailure::Auth, ConnectFailure::Tls];
        let unfits = [Unfit::Loading, Unfit::Busy, Unfit::ReadOnly, Unfit::MasterDown, Unfit::Oom];
        let ping = some_ping(epoch.get());
        match kind {
            0 => LinkInput::Connected { attempt: epoch },
            1 => LinkInput::ConnectFailed { attempt: epoch, failure: failures[which % 4] },
            2 => LinkInput::Pong { ping },
            3 => LinkInput::Missed { ping },
            4 => LinkInput::CallTimedOut {
                epoch,
                began: Instant::from_millis(millis.into()),
                waited: Duration::from_millis(u64::from(millis) % 100),
            },
            5 => LinkInput::CallAnswered { epoch },
            6 => LinkInput::Closed { epoch },
            _ => LinkInput::Unfit { epoch, unfit: unfits[which] },
        }
    })
}

/// The world's answer to an effect: of any kind, early, late or never.
fn any_answer(effect: &LinkEffect, rng: &mut Rng) -> Option<(Duration, LinkInput)> {
    let input = match effect {
        LinkEffect::Connect { attempt } if rng.below(3) > 0 => LinkInput::Connected { attempt: *attempt },
        LinkEffect::Connect { attempt } => {
            LinkInput::ConnectFailed { attempt: *attempt, failure: ConnectFailure::Unreachable }
        }
        LinkEffect::Ping { ping } if rng.below(4) > 0 => LinkInput::Pong { ping: *ping },
        LinkEffect::Ping { ping } => LinkInput::Missed { ping: *ping },
        LinkEffect::Cancel { .. } | LinkEffect::Abandon { .. } => return None,
    };
    let most = Duration::from_millis(700 * rng.below(5));
    (rng.below(8) > 0).then(|| (rng.up_to(most), input))
}

/// The `number`th PING of any link.
fn some_ping(number: u64) -> PingId {
    let mut run = Run::up();
    for _ in 0..number {
        run.pass(Duration::from_secs(1));
        let ping = run.ping.unwrap();
        run.put(LinkInput::Pong { ping });
    }
    run.pass(Duration::from_secs(1));
    run.ping.unwrap()
}
