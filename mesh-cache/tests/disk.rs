//! Snapshots on disk: what is believed of a file, whoever wrote it and however it was damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mesh_cache::Version;
use mesh_cache::disk::*;
use mesh_cache::seal::*;
use mesh_cache::suite::Same;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const NOW: u64 = 1_700_000_000_000;

#[test]
fn a_snapshot_comes_back_sealed_or_not() {
    for (sealer, trust) in [(ring(1), Trust::Sealed), (Sealer::open_hints(), Trust::Hint)] {
        let (_directory, file) = snapshot(sealer);
        assert_eq!(file.read(NOW).unwrap(), None, "there is none yet");
        write(&file, &entries()).unwrap();
        let loaded = file.read(NOW + 1_500).unwrap().unwrap();
        let age = Some(Duration::from_millis(1_500));
        assert_eq!(loaded, Loaded { entries: entries(), written_at_ms: NOW, age, trust });
        write(&file, &[]).unwrap();
        assert_eq!(file.read(NOW).unwrap().unwrap().entries, [], "the last one wins");
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for sealer in [ring(1), Sealer::open_hints()] {
        let (_directory, file) = snapshot(sealer);
        write(&file, &entries()).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for length in 0..whole.len() {
            fs::write(file.path(), &whole[..length]).unwrap();
            assert_eq!(refused(&file, NOW), "damaged", "{length} bytes");
        }
        fs::write(file.path(), [&whole[..], b"x"].concat()).unwrap();
        assert_eq!(refused(&file, NOW), "damaged");
    }
}

#[test]
fn a_file_that_is_cut_off_by_somebody_who_can_add_is_refused_too() {
    for sealer in [ring(1), Sealer::open_hints()] {
        let (_directory, file) = snapshot(sealer);
        write(&file, &entries()).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for length in 42..whole.len() {
            fs::write(file.path(), summed(&whole[..length])).unwrap();
            assert_eq!(refused(&file, NOW), "truncated", "{length} bytes");
        }
    }
}

#[test]
fn what_finds_room_can_be_written_and_nothing_more_would() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    (config.bytes_max, config.entries_max) = (1_300, 4);
    let file = SnapshotFile::open(directory.path().join("s"), config, ring(1));
    let mut room = file.room();
    let took: Vec<usize> =
        [300, 900, 200, 100, 1, 0].into_iter().filter(|len| room.take("k", &vec![0; *len])).collect();
    assert_eq!(took, [300, 200, 100, 1], "900 were too many, and four are enough");
    let entries: Vec<Entry> = took.iter().map(|len| entry("k", &vec![0; *len])).collect();
    write(&file, &entries).unwrap();
    assert_eq!(file.read(NOW).unwrap().unwrap().entries, entries);
    // To the byte.
    let most = (0..1_300).rev().find(|len| file.room().take("k", &vec![0; *len])).unwrap();
    write(&file, &[entry("k", &vec![0; most])]).unwrap();
    assert_eq!(write(&file, &[entry("k", &vec![0; most + 1])]).unwrap_err().name(), "too_large");
    assert!(!file.room().take(&"k".repeat(65_536), b""));
}

#[test]
fn every_bit_that_is_flipped_is_noticed() {
    for sealer in [ring(1), Sealer::open_hints()] {
        let (_directory, file) = snapshot(sealer);
        write(&file, &entries()).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(file.path(), &flipped).unwrap();
            let name = refused(&file, NOW);
            assert!(["damaged", "not_a_snapshot", "unknown_format"].contains(&name), "bit {bit}: {name}");
        }
    }
}

#[test]
fn a_seal_holds_against_somebody_who_can_add() {
    let (_directory, file) = snapshot(ring(1));
    write(&file, &entries()).unwrap();
    let whole = fs::read(file.path()).unwrap();
    for bit in 42 * 8..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(file.path(), summed(&flipped)).unwrap();
        assert!(file.read(NOW).is_err(), "bit {bit} does not matter");
    }
}

