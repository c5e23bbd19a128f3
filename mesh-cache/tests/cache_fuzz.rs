//! Bytes that nobody vouches for: the corpora of the fuzz targets, random ones, and good ones with bytes changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mesh_cache::suite;
use proptest::prelude::*;

#[test]
fn the_corpus_of_envelopes_replays_and_reaches_every_outcome() {
    let reached = reached("cache_envelope", |bytes| suite::envelope(bytes).to_vec());
    let expected = [
        "forged",
        "from_the_future",
        "hint_with_key",
        "no_key",
        "not_an_envelope",
        "opened",
        "replayed",
        "too_large",
        "too_many_marks",
        "trailing_bytes",
        "truncated",
        "unknown_key",
        "unknown_kind",
        "unsealed",
    ];
    assert_eq!(reached, BTreeSet::from(expected));
}

#[test]
fn the_corpus_of_json_replays_and_reaches_every_outcome() {
    let reached = reached("cache_json", |bytes| vec![suite::json(bytes)]);
    assert_eq!(reached, BTreeSet::from(["decoded", "malformed", "too_deep", "too_many_elements"]));
}

#[test]
fn the_corpus_of_snapshots_replays_and_reaches_every_outcome() {
    let reached = reached("cache_disk_file", |bytes| suite::disk_file(bytes).to_vec());
    let expected = [
        "damaged",
        "forged",
        "from_the_future",
        "loaded",
        "no_key",
        "nonsense",
        "not_a_snapshot",
        "other_schema",
        "too_many_entries",
        "too_old",
        "truncated",
        "unknown_format",
        "unsealed",
    ];
    assert_eq!(reached, BTreeSet::from(expected));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_an_outcome(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        all(&bytes);
        all(&[b"MSH1\0\0\0\0\0", &bytes[..]].concat());
    }

    #[test]
    fn good_bytes_with_some_changed_have_one_too(
        file: prop::sample::Index,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: prop::sample::Index,
    ) {
        let corpora = ["cache_envelope", "cache_json", "cache_disk_file"];
        let corpus: Vec<Vec<u8>> = corpora.into_iter().flat_map(corpus).collect();
        let mut bytes = file.get(&corpus).clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        all(&bytes);
        all(&bytes[..=cut.index(bytes.len())]);
    }
}

fn all(bytes: &[u8]) {
    let _ = (suite::envelope(bytes), suite::json(bytes), suite::disk_file(bytes));
}

fn reached(target: &str, replay: impl Fn(&[u8]) -> Vec<&'static str>) -> BTreeSet<&'static str> {
    corpus(target).iter().flat_map(|bytes| replay(bytes)).collect()
}

/// The files of a fuzz target's corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}
