//! Snapshots: sorted, each instance once, indexed by tag, and compared with one another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_core::service::{HealthCheck, Instance, InstanceKey, Tag};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn an_empty_snapshot_has_nothing() {
    let empty = Snapshot::default();
    assert_eq!(empty, Snapshot::new(Vec::new()));
    assert!(empty.is_empty() && empty.tags().len() == 0 && empty.with_tag("a").next().is_none());
    assert!(Snapshot::diff(&empty, &empty).is_empty());
}

#[test]
fn entries_are_sorted_by_scope_then_id() {
    let snapshot = Snapshot::new(vec![entry("b", "1"), entry("", "3"), entry("b", "0"), entry("a", "2")]);
    let keys = snapshot.iter().map(|entry| entry.key().to_string()).collect::<Vec<_>>();
    assert_eq!(keys, ["3", "a/2", "b/0", "b/1"]);
}

#[test]
fn of_two_entries_with_one_key_the_first_counts() {
    let first = entry("", "1");
    let second = Entry::new(Arc::clone(first.instance()), RegistryStatus::Critical, None);
    let snapshot = Snapshot::new(vec![first.clone(), second.clone(), entry("", "0"), second]);
    assert_eq!((snapshot.len(), snapshot.duplicates()), (2, 2));
    assert_eq!(snapshot.get(first.key()), Some(&first));
    assert_eq!(snapshot, Snapshot::new(vec![entry("", "0"), first]));
}

#[test]
fn the_same_id_in_two_scopes_is_two_instances() {
    let snapshot = Snapshot::new(vec![entry("a", "1"), entry("b", "1")]);
    assert_eq!((snapshot.len(), snapshot.duplicates()), (2, 0));
}

#[test]
fn an_entry_is_found_by_its_key() {
    let snapshot = Snapshot::new(vec![entry("", "1"), entry("", "2")]);
    let key = key("", "2");
    assert_eq!(snapshot.position(&key), Some(1));
    assert_eq!(snapshot.get(&key).map(Entry::key), Some(&key));
    assert_eq!(snapshot.get(&self::key("x", "2")), None);
}

#[test]
fn a_diff_tells_who_came_left_and_changed() {
    let old = Snapshot::new(vec![entry("", "1"), entry("", "2"), entry("", "3")]);
    let changed = Entry::new(Arc::clone(entry("", "2").instance()), RegistryStatus::Warning, None);
    let new = Snapshot::new(vec![changed, entry("", "3"), entry("", "4")]);
    let diff = Snapshot::diff(&old, &new);
    assert_eq!((diff.added, diff.removed, diff.changed), (vec![key("", "4")], vec![key("", "1")], vec![key("", "2")]));
}

#[test]
fn any_part_of_an_entry_can_change_it() {
    let base = || Instance::builder("api", "10.0.0.7", 80).id("1");
    let plain = |builder: mesh_core::service::InstanceBuilder| entry_of(builder.build().unwrap());
    let check = HealthCheck::tcp().build_for_any().unwrap();
    let moved = Instance::builder("api", "10.0.0.7", 81).id("1");
    let old = Snapshot::new(vec![plain(base())]);
    let changed = [
        plain(moved),
        plain(base().weight(2)),
        plain(base().tag("a")),
        plain(base().meta("k", "v")),
        Entry::new(Arc::new(base().build().unwrap()), RegistryStatus::Maintenance, None),
        Entry::new(Arc::new(base().build().unwrap()), RegistryStatus::Passing, Some(Arc::new(check))),
    ];
    for entry in changed {
        let new = Snapshot::new(vec![entry]);
        assert_eq!(Snapshot::diff(&old, &new).changed, [key("", "1")], "{new:?}");
        assert_ne!(old, new);
    }
    assert!(Snapshot::diff(&old, &Snapshot::new(vec![plain(base())])).is_empty());
}

#[test]
fn statuses_are_ordered_from_best_to_worst() {
    use RegistryStatus::{Critical, Maintenance, Passing, Unknown, Warning};
    assert!([Unknown, Passing, Warning, Critical, Maintenance].is_sorted());
    assert_eq!([Warning, Maintenance, Critical].iter().max(), Some(&Maintenance));
}

