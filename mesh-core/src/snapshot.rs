//! What a registry said of a service at one moment: an immutable, sorted set of instances.
//!
//! Decides which of two entries with the same identity counts, and what changed from one snapshot to the next.
//! Never decides who gets traffic, and never looks whether an entry is of the service that was asked for.

mod diff;
mod tag_index;

use alloc::sync::Arc;

pub use diff::Diff;
use tag_index::TagIndex;

use crate::service::{HealthCheck, Instance, InstanceKey, Tag};

/// The instances of a service, sorted by their keys, each key once, with an index of their tags.
///
/// Two snapshots are equal when their entries are.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    entries: Box<[Entry]>,
    by_tag: TagIndex,
    duplicates: usize,
}

impl Snapshot {
    /// The snapshot of `entries`, in any order; of those with the same key the first counts.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        let given = entries.len();
        entries.sort_by(|one, other| one.key().cmp(other.key()));
        entries.dedup_by(|later, earlier| later.key() == earlier.key());
        let duplicates = given.saturating_sub(entries.len());
        Self { by_tag: TagIndex::of(&entries), entries: entries.into(), duplicates }
    }

    /// How many entries were left out because another with the same key came before them.
    #[must_use]
    pub const fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// How many instances there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of their keys.
    #[must_use]
    pub const fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> core::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// The entry of the instance `key`, in O(log n).
    #[must_use]
    pub fn get(&self, key: &InstanceKey) -> Option<&Entry> {
        self.position(key).and_then(|position| self.entries.get(position))
    }

    /// Where in [`Snapshot::entries`] the instance `key` is, in O(log n).
    #[must_use]
    pub fn position(&self, key: &InstanceKey) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.key().cmp(key)).ok()
    }

    /// The entries that have `tag`, in the order of their keys, in O(log t + matches) for t different tags.
    pub fn with_tag(&self, tag: &str) -> impl Iterator<Item = &Entry> {
        self.by_tag.positions(tag).iter().filter_map(|position| self.entries.get(*position))
    }

    /// The different tags in order.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &Tag> {
        self.by_tag.tags()
    }

    /// What changed from `old` to `new`, in O(old + new).
    #[must_use]
    pub fn diff(old: &Self, new: &Self) -> Diff {
        Diff::between(old.entries(), new.entries())
    }

    /// Calls `visit` for each instance that differs in `later`, with what it was and what it is.
    pub(crate) fn for_each_difference<'a>(
        &'a self,
        later: &'a Self,
        visit: impl FnMut(Option<&'a Entry>, Option<&'a Entry>),
    ) {
        diff::for_each_difference(self.entries(), later.entries(), visit);
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Snapshot {}

impl<'a> IntoIterator for &'a Snapshot {
    type Item = &'a Entry;
    type IntoIter = core::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One instance and what the registry says of its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    instance: Arc<Instance>,
    status: RegistryStatus,
    check: Option<Arc<HealthCheck>>,
}

impl Entry {
    /// The entry of `instance`; `check` is one that the registry leaves to the mesh.
    #[must_use]
    pub const fn new(instance: Arc<Instance>, status: RegistryStatus, check: Option<Arc<HealthCheck>>) -> Self {
        Self { instance, status, check }
    }

    /// The instance.
    #[must_use]
    pub const fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The instance's identity.
    #[must_use]
    pub fn key(&self) -> &InstanceKey {
        self.instance.key()
    }

    /// What the registry says of its health.
    #[must_use]
    pub const fn status(&self) -> RegistryStatus {
        self.status
    }

    /// The check that the registry leaves to the mesh.
    #[must_use]
    pub const fn check(&self) -> Option<&Arc<HealthCheck>> {
        self.check.as_ref()
    }
}

/// What a registry says of an instance's health, ordered from best to worst: of several checks the greatest
/// status counts, as in Consul.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum RegistryStatus {
    /// The registry runs no check of it, so it has nothing to say.
    #[default]
    Unknown,
    /// All checks pass.
    Passing,
    /// A check warns.
    Warning,
    /// A check fails.
    Critical,
    /// Somebody took it out of service, whatever its checks say.
    Maintenance,
}
