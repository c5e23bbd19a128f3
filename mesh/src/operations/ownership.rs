//! What an owner knows of his right while he is at it.

use mesh_retry::coordinator::idempotency::{OperationEnd, Right};
use mesh_retry::coordinator::store::Fence;
use tokio::sync::watch;

/// By what right an operation is carried out, and whether that still holds. Clones tell the same; one that outlives its
/// [`Claim`](super::Claim) does no harm, and keeps nothing.
#[derive(Clone, Debug)]
pub struct Ownership {
    right: Right,
    hold: watch::Receiver<Hold>,
}

/// Whether an owner still holds what he was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// Nobody takes over.
    Held,
    /// The lease ended before it could be renewed: somebody may take over at any time. That the owner is still at it is for
    /// nobody to know. It may be [`Held`](Self::Held) again, once the store is back and nobody was there.
    Lapsed,
    /// Somebody has taken over, or the store has forgotten: no result of this owner will be kept.
    TakenAway,
    /// The owner has come to an end.
    Ended,
    /// The mesh was shut down or dropped, or the runtime that it was begun on: nobody renews the lease, nor tells the store
    /// the end.
    Unattended,
}

impl Ownership {
    pub(super) const fn new(right: Right, hold: watch::Receiver<Hold>) -> Self {
        Self { right, hold }
    }

    /// By what right: as the first; in the place of somebody the outcome of whose work is **unknown**; or without anybody
    /// knowing, see [`StoreLost::RunAnyway`](mesh_retry::coordinator::idempotency::StoreLost::RunAnyway).
    #[must_use]
    pub const fn right(&self) -> Right {
        self.right
    }

    /// What orders this owner among those before and after: for whatever the operation has an effect on and can compare
    /// numbers, so that it refuses an owner who was only slow. None where the store does not know of him.
    #[must_use]
    pub const fn fence(&self) -> Option<Fence> {
        self.right.fence()
    }

    /// Whether it still holds.
    #[must_use]
    pub fn hold(&self) -> Hold {
        // First, so that what was told before the task ended is read: nothing is told afterwards.
        let is_attended = self.hold.has_changed().is_ok();
        let hold = *self.hold.borrow();
        match hold {
            Hold::Held | Hold::Lapsed if !is_attended => Hold::Unattended,
            Hold::Held | Hold::Lapsed | Hold::TakenAway | Hold::Ended | Hold::Unattended => hold,
        }
    }

    /// Waits until it holds no more, and says how that is. One without a store to hold it by waits until the mesh has ended.
    ///
    /// Cancel-safe.
    pub async fn lost(&self) -> Hold {
        let mut hold = self.hold.clone();
        // That nobody is there to tell any more is an answer as well.
        let told = hold.wait_for(|hold| *hold != Hold::Held).await.map(|hold| *hold);
        told.unwrap_or_else(|_| self.hold())
    }

    /// What the store knows where there was nobody to tell it.
    pub(super) fn untold(&self) -> OperationEnd {
        match self.hold() {
            Hold::TakenAway => OperationEnd::Fenced,
            Hold::Held | Hold::Lapsed | Hold::Ended | Hold::Unattended => OperationEnd::Unknown,
        }
    }
}

/// Whether an owner by this right who did nothing may say that nothing was done. A right that this version does not know
/// says nothing of who was at it before.
pub(super) const fn is_without_forerunner(right: Right) -> bool {
    matches!(right, Right::First { .. } | Right::Unprotected)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn an_end_that_was_told_is_never_taken_for_a_task_that_nobody_heard_of() {
        for round in 0..300 {
            let sender = watch::Sender::new(Hold::Held);
            let ownership = Ownership::new(Right::Unprotected, sender.subscribe());
            let both = Barrier::new(2);
            std::thread::scope(|scope| {
                let both = &both;
                scope.spawn(move || {
                    both.wait();
                    sender.send_replace(Hold::TakenAway);
                    drop(sender);
                });
                both.wait();
                let told = std::iter::repeat_with(|| ownership.hold()).find(|hold| *hold != Hold::Held);
                assert_eq!(told, Some(Hold::TakenAway), "round {round}");
            });
        }
    }
}
