//! Any bytes as a scenario: the corpus of the fuzz target, noise, and files that were changed at random.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "scenario_support/generated.rs"]
mod generated;

use std::fs;
use std::path::Path;

use mesh_sim::reading::replay;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[test]
fn the_corpus_replays_and_reaches_what_it_is_for() {
    let words = |bytes: Vec<u8>| match replay(&bytes) {
        Ok(read) => format!("fine\n{}", read.warnings),
        Err(error) => error.to_string(),
    };
    let said: Vec<String> = corpus().into_iter().map(words).collect();
    for reached in [
        "fine\n",
        "warning: arrivals:",
        "not yet supported: clients.tree",
        "unknown strategy",
        "unknown key",
        "missing key",
        "run may never end",
        "the fault starts after the end",
        "must be a number with its unit",
        "file: x: line 1:",
        "error: and 1 more",
    ] {
        assert!(said.iter().any(|said| said.contains(reached)), "no file of the corpus reaches {reached:?}: {said:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = replay(&bytes);
    }

    #[test]
    fn any_text_of_the_format_s_own_pieces_is_read_or_refused(pieces in vec(select(PIECES), 0..40)) {
        let _ = replay(pieces.concat().as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_file_with_some_bytes_changed_is_read_or_refused(
        scenario in generated::scenarios(),
        changes in vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut bytes = toml::to_string(&scenario).unwrap().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let _ = replay(&bytes);
    }

    #[test]
    fn a_file_with_one_value_replaced_is_read_or_refused(
        scenario in generated::scenarios(),
        line in any::<Index>(),
        value in select(VALUES),
    ) {
        let text = toml::to_string(&scenario).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = line.index(lines.len());
        if let Some((key, _)) = lines[line].split_once(" = ") {
            lines[line] = format!("{key} = {value}");
        }
        let _ = replay(lines.join("\n").as_bytes());
    }
}

/// Values at the edges of what numbers, durations and tables can be.
#[rustfmt::skip]
const VALUES: &[&str] = &[
    "0", "-1", "1", "18446744073709551615", "-9223372036854775808", "1e308", "-1e308", "5e-324", "nan", "inf", "-inf",
    "true", "\"\"", "\"0s\"", "\"18446744073709551615s\"", "\"18446744073709551615s 1000000000ns\"", "\"random\"", "[]",
    "{}", "[[]]", "{ crash = {} }", "{ mixture = { parts = [] } }", "1979-05-27", "\"\\u0000\"", "'''\n'''", "\"é\"",
];

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "version", "name", "duration", "strategies", "servers", "group", "count", "service_time", "clients", "arrivals",
    "faults", "at", "target", "fault", "expect", "metric", "exponential", "mean", "poisson", "rate", "random", "crash",
    "hedge", "store", "=", "\n", "[", "]", "[[", "]]", "{", "}", ",", ".", "\"", "'", "#", "1", "-", "1s", "\u{feff}",
    "\r\n", "\t", "é", "\u{202e}",
];

/// The files of the fuzz target's corpus, in the order of their names.
fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/scenario");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(&path).unwrap()).collect()
}
