//! What changed from one snapshot to the next.

use core::cmp::Ordering;

use super::Entry;
use crate::service::InstanceKey;

/// The keys of the instances that came, left or changed, each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff {
    /// Those that only the new snapshot has.
    pub added: Vec<InstanceKey>,
    /// Those that only the old snapshot has.
    pub removed: Vec<InstanceKey>,
    /// Those whose address, weights, tags, metadata, status or check differ.
    pub changed: Vec<InstanceKey>,
}

impl Diff {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Walks both sorted lists side by side.
    pub(super) fn between(mut old: &[Entry], mut new: &[Entry]) -> Self {
        let mut diff = Self::default();
        while let (Some((was, old_rest)), Some((is, new_rest))) = (old.split_first(), new.split_first()) {
            let order = was.key().cmp(is.key());
            match order {
                Ordering::Less => diff.removed.push(was.key().clone()),
                Ordering::Greater => diff.added.push(is.key().clone()),
                Ordering::Equal if was != is => diff.changed.push(is.key().clone()),
                Ordering::Equal => {}
            }
            old = if order.is_le() { old_rest } else { old };
            new = if order.is_ge() { new_rest } else { new };
        }
        diff.removed.extend(old.iter().map(|was| was.key().clone()));
        diff.added.extend(new.iter().map(|is| is.key().clone()));
        diff
    }
}
