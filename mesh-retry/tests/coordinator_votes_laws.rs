//! What holds of shared evidence whatever the network, the processes and the store do: the shared probe is never two
//! processes' at once, a quorum is never one process's, evidence ends with the store, and a path that is healthy for a process
//! stays open to it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use coordinator_support::{Bell, Faults, Network, at, ms};
use mesh_core::machine::laws::{World, assert_hold};
use mesh_retry::breaker::{Breaker, BreakerConfig, State, Verdict};
use mesh_retry::coordinator::Sending;
use mesh_retry::coordinator::store::{Probed, ProcessId, StateKey, StoreFailure, StoreReply, Voted};
use mesh_retry::coordinator::votes::{Evidence, ProbeRight, VotesConfig, VotesInput, VotesMachine};
use mesh_retry::{Instant, Machine as _, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, rng_seed: RngSeed::Fixed(93), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn processes_share_evidence_and_one_probe_whatever_happens(
        faults in any_faults(),
        seed: u64,
        paths in proptest::collection::vec(any_path(), 1..6),
    ) {
        let mut fleet = Fleet::new(faults, seed, &paths);
        fleet.run_until(at(60_000))?;
        // The store is lost.
        fleet.network.faults.lost_milli = 1000;
        fleet.network.cut();
        fleet.run_until(at(90_000))?;
        for process in &fleet.processes {
            prop_assert_eq!(process.evidence.lowered_to(fleet.now), None, "what was known has ended");
        }
        if faults.lost_milli < 200 && faults.delay_max < ms(200) && fleet.down_for_most {
            prop_assert!(fleet.quorums > 0, "nobody ever heard of a quorum");
        }
    }

    #[test]
    fn the_machine_laws_hold(seed: u64, script in proptest::collection::vec((0..60_000_u64, 0..8_u8), 0..20)) {
        let evidence = || Arc::new(Evidence::new(&VotesConfig::default(), Arc::new(Bell::default())));
        let script = script.into_iter().map(|(millis, input)| (at(millis), match input {
            0 => VotesInput::Stop,
            1 => VotesInput::Changed(State::Open),
            2 => VotesInput::Changed(State::HalfOpen),
            3 => VotesInput::Changed(State::Closed),
            4 => VotesInput::Changed(State::ForcedOpen),
            _ => VotesInput::Woken,
        }));
        let mut script: Vec<_> = script.collect();
        script.sort_by_key(|(at, _)| *at);
        let answer = |send: &Sending, rng: &mut Rng| {
            let answer = match rng.below(8) {
                0 => return None,
                1 => Err(StoreFailure::NotDone),
                2 => Ok(StoreReply::Probed(Probed::Others { lease_left: rng.up_to(ms(5000)) })),
                3 | 4 => Ok(StoreReply::Probed(Probed::Mine)),
                _ => Ok(StoreReply::Voted(Voted { live: rng.below(4) as u32, open: rng.below(4) as u32 })),
            };
            Some((rng.up_to(ms(700)), VotesInput::Answered { id: send.id, answer }))
        };
        let world = World { script, answer: &answer, until: at(120_000), seed };
        let make = || {
            let evidence = evidence();
            // The breaker has asked before the first input.
            let _ = evidence.may_probe(Instant::ZERO);
            VotesMachine::new(VotesConfig::default(), SUBJECT, ProcessId::new(7 << 64), evidence, seed, Instant::ZERO)
        };
        assert_hold(make, &world);
    }
}

/// How the subject is for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// Every call succeeds.
    Well,
    /// Every call fails for the second of every three times of 10 s.
    Down,
    /// One in ten calls fails, and never two in a row.
    Flaky,
}

/// A process that calls the subject each 50 ms.
struct Process {
    path: Path,
    breaker: Breaker,
    evidence: Arc<Evidence>,
    machine: VotesMachine,
    bell: Arc<Bell>,
    next_call: Instant,
    calls: u64,
}

struct Fleet {
    network: Network,
    now: Instant,
    processes: Vec<Process>,
    quorums: u32,
    down_for_most: bool,
}

