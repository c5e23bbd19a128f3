//! A process that votes on one subject, and answers that a test gives.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mesh_retry::breaker::{BreakerConfig, OpenJitter, Verdict};
use mesh_retry::coordinator::store::{ProcessId, StateKey, StoreCommand, StoreReply, Voted};
use mesh_retry::coordinator::votes::{Evidence, VotesConfig, VotesEvent, VotesInput, VotesMachine};
use mesh_retry::coordinator::{Sending, StoreAnswer};
use mesh_retry::{Instant, Machine as _};

use super::{Bell, at, ms};

/// A process with one subject.
pub(crate) struct Process {
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) machine: VotesMachine,
    pub(crate) bell: Arc<Bell>,
    pub(crate) now: Instant,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self::seeded(1)
    }

    /// The same process with another machine.
    pub(crate) fn seeded(seed: u64) -> Self {
        let (config, bell) = (VotesConfig::default(), Arc::new(Bell::default()));
        let evidence = Arc::new(Evidence::new(&config, bell.clone()));
        let machine = VotesMachine::new(config, SUBJECT, PROCESS, Arc::clone(&evidence), seed, at(1000));
        Self { evidence, machine, bell, now: at(1000) }
    }

    /// One whose first vote was answered.
    pub(crate) fn voted(live: u32, open: u32) -> Self {
        let mut process = Self::new();
        process.count(live, open);
        process
    }

    pub(crate) fn put(&mut self, input: VotesInput) {
        self.machine.handle_input(self.now, input);
    }

    pub(crate) fn answer(&mut self, send: &Sending, answer: StoreAnswer) {
        self.put(VotesInput::Answered { id: send.id, answer });
    }

    pub(crate) fn sent(&mut self) -> Sending {
        self.machine.poll_effect().unwrap()
    }

    /// Answers the vote that is cast now; returns whether it is for open.
    pub(crate) fn count(&mut self, live: u32, open: u32) -> bool {
        let send = self.sent();
        let StoreCommand::Vote(vote) = send.command else { panic!("{send:?}") };
        assert_eq!((vote.subject, vote.voter, vote.live_for), (SUBJECT, PROCESS, Duration::from_secs(15)));
        self.answer(&send, Ok(StoreReply::Voted(Voted { live, open })));
        assert!(matches!(self.machine.poll_event(), Some(VotesEvent::Counted { .. })));
        vote.open
    }

    pub(crate) fn event(&mut self) -> Option<VotesEvent> {
        self.machine.poll_event()
    }

    pub(crate) fn wait(&mut self) -> Duration {
        let due = self.machine.poll_timeout().unwrap().max(self.now);
        let passed = due - self.now;
        self.now = due;
        self.machine.handle_timeout(due);
        passed
    }

    /// The breaker asks for the probe; returns the command.
    pub(crate) fn ask(&mut self) -> Sending {
        assert_eq!(self.evidence.may_probe(self.now), Err(self.now + ms(1000)));
        assert_eq!(self.bell.rung(), 1);
        self.put(VotesInput::Woken);
        let send = self.sent();
        assert!(matches!(send.command, StoreCommand::Probe(_)), "{send:?}");
        send
    }

    pub(crate) fn lowered(&self) -> bool {
        self.evidence.lowered_to(self.now).is_some()
    }
}

pub(crate) const BREAKER: fn() -> BreakerConfig = || {
    let mut config = BreakerConfig::consecutive(NonZeroU32::new(20).unwrap());
    config.open.jitter = OpenJitter::None;
    (config.open.base, config.open.max) = (ms(5000), ms(5000));
    config
};

pub(crate) const OK: Verdict = Verdict::Succeeded(ms(10));
pub(crate) const FAILED: Verdict = Verdict::Failed(ms(10));
pub(crate) const SUBJECT: StateKey = StateKey::new(1);
pub(crate) const PROCESS: ProcessId = ProcessId::new(2 << 64);
