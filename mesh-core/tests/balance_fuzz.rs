//! The balancer against its reference model: the corpus of the fuzz target, and random scripts.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::Path;

use mesh_core::balance::suite::{STRATEGIES, Tally, replay};
use mesh_core::rng::Rng;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn the_corpus_replays_and_reaches_what_it_is_for() {
    let tallies: Vec<(String, Tally)> = corpus().into_iter().map(|(name, bytes)| (name, replay(&bytes))).collect();
    let reasons = ["pending", "unknown-service", "none-registered", "none-healthy", "none-matching", "all-excluded"];
    for reason in reasons.into_iter().chain(["unknown-route"]) {
        let reached = tallies.iter().any(|(_, tally)| tally.refusals.contains_key(reason));
        assert!(reached, "no file of the corpus is refused for {reason}: {tallies:#?}");
    }
    let has = |reached: fn(&Tally) -> u32| tallies.iter().any(|(_, tally)| reached(tally) > 0);
    assert!(has(|tally| tally.picks) && has(|tally| tally.sweeps), "{tallies:#?}");
    assert!(has(|tally| tally.probations), "no pick of an instance on probation: {tallies:#?}");
    assert!(has(|tally| tally.late_ends), "no lease ends after its instance left: {tallies:#?}");
    assert!(has(|tally| tally.stale_views), "no view is published too late: {tallies:#?}");
    for policy in 0..STRATEGIES {
        let reached = tallies.iter().any(|(_, tally)| tally.policy == policy && tally.picks > 0);
        assert!(reached, "no file of the corpus picks by policy {policy}");
    }
    let late = |tally: &Tally| u32::from(tally.is_windowed && tally.late_ends > 0);
    assert!(tallies.iter().any(|(_, tally)| late(tally) > 0), "no lease ends late while counts are held back");
}

#[test]
fn long_random_scripts_replay() {
    // Each policy twice on exact counts and twice on such as handles hold back.
    let firsts = (0..2 * STRATEGIES).flat_map(|policy| [policy as u8, 133 + policy as u8]);
    for (seed, first) in (0..).zip(firsts) {
        let mut rng = Rng::from_seed(seed);
        let bytes: Vec<u8> = core::iter::once(first).chain((0..2_500).map(|_| rng.next_u64() as u8)).collect();
        assert!(std::panic::catch_unwind(|| replay(&bytes)).is_ok(), "{first}, then Rng::from_seed({seed})");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_replay_alike_each_time(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(replay(&bytes), replay(&bytes));
    }
}

/// The files of the fuzz target's corpus, each with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/balancer");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}
