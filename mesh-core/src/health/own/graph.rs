//! The order of checks by what depends on what, and the cycle where there is none.

use alloc::collections::{BTreeMap, BTreeSet};

use super::check::CheckName;

/// What each check depends on; every dependency is a key too.
pub(super) type Dependencies<'a> = BTreeMap<&'a CheckName, &'a BTreeSet<CheckName>>;

/// The checks, those depended upon first and by name where either may come first.
///
/// Kahn's algorithm ("Topological sorting of large networks", CACM 5(11), 1962), which takes the least name of those
/// that wait for nothing more.
///
/// # Errors
/// A cycle: each depends on the next, and the last is the first again.
pub(super) fn order(all: &Dependencies<'_>) -> Result<Vec<CheckName>, Vec<CheckName>> {
    let mut waits_for: BTreeMap<&CheckName, usize> = all.iter().map(|(name, on)| (*name, on.len())).collect();
    let mut dependents: BTreeMap<&CheckName, Vec<&CheckName>> = BTreeMap::new();
    for (name, on) in all {
        for dependency in *on {
            dependents.entry(dependency).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&CheckName> =
        waits_for.iter().filter(|(_, left)| **left == 0).map(|(name, _)| *name).collect();
    let mut order = Vec::with_capacity(all.len());
    while let Some(next) = ready.pop_first() {
        waits_for.remove(next);
        order.push(next.clone());
        for dependent in dependents.get(next).into_iter().flatten() {
            if let Some(left) = waits_for.get_mut(dependent) {
                *left -= 1;
                if *left == 0 {
                    ready.insert(dependent);
                }
            }
        }
    }
    if waits_for.is_empty() { Ok(order) } else { Err(cycle(all, &waits_for)) }
}

/// A cycle among those that `wait`, each of which depends on another of them.
fn cycle(all: &Dependencies<'_>, wait: &BTreeMap<&CheckName, usize>) -> Vec<CheckName> {
    let mut path: Vec<&CheckName> = Vec::new();
    let mut at = wait.keys().next().copied();
    while let Some(name) = at {
        if let Some(start) = path.iter().position(|earlier| *earlier == name) {
            return path[start..].iter().copied().chain([name]).cloned().collect();
        }
        path.push(name);
        at = all.get(name).and_then(|on| on.iter().find(|dependency| wait.contains_key(dependency)));
    }
    path.into_iter().cloned().collect()
}
