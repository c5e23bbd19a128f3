//! The machine of an operation.

use core::time::Duration;
use std::collections::VecDeque;

use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::time::{Instant, Monotonic};

use super::super::exchange::{Exchange, SendId, Sending, StoreAnswer};
use super::super::store::{
    Abandon, Abandoned, Begin, Begun, Fence, Fingerprint, Finish, Finished, OwnerToken, RESULT_BYTES_MAX, Renew,
    Renewed, StateKey, StoreCommand, StoreReply,
};
use super::config::{OperationConfig, StoreLost};
use super::message::{OperationEnd, OperationEvent, OperationInput, OperationRefusal, Right};

/// An operation, and who wants to carry it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which operation.
    pub key: StateKey,
    /// What tells it from others under the same key.
    pub fingerprint: Fingerprint,
    /// Drawn at random, by a generator fit for secrets, for this machine alone.
    pub owner: OwnerToken,
}

/// Carries one operation out once: see [the module](super) for what it promises.
#[derive(Debug)]
pub struct OperationMachine {
    config: OperationConfig,
    operation: Operation,
    clock: Monotonic,
    rng: Rng,
    exchange: Exchange,
    /// How often the same was asked in a row.
    asked: u32,
    phase: Phase,
    effects: VecDeque<Sending>,
    events: VecDeque<OperationEvent>,
    ignored: u64,
}

#[derive(Debug)]
enum Phase {
    Beginning(Beginning),
    Owning(Owning),
    Unprotected,
    Ending(Ending),
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Beginning {
    /// When to ask, while no question is under way.
    next_at: Instant,
    /// Since when there has been no answer.
    silent_since: Instant,
    /// Since when somebody else has been at it.
    waiting_since: Option<Instant>,
    called_off: bool,
}

#[derive(Clone, Copy, Debug)]
struct Owning {
    fence: Fence,
    until: Instant,
    /// When to renew, while that is not under way.
    renew_at: Instant,
    lapsed: bool,
}

#[derive(Debug)]
struct Ending {
    command: StoreCommand,
    until: Instant,
    /// When to send it again, while it is not under way.
    next_at: Instant,
}

impl OperationMachine {
    /// Begins `operation`. `seed` draws the times between questions; give each machine its own.
    #[must_use]
    pub fn new(config: OperationConfig, operation: Operation, seed: u64, now: Instant) -> Self {
        let beginning = Beginning { next_at: now, silent_since: now, waiting_since: None, called_off: false };
        let mut machine = Self {
            config,
            operation,
            clock: Monotonic::default(),
            rng: Rng::from_seed(seed),
            exchange: Exchange::new(),
            asked: 0,
            phase: Phase::Beginning(beginning),
            effects: VecDeque::new(),
            events: VecDeque::new(),
            ignored: 0,
        };
        let now = machine.clock.observe(now);
        machine.ask(now);
        machine
    }

    /// How many inputs came that nobody waited for.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn send(&mut self, now: Instant, command: StoreCommand) {
        self.effects.push_back(self.exchange.send(now, self.config.reply_within, command));
    }

    fn tell(&mut self, event: OperationEvent) {
        self.events.push_back(event);
    }

    fn end(&mut self, last: OperationEvent) {
        self.exchange.forget();
        self.phase = Phase::Over;
        self.tell(last);
    }

    const fn ignore(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }

    /// How long until the same is asked again.
    fn pause(&mut self) -> Duration {
        let step = self.config.ask_every / PAUSES.max(1) * (1 << self.asked.min(PAUSES.ilog2()));
        self.asked = self.asked.saturating_add(1);
        step.saturating_sub(self.rng.up_to(step / 2)).max(Duration::from_nanos(1))
    }
}

/// Begins.
impl OperationMachine {
    fn ask(&mut self, now: Instant) {
        let Operation { key, fingerprint, owner } = self.operation;
        let OperationConfig { lease, keep, .. } = self.config;
        self.send(now, StoreCommand::Begin(Begin { key, fingerprint, owner, lease, keep }));
    }