#[test]
fn a_snapshot_of_another_schema_namespace_or_key_is_refused() {
    let (directory, file) = snapshot(ring(1));
    write(&file, &entries()).unwrap();
    let path = directory.path().join("snapshot");
    let other = |config: DiskConfig, sealer: Sealer| refused(&SnapshotFile::open(&path, config, sealer), NOW);
    assert_eq!(other(DiskConfig::new("mesh", 4), ring(1)), "other_schema");
    assert_eq!(other(DiskConfig::new("mesh2", 3), ring(1)), "forged");
    assert_eq!(other(config(), ring(2)), "unknown_key");
    assert_eq!(other(config(), Sealer::open_hints()), "no_key");
    let mut relabelled = fs::read(&path).unwrap();
    relabelled[9] = 4;
    fs::write(&path, summed(&relabelled)).unwrap();
    assert_eq!(other(DiskConfig::new("mesh", 4), ring(1)), "forged");
}

#[test]
fn a_snapshot_without_a_seal_is_refused_where_seals_are_expected() {
    let (directory, file) = snapshot(Sealer::open_hints());
    write(&file, &entries()).unwrap();
    let path = directory.path().join("snapshot");
    assert_eq!(refused(&SnapshotFile::open(&path, config(), ring(1)), NOW), "unsealed");
    let lenient = SnapshotFile::open(&path, config(), ring(1).accept_hints());
    assert_eq!(lenient.read(NOW).unwrap().unwrap().trust, Trust::Hint);
}

#[test]
fn a_sealed_value_of_the_second_tier_is_no_snapshot() {
    let (_directory, file) = snapshot(ring(1));
    let place = Place { namespace: "mesh", key: "mesh:v1:{k}:e", schema: 3 };
    let header = Header { written_at_micros: NOW * 1_000, ..Header::default() };
    let envelope = ring(1).seal(&place, &header, &0_u32.to_be_bytes(), nonces().draw()).unwrap();
    fs::write(file.path(), &envelope).unwrap();
    assert_eq!(refused(&file, NOW), "not_a_snapshot");
    fs::write(file.path(), preambled(&envelope)).unwrap();
    assert_eq!(refused(&file, NOW), "forged");
}

#[test]
fn a_snapshot_is_read_for_three_days_and_a_day_before_it_was_written() {
    let (_directory, file) = snapshot(ring(1));
    write(&file, &entries()).unwrap();
    let day = 24 * 60 * 60 * 1_000;
    assert_eq!(file.read(NOW + 3 * day).unwrap().unwrap().age, Some(Duration::from_millis(3 * day)));
    assert_eq!(refused(&file, NOW + 3 * day + 1), "too_old");
    assert_eq!(refused(&file, u64::MAX), "too_old");
    assert_eq!(file.read(NOW - day).unwrap().unwrap().age, None, "nobody knows how old it is");
    assert_eq!(file.read(NOW).unwrap().unwrap().age, Some(Duration::ZERO));
    assert_eq!(refused(&file, NOW - day - 1), "from_the_future");
}

#[test]
fn no_entry_comes_back_younger_than_it_was() {
    let (_directory, file) = snapshot(ring(1));
    let entry = Entry { age: Duration::from_nanos(1), ..entry("a", b"") };
    write(&file, &[entry]).unwrap();
    assert_eq!(file.read(NOW).unwrap().unwrap().entries[0].age, Duration::from_millis(1));
}

#[test]
fn more_than_is_allowed_is_neither_written_nor_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let mut small = config();
    (small.bytes_max, small.entries_max) = (1_000, 2);
    let small = SnapshotFile::open(&path, small, ring(1));
    let large = SnapshotFile::open(&path, config(), ring(1));
    let three = [entry("a", b""), entry("b", b""), entry("c", b"")];
    assert!(matches!(write(&small, &three), Err(DiskWriteError::TooManyEntries { entries: 3, entries_max: 2 })));
    assert!(write(&small, &three[..2]).is_ok());
    write(&large, &three).unwrap();
    assert_eq!(refused(&small, NOW), "too_many_entries");
    let long = [entry("a", &[7; 900])];
    assert!(matches!(write(&small, &long), Err(DiskWriteError::TooLarge { bytes_max: 1_000, .. })));
    write(&large, &long).unwrap();
    assert!(matches!(small.read(NOW), Err(DiskReadError::TooLarge { bytes: 1_088, bytes_max: 1_000 })));
    let key = [entry(&"k".repeat(65_536), b"")];
    assert!(matches!(write(&large, &key), Err(DiskWriteError::KeyTooLong { bytes: 65_536 })));
    assert_eq!(large.read(NOW).unwrap().unwrap().entries, long, "a refusal leaves the one before");
}

