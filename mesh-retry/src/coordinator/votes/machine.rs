//! The machine of votes.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::time::{Instant, Monotonic};

use super::super::exchange::{Exchange, Sending, StoreAnswer};
use super::super::store::{
    Probe, Probed, ProcessId, ReleaseProbe, StateKey, StoreCommand, StoreFailure, StoreReply, Vote, Voted,
};
use super::config::VotesConfig;
use super::evidence::{Evidence, ProbeRight};
use super::message::{VotesEvent, VotesInput};
use crate::breaker::State;

/// Votes on one subject for its process, learns what others think, and asks for the shared probe. One for each
/// [`Evidence`].
///
/// Inputs are [`VotesInput`], effects commands to [send](Sending), events [`VotesEvent`]. Timers are the next vote, the answers'
/// deadlines, the end of what is known of a quorum, and the lease of the probe. One vote and one command about the probe are
/// under way at most.
#[derive(Debug)]
pub struct VotesMachine {
    config: VotesConfig,
    subject: StateKey,
    process: ProcessId,
    evidence: Arc<Evidence>,
    clock: Monotonic,
    rng: Rng,
    voting: Exchange,
    asking: Exchange,
    state: State,
    /// When to vote, while no vote is under way; none after the end.
    vote_at: Option<Instant>,
    /// Whether the last vote is to be cast, once none is under way.
    owes_last: bool,
    quorum_until: Option<Instant>,
    probing: Probing,
    /// Rises with each question for the probe. Begins anywhere, for a process may have had another machine for the subject.
    turns: u64,
    /// Whose probe to let go of.
    release: Option<ProcessId>,
    effects: VecDeque<Sending>,
    events: VecDeque<VotesEvent>,
    ignored: u64,
}

#[derive(Clone, Copy, Debug)]
enum Probing {
    No,
    Asking { holder: ProcessId },
    Has { holder: ProcessId, until: Instant, renew_at: Instant, renews_until: Instant },
}

impl VotesMachine {
    /// Votes on `subject` for `process`, whose breaker is closed and shares `evidence`, made of the same `config`. `seed` draws
    /// the times between votes; give each machine its own.
    #[must_use]
    pub fn new(
        config: VotesConfig,
        subject: StateKey,
        process: ProcessId,
        evidence: Arc<Evidence>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut rng = Rng::from_seed(seed);
        let turns = rng.next_u64();
        let mut machine = Self {
            config,
            subject,
            process,
            evidence,
            clock: Monotonic::default(),
            rng,
            voting: Exchange::one_of(0, 2),
            asking: Exchange::one_of(1, 2),
            state: State::Closed,
            vote_at: Some(now),
            owes_last: false,
            quorum_until: None,
            probing: Probing::No,
            turns,
            release: None,
            effects: VecDeque::new(),
            events: VecDeque::new(),
            ignored: 0,
        };
        let now = machine.clock.observe(now);
        machine.send_due(now);
        machine
    }

    /// What it shares with the breaker.
    #[must_use]
    pub const fn evidence(&self) -> &Arc<Evidence> {
        &self.evidence
    }

