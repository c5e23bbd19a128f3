//! A link machine on a clock of its own.

use std::time::Duration;

use mesh_cache::redis::link::{LinkEffect, LinkInput, LinkMachine, LinkUpdate, PingId};
use mesh_cache::redis::{Epoch, LinkConfig};
use mesh_core::machine::Machine as _;
use mesh_core::time::Instant;

/// A machine and its time, which passes as the test wants it to.
pub(crate) struct Run {
    pub(crate) machine: LinkMachine,
    pub(crate) now: Instant,
    pub(crate) attempt: Epoch,
    pub(crate) ping: Option<PingId>,
    /// Whether an attempt is under way.
    connecting: bool,
    pub(crate) asked: Vec<String>,
    pub(crate) said: Vec<String>,
    /// Both, in their order.
    pub(crate) trace: Vec<String>,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self::with_seed(7)
    }

    pub(crate) fn with_seed(seed: u64) -> Self {
        let machine = LinkMachine::new(LinkConfig::default(), seed, Instant::ZERO);
        let mut run = Self {
            machine,
            now: Instant::ZERO,
            attempt: Epoch::default(),
            ping: None,
            connecting: false,
            asked: vec![],
            said: vec![],
            trace: vec![],
        };
        run.drain();
        run
    }

    /// One that is connected.
    pub(crate) fn up() -> Self {
        let mut run = Self::new();
        run.put(LinkInput::Connected { attempt: Epoch::new(1) });
        (run.asked, run.said) = (vec![], vec![]);
        run
    }

    pub(crate) fn put(&mut self, input: LinkInput) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    /// Lets `duration` pass, with all that is due meanwhile.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// A call is sent, and not answered within 50 ms.
    pub(crate) fn time_out(&mut self) {
        let began = self.now;
        self.now += Duration::from_millis(50);
        self.put(timed_out(began, 50));
    }

    /// Lets time pass until it connects, and says how long that was.
    pub(crate) fn until_connect(&mut self) -> Duration {
        let began = self.now;
        while !self.connecting {
            let due = self.machine.poll_timeout().unwrap();
            self.pass(due.since(self.now));
        }
        self.asked.clear();
        self.now.since(began)
    }

    pub(crate) fn asked(&mut self) -> Vec<String> {
        std::mem::take(&mut self.asked)
    }

    pub(crate) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    fn drain(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            let said = match event {
                LinkUpdate::Up { epoch } => format!("up {}", epoch.get()),
                LinkUpdate::Down { epoch, why } => format!("down {} {why}", epoch.get()),
                LinkUpdate::StillDown { why } => format!("still down {why}"),
                _ => panic!("{event:?}"),
            };
            self.connecting = false;
            self.said.push(said.clone());
            self.trace.push(said);
        }
        while let Some(effect) = self.machine.poll_effect() {
            let asked = match effect {
                LinkEffect::Connect { attempt } => {
                    (self.attempt, self.connecting) = (attempt, true);
                    format!("connect {}", attempt.get())
                }
                LinkEffect::Cancel { attempt } => format!("cancel {}", attempt.get()),
                LinkEffect::Ping { ping } => {
                    self.ping = Some(ping);
                    format!("ping {}", format!("{ping:?}").trim_matches(|c: char| !c.is_ascii_digit()))
                }
                LinkEffect::Abandon { epoch } => format!("abandon {}", epoch.get()),
            };
            self.asked.push(asked.clone());
            self.trace.push(asked);
        }
    }
}

/// A call on the first connection that went unanswered.
pub(crate) fn timed_out(began: Instant, waited: u64) -> LinkInput {
    LinkInput::CallTimedOut { epoch: Epoch::new(1), began, waited: Duration::from_millis(waited) }
}