    fn begun(&mut self, now: Instant, sent_at: Instant, beginning: Beginning, begun: Begun) {
        match begun {
            Begun::Fresh { fence } => self.own(now, sent_at, beginning, Right::First { fence }, fence),
            Begun::TakenOver { fence } => self.own(now, sent_at, beginning, Right::TakenOver { fence }, fence),
            _ if beginning.called_off => self.end(OperationEvent::Ended { how: OperationEnd::CalledOff }),
            Begun::InFlight { lease_left } => self.wait(now, beginning, lease_left),
            Begun::Done { result } => self.end(OperationEvent::Done { result }),
            Begun::Unreadable => self.end(OperationEvent::Refused { why: OperationRefusal::Unreadable }),
            Begun::Mismatch => self.end(OperationEvent::Refused { why: OperationRefusal::Mismatch }),
            Begun::Full => self.end(OperationEvent::Refused { why: OperationRefusal::StoreFull }),
        }
    }

    fn own(&mut self, now: Instant, sent_at: Instant, beginning: Beginning, right: Right, fence: Fence) {
        let lease = self.config.lease;
        let (until, renew_at) = (sent_at.after(lease), sent_at.after(lease / 3));
        self.asked = 0;
        self.phase = Phase::Owning(Owning { fence, until, renew_at, lapsed: false });
        match right {
            _ if !beginning.called_off => self.tell(OperationEvent::Run { right }),
            Right::First { .. } => self.end_by_telling(now, self.abandonment(fence)),
            Right::TakenOver { .. } | Right::Unprotected => self.end_by_telling(now, self.handover(fence)),
        }
    }

    fn wait(&mut self, now: Instant, beginning: Beginning, lease_left: Duration) {
        let since = beginning.waiting_since.unwrap_or(now);
        let until = since.after(self.config.wait_max);
        if now >= until {
            return self.end(OperationEvent::Refused { why: OperationRefusal::InFlight { lease_left } });
        }
        if beginning.waiting_since.is_none() {
            self.asked = 0;
            self.tell(OperationEvent::Waiting { lease_left });
        }
        let next_at = now.after(self.pause()).min(until);
        self.phase =
            Phase::Beginning(Beginning { next_at, silent_since: next_at, waiting_since: Some(since), ..beginning });
    }

    /// A begin was not answered.
    fn silent(&mut self, now: Instant, beginning: Beginning) {
        let lost_at = beginning.silent_since.after(self.config.lost_after);
        // Somebody who was at it may come to an end, and the store come back, for as long as that is waited for.
        let lost_at = beginning.waiting_since.map_or(lost_at, |since| lost_at.max(since.after(self.config.wait_max)));
        if beginning.called_off {
            self.end(OperationEvent::Ended { how: OperationEnd::CalledOff });
        } else if now < lost_at {
            let next_at = now.after(self.pause()).min(lost_at);
            self.phase = Phase::Beginning(Beginning { next_at, ..beginning });
        } else if self.config.store_lost == StoreLost::RunAnyway && beginning.waiting_since.is_none() {
            self.phase = Phase::Unprotected;
            self.tell(OperationEvent::Run { right: Right::Unprotected });
        } else {
            self.end(OperationEvent::Refused { why: OperationRefusal::StoreLost });
        }
    }
}

/// Owns, and ends.
impl OperationMachine {
    const fn renewal(&self, fence: Fence, lease: Duration) -> StoreCommand {
        let Operation { key, owner, .. } = self.operation;
        StoreCommand::Renew(Renew { key, owner, fence, lease })
    }

    const fn abandonment(&self, fence: Fence) -> StoreCommand {
        let Operation { key, owner, .. } = self.operation;
        StoreCommand::Abandon(Abandon { key, owner, fence })
    }

