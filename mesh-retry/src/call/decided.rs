//! Keeps what a call has decided until its driver asks for it. Decides nothing.

use mesh_core::time::Instant;

use super::{Decision, GiveUpReason};

/// The decisions that have not been asked for: the last about the call as a whole, every copy that was sent, and the last
/// reason for which none was. One input brings no more than that about.
#[derive(Debug, Default)]
pub(super) struct Decided {
    next: Option<Decision>,
    copies: u8,
    copied_at: Instant,
    no_copy: Option<GiveUpReason>,
}

impl Decided {
    pub(super) const fn put(&mut self, decision: Decision) {
        match decision {
            Decision::Retry { .. } | Decision::Deferred { .. } | Decision::Held { .. } => self.next = Some(decision),
            Decision::Hedge { at } => {
                self.copies = self.copies.saturating_add(1);
                self.copied_at = at;
            }
            Decision::NoHedge(reason) => self.no_copy = Some(reason),
        }
    }

    /// The next one, until there is none.
    pub(super) const fn take(&mut self) -> Option<Decision> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        if let Some(left) = self.copies.checked_sub(1) {
            self.copies = left;
            return Some(Decision::Hedge { at: self.copied_at });
        }
        match self.no_copy.take() {
            Some(reason) => Some(Decision::NoHedge(reason)),
            None => None,
        }
    }
}
