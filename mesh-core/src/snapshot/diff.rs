//! What changed from one snapshot to the next.

use alloc::sync::Arc;
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
    pub(super) fn between(old: &[Entry], new: &[Entry]) -> Self {
        let mut diff = Self::default();
        for_each_difference(old, new, |was, is| match (was, is) {
            (Some(_), Some(is)) => diff.changed.push(is.key().clone()),
            (Some(was), None) => diff.removed.push(was.key().clone()),
            (None, Some(is)) => diff.added.push(is.key().clone()),
            (None, None) => {}
        });
        diff
    }
}

/// Calls `visit` for each instance that differs, in the order of the keys, with what it was and what it is. Entries of
/// the same instance value are not looked into.
pub(super) fn for_each_difference<'a>(
    mut old: &'a [Entry],
    mut new: &'a [Entry],
    mut visit: impl FnMut(Option<&'a Entry>, Option<&'a Entry>),
) {
    while let (Some((was, old_rest)), Some((is, new_rest))) = (old.split_first(), new.split_first()) {
        let same = Arc::ptr_eq(was.instance(), is.instance());
        let order = if same { Ordering::Equal } else { was.key().cmp(is.key()) };
        match order {
            Ordering::Less => visit(Some(was), None),
            Ordering::Greater => visit(None, Some(is)),
            Ordering::Equal if was != is => visit(Some(was), Some(is)),
            Ordering::Equal => {}
        }
        old = if order.is_le() { old_rest } else { old };
        new = if order.is_ge() { new_rest } else { new };
    }
    old.iter().for_each(|was| visit(Some(was), None));
    new.iter().for_each(|is| visit(None, Some(is)));
}
