//! Processes that call one subject through breakers that share evidence.

use std::num::NonZeroU32;
use std::sync::Arc;

use mesh_retry::breaker::{Breaker, BreakerConfig, State};
use mesh_retry::coordinator::store::ProcessId;
use mesh_retry::coordinator::votes::{Evidence, ProbeRight, VotesConfig, VotesInput, VotesMachine};
use mesh_retry::{Instant, Machine as _};

use super::voter::{FAILED, OK, SUBJECT};
use super::{Bell, Faults, Network, ms};

/// How the subject is for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Every call succeeds.
    Well,
    /// Every call fails for the second of every three times of 10 s.
    Down,
    /// Every call fails until then.
    DownUntil(Instant),
    /// One in ten calls fails, and never two in a row.
    Flaky,
}

impl Path {
    const fn is_healthy(self) -> bool {
        match self {
            Self::Well | Self::Flaky => true,
            Self::Down | Self::DownUntil(_) => false,
        }
    }
}

/// A process that calls the subject each 50 ms.
pub(crate) struct Caller {
    path: Path,
    breaker: Breaker,
    pub(crate) evidence: Arc<Evidence>,
    machine: VotesMachine,
    bell: Arc<Bell>,
    next_call: Instant,
    calls: u64,
}

pub(crate) struct Fleet {
    pub(crate) network: Network,
    pub(crate) now: Instant,
    pub(crate) processes: Vec<Caller>,
    /// How often a process was seen to know of a quorum.
    pub(crate) quorums: u32,
    pub(crate) down_for_most: bool,
}

impl Fleet {
    pub(crate) fn new(faults: Faults, seed: u64, paths: &[Path]) -> Self {
        Self::with(&breaker(), faults, seed, paths)
    }

    /// With breakers like `breaking`.
    pub(crate) fn with(breaking: &BreakerConfig, faults: Faults, seed: u64, paths: &[Path]) -> Self {
        let config = VotesConfig::default();
        let process = |(index, path): (usize, &Path)| {
            let bell = Arc::new(Bell::default());
            let evidence = Arc::new(Evidence::new(&config, bell.clone()));
            let (id, shared) = (ProcessId::new((index as u128 + 1) << 64), Arc::clone(&evidence));
            let machine = VotesMachine::new(config, SUBJECT, id, shared, seed + index as u64, Instant::ZERO);
            let breaker = Breaker::with_evidence(breaking, seed + index as u64, Arc::clone(&evidence)).unwrap();
            let next_call = Instant::from_millis(index as u64 * 7 % 50);
            Caller { path: *path, breaker, evidence, machine, bell, next_call, calls: 0 }
        };
        let processes = paths.iter().enumerate().map(process).collect();
        let down = paths.iter().filter(|path| **path == Path::Down).count();
        let down_for_most = down >= 2 && down * 2 > paths.len();
        Self { network: Network::new(faults, seed), now: Instant::ZERO, processes, quorums: 0, down_for_most }
    }

    /// How many of the breakers were closed or opened last, with nothing tried since.
    pub(crate) fn count(&self, state: State) -> usize {
        self.processes.iter().filter(|process| process.breaker.state(Instant::ZERO) == state).count()
    }

    pub(crate) fn run_until(&mut self, until: Instant) {
        loop {
            let mut next = (self.network.next_at().unwrap_or(Instant::MAX), None);
            for (index, process) in self.processes.iter().enumerate() {
                let timer = process.machine.poll_timeout().unwrap_or(Instant::MAX).min(process.next_call);
                if timer <= next.0 {
                    next = (timer, Some(index));
                }
            }
            if next.0 > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next.0);
            match next.1 {
                Some(index) => self.step(index),
                None => self.deliver(),
            }
            self.judge();
        }
    }

    fn step(&mut self, index: usize) {
        let (now, alone) = (self.now, self.processes.len() == 1);
        let process = &mut self.processes[index];
        process.machine.handle_timeout(now);
        if process.next_call <= now {
            process.next_call = now + ms(50);
            process.call(now);
        }
        if process.bell.rung() > 0 {
            process.machine.handle_input(now, VotesInput::Woken);
        }
        if process.evidence.lowered_to(now).is_some() {
            self.quorums += 1;
            assert!(!alone, "a quorum of one");
        }
        self.drain(index);
    }

    fn deliver(&mut self) {
        let (reply, _) = self.network.deliver();
        if let Some((to, id, answer)) = reply {
            self.processes[to].machine.handle_input(self.now, VotesInput::Answered { id, answer });
            self.drain(to);
        }
    }

    fn drain(&mut self, index: usize) {
        let machine = &mut self.processes[index].machine;
        while let Some(send) = machine.poll_effect() {
            self.network.send(self.now, index, send);
        }
        while machine.poll_event().is_some() {}
    }

    fn judge(&self) {
        let shared = self
            .processes
            .iter()
            .filter(|process| matches!(process.evidence.right(self.now), Some(ProbeRight::Shared { .. })));
        assert!(shared.count() <= 1, "two have the shared probe at {:?}", self.now);
        let closed = |process: &Caller| process.breaker.state(self.now) == State::Closed;
        let healthy = self.processes.iter().filter(|process| process.path.is_healthy()).all(closed);
        assert!(healthy, "a path that is healthy for its process is open");
    }
}

impl Caller {
    fn call(&mut self, now: Instant) {
        self.calls += 1;
        let fails = match self.path {
            Path::Well => false,
            Path::Down => now.as_nanos() / 10_000_000_000 % 3 == 1,
            Path::DownUntil(end) => now < end,
            Path::Flaky => self.calls.is_multiple_of(10),
        };
        let Ok(permit) = self.breaker.permit(now) else { return };
        if let Some(transition) = permit.transition() {
            self.machine.handle_input(now, VotesInput::Changed(transition.to));
        }
        if let Some(transition) = self.breaker.record(now, permit, if fails { FAILED } else { OK }) {
            assert!(fails || transition.to == State::Closed);
            self.machine.handle_input(now, VotesInput::Changed(transition.to));
        }
    }
}

/// Opens for two seconds at most.
pub(crate) fn breaker() -> BreakerConfig {
    let mut config = BreakerConfig::consecutive(NonZeroU32::new(10).unwrap());
    (config.open.base, config.open.max) = (ms(1000), ms(2000));
    config
}