    /// How many answers came that nobody waited for.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    const fn finds_open(state: State) -> bool {
        match state {
            State::Open | State::HalfOpen => true,
            // What was ordered says nothing of the subject.
            State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly => false,
        }
    }

    fn changed(&mut self, now: Instant, state: State) {
        let changes = Self::finds_open(state) != Self::finds_open(self.state);
        self.state = state;
        if changes && self.vote_at.is_some() {
            self.vote_at = Some(now);
        }
        match state {
            State::HalfOpen => {}
            State::Open => self.keep_others_off(),
            State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly => self.let_go(),
        }
    }

    /// Ends the breaker's turn, and leaves its lease to end by itself: who has found out that the subject is down spares it the
    /// others' probes for so long.
    fn keep_others_off(&mut self) {
        match self.probing {
            Probing::No | Probing::Asking { .. } => self.leave_probe(),
            Probing::Has { .. } => self.probing = Probing::No,
        }
        self.evidence.end_turn();
    }

    /// Ends the breaker's turn, and lets others have theirs.
    fn let_go(&mut self) {
        self.leave_probe();
        self.evidence.end_turn();
    }

    /// Lets others have their turn. What the breaker knows of its own is for the caller to change.
    fn leave_probe(&mut self) {
        match self.probing {
            Probing::No => {}
            Probing::Asking { holder } => {
                self.asking.forget();
                self.release = Some(holder);
            }
            Probing::Has { holder, .. } => self.release = Some(holder),
        }
        self.probing = Probing::No;
    }

    fn stop(&mut self) {
        self.owes_last |= self.vote_at.take().is_some();
        self.let_go();
        self.quorum_until = None;
        self.evidence.set_quorum(Instant::ZERO);
    }

    fn voted(&mut self, now: Instant, sent_at: Instant, answer: StoreAnswer) {
        let Ok(StoreReply::Voted(Voted { live, open })) = answer else {
            // A vote that is not heard in time ends; a change is not known until it is heard.
            let again_at = now.after(self.config.heartbeat / VOTE_AGAIN);
            self.vote_at = self.vote_at.map(|at| at.min(again_at));
            return self.fail(answer);
        };
        if self.vote_at.is_none() {
            // What others think is no concern of this process any more.
            return;
        }
        // Numbers of a store are anybody's.
        let (live, open) = (live.max(1), open.min(live));
        self.events.push_back(VotesEvent::Counted { live, open, latency: now.since(sent_at) });
        let had_quorum = self.quorum_until.is_some();
        if self.config.is_quorum(live, open) {
            let until = sent_at.after(self.config.live_for);
            self.quorum_until = Some(until);
            self.evidence.set_quorum(until);
            if !had_quorum {
                self.events.push_back(VotesEvent::Quorum { live, open });
            }
        } else if had_quorum {
            self.end_quorum(true);
        }
    }

    fn end_quorum(&mut self, by_store: bool) {
        self.quorum_until = None;
        self.evidence.set_quorum(Instant::ZERO);
        self.events.push_back(VotesEvent::NoQuorum { by_store });
    }

    fn probed(&mut self, now: Instant, sent_at: Instant, answer: StoreAnswer) {
        let lease = self.config.probe_lease;
        match (self.probing, answer) {
            // To let go needs no answer: a lease ends by itself.
            (Probing::No, Ok(_)) => {}
            (Probing::No, failed @ Err(_)) => self.fail(failed),
            (Probing::Asking { holder } | Probing::Has { holder, .. }, Ok(StoreReply::Probed(Probed::Mine))) => {
                let (until, renew_at) = (sent_at.after(lease), sent_at.after(lease / 3));
                let (is_new, renews_until) = match self.probing {
                    Probing::Has { renews_until, .. } => (false, renews_until),
                    Probing::No | Probing::Asking { .. } => (true, sent_at.after(lease * (TURN_LEASES - 1))),
                };
                self.probing = Probing::Has { holder, until, renew_at, renews_until };
                self.give(ProbeRight::Shared { until }, is_new);
            }
            (_, Ok(StoreReply::Probed(Probed::Others { lease_left }))) => {
                self.probing = Probing::No;
                let wait = lease / OTHERS_MAX - self.rng.up_to(lease / OTHERS_MAX / 2);
                self.give(ProbeRight::Others { until: now.after(lease_left.min(wait)) }, true);
            }
            (Probing::Asking { .. }, failed) => {
                self.probing = Probing::No;
                self.fail(failed);
                self.give(ProbeRight::Local, true);
            }
            (Probing::Has { holder, until, renews_until, .. }, failed) => {
                let renew_at = now.after(lease / RENEW_AGAIN);
                self.probing = Probing::Has { holder, until, renew_at, renews_until };
                self.fail(failed);
            }
        }
    }

    fn give(&mut self, right: ProbeRight, is_told: bool) {
        self.evidence.set_turn(right);
        if is_told {
            self.events.push_back(VotesEvent::Probe { right });
        }
    }

    fn fail(&mut self, answer: StoreAnswer) {
        let failure = answer.err().unwrap_or(StoreFailure::Unknown);
        self.events.push_back(VotesEvent::Failed { failure });
    }

    /// Sends what is due and has nothing under way before it.
    fn send_due(&mut self, now: Instant) {
        if self.vote_at.is_some_and(|at| at <= now) && !self.voting.is_open() {
            let beat = self.config.heartbeat;
            // Processes that began together do not go on together.
            self.vote_at = Some(now.after(beat.saturating_sub(self.rng.up_to(beat / 4))));
            self.vote(now, Self::finds_open(self.state), self.config.live_for);
        }
        // After the one under way, which would count for its time if it came later.
        if self.owes_last && !self.voting.is_open() {
            self.owes_last = false;
            self.vote(now, false, LAST_VOTE);
        }
        if self.asking.is_open() {
            return;
        }
        let subject = self.subject;
        if let Some(holder) = self.release.take() {
            let release = StoreCommand::ReleaseProbe(ReleaseProbe { subject, holder });
            self.effects.push_back(self.asking.send(now, self.config.reply_within, release));
            return;
        }
        let holder = match self.probing {
            Probing::No if self.vote_at.is_some() && self.evidence.is_asked() => self.next_holder(),
            Probing::Has { holder, .. } if self.renewal().is_some_and(|at| at <= now) => holder,
            Probing::No | Probing::Asking { .. } | Probing::Has { .. } => return,
        };
        let probe = StoreCommand::Probe(Probe { subject, holder, lease: self.config.probe_lease });
        self.effects.push_back(self.asking.send(now, self.config.reply_within, probe));
    }

    fn vote(&mut self, now: Instant, open: bool, live_for: Duration) {
        let vote = Vote { subject: self.subject, voter: self.process, open, live_for };
        self.effects.push_back(self.voting.send(now, self.config.reply_within, StoreCommand::Vote(vote)));
    }

    /// Another name for each turn, so that letting go of the last one that comes late does not end this one.
    fn next_holder(&mut self) -> ProcessId {
        self.turns = self.turns.wrapping_add(1);
        let holder = ProcessId::new(self.process.bits() ^ u128::from(self.turns));
        self.probing = Probing::Asking { holder };
        holder
    }

    /// When the probe is to be renewed: while it is used, and for so long that a process that has stopped calling does not
    /// keep the others from finding out.
    fn renewal(&self) -> Option<Instant> {
        match self.probing {
            Probing::Has { renew_at, renews_until, .. } if self.state == State::HalfOpen => {
                Some(renew_at).filter(|at| *at < renews_until)
            }
            Probing::No | Probing::Asking { .. } | Probing::Has { .. } => None,
        }
    }

    /// When the probe is to be renewed, and when it ends.
    fn probe_timers(&self) -> [Option<Instant>; 2] {
        match self.probing {
            Probing::No | Probing::Asking { .. } => [None, None],
            Probing::Has { until, .. } => [self.renewal().filter(|_| !self.asking.is_open()), Some(until)],
        }
    }

    /// The lease of the probe has ended. Whoever calls too seldom to use a turn would wait for ever for one that he does. His
    /// right is exchanged for the other at once, so that no call in between has to ask.
    fn outlast_probe(&mut self) {
        self.leave_probe();
        if self.state == State::HalfOpen {
            self.evidence.end_turn();
        } else {
            self.give(ProbeRight::Local, true);
        }
    }
}

