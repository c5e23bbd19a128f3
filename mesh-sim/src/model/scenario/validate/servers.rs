//! The groups of servers: their own numbers here, and what is registered by production's rules.

use alloc::collections::BTreeSet;

use super::distribution;
use super::findings::{Findings, Path};
use crate::model::scenario::ServerGroup;

/// Checks every group.
pub(super) fn verify(groups: &[ServerGroup], found: &mut Findings) {
    let path = Path::Root.key("servers");
    found.require(!groups.is_empty(), path, "[]", "there must be at least one group");
    found.require(groups.len() <= GROUPS_MAX, path, groups.len(), "at most 65535 groups are allowed");
    let mut names = BTreeSet::new();
    for (at, group) in groups.iter().enumerate() {
        let path = path.item(at);
        if found.require(!group.group.is_empty(), path.key("group"), "", "a group must have a name") {
            let first = names.insert(group.group.as_str());
            found.require(first, path.key("group"), &group.group, "another group has this name");
            verify_registered(group, path, found);
        }
        found.require(group.count > 0, path.key("count"), group.count, "must be at least 1");
        let speed = group.speed;
        found.require(speed.is_finite() && speed > 0.0, path.key("speed"), speed, "must be a finite number above 0");
        distribution::verify(&group.service_time, path.key("service_time"), found);
    }
}

/// Asks the builder of instances what it thinks of the group's last server, whose name is the longest.
fn verify_registered(group: &ServerGroup, path: Path<'_>, found: &mut Findings) {
    let Err(error) = group.instance(0, group.count.saturating_sub(1)) else { return };
    for problem in error.problems() {
        let (key, value) = match problem.field() {
            "id" => ("group", group.group.as_str()),
            "tag" => ("tags", problem.value()),
            "meta key" => ("meta", problem.value()),
            field => (field, problem.value()),
        };
        found.refuse(path.key(key), value, problem.rule(), None);
    }
}

/// What the engine numbers groups by has 16 bits.
const GROUPS_MAX: usize = 65_535;
