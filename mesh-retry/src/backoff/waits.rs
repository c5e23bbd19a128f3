//! What a call remembers of its waits. Decides nothing.

use core::time::Duration;

/// Why a retry waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The attempt before failed, timed out or reached nobody.
    Failed,
    /// The callee was overloaded and asked for fewer attempts.
    Throttled,
}

impl Cause {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Failed, Self::Throttled];
}

/// What a call has waited for so far: one value for each call, kept by whoever makes its retries.
///
/// Waits that a callee announced do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    retries: u32,
    previous_nanos: u64,
}

impl Waits {
    /// Those of a call that has not retried yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { retries: 0, previous_nanos: 0 }
    }

    /// How many waits the backoff has drawn since the call began, or began anew.
    #[must_use]
    pub const fn retries(&self) -> u32 {
        self.retries
    }

    /// The last of them, or zero before the first.
    #[must_use]
    pub const fn previous(&self) -> Duration {
        Duration::from_nanos(self.previous_nanos)
    }

    /// Begins anew, so that the next wait is that of a first retry.
    pub const fn restart(&mut self) {
        *self = Self::new();
    }

    pub(super) const fn previous_nanos(&self) -> u64 {
        self.previous_nanos
    }

    pub(super) const fn note(&mut self, nanos: u64) {
        self.retries = self.retries.saturating_add(1);
        self.previous_nanos = nanos;
    }
}
