//! The second tier as the first sees it: bytes that other processes share, and the news of what changed.
//!
//! The rules that make it safe are stated here, for every tier alike. A tier keeps the time. An entry is stamped with the
//! tier's time at which its load *began*; a scope that is invalidated is marked with the tier's time of that, its
//! *watermark*. An entry counts only if it was begun after the watermarks of every scope that it is in. So it does not
//! matter how long a load took, whose answer came first, or whether an old process stores late: what was read before a
//! change can be stored, and is never believed. Of a value that its origin had known for a while already, all of this
//! holds of the time at which it was true.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::port::BoxFuture;
use mesh_core::service::ConfigError;

use crate::entry::Version;
use crate::key::{Mark, Marks};

/// Keeps bytes for all processes of a fleet, and tells each what changed.
///
/// Every operation may be dropped half-way; it may then have been carried out or not. None may take longer than the
/// tier's own deadline, which is short: whoever asks has an origin to turn to.
pub trait SecondTier: Debug + Send + Sync {
    /// Reads an entry, the watermarks of `marks` and the tier's time, in one go.
    ///
    /// # Errors
    /// Why it could not be read. That there is nothing is no error.
    fn fetch<'a>(&'a self, marks: &'a Marks) -> BoxFuture<'a, Result<Fetched, TierError>>;

    /// Reads the watermarks of `marks`, in their order.
    ///
    /// # Errors
    /// Why they could not be read.
    fn watermarks<'a>(&'a self, marks: &'a [Mark]) -> BoxFuture<'a, Result<Vec<Watermark>, TierError>>;

    /// Keeps an entry, unless it is out of date already or a newer version is there.
    ///
    /// # Errors
    /// Why it may not have been kept.
    fn store<'a>(&'a self, store: Store<'a>) -> BoxFuture<'a, Result<Stored, TierError>>;

    /// Sets the watermark of `mark` to now, tells every other process, and returns the watermark. Where it is an entry's
    /// own, the entry goes. Who invalidates is not told of it by its own listener.
    ///
    /// # Errors
    /// Why it may not have been set: others may go on with what they have until it expires.
    fn invalidate(&self, mark: Mark, reach: Reach) -> BoxFuture<'_, Result<u64, TierError>>;

    /// Takes away the entry whose own mark is `own`, which nobody can read; what took its place a moment ago may go with
    /// it. Nobody is told. A tier that cannot may leave it there.
    ///
    /// # Errors
    /// Why it may still be there.
    fn discard(&self, own: Mark) -> BoxFuture<'_, Result<(), TierError>> {
        let _ = own;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Listens for changes from now on.
    fn listen(&self) -> Box<dyn Listener>;

    /// The tier for one more cache of this process, which reads entries of up to `entry_bytes_max` bytes, and whose listener
    /// hears of what the others invalidate. `None` where all caches that share the tier are one user.
    fn join(&self, entry_bytes_max: usize) -> Option<Arc<dyn SecondTier>> {
        let _ = entry_bytes_max;
        None
    }

    /// How long a read takes at most, where the tier says so: whoever asks more than once waits no longer for all of it.
    fn read_deadline(&self) -> Option<Duration> {
        None
    }
}

impl<T: SecondTier + ?Sized> SecondTier for Arc<T> {
    fn fetch<'a>(&'a self, marks: &'a Marks) -> BoxFuture<'a, Result<Fetched, TierError>> {
        (**self).fetch(marks)
    }

    fn watermarks<'a>(&'a self, marks: &'a [Mark]) -> BoxFuture<'a, Result<Vec<Watermark>, TierError>> {
        (**self).watermarks(marks)
    }

    fn store<'a>(&'a self, store: Store<'a>) -> BoxFuture<'a, Result<Stored, TierError>> {
        (**self).store(store)
    }

    fn invalidate(&self, mark: Mark, reach: Reach) -> BoxFuture<'_, Result<u64, TierError>> {
        (**self).invalidate(mark, reach)
    }

    fn discard(&self, own: Mark) -> BoxFuture<'_, Result<(), TierError>> {
        (**self).discard(own)
    }

    fn listen(&self) -> Box<dyn Listener> {
        (**self).listen()
    }

    fn join(&self, entry_bytes_max: usize) -> Option<Arc<dyn SecondTier>> {
        (**self).join(entry_bytes_max)
    }

    fn read_deadline(&self) -> Option<Duration> {
        (**self).read_deadline()
    }
}

