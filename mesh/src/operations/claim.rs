//! The guard of somebody who is to carry an operation out.

use std::fmt;
use std::sync::Arc;

use mesh_retry::coordinator::idempotency::{Operation, OperationEnd, Right};
use mesh_retry::coordinator::store::{Fence, RESULT_BYTES_MAX};
use tokio::sync::{mpsc, oneshot};

use super::driver::{Order, Told};
use super::error::KeepError;
use super::handle::Shared;
use super::ownership::{Hold, Ownership};

/// The right, and the duty, to carry an operation out and say how it ended. While it lives its lease is renewed.
///
/// Dropped, by a panic too or because the future that has it is, it is handed over in the background: whether the operation
/// was carried out is unknown then. So it is as well, but after the lease, when the process or its mesh ends.
#[must_use = "dropped, it is handed over to the next who begins the operation, who is told that its outcome is unknown"]
pub struct Claim<T> {
    shared: Arc<Shared<T>>,
    operation: Operation,
    ownership: Ownership,
    orders: mpsc::UnboundedSender<Order>,
}

impl<T> Claim<T> {
    pub(super) const fn new(
        shared: Arc<Shared<T>>,
        operation: Operation,
        ownership: Ownership,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Self {
        Self { shared, operation, ownership, orders }
    }

    /// By what right: see [`Ownership::right`]. To be looked at before anything is done: after
    /// [`Right::TakenOver`] the operation may have been carried out already.
    #[must_use]
    pub const fn right(&self) -> Right {
        self.ownership.right()
    }

    /// What orders this owner among those before and after: see [`Ownership::fence`].
    #[must_use]
    pub const fn fence(&self) -> Option<Fence> {
        self.ownership.fence()
    }

    /// The right and whether it still holds, to be passed on to whoever does the work.
    #[must_use]
    pub const fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Waits until the right holds no more: see [`Ownership::lost`].
    pub async fn lost(&self) -> Hold {
        self.ownership.lost().await
    }

    /// The operation was certainly not carried out, **by this owner or any before**: the next is the first. Whoever took
    /// over and knows only of himself hands it over.
    pub async fn abandon(self) -> OperationEnd {
        self.give_up(Order::Abandon).await
    }

    /// Whether it was carried out is unknown: the next takes over at once, and is told so. Dropping does the same, behind
    /// one's back.
    pub async fn hand_over(self) -> OperationEnd {
        self.give_up(|reply| Order::HandOver(Some(reply))).await
    }

    async fn give_up(self, order: impl FnOnce(oneshot::Sender<Told>) -> Order) -> OperationEnd {
        // What is given up has no length.
        self.tell(order).await.unwrap_or_else(|_| self.ownership.untold())
    }

    /// Tells the driver, and waits for what comes of it. It goes on where nobody waits any more.
    async fn tell(&self, order: impl FnOnce(oneshot::Sender<Told>) -> Order) -> Told {
        let (reply, told) = oneshot::channel();
        // A driver that has ended answers by its silence.
        let _ = self.orders.send(order(reply));
        told.await.unwrap_or_else(|_| Ok(self.ownership.untold()))
    }
}

impl<T: Send + Sync + 'static> Claim<T> {
    /// The operation was carried out, with this result: whoever begins it again is told. Says what the store knows now:
    /// [`Kept`](OperationEnd::Kept); [`Fenced`](OperationEnd::Fenced) where somebody took over or the store had forgotten, so
    /// that another result may be kept; [`Unknown`](OperationEnd::Unknown) where it gave no answer within
    /// [`end_within`](mesh_retry::coordinator::idempotency::OperationConfig::end_within), or the mesh has ended.
    ///
    /// Dropping the future leaves it to be told in the background, once it was polled.
    ///
    /// # Errors
    /// The result cannot be written, sealed or kept, and the store was told nothing: the claim comes back with the reason,
    /// to be ended with a shorter result, or otherwise.
    pub async fn finish(self, result: &T) -> Result<OperationEnd, Unfinished<T>> {
        let sealed = match self.shared.results().seal(&self.operation, result) {
            Ok(sealed) => sealed,
            Err(reason) => return Err(Unfinished { claim: self, reason }),
        };
        match self.tell(|reply| Order::Finish(sealed, reply)).await {
            Ok(end) => Ok(end),
            Err(bytes) => {
                Err(Unfinished { claim: self, reason: KeepError::TooLong { bytes, bytes_max: RESULT_BYTES_MAX } })
            }
        }
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        // Ignored by a driver that was told of an end before; one that has ended hears nothing.
        let _ = self.orders.send(Order::HandOver(None));
    }
}

impl<T> fmt::Debug for Claim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("operation", &self.shared.name())
            .field("right", &self.right())
            .field("hold", &self.ownership.hold())
            .finish_non_exhaustive()
    }
}

/// An operation that was carried out, and whose result cannot be kept.
#[derive(thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Unfinished<T> {
    /// The claim, as good as before; dropped, it is handed over.
    pub claim: Claim<T>,
    /// Why not.
    pub reason: KeepError,
}

impl<T> fmt::Debug for Unfinished<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claim, reason } = self;
        f.debug_struct("Unfinished").field("claim", claim).field("reason", reason).finish()
    }
}