proptest! {
    #![proptest_config(same_every_time())]

    #[test]
    fn entries_are_sorted_and_unique_and_the_first_of_each_given(given in entries()) {
        let snapshot = Snapshot::new(given.clone());
        prop_assert!(snapshot.entries().is_sorted_by(|one, other| one.key() < other.key()));
        prop_assert_eq!(snapshot.len() + snapshot.duplicates(), given.len());
        for entry in &given {
            let first = given.iter().find(|other| other.key() == entry.key());
            prop_assert_eq!(snapshot.get(entry.key()), first);
        }
        for (position, entry) in snapshot.iter().enumerate() {
            prop_assert_eq!(snapshot.position(entry.key()), Some(position));
        }
    }

    #[test]
    fn the_tag_index_agrees_with_a_scan(given in entries(), tag in "[a-h]") {
        let snapshot = Snapshot::new(given);
        let scanned = snapshot.iter().filter(|entry| entry.instance().tags().contains(&tag)).collect::<Vec<_>>();
        prop_assert_eq!(snapshot.with_tag(&tag).collect::<Vec<_>>(), scanned);
        let tags = snapshot.tags().map(Tag::as_str).collect::<Vec<_>>();
        prop_assert!(tags.is_sorted());
        prop_assert_eq!(tags.contains(&tag.as_str()), snapshot.with_tag(&tag).next().is_some());
    }

    #[test]
    fn a_diff_applied_to_the_old_snapshot_gives_the_new_one(old in entries(), new in entries()) {
        let (old, new) = (Snapshot::new(old), Snapshot::new(new));
        let diff = Snapshot::diff(&old, &new);
        prop_assert!([&diff.added, &diff.removed, &diff.changed].iter().all(|keys| keys.is_sorted()));
        let mut entries = old.iter().map(|entry| (entry.key().clone(), entry.clone())).collect::<BTreeMap<_, _>>();
        for key in &diff.removed {
            prop_assert!(entries.remove(key).is_some());
        }
        for key in &diff.added {
            prop_assert!(entries.insert(key.clone(), new.get(key).unwrap().clone()).is_none());
        }
        for key in &diff.changed {
            let was = entries.insert(key.clone(), new.get(key).unwrap().clone());
            prop_assert_ne!(was.as_ref(), new.get(key));
        }
        prop_assert_eq!(Snapshot::new(entries.into_values().collect()), new);
    }

    #[test]
    fn a_diff_is_empty_when_the_snapshots_are_equal_and_reverses(old in entries(), new in entries()) {
        let (old, new) = (Snapshot::new(old), Snapshot::new(new));
        let (there, back) = (Snapshot::diff(&old, &new), Snapshot::diff(&new, &old));
        prop_assert_eq!(there.is_empty(), old == new);
        prop_assert_eq!((there.added, there.removed, there.changed), (back.removed, back.added, back.changed));
    }
}

fn same_every_time() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() }
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let status = prop_oneof![Just(RegistryStatus::Passing), Just(RegistryStatus::Critical)];
    let entry =
        ("[ab]?", "[0-9]", vec("[a-g]", 0..4), 1_u16..3, status).prop_map(|(scope, id, tags, weight, status)| {
            let builder = Instance::builder("api", "10.0.0.7", 80).scope(scope).id(id).weight(weight);
            let builder = tags.into_iter().fold(builder, |builder, tag| builder.tag(tag));
            Entry::new(Arc::new(builder.build().unwrap()), status, None)
        });
    vec(entry, 0..24)
}

fn entry(scope: &str, id: &str) -> Entry {
    entry_of(Instance::builder("api", "10.0.0.7", 80).scope(scope).id(id).build().unwrap())
}

fn entry_of(instance: Instance) -> Entry {
    Entry::new(Arc::new(instance), RegistryStatus::Passing, None)
}

fn key(scope: &str, id: &str) -> InstanceKey {
    InstanceKey::new(scope.parse().unwrap(), id.parse().unwrap())
}
