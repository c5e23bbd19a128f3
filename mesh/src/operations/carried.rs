//! What code that is run once says, and what comes of it.

use std::fmt;

use mesh_retry::coordinator::idempotency::OperationEnd;

use super::error::KeepError;

/// How an operation's own code failed.
///
/// What it was told in so many words, such as that a card is declined, is no failure in this sense but a result: it is the
/// same when it is asked for again. Put it into the result's type, so that it is kept and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed<E> {
    /// It was certainly not carried out: refused before it began, not sent at all. The next is the first; but not where this
    /// one had taken over, for nobody knows what the owner before has done.
    NotCarriedOut(E),
    /// Whether it was carried out is unknown, as after a timeout or a connection that ended: the next takes over at once,
    /// and is told so. This is what `?` makes of an error.
    Unknown(E),
}

impl<E> Failed<E> {
    /// The error itself.
    #[must_use]
    pub fn into_error(self) -> E {
        match self {
            Self::NotCarriedOut(error) | Self::Unknown(error) => error,
        }
    }
}

impl<E> From<E> for Failed<E> {
    fn from(error: E) -> Self {
        Self::Unknown(error)
    }
}

/// The result of an operation that was carried out, now or before.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried<T> {
    /// The result.
    pub value: T,
    /// Whether it is the result of somebody who carried it out before, and nothing was done now.
    pub replayed: bool,
    /// What the store knows of it: [`Kept`](OperationEnd::Kept), unless something went wrong.
    ///
    /// [`Fenced`](OperationEnd::Fenced): somebody took over meanwhile or the store has forgotten, and it may be carried out a
    /// second time. [`HandedOver`](OperationEnd::HandedOver), where [`not_kept`](Self::not_kept) says why, or
    /// [`Unknown`](OperationEnd::Unknown), where the store gave no answer: the next may be told that the outcome is unknown.
    /// [`Unprotected`](OperationEnd::Unprotected): the store was lost, and was not told the result. It may have heard that
    /// this was begun; then the next waits for the lease, and is told that the outcome is unknown. Else the next is the first.
    pub end: OperationEnd,
    /// Why the result could not be kept, where it is the result itself that stands in the way.
    pub not_kept: Option<KeepError>,
}

impl<T> Carried<T> {
    pub(super) const fn before(value: T) -> Self {
        Self { value, replayed: true, end: OperationEnd::Kept, not_kept: None }
    }

    pub(super) const fn now(value: T, end: OperationEnd, not_kept: Option<KeepError>) -> Self {
        Self { value, replayed: false, end, not_kept }
    }

    /// Whether the store has it, to tell whoever begins it again.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.end == OperationEnd::Kept
    }
}

/// Never shows the result.
impl<T> fmt::Debug for Carried<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replayed, end, not_kept, .. } = self;
        f.debug_struct("Carried")
            .field("replayed", replayed)
            .field("end", end)
            .field("not_kept", not_kept)
            .finish_non_exhaustive()
    }
}
