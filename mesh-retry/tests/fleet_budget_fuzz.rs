//! A fleet that shares a budget against its bound: the corpus of the fuzz target, and random scripts.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::Path;

use mesh_retry::Rng;
use mesh_retry::coordinator::budget::suite::{Counts, replay};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn the_corpus_replays_and_reaches_what_it_is_for() {
    let all: Vec<(String, Counts)> = corpus().into_iter().map(|(name, bytes)| (name, replay(&bytes))).collect();
    let of = |name: &str| all.iter().find(|(file, _)| file == name).map(|(_, counts)| *counts).unwrap();
    let faultless = of("overload-while-nothing-fails");
    assert!(faultless.retries > 50 && faultless.denied > 50 && faultless.failures == 0, "{faultless:?}");
    assert!(of("replies-lost").failures > 5);
    assert!(of("commands-lost-and-copied").repeated > 5);
    for outage in ["store-refuses-and-comes-back", "store-is-silent-and-comes-back", "optimistic-without-a-store"] {
        let counts = of(outage);
        assert!(counts.fallbacks >= 4 && counts.alone > 20, "{outage}: {counts:?}");
    }
    assert!(of("outages-follow-each-other").fallbacks >= 12);
    assert!(of("pessimistic-without-a-store").alone == 0);
    assert_eq!((of("state-lost-in-the-middle").losses, of("failover-to-an-older-state").losses), (2, 2));
    assert!(of("processes-end-with-what-they-hold").returned > 0);
    assert!(of("tokens-go-back-at-the-end-of-a-lease").returned > 0);
    let not_made = of("attempts-not-made");
    assert!(not_made.given_back > 50 && not_made.given_back + 20 < not_made.not_made, "{not_made:?}");
    let late = of("attempts-not-made-told-late");
    assert!(late.given_back > 20 && late.given_back + 20 < late.not_made && late.failures == 0, "{late:?}");
    let alone = of("attempts-not-made-without-a-store");
    assert!(alone.given_back > 20 && alone.alone > 20 && alone.fallbacks >= 4, "{alone:?}");
}

#[test]
fn long_random_scripts_keep_the_bound() {
    for seed in 0..30 {
        let mut rng = Rng::from_seed(seed);
        let bytes: Vec<u8> = core::iter::once(seed as u8).chain((0..400).map(|_| rng.next_u64() as u8)).collect();
        assert!(std::panic::catch_unwind(|| replay(&bytes)).is_ok(), "{seed}, then Rng::from_seed({seed})");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: RngSeed::Fixed(92), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_keep_the_bound_alike_each_time(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        prop_assert_eq!(replay(&bytes), replay(&bytes));
    }
}

/// The files of the fuzz target's corpus, each with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/fleet_budget");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.into_iter().map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}
