//! Answers of any bytes: the corpus of the fuzz target, random ones, and real ones with bytes changed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::Path;

use mesh_consul::suite::replay;
use proptest::prelude::*;

#[test]
fn the_corpus_replays_and_reaches_what_it_is_for() {
    let all: Vec<_> = corpus().into_iter().map(|(_, bytes)| replay(&bytes)).collect();
    assert!(all.iter().any(|replayed| replayed.instances == 5), "the whole list of an agent is read");
    assert!(
        all.iter().any(|replayed| replayed.unusable == 2 && replayed.instances == 1),
        "odd entries cost themselves"
    );
    assert!(all.iter().any(|replayed| replayed.indexed) && all.iter().any(|replayed| !replayed.indexed));
}

#[test]
fn an_error_keeps_no_more_of_a_body_than_it_says() {
    for byte in [b'a', 0xFF, 0xC3] {
        let _ = replay(&vec![byte; 10_000]);
    }
    let _ = replay("é".repeat(5_000).as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(replay(&bytes), replay(&bytes));
    }

    #[test]
    fn a_real_answer_with_bytes_changed_is_one_too(
        file: prop::sample::Index,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: prop::sample::Index,
    ) {
        let corpus = corpus();
        let mut bytes = file.get(&corpus).1.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = replay(&bytes[..=cut.index(bytes.len())]);
        let _ = replay(&bytes);
    }
}

/// The files of the fuzz target's corpus, each with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/consul_answer");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}