    /// A lease that ends at once, so that the next to begin takes over.
    const fn handover(&self, fence: Fence) -> StoreCommand {
        self.renewal(fence, Duration::ZERO)
    }

    fn renewed(&mut self, now: Instant, sent_at: Instant, owning: Owning, renewed: Option<Renewed>) {
        let lease = self.config.lease;
        match renewed {
            Some(Renewed::Kept) => {
                let (until, renew_at) = (sent_at.after(lease), sent_at.after(lease / 3));
                self.phase = Phase::Owning(Owning { until, renew_at, lapsed: false, ..owning });
                if owning.lapsed {
                    self.tell(OperationEvent::Recovered);
                }
            }
            Some(Renewed::Fenced) => self.end(OperationEvent::TakenAway),
            None => self.phase = Phase::Owning(Owning { renew_at: now.after(lease / RENEW_AGAIN), ..owning }),
        }
    }

    fn finish(&mut self, now: Instant, result: Vec<u8>) {
        let fence = match self.phase {
            Phase::Owning(Owning { fence, .. }) => fence,
            Phase::Unprotected => return self.end(OperationEvent::Ended { how: OperationEnd::Unprotected }),
            Phase::Beginning(_) | Phase::Ending(_) | Phase::Over => return self.ignore(),
        };
        if result.len() > RESULT_BYTES_MAX {
            return self.tell(OperationEvent::ResultTooLong { bytes: result.len() });
        }
        let (Operation { key, owner, .. }, keep) = (self.operation, self.config.keep);
        self.end_by_telling(now, StoreCommand::Finish(Finish { key, owner, fence, result, keep }));
    }

    fn give_up(&mut self, now: Instant, command: impl FnOnce(&Self, Fence) -> StoreCommand) {
        match &mut self.phase {
            Phase::Owning(owning) => {
                let fence = owning.fence;
                self.end_by_telling(now, command(self, fence));
            }
            Phase::Unprotected => self.end(OperationEvent::Ended { how: OperationEnd::Unprotected }),
            // Its answer says whether there is something to take back.
            Phase::Beginning(beginning) if self.exchange.is_open() => beginning.called_off = true,
            Phase::Beginning(_) => self.end(OperationEvent::Ended { how: OperationEnd::CalledOff }),
            Phase::Ending(_) | Phase::Over => self.ignore(),
        }
    }

    fn end_by_telling(&mut self, now: Instant, command: StoreCommand) {
        self.asked = 0;
        self.send(now, command.clone());
        self.phase = Phase::Ending(Ending { command, until: now.after(self.config.end_within), next_at: now });
    }

    /// The end that an answer tells, where it is one to `command`.
    fn how(command: &StoreCommand, answer: StoreAnswer) -> Option<OperationEnd> {
        match (command, answer.ok()?) {
            (StoreCommand::Finish(_), StoreReply::Finished(Finished::Kept)) => Some(OperationEnd::Kept),
            (StoreCommand::Abandon(_), StoreReply::Abandoned(Abandoned::Forgotten)) => Some(OperationEnd::Forgotten),
            (StoreCommand::Renew(_), StoreReply::Renewed(Renewed::Kept)) => Some(OperationEnd::HandedOver),
            (StoreCommand::Finish(_), StoreReply::Finished(Finished::Fenced))
            | (StoreCommand::Abandon(_), StoreReply::Abandoned(Abandoned::Fenced))
            | (StoreCommand::Renew(_), StoreReply::Renewed(Renewed::Fenced)) => Some(OperationEnd::Fenced),
            _ => None,
        }
    }

    /// The end was told to a store that said nothing.
    fn untold(&mut self, now: Instant) {
        let pause = self.pause();
        let Phase::Ending(ending) = &mut self.phase else { return };
        if now >= ending.until {
            return self.end(OperationEvent::Ended { how: OperationEnd::Unknown });
        }
        ending.next_at = now.after(pause).min(ending.until);
    }

