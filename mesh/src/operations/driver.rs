//! The task of one operation: carries its commands to the store, and what comes of them to whoever began it.

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_core::machine::Machine as _;
use mesh_core::port::Clock;
use mesh_retry::coordinator::Sending;
use mesh_retry::coordinator::idempotency::{
    OperationEnd, OperationEvent, OperationInput, OperationMachine, OperationRefusal, Right,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};

use super::ownership::{Hold, Ownership, is_without_forerunner};
use super::telling::Telling;
use crate::coordinator::ask;
use crate::driver::sleep_until;

/// What the owner tells the driver. Neither shown nor logged: it holds a result.
pub(super) enum Order {
    Finish(Vec<u8>, oneshot::Sender<Told>),
    Abandon(oneshot::Sender<Told>),
    /// With nobody who waits for it where a claim was dropped; nor does anybody for an end that was told before, then.
    HandOver(Option<oneshot::Sender<Told>>),
}

/// How it ended, or how long the result is that is too long to be kept.
pub(super) type Told = Result<OperationEnd, usize>;

/// What becomes of a begin.
pub(super) enum Answer {
    Run(Ownership),
    /// With this result, as it is kept.
    Done(Vec<u8>),
    Refused(OperationRefusal),
}

/// What whoever began an operation holds. Dropped before a claim is made of it, it calls the operation off.
pub(super) struct Seat {
    pub(super) answer: oneshot::Receiver<Answer>,
    pub(super) orders: mpsc::UnboundedSender<Order>,
}

/// Drives the machine of one operation to its end.
pub(super) struct OperationDriver {
    machine: OperationMachine,
    store: Arc<dyn CoordinatorStore>,
    clock: Arc<dyn Clock>,
    reply_within: Duration,
    telling: Telling,
    /// The command under way; and, for a moment, one that was given up.
    jobs: JoinSet<OperationInput>,
    /// At most one, and one more when the claim is dropped.
    orders: mpsc::UnboundedReceiver<Order>,
    hears_orders: bool,
    answer: Option<oneshot::Sender<Answer>>,
    /// By what right it is being carried out.
    right: Option<Right>,
    hold: watch::Sender<Hold>,
    /// Who waits to be told how it ended.
    reply: Option<oneshot::Sender<Told>>,
    is_over: bool,
}

impl OperationDriver {
    pub(super) fn new(
        machine: OperationMachine,
        store: Arc<dyn CoordinatorStore>,
        clock: Arc<dyn Clock>,
        reply_within: Duration,
        telling: Telling,
    ) -> (Self, Seat) {
        let (answer, answered) = oneshot::channel();
        let (owner, orders) = mpsc::unbounded_channel();
        let driver = Self {
            machine,
            store,
            clock,
            reply_within,
            telling,
            jobs: JoinSet::new(),
            orders,
            hears_orders: true,
            answer: Some(answer),
            right: None,
            hold: watch::Sender::new(Hold::Held),
            reply: None,
            is_over: false,
        };
        (driver, Seat { answer: answered, orders: owner })
    }

    pub(super) async fn run(mut self) {
        loop {
            self.carry_out();
            if self.is_over {
                return;
            }
            tokio::select! {
                order = self.orders.recv(), if self.hears_orders => self.ordered(order),
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => self.done(done),
                () = sleep_until(&*self.clock, self.machine.poll_timeout()) => {
                    self.machine.handle_timeout(self.clock.now());
                }
            }
        }
    }

    fn ordered(&mut self, order: Option<Order>) {
        let input = match order {
            Some(Order::Finish(result, reply)) => {
                self.reply = Some(reply);
                OperationInput::Finish { result }
            }
            Some(Order::Abandon(reply)) => {
                self.reply = Some(reply);
                OperationInput::Abandon
            }
            Some(Order::HandOver(reply)) => {
                self.reply = reply;
                OperationInput::HandOver
            }
            None => {
                self.hears_orders = false;
                self.deserted()
            }
        };
        self.machine.handle_input(self.clock.now(), input);
    }

    /// Whoever began it has left, and no claim was made: it was not carried out by him.
    const fn deserted(&self) -> OperationInput {
        match self.right {
            Some(right) if !is_without_forerunner(right) => OperationInput::HandOver,
            Some(_) | None => OperationInput::Abandon,
        }
    }

    fn done(&mut self, done: Result<OperationInput, JoinError>) {
        match done {
            Ok(input) => self.machine.handle_input(self.clock.now(), input),
            // The machine waits for its answer no longer than for any other.
            Err(error) => tracing::error!(%error, "the coordinator's store panicked"),
        }
    }

    /// Does what the machine asks for and passes on what it reports.
    fn carry_out(&mut self) {
        while let Some(Sending { id, command }) = self.machine.poll_effect() {
            let asking = ask(Arc::clone(&self.store), command, self.reply_within);
            self.jobs.spawn(async move { OperationInput::Answered { id, answer: asking.await } });
        }
        while let Some(event) = self.machine.poll_event() {
            self.heard(event);
        }
    }

    /// Whoever began it is told first, and logs and measurements afterwards: what they cost or break is not his.
    fn heard(&mut self, event: OperationEvent) {
        match event {
            OperationEvent::Waiting { .. } => self.telling.note("somebody else is at an operation"),
            OperationEvent::Run { right } => {
                self.right = Some(right);
                self.answer(Answer::Run(Ownership::new(right, self.hold.subscribe())), right.name());
            }
            OperationEvent::Done { result } => self.settled(Answer::Done(result), "done"),
            OperationEvent::Refused { why } => self.settled(Answer::Refused(why), why.name()),
            OperationEvent::Lapsed => self.lapsed(),
            OperationEvent::Recovered => {
                self.hold.send_replace(Hold::Held);
                self.telling.note("the lease of an operation is held again, and nobody had taken over");
            }
            OperationEvent::TakenAway => {
                self.over(Hold::TakenAway, OperationEnd::Fenced);
                self.telling.warn("an operation was taken over from its owner, or the store forgot: no result is kept");
                self.telling.ended(self.clock.now(), "taken-away");
            }
            OperationEvent::ResultTooLong { bytes } => self.reply(Err(bytes)),
            OperationEvent::Ended { how } => self.ended(how),
            // It might hold a result, and is not shown.
            _ => self.telling.note("an operation reports what this version does not know"),
        }
    }

    fn lapsed(&mut self) {
        self.hold.send_replace(Hold::Lapsed);
        self.telling.warn("the lease of an operation ended before it was renewed: somebody may take over");
    }

    fn ended(&mut self, how: OperationEnd) {
        self.over(Hold::Ended, how);
        let now = self.clock.now();
        match self.right {
            Some(_) => self.telling.ended(now, how.name()),
            None => self.telling.began(now, OperationEnd::CalledOff.name()),
        }
    }

    fn over(&mut self, hold: Hold, how: OperationEnd) {
        self.hold.send_replace(hold);
        self.reply(Ok(how));
        self.is_over = true;
    }

    /// It is not to be carried out by whoever began it.
    fn settled(&mut self, answer: Answer, result: &'static str) {
        self.is_over = true;
        self.answer(answer, result);
    }

    /// Answers whoever began it; `result` is what measurements call that.
    fn answer(&mut self, answer: Answer, result: &'static str) {
        // Whoever has left closes the orders as well, and is heard of there.
        let _ = self.answer.take().map(|to| to.send(answer));
        self.telling.began(self.clock.now(), result);
    }

    fn reply(&mut self, told: Told) {
        // Nobody has to wait for it.
        let _ = self.reply.take().map(|to| to.send(told));
    }
}
