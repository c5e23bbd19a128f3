//! The clients' control plane: what they hear of the registry, and what their service machines ask for.

use core::time::Duration;

use mesh_core::health::Health;
use mesh_core::health::outlier::OutlierEvent;
use mesh_core::machine::{Deregistration, Machine as _, ServiceEffect, ServiceEvent, ServiceInput};
use mesh_core::service::InstanceKey;

use super::{Course, Due, Engine, NOBODY};
use crate::model::observe::{EventKind, Observer};

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Lets every client know the list as it is before anything happens.
    pub(super) fn introduce(&mut self) {
        for client in 0..self.clients.len() as u32 {
            self.instruct(client, ServiceInput::Observed(self.registry.resolution()));
        }
    }

    /// Sends the list as it is now to every client.
    pub(super) fn spread_news(&mut self) {
        let (version, delays) = self.registry.tell(self.clients.len() as u32);
        for (client, delay) in (0..).zip(delays) {
            self.agenda.push(self.now + Duration::from_nanos(delay), Due::Hears { client, version });
        }
    }

    /// A client hears a list. During an outage nothing gets through, and an older list than the last says nothing.
    pub(super) fn hear(&mut self, client: u32, version: u64) {
        let Some(resolution) = self.registry.arrives(version) else { return };
        let heard = &mut self.clients[client as usize].heard;
        if self.registry.is_out() || version < *heard {
            return;
        }
        *heard = version;
        self.note_control(EventKind::Discovered, client, NOBODY);
        self.instruct(client, ServiceInput::Observed(resolution));
    }

    /// A client's connection to the registry breaks.
    pub(super) fn lose_registry(&mut self, client: u32) {
        self.note_control(EventKind::RegistryLost, client, NOBODY);
        self.instruct(client, ServiceInput::Lost);
    }

    /// An attempt's end asked for a look at the endpoints.
    pub(super) fn sweep(&mut self, client: u32) {
        self.instruct(client, ServiceInput::Sweep);
    }

    /// A client's machine is due.
    pub(super) fn turn_machine(&mut self, client: u32) {
        let local = self.local(self.now);
        let there = &mut self.clients[client as usize];
        // One that was put off comes late; one that is not due any more was planned before something changed.
        if there.due.is_none_or(|due| due > self.now) {
            return;
        }
        there.due = None;
        there.machine.handle_timeout(local);
        self.settle(client);
    }

    pub(super) fn instruct(&mut self, client: u32, input: ServiceInput) {
        let local = self.local(self.now);
        self.clients[client as usize].machine.handle_input(local, input);
        self.settle(client);
    }

    /// Does what a client's machine asks for and sets the time of its next turn.
    pub(super) fn settle(&mut self, client: u32) {
        let at = client as usize;
        while let Some(effect) = self.clients[at].machine.poll_effect() {
            match effect {
                ServiceEffect::Publish(view) => {
                    self.clients[at].publish(view, &self.numbers);
                    self.note_control(EventKind::Published, client, NOBODY);
                }
                ServiceEffect::Probe(probe) => self.probe(client, &probe),
                ServiceEffect::Deregister(id, instance) => {
                    let number = self.number(instance.key());
                    if number != NOBODY && self.registry.list(number, false) {
                        self.spread_news();
                    }
                    let local = self.local(self.now);
                    let done = ServiceInput::Deregistered(id, Deregistration::Done);
                    self.clients[at].machine.handle_input(local, done);
                }
            }
        }
        while let Some(event) = self.clients[at].machine.poll_event() {
            if let Some((kind, key)) = noteworthy(&event) {
                self.note_control(kind, client, self.number(key));
            }
        }
        let due = self.clients[at].machine.poll_timeout().map(|local| self.to_virtual(local));
        if due.is_some() && due != self.clients[at].due {
            self.clients[at].due = due;
            if let Some(due) = due {
                self.agenda.push(due, Due::Machine(client));
            }
        }
    }

    /// The number of the server that is listed as `key`.
    pub(super) fn number(&self, key: &InstanceKey) -> u32 {
        self.numbers.get(key).copied().unwrap_or(NOBODY)
    }
}

/// What a trace has of what a machine reports, and whom it is about.
const fn noteworthy(event: &ServiceEvent) -> Option<(EventKind, &InstanceKey)> {
    match event {
        ServiceEvent::Health { key, to: Health::Unhealthy, .. } => Some((EventKind::TurnedUnhealthy, key)),
        ServiceEvent::Health { key, .. } => Some((EventKind::TurnedHealthy, key)),
        ServiceEvent::Outlier(OutlierEvent::Ejected { key, .. }) => Some((EventKind::Ejected, key)),
        ServiceEvent::Outlier(OutlierEvent::Released { key }) => Some((EventKind::Probation, key)),
        ServiceEvent::Outlier(OutlierEvent::Restored { key, .. }) => Some((EventKind::Restored, key)),
        // Of all else traces have the view that comes of it.
        ServiceEvent::Freshness { .. }
        | ServiceEvent::Status { .. }
        | ServiceEvent::Outlier(_)
        | ServiceEvent::Deregistering { .. }
        | ServiceEvent::Deregistered { .. }
        | _ => None,
    }
}
