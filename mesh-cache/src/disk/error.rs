//! Why a snapshot was not written or is not read. No error repeats a byte of a value.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::seal::{SealError, UnsealError};

/// Why a snapshot was not written. The one before it stands, unless the step was `sync the directory`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiskWriteError {
    /// There are more entries than are kept.
    #[error("{entries} entries, at most {entries_max} are kept")]
    TooManyEntries {
        /// How many there are.
        entries: usize,
        /// How many are kept.
        entries_max: usize,
    },
    /// Together they are larger than the file may be.
    #[error("{bytes} bytes, at most {bytes_max} are kept")]
    TooLarge {
        /// How large the file might become.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// The key of an entry is longer than the format can say.
    #[error("a key of {bytes} bytes, at most {max} are kept", max = u16::MAX)]
    KeyTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// They cannot be sealed.
    #[error("cannot be sealed")]
    Seal(#[from] SealError),
    /// What stands at the path is no regular file, and is not replaced.
    #[error("the path is taken by something that is no regular file")]
    NotAFile,
    /// The file system refused a step.
    #[error("cannot {step}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl DiskWriteError {
    /// A short name that never changes, for metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooManyEntries { .. } => "too_many_entries",
            Self::TooLarge { .. } => "too_large",
            Self::KeyTooLong { .. } => "key_too_long",
            Self::Seal(_) => "seal",
            Self::NotAFile => "not_a_file",
            Self::Io { .. } => "io",
        }
    }

    pub(super) const fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}

/// Why a snapshot is not read. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiskReadError {
    /// What stands at the path is no regular file.
    #[error("the path is taken by something that is no regular file")]
    NotAFile,
    /// It is larger than is read.
    #[error("{bytes} bytes, at most {bytes_max} are read")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How much is read.
        bytes_max: usize,
    },
    /// It is not sealed, and belongs to another user.
    #[error("not sealed, and of another user: {uid}")]
    ForeignOwner {
        /// The user's id.
        uid: u32,
    },
    /// It is not sealed, and others may write to it.
    #[error("not sealed, and writable by others: mode {mode:o}")]
    WritableByOthers {
        /// Its permissions.
        mode: u32,
    },
    /// It does not begin as a snapshot does.
    #[error("no snapshot: it begins otherwise")]
    NotASnapshot,
    /// It is of a format that this version does not know.
    #[error("a snapshot of unknown format {format}")]
    UnknownFormat {
        /// The format that it says.
        format: u16,
    },
    /// Its values are of another schema version.
    #[error("values of schema {schema}")]
    OtherSchema {
        /// The schema version that it says.
        schema: u32,
    },
    /// It was cut off, or bits of it have changed by themselves.
    #[error("damaged: its checksum differs")]
    Damaged,
    /// Its checksum is right, and its content makes no sense: no version of this library wrote it.
    #[error("its content makes no sense")]
    Nonsense,
    /// Its seal does not hold, or there is none where there should be.
    #[error("not to be believed")]
    Seal(#[source] UnsealError),
    /// It was written longer ago than is read.
    #[error("written {age:?} ago, longer than {age_max:?}")]
    TooOld {
        /// How long ago.
        age: Duration,
        /// The longest that is read.
        age_max: Duration,
    },
    /// It was written later than now by more than a clock that was set right explains.
    #[error("written {ahead:?} in the future")]
    FromTheFuture {
        /// How far ahead it is.
        ahead: Duration,
    },
    /// It has more entries than are read.
    #[error("{entries} entries, at most {entries_max} are read")]
    TooManyEntries {
        /// How many it says it has.
        entries: u32,
        /// How many are read.
        entries_max: usize,
    },
    /// The file system refused a step.
    #[error("cannot {step}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl DiskReadError {
    /// A short name that never changes, for metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotAFile => "not_a_file",
            Self::TooLarge { .. } => "too_large",
            Self::ForeignOwner { .. } => "foreign_owner",
            Self::WritableByOthers { .. } => "writable_by_others",
            Self::NotASnapshot => "not_a_snapshot",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::OtherSchema { .. } => "other_schema",
            Self::Damaged => "damaged",
            Self::Nonsense => "nonsense",
            Self::Seal(error) => error.name(),
            Self::TooOld { .. } => "too_old",
            Self::FromTheFuture { .. } => "from_the_future",
            Self::TooManyEntries { .. } => "too_many_entries",
            Self::Io { .. } => "io",
        }
    }

    pub(super) const fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}

impl From<UnsealError> for DiskReadError {
    fn from(error: UnsealError) -> Self {
        match error {
            UnsealError::Replayed { age, age_max } => Self::TooOld { age, age_max },
            UnsealError::FromTheFuture { ahead, .. } => Self::FromTheFuture { ahead },
            UnsealError::TooLarge { .. }
            | UnsealError::Truncated { .. }
            | UnsealError::TrailingBytes { .. }
            | UnsealError::NotAnEnvelope
            | UnsealError::UnknownKind { .. }
            | UnsealError::TooManyMarks { .. }
            | UnsealError::HintWithKey { .. }
            | UnsealError::Unsealed
            | UnsealError::NoKey { .. }
            | UnsealError::UnknownKey { .. }
            | UnsealError::Forged { .. } => Self::Seal(error),
        }
    }
}
