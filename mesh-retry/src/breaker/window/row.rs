//! How many calls failed in a row.

use super::super::word::TAG_BITS;
use super::{Call, Current};
use crate::sync::{AtomicU64, Ordering};

/// The length of the present run of failures, under the tag of its epoch: the tag above, the length below.
///
/// A success that comes to no run writes nothing, so that threads whose calls succeed share the word without a change of
/// it.
#[derive(Debug)]
pub(super) struct Row(AtomicU64);

impl Row {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts `call`; returns the run after it, or nothing where it is not current any more.
    #[inline]
    pub(super) fn record(&self, tag: u64, call: Call, current: &impl Current) -> Option<u32> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if !current() {
                return None;
            }
            let run = length(word, tag);
            let after = if call.failed { (run + 1).min(LENGTH) } else { 0 };
            if after == run {
                return Some(shown(after));
            }
            let next = tag << LENGTH_BITS | after;
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(shown(after)),
                Err(changed) => word = changed,
            }
        }
    }

    /// The present run in the epoch with `tag`.
    pub(super) fn failures(&self, tag: u64) -> u32 {
        shown(length(self.0.load(Ordering::Acquire), tag))
    }
}

const fn length(word: u64, tag: u64) -> u64 {
    if word >> LENGTH_BITS == tag { word & LENGTH } else { 0 }
}

fn shown(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

const LENGTH_BITS: u32 = u64::BITS - TAG_BITS;
const LENGTH: u64 = (1 << LENGTH_BITS) - 1;