impl Fleet {
    fn new(faults: Faults, seed: u64, paths: &[Path]) -> Self {
        let config = VotesConfig::default();
        let process = |(index, path): (usize, &Path)| {
            let bell = Arc::new(Bell::default());
            let evidence = Arc::new(Evidence::new(&config, bell.clone()));
            let (id, shared) = (ProcessId::new((index as u128 + 1) << 64), Arc::clone(&evidence));
            let machine = VotesMachine::new(config, SUBJECT, id, shared, seed + index as u64, Instant::ZERO);
            let breaker = Breaker::with_evidence(&breaker(), seed + index as u64, Arc::clone(&evidence)).unwrap();
            Process { path: *path, breaker, evidence, machine, bell, next_call: Instant::ZERO, calls: 0 }
        };
        let processes = paths.iter().enumerate().map(process).collect();
        let down = paths.iter().filter(|path| **path == Path::Down).count();
        let down_for_most = down >= 2 && down * 2 > paths.len();
        Self { network: Network::new(faults, seed), now: Instant::ZERO, processes, quorums: 0, down_for_most }
    }

    fn run_until(&mut self, until: Instant) -> Result<(), TestCaseError> {
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
                return Ok(());
            }
            self.now = self.now.max(next.0);
            match next.1 {
                Some(index) => self.step(index)?,
                None => self.deliver(),
            }
            self.judge()?;
        }
    }

    fn step(&mut self, index: usize) -> Result<(), TestCaseError> {
        let (now, alone) = (self.now, self.processes.len() == 1);
        let process = &mut self.processes[index];
        process.machine.handle_timeout(now);
        if process.next_call <= now {
            process.next_call = now + ms(50);
            process.call(now)?;
        }
        if process.bell.rung() > 0 {
            process.machine.handle_input(now, VotesInput::Woken);
        }
        if process.evidence.lowered_to(now).is_some() {
            self.quorums += 1;
            prop_assert!(!alone, "a quorum of one");
        }
        self.drain(index);
        Ok(())
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

    fn judge(&self) -> Result<(), TestCaseError> {
        let shared = self
            .processes
            .iter()
            .filter(|process| matches!(process.evidence.right(self.now), Some(ProbeRight::Shared { .. })));
        prop_assert!(shared.count() <= 1, "two have the shared probe at {:?}", self.now);
        let closed = |process: &Process| process.breaker.state(self.now) == State::Closed;
        let healthy = self.processes.iter().filter(|process| process.path != Path::Down).all(closed);
        prop_assert!(healthy, "a path that is healthy for its process is open");
        Ok(())
    }
}

impl Process {
    fn call(&mut self, now: Instant) -> Result<(), TestCaseError> {
        self.calls += 1;
        let fails = match self.path {
            Path::Well => false,
            Path::Down => now.as_nanos() / 10_000_000_000 % 3 == 1,
            Path::Flaky => self.calls.is_multiple_of(10),
        };
        let Ok(permit) = self.breaker.permit(now) else { return Ok(()) };
        if let Some(transition) = permit.transition() {
            self.machine.handle_input(now, VotesInput::Changed(transition.to));
        }
        let verdict = if fails { Verdict::Failed(TOOK) } else { Verdict::Succeeded(TOOK) };
        if let Some(transition) = self.breaker.record(now, permit, verdict) {
            prop_assert!(fails || transition.to == State::Closed);
            self.machine.handle_input(now, VotesInput::Changed(transition.to));
        }
        Ok(())
    }
}

fn breaker() -> BreakerConfig {
    let mut config = BreakerConfig::consecutive(NonZeroU32::new(10).unwrap());
    (config.open.base, config.open.max) = (ms(1000), ms(2000));
    config
}

fn any_path() -> impl Strategy<Value = Path> {
    prop_oneof![Just(Path::Well), Just(Path::Down), Just(Path::Down), Just(Path::Flaky)]
}

fn any_faults() -> impl Strategy<Value = Faults> {
    let delay = prop_oneof![0..20_u64, 0..400_u64, 0..3000_u64];
    (0..400_u64, 0..300_u64, 0..200_u64, delay).prop_map(|(lost_milli, repeated_milli, refused_milli, delay)| Faults {
        lost_milli,
        repeated_milli,
        refused_milli,
        delay_max: ms(delay),
    })
}

const TOOK: Duration = ms(10);
const SUBJECT: StateKey = StateKey::new(1);
