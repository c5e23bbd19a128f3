//! The beginnings and ends of faults, as they come.

use core::time::Duration;

use mesh_core::time::Instant;

use super::faults::{Edge, EffectKind, Victims};
use super::{Course, Due, Engine, NOBODY};
use crate::model::observe::{Event, EventKind, Observer};

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Lets the edge numbered `number` come in its time, before all that happens then: a fault holds from its instant
    /// on and is over at that of its end, whatever was planned first.
    pub(super) fn expect_edge(&mut self, number: usize) {
        if let Some(edge) = self.edges.get(number) {
            self.agenda.push_first(edge.at, Due::Edge(number));
        }
    }

    /// A fault begins or ends.
    pub(super) fn edge(&mut self, number: usize) {
        let edge = self.edges[number];
        self.turn(edge);
        self.expect_edge(number + 1);
    }

    /// Makes what a fault's edge changes so.
    pub(super) fn turn(&mut self, edge: Edge) {
        let Edge { effect, begins, .. } = edge;
        let kind = if begins { EventKind::FaultBegan } else { EventKind::FaultEnded };
        match self.effects[effect].victims.clone() {
            Victims::Servers(servers) => {
                let mut news = false;
                for &server in &*servers {
                    self.note_fault(kind, effect, server);
                    news |= self.turn_server(server, effect, begins);
                }
                if news && !self.registry.is_out() {
                    self.spread_news();
                }
            }
            Victims::Clients => {
                self.note_fault(kind, effect, NOBODY);
                let mut affliction = self.affliction.take().unwrap_or_default();
                affliction.turn(effect, begins, &self.effects);
                self.affliction = (!affliction.is_well()).then_some(affliction);
                // Clocks may have moved, and machines wait by them.
                for client in 0..self.clients.len() as u32 {
                    self.settle(client);
                }
            }
            Victims::Store => {
                self.note_fault(kind, effect, NOBODY);
                if let Some(fleet) = &mut self.fleet {
                    fleet.turn(begins);
                }
            }
            Victims::Registry => {
                self.note_fault(kind, effect, NOBODY);
                if !self.registry.turn(begins) {
                    return;
                }
                if begins {
                    for client in 0..self.clients.len() as u32 {
                        self.agenda.push(self.now, Due::LosesRegistry(client));
                    }
                } else {
                    self.spread_news();
                }
            }
        }
    }

    /// Changes the condition of a server; returns whether the registry's list changed with it.
    fn turn_server(&mut self, number: u32, effect: usize, begins: bool) -> bool {
        let server = &mut self.servers[number as usize];
        let condition = &mut server.rest.condition;
        let was = (condition.crashed, condition.hangs);
        condition.turn(effect, begins, &self.effects);
        let is = (condition.crashed, condition.hangs);
        let paused = condition.paused.then(|| condition.paused_until(&self.effects).unwrap_or(Instant::MAX));
        let listed = !condition.unregistered;
        server.ill = !condition.is_well();
        if !was.0 && is.0 {
            self.crash(number);
        }
        let server = &mut self.servers[number as usize];
        if was.1 != is.1 {
            // What was swallowed is let go of when the hang ends; the next hang starts a count of its own.
            server.inside -= core::mem::take(&mut server.rest.swallowed);
            server.rest.hangs += 1;
        }
        if begins
            && matches!(self.effects[effect].kind, EffectKind::Pause)
            && let Some(until) = paused
        {
            self.pause(number, until);
        }
        self.registry.list(number, listed)
    }

    /// Stops a server until `until`: what is in service goes on after that.
    fn pause(&mut self, number: u32, until: Instant) {
        self.advance(number);
        let server = &mut self.servers[number as usize];
        let from = self.now.max(server.rest.paused_until);
        let more: Duration = until - from;
        server.was_paused = true;
        server.rest.paused_nanos = server.rest.paused_nanos.saturating_add(more.as_nanos() as u64);
        server.rest.paused_until = server.rest.paused_until.max(until);
        server.rest.sharing.stand_still(until);
        if self.is_shared(number) {
            self.plan(number);
        }
    }

    fn note_fault(&mut self, kind: EventKind, effect: usize, server: u32) {
        self.note(Event { kind, request: u64::MAX, attempt: effect as u32, client: NOBODY, server });
    }
}
