//! Operations that are to be carried out once: who is at them, and what they came to.

use core::time::Duration;

use super::expiring::Expiring;
use super::term::Term;
use crate::coordinator::store::{
    Abandon, Abandoned, Begin, Begun, Fence, Fingerprint, Finish, Finished, OwnerToken, RESULT_BYTES_MAX, Renew,
    Renewed, StateKey, StoreTime,
};

/// The operations of a memory store.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    by_key: Expiring<StateKey, Operation>,
    /// The greatest fence that was given.
    fence: Fence,
}

#[derive(Clone, Debug)]
struct Operation {
    fingerprint: Fingerprint,
    owner: OwnerToken,
    fence: Fence,
    /// For how long it is remembered after the lease.
    keep: Duration,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Owned { lease: Term, taken_over: bool },
    Done { result: Vec<u8> },
}

impl Default for Operations {
    fn default() -> Self {
        Self { by_key: Expiring::new(KEYS_MAX), fence: Fence::new(0) }
    }
}

impl Operations {
    pub(super) fn begin(&mut self, now: StoreTime, command: &Begin) -> Begun {
        let &Begin { key, fingerprint, owner, lease, keep } = command;
        let next = next_fence(self.fence, now);
        let Some(operation) = self.by_key.get_mut(now, key) else {
            return self.begin_first(now, command, next);
        };
        if operation.fingerprint != fingerprint {
            return Begun::Mismatch;
        }
        let (held, taken_over) = match &mut operation.phase {
            Phase::Done { result } => return Begun::Done { result: result.clone() },
            Phase::Owned { lease, taken_over } => (lease, taken_over),
        };
        if operation.owner != owner {
            let lease_left = held.left(now);
            if !lease_left.is_zero() {
                return Begun::InFlight { lease_left };
            }
            self.fence = next;
            (operation.owner, operation.fence, *taken_over) = (owner, next, true);
        }
        *held = Term::new(now, lease);
        operation.keep = keep;
        let fence = operation.fence;
        let begun = if *taken_over { Begun::TakenOver { fence } } else { Begun::Fresh { fence } };
        self.hold(now, key, lease.saturating_add(keep));
        begun
    }

    fn begin_first(&mut self, now: StoreTime, command: &Begin, fence: Fence) -> Begun {
        let &Begin { key, fingerprint, owner, lease, keep } = command;
        if self.by_key.is_full() {
            // What is forgotten could be carried out twice, so nothing is.
            return Begun::Full;
        }
        self.fence = fence;
        let phase = Phase::Owned { lease: Term::new(now, lease), taken_over: false };
        let operation = Operation { fingerprint, owner, fence, keep, phase };
        self.by_key.put(now, key, lease.saturating_add(keep), operation);
        Begun::Fresh { fence }
    }

    pub(super) fn renew(&mut self, now: StoreTime, command: &Renew) -> Renewed {
        let &Renew { key, owner, fence, lease } = command;
        let Some(operation) = self.owned(now, key, owner, fence) else { return Renewed::Fenced };
        let Phase::Owned { lease: held, .. } = &mut operation.phase else { return Renewed::Fenced };
        *held = Term::new(now, lease);
        let kept_for = lease.saturating_add(operation.keep);
        self.hold(now, key, kept_for);
        Renewed::Kept
    }

    pub(super) fn finish(&mut self, now: StoreTime, command: &Finish) -> Finished {
        let &Finish { key, owner, fence, ref result, keep } = command;
        let Some(operation) = self.owned(now, key, owner, fence) else { return Finished::Fenced };
        match operation.phase {
            Phase::Done { .. } => Finished::Kept,
            Phase::Owned { .. } if result.len() > RESULT_BYTES_MAX => Finished::Fenced,
            Phase::Owned { .. } => {
                operation.phase = Phase::Done { result: result.clone() };
                self.hold(now, key, keep);
                Finished::Kept
            }
        }
    }

    pub(super) fn abandon(&mut self, now: StoreTime, command: &Abandon) -> Abandoned {
        let &Abandon { key, owner, fence } = command;
        match self.owned(now, key, owner, fence).map(|operation| &operation.phase) {
            Some(Phase::Owned { .. }) => {
                self.by_key.remove(key);
                Abandoned::Forgotten
            }
            Some(Phase::Done { .. }) | None => Abandoned::Fenced,
        }
    }

    /// The operation, where `owner` is the last to have begun it: a lease that is over costs nobody his work unless
    /// somebody else has taken over.
    fn owned(&mut self, now: StoreTime, key: StateKey, owner: OwnerToken, fence: Fence) -> Option<&mut Operation> {
        self.by_key.get_mut(now, key).filter(|operation| operation.owner == owner && operation.fence == fence)
    }

    /// Remembers an operation for so long from now on.
    fn hold(&mut self, now: StoreTime, key: StateKey, time: Duration) {
        if let Some(operation) = self.by_key.remove(key) {
            self.by_key.put(now, key, time, operation);
        }
    }
}

/// A fence above `last`, and above all that a store gave which forgot everything and whose clock goes on.
fn next_fence(last: Fence, now: StoreTime) -> Fence {
    Fence::new(last.number().saturating_add(1).max(now.as_micros()))
}

const KEYS_MAX: usize = 4_096;
