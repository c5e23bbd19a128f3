//! The bulkhead of a service: a call that finds no room waits in a queue until there is, and goes out when it ends.
//!
//! Who finds room goes in and out without the lock. The queue is kept by whoever changes it: there is no task of its own.
//! Each call that waits looks after the time at which it has waited too long.

use std::collections::BTreeMap;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mesh_core::machine::Machine as _;
use mesh_core::recorder::Measurement;
use mesh_core::time::Instant;
use mesh_retry::deadline::Deadline;
use mesh_retry::limit::bulkhead::{
    Bulkhead, BulkheadConfig, BulkheadEffect, BulkheadInput, BulkheadMachine, EntrantId, Left, Pass, Refusal,
};

use crate::driver::sleep_until;
use crate::error::CallError;
use crate::service::Followed;
use crate::service_mesh::Inner;

/// Who is inside, and who waits.
#[derive(Debug)]
pub(crate) struct CallsBulkhead {
    gate: Arc<Bulkhead>,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    machine: BulkheadMachine,
    waiters: BTreeMap<EntrantId, Waiter>,
    entrants: u64,
}

/// One who waits, or has been answered and does not know yet.
#[derive(Debug, Default)]
struct Waiter {
    waker: Option<Waker>,
    answer: Option<Answer>,
}

type Answer = Result<(Pass, Duration), Refusal>;

/// Goes into the bulkhead of `followed`, if it has one, for a call that began at `started` and has to be over at `deadline`.
pub(crate) async fn enter<'a, E>(
    inner: &'a Inner,
    followed: &'a Followed,
    started: Instant,
    deadline: Deadline,
) -> Result<Option<Place<'a>>, CallError<E>> {
    let Some(bulkhead) = followed.calls.bulkhead() else { return Ok(None) };
    let now = inner.now();
    let service = &followed.name;
    if let Ok(pass) = bulkhead.gate.enter(now) {
        inner.record(&Measurement::QueueTime { service, waited: Duration::ZERO, result: ADMITTED });
        return Ok(Some(Place { bulkhead, inner, pass: Some(pass) }));
    }
    let (ticket, due) = bulkhead.join(inner, followed, now, deadline.instant());
    match ticket.answer(due).await {
        Ok((pass, waited)) => {
            inner.record(&Measurement::QueueTime { service, waited, result: ADMITTED });
            Ok(Some(Place { bulkhead, inner, pass: Some(pass) }))
        }
        Err(reason) => {
            let (ended, result) = (inner.now(), reason.name());
            inner.record(&Measurement::QueueTime { service, waited: ended.since(now), result });
            inner.record(&Measurement::CallEnded { service, attempts: 0, elapsed: ended.since(started), result });
            Err(CallError::NotAdmitted { reason })
        }
    }
}

impl CallsBulkhead {
    pub(super) fn new(config: BulkheadConfig) -> Self {
        let gate = Arc::new(Bulkhead::new(config));
        let machine = BulkheadMachine::new(Arc::clone(&gate));
        Self { gate, queue: Mutex::new(Queue { machine, waiters: BTreeMap::new(), entrants: 0 }) }
    }

    /// Joins the queue, or is refused: the ticket knows. Also says when to look after the time for the first time.
    fn join<'a>(
        &'a self,
        inner: &'a Inner,
        followed: &'a Followed,
        now: Instant,
        deadline: Option<Instant>,
    ) -> (Ticket<'a>, Option<Instant>) {
        let mut queue = self.queue();
        queue.entrants = queue.entrants.wrapping_add(1);
        let id = EntrantId::from_number(queue.entrants);
        queue.waiters.insert(id, Waiter::default());
        queue.machine.handle_input(now, BulkheadInput::Enter { id, deadline });
        wake(queue);
        let BulkheadConfig { wait_max, overload_wait_max, .. } = *self.gate.config();
        let waits = [wait_max, overload_wait_max].into_iter().flatten().map(|wait| now.after(wait));
        (Ticket { bulkhead: self, inner, followed, id, since: now }, waits.chain(deadline).min())
    }

    fn poll(&self, id: EntrantId, context: &Context<'_>) -> Poll<Answer> {
        let mut queue = self.queue();
        if let Some(waiter) = queue.waiters.get_mut(&id) {
            let Some(answer) = waiter.answer.take() else {
                waiter.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            queue.waiters.remove(&id);
            return Poll::Ready(answer);
        }
        Poll::Pending
    }

    /// A time has come; when does the next?
    fn look_after(&self, now: Instant) -> Option<Instant> {
        let mut queue = self.queue();
        queue.machine.handle_timeout(now);
        let due = queue.machine.poll_timeout();
        wake(queue);
        due
    }

    /// One who waited wants to go in no more; true where that was not decided yet.
    fn forget(&self, now: Instant, id: EntrantId) -> bool {
        let mut queue = self.queue();
        let Some(waiter) = queue.waiters.remove(&id) else { return false };
        match waiter.answer {
            None => {
                queue.machine.handle_input(now, BulkheadInput::Abandon(id));
                wake(queue);
                true
            }
            Some(Ok((pass, _))) => {
                drop(queue);
                self.leave(now, pass);
                true
            }
            Some(Err(_)) => false,
        }
    }

    fn leave(&self, now: Instant, pass: Pass) {
        match self.gate.leave(now, pass) {
            Left::Unawaited => {}
            Left::Awaited => {
                let mut queue = self.queue();
                queue.machine.handle_input(now, BulkheadInput::Left);
                wake(queue);
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that holds the lock can leave it half-changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out the machine's answers, and wakes those who get them once the lock is free.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let mut wakers = Vec::new();
    while let Some(effect) = queue.machine.poll_effect() {
        let (id, answer) = match effect {
            BulkheadEffect::Admit { id, waited, pass } => (id, Ok((pass, waited))),
            BulkheadEffect::Refuse { id, refusal } => (id, Err(refusal)),
        };
        // Whoever is answered is listed: those who go are abandoned with the same lock.
        let waiter = queue.waiters.entry(id).or_default();
        waiter.answer = Some(answer);
        wakers.extend(waiter.waker.take());
    }
    drop(queue);
    wakers.into_iter().for_each(Waker::wake);
}

/// One who waits. Dropped, the place in the queue is another's, and so is the one inside that it may have got.
#[derive(Debug)]
struct Ticket<'a> {
    bulkhead: &'a CallsBulkhead,
    inner: &'a Inner,
    followed: &'a Followed,
    id: EntrantId,
    since: Instant,
}

impl Ticket<'_> {
    async fn answer(self, mut due: Option<Instant>) -> Answer {
        loop {
            let clock = self.inner.clock();
            let mut sleep = pin!(sleep_until(&*clock, due));
            let answer = poll_fn(|context| match self.bulkhead.poll(self.id, context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
            });
            if let Some(answer) = answer.await {
                return answer;
            }
            due = self.bulkhead.look_after(self.inner.now());
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let now = self.inner.now();
        if self.bulkhead.forget(now, self.id) {
            let (service, waited) = (&self.followed.name, now.since(self.since));
            self.inner.record(&Measurement::QueueTime { service, waited, result: "cancelled" });
        }
    }
}

/// The place of a call, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    bulkhead: &'a CallsBulkhead,
    inner: &'a Inner,
    pass: Option<Pass>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.bulkhead.leave(self.inner.now(), pass);
        }
    }
}

const ADMITTED: &str = "admitted";
