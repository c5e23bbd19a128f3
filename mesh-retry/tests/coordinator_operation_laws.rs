//! What holds of operations that are to be carried out once whatever the network, the processes and the store do: at most
//! one result is kept, and that one is told; nobody is the first after somebody who may have carried it out; nobody begins
//! while another's lease runs; fences rise; and whoever waits long enough is told something.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use coordinator_support::{Faults, Network, any_faults, at, ms};
use mesh_core::machine::laws::{World, assert_hold};
use mesh_retry::coordinator::idempotency::{
    Operation, OperationConfig, OperationEnd, OperationEvent, OperationInput, OperationMachine, Right, StoreLost,
};
use mesh_retry::coordinator::store::{
    Begun, Fence, Fingerprint, Finished, OwnerToken, StateKey, StoreCommand, StoreReply,
};
use mesh_retry::coordinator::{SendId, Sending};
use mesh_retry::{Instant, Machine as _, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(91), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_result_is_kept_once_and_nobody_follows_as_the_first_whatever_happens(
        faults in any_faults(),
        seed: u64,
        processes in 2..6_usize,
    ) {
        let mut fleet = Fleet::new(faults, seed, processes);
        fleet.run_until(at(60_000))?;
        // Now all goes well, and whoever comes is told something within a lease.
        fleet.network.faults = Faults::NONE;
        fleet.chaos = false;
        fleet.run_until(at(90_000))?;
        prop_assert!(fleet.done, "{:#?}", fleet.runs);
    }

    #[test]
    fn the_machine_laws_hold(
        seed: u64,
        run_anyway: bool,
        ends in proptest::collection::vec((0..40_000_u64, 0..3_u8), 0..3),
    ) {
        let mut config = CONFIG();
        config.store_lost = if run_anyway { StoreLost::RunAnyway } else { StoreLost::Refuse };
        let script = ends.into_iter().map(|(millis, end)| (at(millis), match end {
            0 => OperationInput::Finish { result: vec![1] },
            1 => OperationInput::Abandon,
            _ => OperationInput::HandOver,
        }));
        let mut script: Vec<_> = script.collect();
        script.sort_by_key(|(at, _)| *at);
        let world = World { script, answer: &any_answer, until: at(120_000), seed };
        assert_hold(|| OperationMachine::new(config, operation(1), seed, Instant::ZERO), &world);
    }
}

/// Answers anything that could be an answer, or nothing.
fn any_answer(send: &Sending, rng: &mut Rng) -> Option<(std::time::Duration, OperationInput)> {
    use mesh_retry::coordinator::store::{Abandoned, Renewed, StoreFailure};
    let fence = Fence::new(rng.below(4));
    let answer = match rng.below(16) {
        0 => Ok(StoreReply::Begun(Begun::Fresh { fence })),
        1 => Ok(StoreReply::Begun(Begun::TakenOver { fence })),
        2..5 => Ok(StoreReply::Begun(Begun::InFlight { lease_left: rng.up_to(ms(5000)) })),
        5 => Ok(StoreReply::Begun(Begun::Done { result: vec![2] })),
        6 | 7 => Ok(StoreReply::Renewed(Renewed::Kept)),
        8 => Ok(StoreReply::Renewed(Renewed::Fenced)),
        9 => Ok(StoreReply::Finished(Finished::Kept)),
        10 => Ok(StoreReply::Abandoned(Abandoned::Forgotten)),
        11 => Err(StoreFailure::NotDone),
        12 => Err(StoreFailure::Unknown),
        13 => Ok(StoreReply::Begun(Begun::Unreadable)),
        14 => Ok(StoreReply::Begun(Begun::Full)),
        _ => return None,
    };
    Some((rng.up_to(ms(700)), OperationInput::Answered { id: send.id, answer }))
}

/// One who was told to carry the operation out.
#[derive(Debug)]
struct Run {
    fence: Fence,
    /// Whether it said that it certainly did not.
    abandoned: bool,
}

/// A process that carries the operation out again and again.
struct Process {
    machine: Option<OperationMachine>,
    /// The number of its machine, whose answers others must not get.
    life: u64,
    result: Vec<u8>,
    /// When it does the next thing: end its work, crash, or come back.
    next_at: Option<Instant>,
    running: bool,
    lapsed: bool,
}

