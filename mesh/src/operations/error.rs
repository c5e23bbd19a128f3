//! What can go wrong with an operation, told apart by what can be done about it. No key and no result is repeated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_cache::codec::CodecError;
use mesh_cache::seal::{SealError, UnsealError};
use mesh_retry::coordinator::idempotency::{OperationEnd, OperationRefusal};
use thiserror::Error;

/// Why an operation is not to be carried out by whoever began it. `operation` is the name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OperationError {
    /// Somebody else is still at it, after as long as that is waited for. A service answers 409 (Conflict) to this.
    #[error("{operation}: somebody else is at it, whose lease ends in {lease_left:?} unless it is renewed")]
    InFlight {
        /// Which kind of operation.
        operation: Arc<str>,
        /// For how long nobody may take over, unless the owner renews.
        lease_left: Duration,
    },
    /// Another operation has the same key: its fingerprint is another. A service answers 422 (Unprocessable Content).
    #[error("{operation}: the key is that of another operation")]
    Mismatch {
        /// Which kind of operation.
        operation: Arc<str>,
    },
    /// It was carried out before, and with what result cannot be read. It is not carried out again; it is as well not known
    /// to have failed.
    #[error("{operation}: carried out before, with a result that cannot be read: {reason}")]
    Unreadable {
        /// Which kind of operation.
        operation: Arc<str>,
        /// Why not.
        reason: ReadError,
    },
    /// The store that processes share says that it has no room for one more operation, as a
    /// [`MemoryCoordinator`](mesh_cache::coordinator_store::MemoryCoordinator) does that has 4,096. Nothing was carried out or
    /// begun.
    #[error("{operation}: the store that processes share has no room for one more")]
    StoreFull {
        /// Which kind of operation.
        operation: Arc<str>,
    },
    /// The store did not say whether it was begun or done. Nothing was carried out; a begin that reached the store all the
    /// same leaves the next one with a lease to wait for.
    #[error("{operation}: the store that processes share does not answer")]
    StoreLost {
        /// Which kind of operation.
        operation: Arc<str>,
    },
    /// The task that saw to it ended without an answer, though the mesh goes on: the runtime that it was begun on was shut
    /// down, or code that it runs panicked, such as a clock. Nothing was carried out; a begin that reached the store all the
    /// same leaves the next one with a lease to wait for.
    #[error("{operation}: the task that saw to it has ended")]
    Unattended {
        /// Which kind of operation.
        operation: Arc<str>,
    },
    /// The mesh was shut down, or dropped.
    #[error("the mesh was shut down")]
    ShutDown,
}

impl OperationError {
    pub(super) const fn refused(operation: Arc<str>, why: OperationRefusal) -> Self {
        match why {
            OperationRefusal::InFlight { lease_left } => Self::InFlight { operation, lease_left },
            OperationRefusal::Mismatch => Self::Mismatch { operation },
            OperationRefusal::Unreadable => Self::Unreadable { operation, reason: ReadError::Store },
            OperationRefusal::StoreFull => Self::StoreFull { operation },
            OperationRefusal::StoreLost => Self::StoreLost { operation },
            // One that this version does not know is none that says that it may be carried out.
            _ => Self::StoreLost { operation },
        }
    }

    /// Whether the same may go better later, without anything being put right by hand.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::InFlight { .. } | Self::StoreFull { .. } | Self::StoreLost { .. } | Self::Unattended { .. } => true,
            Self::Mismatch { .. } | Self::Unreadable { .. } | Self::ShutDown => false,
        }
    }
}

/// Why a result is not told that an operation came to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not sealed for this operation with a key of ours.
    #[error(transparent)]
    Seal(UnsealError),
    /// It ends before it begins.
    #[error("it is empty")]
    Empty,
    /// It is of another version than the codec reads.
    #[error("it is of schema {written}, and schema {read} is read")]
    Schema {
        /// The version of the codec that wrote it.
        written: u32,
        /// The version of this codec.
        read: u32,
    },
    /// The codec does not read it.
    #[error(transparent)]
    Codec(CodecError),
    /// The store has something there that it does not believe itself.
    #[error("the store does not believe it")]
    Store,
}

/// Why a result cannot be kept. The operation goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The codec does not write it.
    #[error("the result cannot be written: {0}")]
    Codec(CodecError),
    /// It does not fit into an envelope.
    #[error("the result cannot be sealed: {0}")]
    Seal(SealError),
    /// It is longer than what a store keeps.
    #[error("the result has {bytes} bytes when it is sealed: at most {bytes_max} are kept")]
    TooLong {
        /// How long it is, sealed: some hundred bytes more than the codec wrote.
        bytes: usize,
        /// How long it may be: [`RESULT_BYTES_MAX`](mesh_retry::coordinator::store::RESULT_BYTES_MAX).
        bytes_max: usize,
    },
}

/// Why [`Operations::run`](super::Operations::run) has no result. `E` is the error of the operation's own code.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError<E> {
    /// It was not to be carried out.
    Refused(OperationError),
    /// It was tried, and failed.
    Failed {
        /// How.
        error: E,
        /// What the store knows of it now. [`Forgotten`](OperationEnd::Forgotten): the next to begin it is the first.
        /// [`HandedOver`](OperationEnd::HandedOver): the next takes over, and is told that the outcome is unknown; so is
        /// whoever comes after the lease where this is [`Unknown`](OperationEnd::Unknown).
        end: OperationEnd,
    },
}

impl<E> RunError<E> {
    /// The error of the operation's own code, if that is what went wrong.
    #[must_use]
    pub fn into_failed(self) -> Option<E> {
        match self {
            Self::Refused(_) => None,
            Self::Failed { error, .. } => Some(error),
        }
    }

    /// Why it was not to be carried out, if it was not.
    #[must_use]
    pub const fn refused(&self) -> Option<&OperationError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Failed { .. } => None,
        }
    }
}

impl<E> From<OperationError> for RunError<E> {
    fn from(error: OperationError) -> Self {
        Self::Refused(error)
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "{error}"),
            Self::Failed { error, end } => write!(f, "{error} (the operation: {})", end.name()),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for RunError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Failed { error, .. } => Some(error),
        }
    }
}
