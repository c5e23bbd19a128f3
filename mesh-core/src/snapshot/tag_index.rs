//! Which entries have a tag, without looking at all of them.

use alloc::collections::BTreeMap;

use super::Entry;
use crate::service::Tag;

/// For each tag the positions of the entries that have it, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct TagIndex(BTreeMap<Tag, Vec<usize>>);

impl TagIndex {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut by_tag = BTreeMap::<Tag, Vec<usize>>::new();
        for (position, entry) in entries.iter().enumerate() {
            for tag in entry.instance().tags().iter() {
                by_tag.entry(tag.clone()).or_default().push(position);
            }
        }
        Self(by_tag)
    }

    pub(super) fn positions(&self, tag: &str) -> &[usize] {
        self.0.get(tag).map_or(&[], Vec::as_slice)
    }

    pub(super) fn tags(&self) -> impl ExactSizeIterator<Item = &Tag> {
        self.0.keys()
    }
}
