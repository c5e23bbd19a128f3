//! The enrolled instances, in the order of their keys, and how many of them may be out.

use alloc::collections::BTreeMap;
use core::ops::Bound;

use super::config::{Ejection, ShareRule};
use super::host::Host;
use crate::service::InstanceKey;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Fleet {
    slots: BTreeMap<InstanceKey, usize>,
    hosts: Vec<Host>,
    /// How many are in in vain.
    vain: usize,
}

impl Fleet {
    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// How many there are without those that something else keeps requests from, of whom none can serve in place of one
    /// that is out.
    pub(super) fn serving(&self) -> usize {
        self.hosts.len() - self.vain
    }

    pub(super) fn slot(&self, key: &InstanceKey) -> Option<usize> {
        self.slots.get(key).copied()
    }

    pub(super) fn host(&self, key: &InstanceKey) -> Option<&Host> {
        self.slot(key).and_then(|slot| self.hosts.get(slot))
    }

    /// The host in `slot`, which must come from this fleet as it is now.
    pub(super) fn at(&mut self, slot: usize) -> &mut Host {
        &mut self.hosts[slot]
    }

    /// Changes where the host in `slot` stands, or whether it is set aside.
    pub(super) fn change<T>(&mut self, slot: usize, change: impl FnOnce(&mut Host) -> T) -> T {
        let host = &mut self.hosts[slot];
        self.vain -= usize::from(host.is_in_vain());
        let made = change(host);
        self.vain += usize::from(host.is_in_vain());
        made
    }

    pub(super) fn hosts_mut(&mut self) -> &mut [Host] {
        &mut self.hosts
    }

    /// Adds an instance; returns whether it is new.
    pub(super) fn add(&mut self, now: Instant, key: InstanceKey) -> bool {
        if self.slots.contains_key(&key) {
            return false;
        }
        self.slots.insert(key.clone(), self.hosts.len());
        self.hosts.push(Host::new(now, key));
        true
    }

    /// Takes an instance away; returns whether there was one.
    pub(super) fn remove(&mut self, key: &InstanceKey) -> bool {
        let Some(slot) = self.slots.remove(key) else { return false };
        self.vain -= usize::from(self.hosts.swap_remove(slot).is_in_vain());
        if let Some(moved) = self.hosts.get(slot)
            && let Some(place) = self.slots.get_mut(&moved.key)
        {
            *place = slot;
        }
        true
    }

    /// The slots in the order of the keys.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (usize, &Host)> {
        self.slots.values().map(|slot| (*slot, &self.hosts[*slot]))
    }

    /// Finds the slots of `keyed`, at one comparison each as long as they come in the order of their keys.
    pub(super) fn for_each<'a, T>(
        &mut self,
        keyed: impl IntoIterator<Item = (&'a InstanceKey, T)>,
        mut act: impl FnMut(usize, &mut Host, T),
    ) {
        let mut walk = self.slots.range::<InstanceKey, _>(..);
        for (key, value) in keyed {
            let slot = match walk.next() {
                Some((next, slot)) if next == key => Some(*slot),
                Some(_) | None => {
                    walk = self.slots.range::<InstanceKey, _>((Bound::Excluded(key), Bound::Unbounded));
                    self.slots.get(key).copied()
                }
            };
            if let Some(slot) = slot
                && let Some(host) = self.hosts.get_mut(slot)
            {
                act(slot, host, value);
            }
        }
    }
}

/// Whether of `fleet` one more may be ejected than the `out` that are, of which `ejected` are not probed.
pub(super) fn has_room(config: &Ejection, fleet: &Fleet, ejected: usize, out: usize) -> bool {
    let (share, enrolled) = (config.share_max_percent as usize, fleet.len());
    match config.share_rule {
        ShareRule::RoundedDown => out < out_max(config, fleet.serving()),
        ShareRule::Included => {
            let fits = 100 * (ejected + 1) <= share * enrolled;
            fits || (config.at_least_one && ejected == 0)
        }
        ShareRule::Before => 100 * ejected < share * enrolled,
    }
}

/// How many of `serving` instances may be out by [`ShareRule::RoundedDown`].
pub(super) const fn out_max(config: &Ejection, serving: usize) -> usize {
    let share = serving * config.share_max_percent as usize / 100;
    let least = if config.at_least_one { 1 } else { 0 };
    let wanted = if share > least { share } else { least };
    let others = serving.saturating_sub(1);
    if wanted < others { wanted } else { others }
}
