//! Replies of any bytes: the corpus of the fuzz target, random ones, and real ones with bytes changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::Path;

use mesh_cache::redis::suite::{Replayed, replay};
use proptest::prelude::*;

#[test]
fn the_corpus_replays_and_reaches_what_it_is_for() {
    for (name, bytes) in corpus() {
        let said = match replay(&bytes) {
            Replayed::Nothing => "nothing".to_owned(),
            Replayed::Keys(count) => format!("keys-{count}"),
            Replayed::All => "all".to_owned(),
            Replayed::Odd => "odd".to_owned(),
            Replayed::Foreign => "foreign".to_owned(),
            Replayed::Error(error) => format!("error-{}", error.name()),
            Replayed::Cluster(count) => format!("cluster-{count}"),
            Replayed::Master => "master".to_owned(),
            Replayed::Reply => "reply".to_owned(),
            other => panic!("{other:?}"),
        };
        assert!(name.starts_with(&format!("{said}.")), "{name}: {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_a_promise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = replay(&bytes);
    }

    #[test]
    fn real_messages_with_bytes_changed_break_none(which: prop::sample::Index, changes in changes()) {
        let corpus = corpus();
        let (_, mut bytes) = corpus[which.index(corpus.len())].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = replay(&bytes);
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"+-:$*%~>_#,(!=|0123456789\r\n".to_vec())];
    prop::collection::vec((any::<prop::sample::Index>(), byte), 1..6)
}

/// The files of the fuzz target's corpus, each named by what it is to come to, a dot, and why.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/redis_reply");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read =
        |file: &std::path::PathBuf| (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(file).unwrap());
    files.iter().map(read).collect()
}
