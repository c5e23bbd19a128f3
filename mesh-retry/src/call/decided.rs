//! Keeps what a call has decided until its driver asks for it. Decides nothing.

use mesh_core::time::Instant;

use super::Decision;

/// The decisions that have not been asked for. One input brings about a retry that is paid for, copies and one thing besides
/// at most; of each of these, but the copies, the last is kept.
#[derive(Debug, Default)]
pub(super) struct Decided {
    retried_at: Option<Instant>,
    copied_at: Instant,
    copies: u8,
    /// A retry that is put off, or a copy that is not sent.
    last: Option<Decision>,
}

impl Decided {
    pub(super) const fn put(&mut self, decision: Decision) {
        match decision {
            Decision::Retry { at } => self.retried_at = Some(at),
            Decision::Hedge { at } => {
                self.copies = self.copies.saturating_add(1);
                self.copied_at = at;
            }
            Decision::Deferred { .. } | Decision::Held { .. } | Decision::NoHedge(_) => self.last = Some(decision),
        }
    }

    /// The next one, until there is none.
    pub(super) const fn take(&mut self) -> Option<Decision> {
        if let Some(at) = self.retried_at.take() {
            return Some(Decision::Retry { at });
        }
        if let Some(left) = self.copies.checked_sub(1) {
            self.copies = left;
            return Some(Decision::Hedge { at: self.copied_at });
        }
        self.last.take()
    }
}
