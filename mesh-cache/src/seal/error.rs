//! Why a value is not sealed, or an envelope not opened. No error repeats a byte of the payload or of a key.

use std::time::Duration;

use thiserror::Error;

use super::envelope::MARKS_MAX;

/// Why a value cannot be put into an envelope. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// It has more marks than an envelope holds.
    #[error("{marks} marks: an envelope holds at most {MARKS_MAX}")]
    TooManyMarks {
        /// How many it has.
        marks: usize,
    },
    /// It is longer than an envelope can say.
    #[error("{bytes} bytes: an envelope holds less than 4 GiB")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Why an envelope is not opened. None of its payload is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnsealError {
    /// It is, or says that it is, larger than is read.
    #[error("{bytes} bytes: a value of at most {value_bytes_max} is read")]
    TooLarge {
        /// Its bytes, or those that it says it has.
        bytes: usize,
        /// The most of a value that is read.
        value_bytes_max: usize,
    },
    /// It ends before it says that it does.
    #[error("cut off after {bytes} bytes")]
    Truncated {
        /// How many bytes there are.
        bytes: usize,
    },
    /// Something follows its end.
    #[error("{bytes} bytes follow its end")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// It does not begin as an envelope does: something else is kept under this key.
    #[error("no envelope: it begins otherwise")]
    NotAnEnvelope,
    /// It is of a kind that this version does not know.
    #[error("an envelope of unknown kind {kind}")]
    UnknownKind {
        /// The kind that it says.
        kind: u8,
    },
    /// It says that it has more marks than an envelope holds.
    #[error("{marks} marks: an envelope holds at most {MARKS_MAX}")]
    TooManyMarks {
        /// How many it says it has.
        marks: u16,
    },
    /// It is not sealed, and names a key none the less.
    #[error("not sealed, and names key {key_id} none the less")]
    HintWithKey {
        /// The key that it names.
        key_id: u32,
    },
    /// It is not sealed, and only sealed ones are read.
    #[error("not sealed, and only sealed values are read")]
    Unsealed,
    /// It is sealed, and there is no key.
    #[error("sealed with key {key_id}, and there is no key here")]
    NoKey {
        /// The key that it names.
        key_id: u32,
    },
    /// It is sealed with a key that is not, or no longer, accepted.
    #[error("sealed with key {key_id}, which is not accepted")]
    UnknownKey {
        /// The key that it names.
        key_id: u32,
    },
    /// Its seal is broken: it was changed, or moved from another place, or sealed with another key of the same id.
    #[error("the seal of key {key_id} is broken: changed, or moved from another place")]
    Forged {
        /// The key that it names.
        key_id: u32,
    },
    /// It was written longer ago than is read: the tier kept it too long, or plays it back.
    #[error("written {age:?} ago, longer than {age_max:?}")]
    Replayed {
        /// How long ago.
        age: Duration,
        /// The longest that is read.
        age_max: Duration,
    },
    /// It was written later than now by more than clocks differ.
    #[error("written {ahead:?} in the future, more than {skew_max:?}")]
    FromTheFuture {
        /// How far ahead it is.
        ahead: Duration,
        /// How much clocks may differ.
        skew_max: Duration,
    },
}

impl UnsealError {
    /// Whether nobody can read it: not one who has another key, runs another version, or keeps another time.
    #[must_use]
    pub const fn is_garbage(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::NotAnEnvelope
            | Self::TooManyMarks { .. }
            | Self::HintWithKey { .. } => true,
            Self::UnknownKind { .. }
            | Self::Unsealed
            | Self::NoKey { .. }
            | Self::UnknownKey { .. }
            | Self::Forged { .. }
            | Self::Replayed { .. }
            | Self::FromTheFuture { .. } => false,
        }
    }

    /// A short name that never changes, for metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Truncated { .. } => "truncated",
            Self::TrailingBytes { .. } => "trailing_bytes",
            Self::NotAnEnvelope => "not_an_envelope",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::TooManyMarks { .. } => "too_many_marks",
            Self::HintWithKey { .. } => "hint_with_key",
            Self::Unsealed => "unsealed",
            Self::NoKey { .. } => "no_key",
            Self::UnknownKey { .. } => "unknown_key",
            Self::Forged { .. } => "forged",
            Self::Replayed { .. } => "replayed",
            Self::FromTheFuture { .. } => "from_the_future",
        }
    }
}
