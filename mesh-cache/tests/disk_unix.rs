//! Snapshots among other users and processes: permissions, links, crashes, writers at once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mesh_cache::Version;
use mesh_cache::disk::*;
use mesh_cache::seal::*;
use mesh_cache::suite::Same;

const NOW: u64 = 1_700_000_000_000;

#[test]
fn a_snapshot_is_for_its_user_only_and_nothing_else_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = snapshot(directory.path());
    write(&file).unwrap();
    assert_eq!(mode(file.path()), 0o600);
    fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
    write(&file).unwrap();
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(names(directory.path()), ["snapshot"]);
}

#[test]
fn without_a_seal_a_file_that_others_may_write_to_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let file = snapshot(directory.path());
    write(&file).unwrap();
    for (mode, readable) in [(0o620, false), (0o602, false), (0o666, false), (0o644, true), (0o400, true)] {
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        match file.read(NOW) {
            Ok(_) => assert!(readable, "{mode:o}"),
            Err(error) => assert!(!readable && error.name() == "writable_by_others", "{mode:o}: {error}"),
        }
    }
    let sealed = SnapshotFile::open(file.path(), DiskConfig::new("mesh", 3), ring());
    write(&sealed).unwrap();
    fs::set_permissions(file.path(), Permissions::from_mode(0o666)).unwrap();
    assert_eq!(sealed.read(NOW).unwrap().unwrap().trust, Trust::Sealed, "a seal needs no permissions");
}

#[test]
fn without_a_seal_a_file_of_another_user_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let file = snapshot(directory.path());
    write(&file).unwrap();
    if chown(file.path(), Some(12_345), None).is_ok() {
        assert!(matches!(file.read(NOW), Err(DiskReadError::ForeignOwner { uid: 12_345 })));
        let sealed = SnapshotFile::open(file.path(), DiskConfig::new("mesh", 3), ring());
        write(&sealed).unwrap();
        chown(file.path(), Some(12_345), None).unwrap();
        assert_eq!(sealed.read(NOW).unwrap().unwrap().trust, Trust::Sealed);
    }
}

#[test]
fn what_is_no_regular_file_is_neither_read_nor_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("elsewhere"), b"precious").unwrap();
    symlink(path("elsewhere"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
    for name in ["link", "dangling", "directory", "socket", "pipe"] {
        let file = SnapshotFile::open(path(name), DiskConfig::new("mesh", 3), Sealer::open_hints());
        assert!(matches!(file.read(NOW), Err(DiskReadError::NotAFile)), "{name}");
        assert!(matches!(write(&file), Err(DiskWriteError::NotAFile)), "{name}");
    }
    assert_eq!(fs::read(path("elsewhere")).unwrap(), b"precious");
    assert!(!path("nowhere").exists());
    let root = SnapshotFile::open("/", DiskConfig::new("mesh", 3), Sealer::open_hints());
    assert!(matches!(write(&root), Err(DiskWriteError::NotAFile)));
}

#[test]
fn no_link_that_was_planted_under_the_temporary_name_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, b"precious").unwrap();
    let file = snapshot(directory.path());
    // With one word for ever, the first nonce gives the salt 0.
    let planted = |attempt: u8| directory.path().join(format!(".snapshot.0000000000000000-{attempt}.tmp"));
    symlink(&victim, planted(0)).unwrap();
    fs::hard_link(&victim, planted(1)).unwrap();
    write(&file).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(file.read(NOW).unwrap().is_some());
    for attempt in 2..8 {
        symlink(&victim, planted(attempt)).unwrap();
    }
    let before = fs::metadata(file.path()).unwrap().ino();
    assert!(matches!(write(&file), Err(DiskWriteError::Io { step: "create a file", .. })), "every name is taken");
    assert_eq!(fs::metadata(file.path()).unwrap().ino(), before);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn what_a_crash_left_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let foreign = [
        ".snapshot.0123456789abcdef-8.tmp",
        ".snapshot.0123456789abcdef-0.tmp2",
        ".snapshot.0123456789abcdeg-0.tmp",
        ".snapshot.0123-0.tmp",
        ".other.0123456789abcdef-0.tmp",
        "snapshot.0123456789abcdef-0.tmp",
        "snapshot",
    ];
    for name in foreign {
        fs::write(path(name), b"").unwrap();
    }
    fs::write(path(".snapshot.0123456789abcdef-0.tmp"), b"half of").unwrap();
    fs::write(path(".snapshot.ffffffffffffffff-7.tmp"), b"").unwrap();
    symlink(path("snapshot"), path(".snapshot.0000000000000001-0.tmp")).unwrap();
    let being_written = File::create(path(".snapshot.0000000000000002-0.tmp")).unwrap();
    being_written.lock().unwrap();
    let shared = path(".snapshot.0000000000000003-0.tmp");
    fs::write(&shared, b"").unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o666)).unwrap();
    let pipe = path(".snapshot.0000000000000004-0.tmp");
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe, rustix::fs::Mode::RWXU).unwrap();
    let _file = snapshot(directory.path());
    let kept = [1, 2, 3, 4].map(|salt| format!(".snapshot.{salt:016x}-0.tmp"));
    let mut expected: Vec<_> = foreign.into_iter().chain(kept.iter().map(String::as_str)).collect();
    expected.sort_unstable();
    assert_eq!(names(directory.path()), expected);
    drop(being_written);
    let _file = snapshot(directory.path());
    assert!(!path(&kept[1]).exists(), "who wrote it is gone");
}