struct Fleet {
    network: Network,
    rng: Rng,
    now: Instant,
    processes: Vec<Process>,
    lives: u64,
    runs: Vec<Run>,
    kept: Option<Vec<u8>>,
    /// The greatest fence that the store has given, and to whom.
    fence: Option<(Fence, OwnerToken)>,
    /// Whether processes crash, abandon, or work for too long.
    chaos: bool,
    done: bool,
}

impl Fleet {
    fn new(faults: Faults, seed: u64, processes: usize) -> Self {
        let mut rng = Rng::from_seed(seed);
        let processes = (0..processes).map(|_| Process {
            machine: None,
            life: 0,
            result: Vec::new(),
            next_at: Some(Instant::ZERO + rng.up_to(ms(3000))),
            running: false,
            lapsed: false,
        });
        let processes = processes.collect();
        Self {
            network: Network::new(faults, seed ^ 1),
            rng,
            now: Instant::ZERO,
            processes,
            lives: 0,
            runs: Vec::new(),
            kept: None,
            fence: None,
            chaos: true,
            done: false,
        }
    }

    fn run_until(&mut self, until: Instant) -> Result<(), TestCaseError> {
        loop {
            let timers = self.processes.iter().enumerate().flat_map(|(index, process)| {
                let timer = process.machine.as_ref().and_then(|machine| machine.poll_timeout());
                timer.into_iter().chain(process.next_at).map(move |at| (at, index))
            });
            let timer = timers.min();
            let packet = self.network.next_at();
            let Some(next) = timer.map(|(at, _)| at).into_iter().chain(packet).min() else { return Ok(()) };
            if next > until {
                return Ok(());
            }
            self.now = self.now.max(next);
            // Timers first: a driver that is late would let a lease run on.
            if let Some((at, index)) = timer
                && at <= next
            {
                self.wake(index)?;
            } else {
                self.deliver()?;
            }
        }
    }

    fn wake(&mut self, index: usize) -> Result<(), TestCaseError> {
        let now = self.now;
        if let Some(machine) = &mut self.processes[index].machine {
            machine.handle_timeout(now);
        }
        self.drain(index)?;
        if self.processes[index].next_at.is_some_and(|at| at <= now) {
            self.processes[index].next_at = None;
            self.act(index);
            self.drain(index)?;
        }
        Ok(())
    }

    /// Comes back, or ends what it works at.
    fn act(&mut self, index: usize) {
        let (now, draw) = (self.now, self.rng.below(10));
        if self.processes[index].machine.is_none() {
            self.lives += 1;
            let life = self.lives;
            let machine = OperationMachine::new(CONFIG(), operation(u128::from(life)), life, now);
            let result = life.to_le_bytes().to_vec();
            let (running, lapsed) = (false, false);
            self.processes[index] = Process { machine: Some(machine), life, result, next_at: None, running, lapsed };
            return;
        }
        let process = &mut self.processes[index];
        let result = process.result.clone();
        process.running = false;
        let Some(machine) = &mut process.machine else { return };
        match draw {
            0..3 if self.chaos => self.leave(index),
            3 if self.chaos => {
                // Only whoever is the first knows that nobody has carried it out.
                let is_first = self.runs.iter().filter(|run| !run.abandoned).count() == 1;
                let input = if is_first { OperationInput::Abandon } else { OperationInput::HandOver };
                if is_first {
                    self.runs.iter_mut().for_each(|run| run.abandoned = true);
                }
                machine.handle_input(now, input);
            }
            4 if self.chaos => machine.handle_input(now, OperationInput::HandOver),
            _ => machine.handle_input(now, OperationInput::Finish { result }),
        }
    }

    /// Crashes, or has nothing more to do; comes back later as another.
    fn leave(&mut self, index: usize) {
        let next_at = Some(self.now + ms(1) + self.rng.up_to(ms(4000)));
        let process = &mut self.processes[index];
        (process.machine, process.next_at, process.running) = (None, next_at, false);
    }