impl Machine for VotesMachine {
    type Input = VotesInput;
    type Effect = Sending;
    type Event = VotesEvent;

    fn handle_input(&mut self, now: Instant, input: VotesInput) {
        let now = self.clock.observe(now);
        match input {
            VotesInput::Changed(state) => self.changed(now, state),
            VotesInput::Woken => {}
            VotesInput::Stop => self.stop(),
            VotesInput::Answered { id, answer } => {
                if let Some(sent_at) = self.voting.answered(id) {
                    self.voted(now, sent_at, answer);
                } else if let Some(sent_at) = self.asking.answered(id) {
                    self.probed(now, sent_at, answer);
                } else {
                    self.ignored = self.ignored.saturating_add(1);
                }
            }
        }
        self.send_due(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let now = self.clock.observe(now);
        if self.voting.expired(now).is_some() {
            self.voted(now, now, Err(StoreFailure::Unknown));
        }
        if self.asking.expired(now).is_some() {
            self.probed(now, now, Err(StoreFailure::Unknown));
        }
        if self.quorum_until.is_some_and(|until| until <= now) {
            self.end_quorum(false);
        }
        if let Probing::Has { until, .. } = self.probing
            && until <= now
        {
            self.outlast_probe();
        }
        self.send_due(now);
    }

    fn poll_effect(&mut self) -> Option<Sending> {
        self.effects.pop_front()
    }

    fn poll_event(&mut self) -> Option<VotesEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let vote_at = self.vote_at.filter(|_| !self.voting.is_open());
        let answers = [self.voting.deadline(), self.asking.deadline()];
        let others = [vote_at, self.quorum_until].into_iter().chain(self.probe_timers());
        answers.into_iter().chain(others).flatten().min()
    }
}

/// A vote that failed is cast again after so small a part of the heartbeat.
const VOTE_AGAIN: u32 = 4;
/// A renewal that failed is tried again after so small a part of the lease.
const RENEW_AGAIN: u32 = 6;
/// For so many leases a turn lasts at most: the last one begins before the others are over.
const TURN_LEASES: u32 = 10;
/// Whose turn it is not asks again after so small a part of the lease at most, and half of that at least: most turns end
/// long before their leases, and processes that each waited for a lease would close one in each.
const OTHERS_MAX: u32 = 8;
/// For how long the last vote counts: the shortest time that every store knows.
const LAST_VOTE: Duration = Duration::from_millis(1);