#[test]
fn a_directory_that_is_missing_is_an_error_when_writing_and_an_empty_start_when_reading() {
    let directory = tempfile::tempdir().unwrap();
    let file = snapshot(&directory.path().join("missing"));
    assert_eq!(file.read(NOW).unwrap(), None);
    match write(&file) {
        Err(DiskWriteError::Io { step: "create a file", source }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
    assert!(!directory.path().join("missing").exists());
}

#[test]
fn a_failed_write_leaves_the_snapshot_before_and_no_temporary_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = snapshot(directory.path());
    write(&file).unwrap();
    let long = SnapshotFile::open(directory.path().join("n".repeat(250)), DiskConfig::new("mesh", 3), ring());
    assert!(matches!(write(&long), Err(DiskWriteError::Io { .. })), "the temporary name is too long");
    assert_eq!(names(directory.path()), ["snapshot"]);
    assert!(file.read(NOW).unwrap().is_some());
}

#[test]
fn writers_at_once_leave_one_snapshot_that_one_of_them_wrote() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let directory = directory.path();
            scope.spawn(move || {
                let nonces = Nonces::new(Arc::new(Same(7)));
                for round in 0..25 {
                    // Each opening looks for leftovers while the others write.
                    let file = snapshot(directory);
                    file.write(&vec![entry(writer); 100], NOW, nonces.draw()).unwrap();
                    let read = file.read(NOW).unwrap().unwrap().entries;
                    assert!(read.len() == 100 && read.iter().all(|entry| *entry == read[0]), "round {round}");
                }
            });
        }
    });
    assert_eq!(names(directory.path()), ["snapshot"]);
    assert_eq!(mode(&directory.path().join("snapshot")), 0o600);
}

fn snapshot(directory: &Path) -> SnapshotFile {
    SnapshotFile::open(directory.join("snapshot"), DiskConfig::new("mesh", 3), Sealer::open_hints())
}

fn ring() -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[0x11; SealKey::BYTES]).unwrap()))
}

fn entry(number: u8) -> Entry {
    Entry { key: "k".to_owned(), version: Version::default(), age: Duration::ZERO, payload: vec![number; 500] }
}

fn write(file: &SnapshotFile) -> Result<(), DiskWriteError> {
    file.write(&[entry(0)], NOW, Nonces::new(Arc::new(Same(7))).draw())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