    fn deliver(&mut self) -> Result<(), TestCaseError> {
        let (reply, carried) = self.network.deliver();
        if let Some((_, command, reply)) = carried {
            self.judge(&command, &reply)?;
        }
        if let Some((to, id, answer)) = reply {
            let (life, number) = (id.number() >> 32, id.number() & u64::from(u32::MAX));
            let process = &mut self.processes[to];
            if process.life == life
                && let Some(machine) = &mut process.machine
            {
                machine.handle_input(self.now, OperationInput::Answered { id: SendId::from_number(number), answer });
                self.drain(to)?;
            }
        }
        Ok(())
    }

    /// What the store says is judged when it says it.
    fn judge(&mut self, command: &StoreCommand, reply: &StoreReply) -> Result<(), TestCaseError> {
        match (command, reply) {
            (StoreCommand::Begin(begin), StoreReply::Begun(Begun::Fresh { fence } | Begun::TakenOver { fence })) => {
                let rises = self.fence.is_none_or(|(last, owner)| *fence > last || owner == begin.owner);
                prop_assert!(rises, "{fence:?} after {:?}", self.fence);
                prop_assert!(self.kept.is_none(), "it is done");
                self.fence = Some((*fence, begin.owner));
            }
            (StoreCommand::Finish(finish), StoreReply::Finished(Finished::Kept)) => {
                let kept = self.kept.get_or_insert_with(|| finish.result.clone());
                prop_assert_eq!(&*kept, &finish.result, "two results are kept");
            }
            _ => {}
        }
        Ok(())
    }

    fn drain(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Process { machine: Some(machine), life, .. } = &mut self.processes[index] else { return Ok(()) };
        while let Some(send) = machine.poll_effect() {
            // Ids are the machine's own, so the network's bear its number.
            let id = SendId::from_number(*life << 32 | send.id.number());
            self.network.send(self.now, index, Sending { id, ..send });
        }
        let events: Vec<_> = std::iter::from_fn(|| machine.poll_event()).collect();
        for event in events {
            self.hear(index, event)?;
        }
        Ok(())
    }

    fn hear(&mut self, index: usize, event: OperationEvent) -> Result<(), TestCaseError> {
        match event {
            OperationEvent::Run { right } => {
                let fence = match right {
                    Right::First { fence } => {
                        let before = self.runs.iter().all(|run| run.abandoned);
                        prop_assert!(before, "{index} is the first after {:?}", self.runs);
                        fence
                    }
                    Right::TakenOver { fence } => fence,
                    Right::Unprotected | _ => panic!("{right:?}"),
                };
                let others = self.processes.iter().enumerate().filter(|(other, _)| *other != index);
                let holding: Vec<_> = others.filter(|(_, process)| process.running && !process.lapsed).collect();
                prop_assert!(holding.is_empty(), "{index} runs while {:?} hold a lease", holding[0].0);
                prop_assert!(self.runs.iter().all(|run| run.fence < fence), "{fence:?} after {:?}", self.runs);
                self.runs.push(Run { fence, abandoned: false });
                let work = if self.chaos { self.rng.up_to(ms(6000)) } else { ms(10) };
                let next_at = Some(self.now + work);
                let process = &mut self.processes[index];
                (process.running, process.lapsed, process.next_at) = (true, false, next_at);
            }
            OperationEvent::Done { result } => {
                prop_assert_eq!(Some(&result), self.kept.as_ref());
                self.done = true;
                self.leave(index);
            }
            OperationEvent::Ended { how } => {
                if how == OperationEnd::Kept {
                    prop_assert_eq!(Some(&self.processes[index].result), self.kept.as_ref());
                }
                self.leave(index);
            }
            OperationEvent::Refused { .. } | OperationEvent::TakenAway => self.leave(index),
            OperationEvent::Lapsed => self.processes[index].lapsed = true,
            OperationEvent::Recovered => self.processes[index].lapsed = false,
            OperationEvent::Waiting { .. } => {}
            OperationEvent::ResultTooLong { .. } | _ => panic!("{event:?}"),
        }
        Ok(())
    }
}

const fn operation(owner: u128) -> Operation {
    Operation { key: StateKey::new(1), fingerprint: Fingerprint::new(2), owner: OwnerToken::new(owner) }
}

const CONFIG: fn() -> OperationConfig = || {
    let mut config = OperationConfig::default();
    (config.lease, config.reply_within, config.wait_max) = (ms(3000), ms(500), ms(10_000));
    config
};
