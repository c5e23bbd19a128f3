//! The clients' side of requests: how they come, are tried and end.

use core::time::Duration;

use mesh_core::balance::{Outcome, PickError, Wake};
use mesh_core::machine::Machine as _;
use mesh_core::rng::scale;
use mesh_core::time::Instant;
use mesh_retry::call::{AttemptId, AttemptKind, CallEffect, CallEvent, CallInput, GiveUpReason};
use mesh_retry::classify::Class;
use slotmap::Key as _;

use super::agenda::Lane;
use super::client::Picked;
use super::metrics::Failing;
use super::{Answer, Attempt, AttemptKey, Call, CallKey, Coming, Course, Due, Engine, NOBODY, Place};
use crate::model::observe::{Event, EventKind, Observer};
use crate::model::scenario::Arrivals;

/// An attempt that a call asks for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    id: AttemptId,
    number: u32,
    kind: AttemptKind,
    timeout: Option<Duration>,
}

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Makes the next arrival of an open loop come in its time.
    pub(super) fn expect_arrival(&mut self) {
        match self.arrivals.next() {
            Some(at) => self.agenda.push_in(Lane::Arrivals, at, Due::Arrival),
            None => self.sources = 0,
        }
    }

    /// A request of an open loop comes.
    pub(super) fn arrive(&mut self) {
        let request = self.requests_made;
        self.requests_made += 1;
        let clients = self.clients.len() as u64;
        let client = if clients == 1 { 0 } else { scale(self.choice.next_u64(), clients) as u32 };
        self.expect_arrival();
        self.come(Coming { request, client, intended: self.now, user: NOBODY });
    }

    /// A user of a closed loop asks, or retires.
    pub(super) fn ask(&mut self, user: u32) {
        let Arrivals::Closed { requests, concurrency, .. } = &self.scenario.clients.arrivals else { return };
        if self.requests_made >= *requests || self.now >= self.window.1 {
            self.sources -= 1;
            return;
        }
        self.requests_made += 1;
        let asked = &mut self.asked[user as usize];
        // The number follows from the user alone, so that every strategy gives his requests the same work.
        let request = *asked * u64::from(*concurrency) + u64::from(user);
        *asked += 1;
        let client = user % self.clients.len() as u32;
        self.come(Coming { request, client, intended: self.now, user });
    }

    fn come(&mut self, coming: Coming) {
        self.metrics.requests.offered += 1;
        self.metrics.requests.measured += u64::from(coming.intended >= self.window.0);
        let Coming { request, client, .. } = coming;
        self.note(Event { kind: EventKind::Arrived, request, attempt: u32::MAX, client, server: NOBODY });
        match self.affliction.as_ref().filter(|affliction| affliction.paused) {
            None => self.start(coming),
            Some(affliction) => {
                let until = affliction.paused_until(&self.effects).unwrap_or(self.window.1);
                self.held.push_back(coming);
                self.agenda.push(until.max(self.now), Due::Release);
            }
        }
    }

    /// A request that came while its client was paused begins.
    pub(super) fn release(&mut self) {
        if let Some(coming) = self.held.pop_front() {
            self.start(coming);
        }
    }

    fn start(&mut self, coming: Coming) {
        let entropy = self.clients[coming.client as usize].rng.next_u64();
        let machine = self.course.begin(coming.client, entropy, self.local(coming.intended));
        let measured = coming.intended >= self.window.0;
        let key = self.calls.insert(Call::new(machine, coming, measured));
        if let Some(deadline) = self.deadline_of(coming.intended) {
            self.agenda.push_in(Lane::Deadlines, deadline.max(self.now), Due::Deadline(key));
            self.sweep_lanes();
        }
        self.drive(key);
    }

    fn deadline_of(&self, intended: Instant) -> Option<Instant> {
        self.scenario.clients.timeout.map(|timeout| intended + timeout)
    }

    /// Does what a call's machine asks for, until it waits or is over.
    fn drive(&mut self, key: CallKey) {
        while let Some(call) = self.calls.get_mut(key) {
            match call.machine.poll_effect() {
                Some(CallEffect::Attempt { attempt, number, kind, timeout }) => {
                    self.place(key, Wanted { id: attempt, number, kind, timeout });
                }
                Some(CallEffect::Cancel { attempt, why }) => {
                    let attempts = &self.attempts;
                    let named = |key: AttemptKey| attempts.get(key).is_some_and(|placed| placed.id == attempt);
                    if let Some(attempt) = call.under_way.take(named) {
                        self.abandon(attempt, why.outcome());
                    }
                }
                None => match call.machine.poll_event() {
                    Some(event) => self.conclude(key, &event),
                    None => return self.wait(key),
                },
            }
        }
    }

    /// Wakes a call at the end of its backoff, or when a copy of what takes long is due. What an attempt under way
    /// waits for has events of its own.
    fn wait(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let Coming { request, client, intended, .. } = call.coming;
        let Some(due) = call.machine.poll_timeout() else { return };
        let at = self.to_virtual(due);
        if call.under_way.is_empty() {
            self.agenda.push(at, Due::Wakes(key));
            self.note(Event { kind: EventKind::Waiting, request, attempt: u32::MAX, client, server: NOBODY });
        } else if self.scenario.clients.hedge.is_some()
            && call.wakes != due
            && self.deadline_of(intended).is_none_or(|deadline| at < deadline)
        {
            self.agenda.push(at, Due::Wakes(key));
            if let Some(call) = self.calls.get_mut(key) {
                call.wakes = due;
            }
        }
    }

    pub(super) fn wake(&mut self, key: CallKey) {
        let local = self.time_of(key);
        if let Some(call) = self.calls.get_mut(key) {
            call.machine.handle_timeout(local);
            self.drive(key);
        }
    }

    /// Finds a server for an attempt and sends it, or tells the machine that there is none.
    fn place(&mut self, key: CallKey, wanted: Wanted) {
        let Wanted { id, number, kind, timeout } = wanted;
        let local = self.local(self.now);
        let Some(call) = self.calls.get_mut(key) else { return };
        let Coming { request, client, intended, .. } = call.coming;
        let hash_key = self.keys.as_ref().map(|keys| keys.draw(request));
        let explained = self.observer.wants_reasons();
        match self.clients[client as usize].pick(local, C::tried(&call.machine), hash_key, explained) {
            Ok(Picked { lease, server, why }) => {
                call.machine.handle_input(local, CallInput::Picked { attempt: id, endpoint: lease.endpoint().id() });
                let attempt = Attempt {
                    call: key,
                    id,
                    number,
                    request,
                    client,
                    server,
                    measured: call.measured,
                    place: Place::OnTheWay,
                    answer: Answer::Success,
                    lease: Some(lease),
                    arrived: self.now,
                    started: self.now,
                    mark: 0,
                    behind: AttemptKey::null(),
                };
                let measured = u64::from(call.measured);
                let placed = self.attempts.insert(attempt);
                call.under_way.put(placed);
                self.metrics.attempts += measured;
                match kind {
                    AttemptKind::First => {}
                    AttemptKind::Retry => self.metrics.retries += measured,
                    AttemptKind::Hedge => self.metrics.hedges += measured,
                }
                self.servers[server as usize].attempts += measured;
                self.note_pick(Event { kind: EventKind::Picked, request, attempt: number, client, server }, why);
                self.limit(placed, intended, timeout);
                self.send(placed);
            }
            Err(error) => {
                call.machine.handle_input(local, CallInput::Unavailable { attempt: id, reason: error.into() });
                if !matches!(error, PickError::AllExcluded { .. }) {
                    let kind = EventKind::Unavailable;
                    self.note(Event { kind, request, attempt: number, client, server: NOBODY });
                }
            }
        }
    }

    /// Sets the time at which an attempt is given up, unless its call's deadline is still to come and comes first.
    fn limit(&mut self, attempt: AttemptKey, intended: Instant, timeout: Option<Duration>) {
        if let Some(timeout) = timeout {
            let at = self.now + timeout;
            // A clock that was set back lets a call live on after its deadline came.
            if self.deadline_of(intended).is_none_or(|deadline| at < deadline || deadline <= self.now) {
                self.agenda.push_in(Lane::AttemptTimeouts, at, Due::TimesOut(attempt));
                self.sweep_lanes();
            }
        }
    }

    /// Forgets timeouts of what is long over, so that memory follows what is under way and not what has been.
    fn sweep_lanes(&mut self) {
        if self.agenda.len_of(Lane::Deadlines) > 2 * self.calls.len() + LANE_MIN {
            let calls = &self.calls;
            self.agenda.sweep(Lane::Deadlines, |due| matches!(due, Due::Deadline(key) if calls.contains_key(*key)));
        }
        if self.agenda.len_of(Lane::AttemptTimeouts) > 2 * self.attempts.len() + LANE_MIN {
            let attempts = &self.attempts;
            let live = |due: &Due| matches!(due, Due::TimesOut(key) if attempts.contains_key(*key));
            self.agenda.sweep(Lane::AttemptTimeouts, live);
        }
    }

    /// An answer comes back to its client, who may have stopped waiting.
    pub(super) fn reply(&mut self, key: AttemptKey) {
        if self.scenario.clients.timeout.is_some() && self.is_late(key) {
            self.time_out(key);
            self.attempts.remove(key);
            return;
        }
        let Some(mut attempt) = self.attempts.remove(key) else { return };
        let Some(lease) = attempt.lease.take() else { return };
        let local = self.local(self.now);
        let (class, failing) = match attempt.answer {
            Answer::Success => (Class::Success, None),
            Answer::Error => (Class::Transient, Some(Failing::Failed)),
            Answer::Nobody => (Class::Unreachable, Some(Failing::Failed)),
            Answer::Full => (Class::Throttled { retry_after: None }, Some(Failing::Rejected)),
        };
        let kind = if failing.is_none() { EventKind::Replied } else { EventKind::Failed };
        let Attempt { request, number, client, server, .. } = attempt;
        self.note(Event { kind, request, attempt: number, client, server });
        if lease.finish(local, class.outcome()) == Wake::Sweep {
            self.sweep(client);
        }
        self.tell(attempt.call, key, failing, CallInput::Ended { attempt: attempt.id, class });
    }

    /// Whether an answer is heard after its call's deadline, as by a client that was paused until then.
    fn is_late(&self, key: AttemptKey) -> bool {
        let call = self.attempts.get(key).and_then(|attempt| self.calls.get(attempt.call));
        call.is_some_and(|call| self.deadline_of(call.coming.intended).is_some_and(|deadline| deadline <= self.now))
    }

    /// A client stops waiting for an attempt.
    pub(super) fn time_out(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get(key).filter(|attempt| attempt.lease.is_some()) else { return };
        let (call, id) = (attempt.call, attempt.id);
        self.abandon(key, Outcome::TimedOut);
        self.tell(call, key, Some(Failing::TimedOut), CallInput::TimedOut { attempt: id });
    }

    /// A call's time is up. One that waits for a retry then is held up by a clock that was set back.
    pub(super) fn deadline(&mut self, key: CallKey) {
        match self.calls.get(key).map(|call| call.under_way.oldest()) {
            Some(Some(attempt)) => self.time_out(attempt),
            Some(None) => self.wake(key),
            None => {}
        }
    }

    /// The time as a call is told it: by its client's clock, until its deadline has come by the true one.
    fn time_of(&self, key: CallKey) -> Instant {
        let is_over = |call: &Call<_>| self.deadline_of(call.coming.intended).is_some_and(|due| due <= self.now);
        let over = self.scenario.clients.timeout.is_some() && self.calls.get(key).is_some_and(is_over);
        if over { Instant::MAX } else { self.local(self.now) }
    }

    /// Tells a call's machine how its attempt ended, and does what follows from it.
    fn tell(&mut self, key: CallKey, attempt: AttemptKey, failing: Option<Failing>, input: CallInput) {
        let local = self.time_of(key);
        if let Some(call) = self.calls.get_mut(key) {
            call.under_way.take(|other| other == attempt);
            call.last = failing;
            call.machine.handle_input(local, input);
            self.drive(key);
        }
    }

    /// Ends the client's side of an attempt, and takes back from the server what the scenario's cancel mode says.
    fn abandon(&mut self, key: AttemptKey, outcome: Outcome) {
        let kind = if outcome == Outcome::Cancelled { EventKind::Abandoned } else { EventKind::TimedOut };
        self.note_attempt(kind, key);
        let local = self.local(self.now);
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        let client = attempt.client;
        let wake = attempt.lease.take().map_or(Wake::No, |lease| lease.finish(local, outcome));
        if wake == Wake::Sweep {
            self.sweep(client);
        }
        self.take_back(key);
    }

    fn conclude(&mut self, key: CallKey, event: &CallEvent) {
        let Some(call) = self.calls.get(key) else { return };
        let Coming { request, client, intended, user } = call.coming;
        let (measured, last) = (call.measured, call.last);
        let denied = u64::from(C::hedges_denied(&call.machine));
        // Not moved out whole: most of a machine is never looked at again.
        self.calls.remove(key);
        let failing = match event {
            CallEvent::Succeeded { .. } => None,
            CallEvent::GaveUp { reason: GiveUpReason::NoInstance, .. } => Some(Failing::Refused),
            CallEvent::GaveUp { reason: GiveUpReason::Shut(_), .. } => Some(last.unwrap_or(Failing::Rejected)),
            // A call that ends before its first attempt ends at its deadline.
            CallEvent::GaveUp { .. } | _ => Some(last.unwrap_or(Failing::TimedOut)),
        };
        if measured {
            let budget = |reason: &_| matches!(reason, GiveUpReason::Budget(_) | GiveUpReason::BudgetSilent);
            let retry = matches!(event, CallEvent::GaveUp { reason, .. } if budget(reason));
            self.metrics.retries_denied += denied + u64::from(retry);
        }
        let kind = if failing.is_none() { EventKind::Succeeded } else { EventKind::GaveUp };
        self.note(Event { kind, request, attempt: u32::MAX, client, server: NOBODY });
        match failing {
            _ if !measured => {}
            None => self.metrics.succeeded(self.now.as_nanos() - intended.as_nanos()),
            Some(failing) => self.metrics.failed(failing),
        }
        if let Arrivals::Closed { think, .. } = &self.scenario.clients.arrivals {
            self.agenda.push(self.now + *think, Due::Asks(user));
        }
    }
}

/// Lanes are not worth sweeping while they are that short.
const LANE_MIN: usize = 4096;
