//! Servers that work on all their requests at once, each at its share of the server's speed.

use super::metrics::overlap;
use super::{Attempt, AttemptKey, Course, Due, Engine, Place};
use crate::model::observe::{Event, EventKind, Observer};
use crate::model::scenario::Discipline;

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Lets an attempt share its server.
    pub(super) fn join(&mut self, key: AttemptKey) {
        let Some(demand) = self.demand(key) else { return };
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        (attempt.place, attempt.started, attempt.mark) = (Place::InService, self.now, demand);
        let Attempt { request, number, client, server, .. } = *attempt;
        self.advance(server);
        let there = &mut self.servers[server as usize];
        there.working += 1;
        there.rest.sharing.join(key, demand);
        self.note(Event { kind: EventKind::Started, request, attempt: number, client, server });
        self.plan(server);
    }

    /// Works out when the next of those that share a server is done.
    pub(super) fn plan(&mut self, number: u32) {
        let Self { servers, attempts, .. } = self;
        let server = &mut servers[number as usize];
        server.rest.sharing.plan = server.rest.sharing.plan.wrapping_add(1);
        let live = |key| attempts.get(key).is_some_and(|attempt| attempt.place == Place::InService);
        if let Some(at) = server.rest.sharing.next(server.working, live) {
            self.agenda.push(at, Due::Shares { server: number, plan: server.rest.sharing.plan });
        }
    }

    /// Those that share a server and are done leave it.
    pub(super) fn share(&mut self, number: u32, plan: u32) {
        let server = &mut self.servers[number as usize];
        if server.rest.sharing.plan != plan {
            return;
        }
        self.advance(number);
        while let Some(key) = self.servers[number as usize].rest.sharing.pop_done() {
            if self.attempts.get(key).is_some_and(|attempt| attempt.place == Place::InService) {
                self.leave(key);
                let attempt = &self.attempts[key];
                if attempt.measured {
                    let sojourn = self.now.as_nanos() - attempt.arrived.as_nanos();
                    self.metrics.waited(sojourn.saturating_sub(attempt.mark));
                }
                self.note_attempt(EventKind::Served, key);
                self.respond(key, false);
            }
        }
        self.plan(number);
    }

    /// Brings what those that share a server were given up to now; of other servers there is nothing to bring.
    pub(super) fn advance(&mut self, number: u32) {
        if !self.is_shared(number) {
            return;
        }
        let server = &mut self.servers[number as usize];
        let working = server.working;
        let since = server.rest.sharing.updated();
        if working > 0 {
            server.busy_nanos += overlap(since, self.now, self.window);
        }
        server.rest.sharing.advance(self.now, working);
    }

    /// Whether a server works on all its requests at once.
    pub(super) fn is_shared(&self, number: u32) -> bool {
        let group = self.servers[number as usize].group;
        self.groups[group as usize].discipline == Discipline::ProcessorSharing
    }

    /// Takes an attempt out of those that share its server; what they were given is up to date.
    pub(super) fn leave(&mut self, key: AttemptKey) {
        let attempt = &self.attempts[key];
        let server = &mut self.servers[attempt.server as usize];
        server.working -= 1;
        server.inside -= 1;
    }
}
