//! The servers' side of requests: how they come in, wait, are worked on and answered.

use core::time::Duration;

use mesh_core::time::Instant;

use super::law::whole;
use super::metrics::overlap;
use super::network::{Leg, Weather};
use super::random::Bits as _;
use super::{Answer, Attempt, AttemptKey, Course, Due, Engine, Place};
use crate::model::observe::{Event, EventKind, Observer};
use crate::model::scenario::Discipline;

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Sends an attempt to its server.
    pub(super) fn send(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get(key) else { return };
        let weather = self.weather(attempt.server, true);
        match self.wire.carry(Leg::Request, attempt.request, attempt.number, weather.as_ref()) {
            Some(0) => self.reach(key),
            Some(nanos) => self.agenda.push(self.now + Duration::from_nanos(nanos), Due::Reaches(key)),
            None => self.lose(key),
        }
    }

    /// What faults do to messages between the clients and `server`.
    #[inline]
    pub(super) fn weather(&self, server: u32, to_server: bool) -> Option<Weather> {
        let condition = self.servers[server as usize].condition();
        if condition.is_none() && self.affliction.is_none() {
            return None;
        }
        let there = condition.map(|there| if to_server { there.inbound } else { there.outbound });
        let here = self.affliction.as_ref().map(|here| if to_server { here.outbound } else { here.inbound });
        Some(there.unwrap_or_default().and(here.unwrap_or_default())).filter(|weather| *weather != Weather::default())
    }

    /// A message about an attempt is never seen again.
    fn lose(&mut self, key: AttemptKey) {
        self.note_attempt(EventKind::Lost, key);
        self.set_place(key, Place::Gone);
    }

    /// Moves an attempt; one that nobody knows of any more is forgotten.
    fn set_place(&mut self, key: AttemptKey, place: Place) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        attempt.place = place;
        if place == Place::Gone && attempt.lease.is_none() {
            self.attempts.remove(key);
        }
    }

    /// An attempt comes to its server.
    pub(super) fn reach(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        match attempt.place {
            Place::OnTheWay => attempt.arrived = self.now,
            Place::AtTheDoor => {}
            Place::Waiting | Place::Left | Place::InService | Place::Swallowed | Place::Answered | Place::Gone => {
                return;
            }
        }
        let number = attempt.server as usize;
        if self.servers[number].ill && self.is_turned_away(key) {
            return;
        }
        let server = &self.servers[number];
        let group = &self.groups[server.group as usize];
        if !server.has_room(group) {
            return self.refuse(key, EventKind::Rejected, Answer::Full);
        }
        let discipline = group.discipline;
        let starts = server.working < group.workers;
        self.servers[number].enter();
        self.note_attempt(EventKind::Accepted, key);
        match discipline {
            Discipline::Fifo if !starts => {
                self.servers[number].queue.push(key, &mut self.attempts);
            }
            Discipline::Fifo | Discipline::Delay => self.serve(key),
            Discipline::ProcessorSharing => self.join(key),
        }
    }

    /// Lets an attempt meet what is wrong with its server; whether that was all.
    fn is_turned_away(&mut self, key: AttemptKey) -> bool {
        let Some(attempt) = self.attempts.get(key) else { return true };
        let (request, try_number) = (attempt.request, attempt.number);
        let server = &mut self.servers[attempt.server as usize];
        let Some(condition) = server.condition() else { return false };
        if condition.refuses {
            self.refuse(key, EventKind::Refused, Answer::Nobody);
            return true;
        }
        if condition.paused && server.rest.paused_until < Instant::MAX {
            if server.rest.paused_until > self.now {
                self.hold(key);
                return true;
            }
        } else if condition.paused || condition.hangs {
            self.swallow(key);
            return true;
        }
        let Some((rate, latency)) = condition.erring() else { return false };
        let mut draws = self.mishaps.stream(request, u64::from(try_number));
        if draws.unit() >= rate {
            return false;
        }
        self.note_attempt(EventKind::Erred, key);
        if let Some(attempt) = self.attempts.get_mut(key) {
            (attempt.answer, attempt.place) = (Answer::Error, Place::Answered);
        }
        self.agenda.push(self.now + Duration::from_nanos(latency), Due::Answers(key));
        true
    }

    /// Lets an attempt wait for the end of its server's pause.
    fn hold(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        let server = &self.servers[attempt.server as usize];
        let until = server.rest.paused_until;
        attempt.place = Place::AtTheDoor;
        if self.groups[server.group as usize].discipline == Discipline::Delay {
            // Who cannot wait for service has come when the pause is over.
            attempt.arrived = until;
        }
        self.agenda.push(until, Due::Reaches(key));
    }

    /// Answers an attempt that was not taken in.
    fn refuse(&mut self, key: AttemptKey, kind: EventKind, answer: Answer) {
        self.note_attempt(kind, key);
        if let Some(attempt) = self.attempts.get_mut(key) {
            attempt.answer = answer;
        }
        self.respond(key, true);
    }

    /// Takes an attempt in that will never be answered.
    fn swallow(&mut self, key: AttemptKey) {
        self.note_attempt(EventKind::Swallowed, key);
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        let server = &mut self.servers[attempt.server as usize];
        server.enter();
        server.rest.swallowed += 1;
        attempt.mark = server.rest.hangs;
        attempt.place = if attempt.lease.is_some() { Place::Swallowed } else { Place::Gone };
        if attempt.place == Place::Gone {
            self.attempts.remove(key);
        }
    }

    /// Begins to work on an attempt: it was the next, and a worker is free.
    fn serve(&mut self, key: AttemptKey) {
        let Some(service) = self.demand(key) else { return };
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        let server = &mut self.servers[attempt.server as usize];
        server.working += 1;
        (attempt.place, attempt.started, attempt.mark) = (Place::InService, self.now, server.paused_nanos());
        if attempt.measured {
            self.metrics.waited(self.now.as_nanos() - attempt.arrived.as_nanos());
        }
        let Attempt { request, number, client, server, .. } = *attempt;
        self.agenda.push(self.now + Duration::from_nanos(service), Due::Ends(key));
        self.note(Event { kind: EventKind::Started, request, attempt: number, client, server });
    }

    /// The nanoseconds of service that an attempt asks of its server as it is now.
    pub(super) fn demand(&mut self, key: AttemptKey) -> Option<u64> {
        let attempt = self.attempts.get(key)?;
        let server = &self.servers[attempt.server as usize];
        let group = &self.groups[server.group as usize];
        let mut draws = self.demands.stream(attempt.request, u64::from(attempt.number));
        if !server.ill && group.is_plain {
            return Some(group.law.nanos(&mut draws));
        }
        let condition = server.condition();
        let mut nanos = match condition.and_then(|condition| condition.service.as_deref()) {
            None => group.law.draw(&mut draws),
            Some(law) => law.draw(&mut draws),
        };
        nanos += group.per_concurrent * f64::from(server.inside.saturating_sub(1));
        nanos *= condition.and_then(|condition| condition.slowdown).unwrap_or(1.0);
        Some(whole(nanos / group.speed))
    }

    /// The work on an attempt is done, unless it was taken back, lost or put off meanwhile.
    pub(super) fn end(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get_mut(key).filter(|attempt| attempt.place == Place::InService) else {
            return;
        };
        let server = &mut self.servers[attempt.server as usize];
        let put_off = server.paused_nanos() - attempt.mark;
        if put_off > 0 {
            attempt.mark = server.paused_nanos();
            self.agenda.push(self.now + Duration::from_nanos(put_off), Due::Ends(key));
            return;
        }
        self.free_worker(key);
        self.note_attempt(EventKind::Served, key);
        let server = self.attempts[key].server;
        self.serve_next(server);
        self.respond(key, false);
    }

    /// Takes an attempt out of service, whether it is done or not.
    pub(super) fn free_worker(&mut self, key: AttemptKey) {
        let attempt = &self.attempts[key];
        let server = &mut self.servers[attempt.server as usize];
        server.working -= 1;
        server.inside -= 1;
        server.busy_nanos += overlap(attempt.started, self.now, self.window);
    }

    /// Gives free workers of a server something to do.
    pub(super) fn serve_next(&mut self, number: u32) {
        loop {
            let server = &mut self.servers[number as usize];
            if server.working >= self.groups[server.group as usize].workers {
                return;
            }
            let Some(key) = server.queue.pop(&mut self.attempts) else { return };
            if server.condition().is_some_and(|condition| condition.hangs) {
                server.inside -= 1;
                self.swallow(key);
            } else {
                self.serve(key);
            }
        }
    }

    /// An answer that was put off is given.
    pub(super) fn answer(&mut self, key: AttemptKey) {
        self.respond(key, false);
    }

    /// Sends an answer to a client. One that is given at once on arrival is not heard before what happens now is over.
    pub(super) fn respond(&mut self, key: AttemptKey, later: bool) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        if attempt.lease.is_none() {
            self.attempts.remove(key);
            return;
        }
        attempt.place = Place::Answered;
        let (request, number, server) = (attempt.request, attempt.number, attempt.server);
        let weather = self.weather(server, false);
        match self.wire.carry(Leg::Reply, request, number, weather.as_ref()) {
            Some(0) if !later && self.affliction.is_none() => self.reply(key),
            Some(nanos) => self.agenda.push(self.now + Duration::from_nanos(nanos), Due::Replies(key)),
            None => self.lose(key),
        }
    }
}
