//! Work that one thread does and the others do not wait for.

use crate::sync::{AtomicU32, Ordering};

/// Lets one thread at a time in, and sends every other on its way.
///
/// It is no lock: nobody waits for it. What is written while it is held is seen by whoever takes it next, so values
/// that are touched by its holder alone may be read and written with relaxed ordering.
#[derive(Debug)]
pub(super) struct Claim(AtomicU32);

impl Claim {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    /// Takes it, unless another thread has it. It is free again when what is returned is dropped.
    pub(super) fn try_take(&self) -> Option<Claimed<'_>> {
        // Acquires what the holder before has written.
        let taken = self.0.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then_some(Claimed(self))
    }
}

/// That its holder has the claim.
#[derive(Debug)]
pub(super) struct Claimed<'a>(&'a Claim);

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.0.0.store(FREE, Ordering::Release);
    }
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;
