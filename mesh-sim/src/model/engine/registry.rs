//! The registry: who is listed, and which list each client is to hear next.
//!
//! It runs no checks: a server that crashed stays listed until it is taken out. A list may be wrong, as one behind a
//! network may, so that discovery doubts a sudden void as it does in production.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use mesh_core::port::Resolution;
use mesh_core::service::Instance;
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};

use super::law::Law;
use super::random::Streams;
use crate::model::scenario::Discovery;

/// Who is listed.
#[derive(Debug)]
pub(super) struct Registry {
    instances: Vec<Arc<Instance>>,
    listed: Vec<bool>,
    version: u64,
    delay: Law,
    streams: Streams,
    /// How many outages there are at the moment.
    outages: u32,
    /// Lists that are on their way, with how many clients have yet to hear them.
    on_the_way: BTreeMap<u64, (Arc<Snapshot>, u32)>,
    tellings: u64,
}

impl Registry {
    pub(super) fn new(instances: Vec<Arc<Instance>>, discovery: &Discovery, seed: u64) -> Self {
        Self {
            listed: vec![true; instances.len()],
            instances,
            version: 0,
            delay: Law::of(&discovery.delay),
            streams: Streams::new(seed, "discovery"),
            outages: 0,
            on_the_way: BTreeMap::new(),
            tellings: 0,
        }
    }

    /// An outage begins or ends; returns whether the registry went out or came back with it.
    pub(super) fn turn(&mut self, begins: bool) -> bool {
        let was_out = self.is_out();
        self.outages = if begins { self.outages + 1 } else { self.outages.saturating_sub(1) };
        was_out != self.is_out()
    }

    /// Whether nothing gets through.
    pub(super) const fn is_out(&self) -> bool {
        self.outages > 0
    }

    /// Lists the server `number` or not; returns whether that is new.
    pub(super) fn list(&mut self, number: u32, listed: bool) -> bool {
        let new = self.listed[number as usize] != listed;
        self.listed[number as usize] = listed;
        self.version += u64::from(new);
        new
    }

    /// The list as it is now, as one that a client hears.
    pub(super) fn resolution(&self) -> Resolution {
        Resolution::heard(self.snapshot(), true)
    }

    /// Sends the list as it is now to `clients` clients: its version, and a draw of the delay for each.
    pub(super) fn tell(&mut self, clients: u32) -> (u64, Vec<u64>) {
        self.tellings += 1;
        let snapshot = self.snapshot();
        let waiting = self.on_the_way.entry(self.version).or_insert((snapshot, 0));
        waiting.1 += clients;
        let delay = |client| self.delay.nanos(&mut self.streams.stream(self.tellings, u64::from(client)));
        (self.version, (0..clients).map(delay).collect())
    }

    /// The list of `version`, as the client that it was sent to hears it now.
    pub(super) fn arrives(&mut self, version: u64) -> Option<Resolution> {
        let waiting = self.on_the_way.get_mut(&version)?;
        waiting.1 -= 1;
        let snapshot = Arc::clone(&waiting.0);
        if waiting.1 == 0 {
            self.on_the_way.remove(&version);
        }
        Some(Resolution::heard(snapshot, true))
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let listed = self.instances.iter().zip(&self.listed).filter(|(_, listed)| **listed);
        let entry =
            |(instance, _): (&Arc<Instance>, _)| Entry::new(Arc::clone(instance), RegistryStatus::Unknown, None);
        Arc::new(Snapshot::new(listed.map(entry).collect()))
    }
}