#[test]
fn a_huge_file_is_not_read_into_memory() {
    let (_directory, file) = snapshot(ring(1));
    fs::File::create(file.path()).unwrap().set_len(1 << 40).unwrap();
    let counted = allocation_counter::measure(|| {
        let too_large = matches!(file.read(NOW), Err(DiskReadError::TooLarge { bytes: 0x100_0000_0000, .. }));
        assert!(too_large);
    });
    assert!(counted.bytes_max < 65_536, "{} bytes", counted.bytes_max);
}

#[test]
fn content_that_lies_is_nonsense_and_costs_no_memory() {
    let lies: [&[u8]; 6] = [
        b"",
        &[0, 0, 0, 1],
        &[0, 0, 0x27, 0x10],
        // A value of 4 GiB, a key that is no text, something after the last entry.
        &[&[0, 0, 0, 1, 0, 0][..], &[0; 24], &[0xFF; 4]].concat(),
        &[&[0, 0, 0, 1, 0, 1, 0xFF][..], &[0; 28]].concat(),
        &[0, 0, 0, 0, 0],
    ];
    for lie in lies {
        let (_directory, file) = snapshot(ring(1));
        let place = Place { namespace: "mesh", key: "disk", schema: 3 };
        let header = Header { written_at_micros: NOW * 1_000, ..Header::default() };
        fs::write(file.path(), preambled(&ring(1).seal(&place, &header, lie, nonces().draw()).unwrap())).unwrap();
        let counted = allocation_counter::measure(|| assert_eq!(refused(&file, NOW), "nonsense", "{lie:?}"));
        assert!(counted.bytes_max < 65_536, "{} bytes", counted.bytes_max);
    }
}

#[test]
fn no_value_is_shown() {
    let (_directory, file) = snapshot(ring(1));
    write(&file, &[entry("api", b"secret")]).unwrap();
    let shown = format!("{file:?} {:?}", file.read(NOW).unwrap());
    assert!(shown.contains("6 bytes") && !shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_is_read(
        list in proptest::collection::vec(
            ("\\PC{0,20}", any::<(u64, u64, u64)>(), proptest::collection::vec(any::<u8>(), 0..100)), 0..20),
        with_key: bool,
    ) {
        let (_directory, file) = snapshot(if with_key { ring(1) } else { Sealer::open_hints() });
        let list: Vec<Entry> = list.into_iter().map(|(key, (epoch, index, age), payload)| {
            Entry { key, version: Version { epoch, index }, age: Duration::from_millis(age), payload }
        }).collect();
        write(&file, &list).unwrap();
        prop_assert_eq!(file.read(NOW).unwrap().unwrap().entries, list);
    }
}

fn snapshot(sealer: Sealer) -> (TempDir, SnapshotFile) {
    let directory = tempfile::tempdir().unwrap();
    let file = SnapshotFile::open(directory.path().join("snapshot"), config(), sealer);
    (directory, file)
}

fn config() -> DiskConfig {
    DiskConfig::new("mesh", 3)
}

fn ring(id: u32) -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(id, &[0x11; SealKey::BYTES]).unwrap()))
}

fn nonces() -> Nonces {
    Nonces::new(Arc::new(Same(7)))
}

fn entry(key: &str, payload: &[u8]) -> Entry {
    Entry { key: key.to_owned(), version: Version::default(), age: Duration::ZERO, payload: payload.to_vec() }
}

fn entries() -> Vec<Entry> {
    let version = Version { epoch: 1, index: 42 };
    vec![Entry { version, age: Duration::from_secs(9), ..entry("discovery/dc1/api", b"[1,2]") }, entry("b", b"")]
}

fn write(file: &SnapshotFile, entries: &[Entry]) -> Result<(), DiskWriteError> {
    file.write(entries, NOW, nonces().draw())
}

fn refused(file: &SnapshotFile, now: u64) -> &'static str {
    file.read(now).unwrap_err().name()
}

/// `file` with its checksum put right, as whoever changes it on purpose would.
fn summed(file: &[u8]) -> Vec<u8> {
    let sum = Sha256::new().chain_update(&file[..10]).chain_update(&file[42..]).finalize();
    [&file[..10], &sum[..], &file[42..]].concat()
}

fn preambled(envelope: &[u8]) -> Vec<u8> {
    summed(&[b"MSHD\0\x01\0\0\0\x03", &[0; 32][..], envelope].concat())
}
