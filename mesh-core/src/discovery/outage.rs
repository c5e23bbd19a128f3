//! Lists that take most instances away at once, which is what an agent says that has just restarted.

use alloc::sync::Arc;

use crate::snapshot::{Entry, RegistryStatus, Snapshot};

/// `said` with what `served` has of the instances that it calls critical or lacks, where those are more than it leaves
/// live; `None` where it is to be taken at its word.
///
/// Consul 1.8.7 reports every instance of an agent critical until its checks have run again (measured: 1 to 7 s, the last
/// after a whole interval), and an agent that lost its data has them removed until they register anew. What somebody took
/// out of service is no such case.
pub(super) fn softened(served: &Snapshot, said: &Snapshot) -> Option<Snapshot> {
    let was_live = |entry: &&Entry| served.get(entry.key()).is_some_and(is_live);
    let missing = || served.iter().filter(|entry| is_live(entry) && said.get(entry.key()).is_none());
    let turned = said.iter().filter(|entry| is_critical(entry)).filter(was_live).count();
    let live = said.iter().filter(|entry| is_live(entry)).count();
    if turned.saturating_add(missing().count()) <= live {
        return None;
    }
    let soften = |entry: &Entry| match served.get(entry.key()).filter(|before| is_critical(entry) && is_live(before)) {
        Some(before) => Entry::new(Arc::clone(entry.instance()), before.status(), entry.check().cloned()),
        None => entry.clone(),
    };
    Some(Snapshot::new(said.iter().map(soften).chain(missing().cloned()).collect()))
}

fn is_critical(entry: &Entry) -> bool {
    entry.status() == RegistryStatus::Critical
}

fn is_live(entry: &Entry) -> bool {
    !matches!(entry.status(), RegistryStatus::Critical | RegistryStatus::Maintenance)
}
