//! What holds of shared evidence whatever the network, the processes and the store do: the shared probe is never two
//! processes' at once, a quorum is never one process's, evidence ends with the store, and a path that is healthy for a process
//! stays open to it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::sync::Arc;

use coordinator_support::callers::{Fleet, Path};
use coordinator_support::voter::SUBJECT;
use coordinator_support::{Bell, any_faults, at, ms};
use mesh_core::machine::laws::{World, assert_hold};
use mesh_retry::breaker::State;
use mesh_retry::coordinator::Sending;
use mesh_retry::coordinator::store::{Probed, ProcessId, StoreFailure, StoreReply, Voted};
use mesh_retry::coordinator::votes::{Evidence, VotesConfig, VotesInput, VotesMachine};
use mesh_retry::{Instant, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, rng_seed: RngSeed::Fixed(93), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn processes_share_evidence_and_one_probe_whatever_happens(
        faults in any_faults(),
        seed: u64,
        paths in proptest::collection::vec(any_path(), 1..6),
    ) {
        let mut fleet = Fleet::new(faults, seed, &paths);
        fleet.run_until(at(60_000));
        // The store is lost.
        fleet.network.faults.lost_milli = 1000;
        fleet.network.cut();
        fleet.run_until(at(90_000));
        for process in &fleet.processes {
            prop_assert_eq!(process.evidence.lowered_to(fleet.now), None, "what was known has ended");
        }
        if faults.lost_milli < 200 && faults.delay_max < ms(200) && fleet.down_for_most {
            prop_assert!(fleet.quorums > 0, "nobody ever heard of a quorum");
        }
    }

    #[test]
    fn the_machine_laws_hold(seed: u64, script in proptest::collection::vec((0..60_000_u64, 0..8_u8), 0..20)) {
        let evidence = || Arc::new(Evidence::new(&VotesConfig::default(), Arc::new(Bell::default())));
        let script = script.into_iter().map(|(millis, input)| (at(millis), match input {
            0 => VotesInput::Stop,
            1 => VotesInput::Changed(State::Open),
            2 => VotesInput::Changed(State::HalfOpen),
            3 => VotesInput::Changed(State::Closed),
            4 => VotesInput::Changed(State::ForcedOpen),
            _ => VotesInput::Woken,
        }));
        let mut script: Vec<_> = script.collect();
        script.sort_by_key(|(at, _)| *at);
        let answer = |send: &Sending, rng: &mut Rng| {
            let answer = match rng.below(8) {
                0 => return None,
                1 => Err(StoreFailure::NotDone),
                2 => Ok(StoreReply::Probed(Probed::Others { lease_left: rng.up_to(ms(5000)) })),
                3 | 4 => Ok(StoreReply::Probed(Probed::Mine)),
                _ => Ok(StoreReply::Voted(Voted { live: rng.below(4) as u32, open: rng.below(4) as u32 })),
            };
            Some((rng.up_to(ms(700)), VotesInput::Answered { id: send.id, answer }))
        };
        let world = World { script, answer: &answer, until: at(120_000), seed };
        let make = || {
            let evidence = evidence();
            // The breaker has asked before the first input.
            let _ = evidence.may_probe(Instant::ZERO);
            VotesMachine::new(VotesConfig::default(), SUBJECT, ProcessId::new(7 << 64), evidence, seed, Instant::ZERO)
        };
        assert_hold(make, &world);
    }
}

fn any_path() -> impl Strategy<Value = Path> {
    prop_oneof![Just(Path::Well), Just(Path::Down), Just(Path::Down), Just(Path::Flaky)]
}
