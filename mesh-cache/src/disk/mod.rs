//! A snapshot on disk, for a start at which everything else is down.
//!
//! Decides whether a file is to be believed, and replaces it whole or not at all. It is sealed as a second tier's values
//! are; without a key it has a checksum, which only tells accidents, and is read only where nobody else could have
//! written it. Everything here blocks: an async program calls it where blocking is allowed. Never reads a clock, never
//! writes by itself, never creates a directory.
//!
//! Whoever may rename files in the directory can put an older snapshot of this user back, up to
//! [`DiskConfig::age_max`] old: keep it in a directory of its own.
//!
//! # Layout
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `MSHD` |
//! | 4 | 2 | format, 1 |
//! | 6 | 4 | schema version of the values |
//! | 10 | 32 | SHA-256 of all the other bytes |
//! | 42 | | an envelope (see [`seal`](crate::seal)) at the key `disk`, written at the wall clock's time |
//!
//! The payload is a u32 that counts entries, and each of them: its key after its length as a u16, epoch and index of its
//! version and its age in milliseconds as u64 each, the value after its length as a u32. Integers are big-endian.

mod error;
mod file;
pub(crate) mod format;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{DiskReadError, DiskWriteError};
pub use format::Room;

use crate::entry::Version;
use crate::seal::{Nonce, Sealer, Trust};

/// A file that keeps one snapshot.
///
/// Several processes may write to one path; the last one wins, and every reader sees one of their snapshots whole.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    config: DiskConfig,
    sealer: Sealer,
}

impl SnapshotFile {
    /// The snapshot at `path`, which need not exist. Removes what a crash has left of earlier writes to it, as far as the
    /// file system lets it.
    #[must_use]
    pub fn open(path: impl Into<PathBuf>, config: DiskConfig, sealer: Sealer) -> Self {
        let file = Self { path: path.into(), config, sealer };
        match file::remove_leftovers(&file.path) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(path = %file.path.display(), removed, "leftovers of a crash were removed"),
            Err(error) => tracing::debug!(path = %file.path.display(), %error, "leftovers cannot be looked for"),
        }
        file
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much an empty snapshot can take, for whoever has more than that and has to choose.
    #[must_use]
    pub const fn room(&self) -> Room {
        Room::of(&self.config)
    }

    /// Replaces the snapshot by `entries`, as they are at `wall_now_ms` (milliseconds since 1970), with permissions for
    /// this user only. Returns once it would outlast a loss of power.
    ///
    /// # Errors
    /// Why it was not replaced, or may not outlast one.
    pub fn write(&self, entries: &[Entry], wall_now_ms: u64, nonce: Nonce) -> Result<(), DiskWriteError> {
        let salt = nonce.salt();
        let bytes = format::encode(entries, wall_now_ms, nonce, &self.sealer, &self.config)?;
        file::replace(&self.path, &bytes, salt)
    }

    /// Reads the snapshot; `None` where there is none.
    ///
    /// # Errors
    /// Why there is one that must not be used.
    pub fn read(&self, wall_now_ms: u64) -> Result<Option<Loaded>, DiskReadError> {
        let Some((bytes, metadata)) = file::read(&self.path, self.config.bytes_max)? else { return Ok(None) };
        let loaded = format::decode(bytes, wall_now_ms, &self.sealer, &self.config)?;
        match loaded.trust {
            Trust::Sealed => {}
            Trust::Hint => file::check_private(&metadata)?,
        }
        Ok(Some(loaded))
    }
}

/// What a snapshot may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskConfig {
    /// Keeps one user of a key from another: what was sealed in one namespace is believed in no other.
    pub namespace: String,
    /// The version of the values' format; a snapshot of another is not read.
    pub schema: u32,
    /// The most bytes of the file: 16 MiB. Reading takes twice as much memory for a moment.
    pub bytes_max: usize,
    /// The most entries: 10,000, as many as a first tier has by default.
    pub entries_max: usize,
    /// How long after it was written it is still read: 3 days, over a weekend.
    pub age_max: Duration,
}

impl DiskConfig {
    /// How far in the future it may have been written: a day, as a clock may have been set to another time zone.
    pub const FUTURE_SKEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// The limits that go by default.
    #[must_use]
    pub fn new(namespace: impl Into<String>, schema: u32) -> Self {
        Self {
            namespace: namespace.into(),
            schema,
            bytes_max: 16 * 1024 * 1024,
            entries_max: 10_000,
            age_max: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }
}

/// One value of a snapshot.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Which of several values for the key it is.
    pub version: Version,
    /// How old it was when the snapshot was written; rounded up to milliseconds.
    pub age: Duration,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, version, age, payload } = self;
        let payload = format_args!("{} bytes", payload.len());
        f.debug_struct("Entry")
            .field("key", key)
            .field("version", version)
            .field("age", age)
            .field("payload", &payload)
            .finish()
    }
}

/// A snapshot that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its values, in the order in which they were written.
    pub entries: Vec<Entry>,
    /// When it was written, by the wall clock: milliseconds since 1970.
    pub written_at_ms: u64,
    /// How long ago that was, to be added to the age of each entry; `None` where the clock has gone back since, so that
    /// nobody knows.
    pub age: Option<Duration>,
    /// Whether it was sealed.
    pub trust: Trust,
}
