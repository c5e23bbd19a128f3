//! What a server loses or is made to give up: work that its client abandoned, and all work in a crash.

use core::time::Duration;

use super::metrics::overlap;
use super::network::Leg;
use super::{Answer, Attempt, AttemptKey, CancelMode, Course, Due, Engine, Place};
use crate::model::observe::{EventKind, Observer};

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Takes back from the server what the cancel mode says of an attempt that its client has abandoned.
    pub(super) fn take_back(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get(key) else { return };
        if attempt.place == Place::Gone {
            self.attempts.remove(key);
            return;
        }
        if self.scenario.clients.cancel == CancelMode::None {
            if attempt.place == Place::Swallowed {
                self.attempts.remove(key);
            }
            return;
        }
        let weather = self.weather(attempt.server, true);
        match self.wire.carry(Leg::Cancel, attempt.request, attempt.number, weather.as_ref()) {
            Some(0) => self.cancel(key),
            Some(nanos) => self.agenda.push(self.now + Duration::from_nanos(nanos), Due::Cancels(key)),
            None => {}
        }
    }

    /// A server hears that an attempt was abandoned.
    pub(super) fn cancel(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get(key) else { return };
        let (number, place, hang) = (attempt.server, attempt.place, attempt.mark);
        let running = self.scenario.clients.cancel == CancelMode::Running;
        let sharing = self.is_shared(number);
        match place {
            Place::Waiting => {
                self.note_attempt(EventKind::Cancelled, key);
                let server = &mut self.servers[number as usize];
                server.queue.leave(key, &mut self.attempts);
                server.inside -= 1;
            }
            Place::InService if running && sharing => {
                self.advance(number);
                self.leave(key);
                self.forget_cancelled(key);
                self.plan(number);
            }
            Place::InService if running => {
                self.free_worker(key);
                self.forget_cancelled(key);
                self.serve_next(number);
            }
            Place::Swallowed => {
                let server = &mut self.servers[number as usize];
                if hang == server.rest.hangs && server.rest.swallowed > 0 {
                    server.rest.swallowed -= 1;
                    server.inside -= 1;
                }
                self.forget_cancelled(key);
            }
            // It overtook its attempt, which is not taken in any more.
            Place::OnTheWay | Place::AtTheDoor => self.forget_cancelled(key),
            Place::InService | Place::Answered | Place::Left | Place::Gone => {}
        }
    }

    fn forget_cancelled(&mut self, key: AttemptKey) {
        self.note_attempt(EventKind::Cancelled, key);
        self.attempts.remove(key);
    }

    /// All work of a server is lost.
    pub(super) fn crash(&mut self, number: u32) {
        let here = |attempt: &Attempt| {
            let is_here =
                matches!(attempt.place, Place::AtTheDoor | Place::Waiting | Place::InService | Place::Swallowed);
            attempt.server == number && is_here
        };
        let lost: Vec<_> = self.attempts.iter().filter(|(_, attempt)| here(attempt)).map(|(key, _)| key).collect();
        // Those that had been taken back are forgotten with the line.
        while self.servers[number as usize].queue.pop(&mut self.attempts).is_some() {}
        let shared = self.is_shared(number);
        self.advance(number);
        for key in lost {
            let attempt = &mut self.attempts[key];
            if !shared && attempt.place == Place::InService {
                let busy = overlap(attempt.started, self.now, self.window);
                self.servers[number as usize].busy_nanos += busy;
            }
            attempt.answer = Answer::Nobody;
            self.note_attempt(EventKind::Crashed, key);
            self.respond(key, true);
        }
        self.servers[number as usize].empty();
    }
}
