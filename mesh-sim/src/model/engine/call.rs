//! A request under way, as its client sees it.

use mesh_core::time::Instant;
use mesh_retry::hedge::COPIES_MAX;
use slotmap::Key as _;

use super::metrics::Failing;
use super::{AttemptKey, Coming};

/// A request under way.
#[derive(Debug)]
pub(super) struct Call<M> {
    pub(super) machine: M,
    pub(super) coming: Coming,
    pub(super) measured: bool,
    pub(super) last: Option<Failing>,
    /// When the machine is woken while attempts are under way; the last time that was asked for.
    pub(super) wakes: Instant,
    pub(super) under_way: UnderWay,
}

impl<M> Call<M> {
    pub(super) fn new(machine: M, coming: Coming, measured: bool) -> Self {
        Self { machine, coming, measured, last: None, wakes: Instant::MAX, under_way: UnderWay::default() }
    }
}

/// The attempts of one call that its client waits for, in the order in which they were made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnderWay {
    keys: [AttemptKey; COPIES_MAX as usize],
    count: u8,
}

impl UnderWay {
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The one that was made first.
    pub(super) fn oldest(&self) -> Option<AttemptKey> {
        Some(self.keys[0]).filter(|key| !key.is_null())
    }

    /// Adds one; a call machine has no more under way than there is room for.
    pub(super) fn put(&mut self, key: AttemptKey) {
        if let Some(free) = self.keys.get_mut(usize::from(self.count)) {
            *free = key;
            self.count += 1;
        }
    }

    /// Takes away the one that `is_meant`.
    pub(super) fn take(&mut self, is_meant: impl Fn(AttemptKey) -> bool) -> Option<AttemptKey> {
        let count = usize::from(self.count);
        let at = self.keys[..count].iter().position(|key| is_meant(*key))?;
        let taken = self.keys[at];
        self.keys.copy_within(at + 1..count, at);
        self.keys[count - 1] = AttemptKey::null();
        self.count -= 1;
        Some(taken)
    }
}