/// How many entries a mark may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One, whose own it is.
    Entry,
    /// Any number.
    Many,
}

/// Hears what changed. It never ends.
pub trait Listener: Debug + Send {
    /// Waits for the next piece of news; the first says whether anything is heard. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, News>;
}

/// What a tier tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// From now on everything is heard, until it is said otherwise. Every time it begins anew the number is larger, and
    /// at least 1. What changed in between was not heard.
    Hearing(u64),
    /// From now on something may be missed.
    Deaf,
    /// The scope changed.
    Changed(Mark),
    /// Everything may have changed.
    AllChanged,
}

/// The tier's time at which a scope was last invalidated, in microseconds; `None` is never, as far as the tier knows.
pub type Watermark = Option<u64>;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The tier's time at the reading, in microseconds.
    pub now_micros: u64,
    /// The entry.
    pub bytes: Option<Vec<u8>>,
    /// The watermarks of the marks that were asked about, in their order.
    pub watermarks: Vec<Watermark>,
}

/// An entry to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// Whose it is.
    pub own: Mark,
    /// The entry; its version stands where [`seal`](crate::seal) puts it.
    pub bytes: &'a [u8],
    /// The tier's time at which its load began, in microseconds.
    pub begun_micros: u64,
    /// The tier's time at which it was true, in microseconds: when its load began, less the age that it had at its origin.
    pub as_of_micros: u64,
    /// Its version.
    pub version: Version,
    /// After how long it is of no use to anybody.
    pub keep_for: Duration,
    /// What an entry begins with that could not be read: it is replaced whatever version it claims.
    pub replaces: Option<&'a [u8]>,
}

/// What became of an entry that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is kept.
    Yes,
    /// Its own scope changed after its load began.
    Overtaken,
    /// A newer version is there.
    Older,
}

/// Why a tier did not do what it was told to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the second tier {reason}")]
pub struct TierError {
    reason: String,
    kind: TierErrorKind,
}

/// What a [`TierError`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TierErrorKind {
    /// It is known to be away; nothing was tried.
    Away,
    /// It did not answer in time; what was tried may have been done.
    Silent,
    /// It answered that it could not.
    Refused,
    /// It answered what makes no sense.
    Garbled,
}

impl TierError {
    /// An error of `kind`; `reason` goes on "the second tier …" and holds no secret.
    #[must_use]
    pub fn new(kind: TierErrorKind, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), kind }
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> TierErrorKind {
        self.kind
    }

    /// Whether what was tried may have been done all the same.
    #[must_use]
    pub const fn may_have_changed(&self) -> bool {
        match self.kind {
            TierErrorKind::Away | TierErrorKind::Refused => false,
            TierErrorKind::Silent | TierErrorKind::Garbled => true,
        }
    }
}

/// Whether an entry that was true at `as_of_micros` is newer than every one of `watermarks`, by a tier whose clocks
/// differ by at most `skew`.
#[must_use]
pub fn is_current(as_of_micros: u64, watermarks: &[Watermark], skew: Duration) -> bool {
    let skew = u64::try_from(skew.as_micros()).unwrap_or(u64::MAX);
    watermarks.iter().flatten().all(|watermark| as_of_micros > watermark.saturating_add(skew))
}

/// Checks what the keys of a tier begin with: `prefix` is 1 to 64 letters, digits, `-`, `_` and `:`.
///
/// # Errors
/// That it is not; the problem is one of `field`.
pub fn check_prefix(field: &'static str, prefix: &str) -> Result<(), ConfigError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    if (1..=64).contains(&prefix.len()) && prefix.bytes().all(is_plain) {
        return Ok(());
    }
    Err(ConfigError::new(field, prefix, "must be 1 to 64 letters, digits, `-`, `_` and `:`"))
}

/// For how long at least a tier remembers that one entry was invalidated, counted back from the beginning of a load that
/// it stores: it stores nothing whose load began longer ago. What was true before that is shared, and not as fresh.
pub const REMEMBERED: Duration = Duration::from_secs(60);