    fn answered(&mut self, now: Instant, id: SendId, answer: StoreAnswer) {
        let Some(sent_at) = self.exchange.answered(id) else { return self.ignore() };
        match &self.phase {
            Phase::Beginning(beginning) => match (*beginning, answer) {
                (beginning, Ok(StoreReply::Begun(begun))) => self.begun(now, sent_at, beginning, begun),
                (beginning, _) => self.silent(now, beginning),
            },
            Phase::Owning(owning) => {
                let (owning, renewed) = (*owning, as_renewed(answer));
                self.renewed(now, sent_at, owning, renewed);
            }
            Phase::Ending(ending) => match Self::how(&ending.command, answer) {
                Some(how) => self.end(OperationEvent::Ended { how }),
                None => self.untold(now),
            },
            Phase::Unprotected | Phase::Over => self.ignore(),
        }
    }

    /// What is due where no answer is waited for any more.
    fn unanswered(&mut self, now: Instant) {
        match self.phase {
            Phase::Beginning(beginning) => self.silent(now, beginning),
            Phase::Owning(owning) => self.renewed(now, now, owning, None),
            Phase::Ending(_) => self.untold(now),
            Phase::Unprotected | Phase::Over => {}
        }
    }

    /// What is due by the phase's own timers.
    fn due(&mut self, now: Instant) {
        let open = self.exchange.is_open();
        match &mut self.phase {
            Phase::Beginning(beginning) if !open && beginning.next_at <= now => self.ask(now),
            Phase::Owning(owning) => {
                let (fence, renew) = (owning.fence, !open && owning.renew_at <= now);
                if !owning.lapsed && owning.until <= now {
                    owning.lapsed = true;
                    self.events.push_back(OperationEvent::Lapsed);
                }
                if renew {
                    self.send(now, self.renewal(fence, self.config.lease));
                }
            }
            Phase::Ending(ending) if !open && ending.next_at <= now => {
                let command = ending.command.clone();
                self.send(now, command);
            }
            Phase::Beginning(_) | Phase::Ending(_) | Phase::Unprotected | Phase::Over => {}
        }
    }
}

impl Machine for OperationMachine {
    type Input = OperationInput;
    type Effect = Sending;
    type Event = OperationEvent;

    fn handle_input(&mut self, now: Instant, input: OperationInput) {
        let now = self.clock.observe(now);
        match input {
            OperationInput::Answered { id, answer } => self.answered(now, id, answer),
            OperationInput::Finish { result } => self.finish(now, result),
            OperationInput::Abandon => self.give_up(now, Self::abandonment),
            OperationInput::HandOver => self.give_up(now, Self::handover),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let now = self.clock.observe(now);
        if self.exchange.expired(now).is_some() {
            self.unanswered(now);
        }
        self.due(now);
    }

    fn poll_effect(&mut self) -> Option<Sending> {
        self.effects.pop_front()
    }

    fn poll_event(&mut self) -> Option<OperationEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let closed = |at: Instant| (!self.exchange.is_open()).then_some(at);
        let (one, other) = match &self.phase {
            Phase::Beginning(beginning) => (closed(beginning.next_at), None),
            Phase::Owning(owning) => (closed(owning.renew_at), (!owning.lapsed).then_some(owning.until)),
            Phase::Ending(ending) => (closed(ending.next_at), None),
            Phase::Unprotected | Phase::Over => (None, None),
        };
        [one, other, self.exchange.deadline()].into_iter().flatten().min()
    }
}

fn as_renewed(answer: StoreAnswer) -> Option<Renewed> {
    match answer {
        Ok(StoreReply::Renewed(renewed)) => Some(renewed),
        Ok(_) | Err(_) => None,
    }
}

/// The first pause is so small a part of the longest.
const PAUSES: u32 = 16;
/// A renewal that failed is tried again after so small a part of the lease.
const RENEW_AGAIN: u32 = 6;
