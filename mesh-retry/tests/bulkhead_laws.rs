//! What holds for every bulkhead, whatever its callers, its driver and its clock do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::machine::laws::{World, assert_hold};
use mesh_retry::limit::bulkhead::{
    Bulkhead, BulkheadConfig, BulkheadEffect, BulkheadInput, BulkheadMachine, EntrantId, Left, Order, Pass, Refusal,
};
use mesh_retry::{Instant, Machine as _, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const MS: Duration = Duration::from_millis(1);

fn any_config() -> impl Strategy<Value = BulkheadConfig> {
    let wait = || proptest::option::of(1_u32..300);
    (1_u32..5, 0_u32..9, wait(), any::<bool>(), 0_u32..200, wait()).prop_map(
        |(places, waiting_max, wait_max, lifo, overload_after, overload_wait_max)| {
            let mut config = BulkheadConfig::default();
            (config.concurrent_max, config.waiting_max) = (NonZeroU32::new(places).unwrap(), waiting_max);
            config.wait_max = wait_max.map(|wait| MS * wait);
            config.order = if lifo { Order::AdaptiveLifo } else { Order::Fifo };
            config.overload_after = MS * overload_after;
            config.overload_wait_max = overload_wait_max.map(|wait| MS * wait);
            config
        },
    )
}

fn any_input() -> impl Strategy<Value = BulkheadInput> {
    (0_u64..12, 0_u8..6, proptest::option::of(0_u64..2_000)).prop_map(|(number, kind, deadline)| {
        let id = EntrantId::from_number(number);
        match kind {
            0 => BulkheadInput::Left,
            1 => BulkheadInput::Abandon(id),
            _ => BulkheadInput::Enter { id, deadline: deadline.map(Instant::from_millis) },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(21), ..ProptestConfig::default() })]

    #[test]
    fn the_machine_laws_hold(
        config in any_config(),
        script in proptest::collection::vec((0_u64..1_500, any_input()), 0..60),
        seed: u64,
    ) {
        let script = script.into_iter().map(|(at, input)| (Instant::from_millis(at), input)).collect();
        let answer = |effect: &BulkheadEffect, rng: &mut Rng| {
            // Most are told that somebody has left, some when nobody has.
            matches!(effect, BulkheadEffect::Admit { .. }).then(|| (rng.up_to(100 * MS), BulkheadInput::Left))
        };
        let world = World { script, answer: &answer, until: Instant::from_millis(10_000), seed };
        assert_hold(|| BulkheadMachine::new(Arc::new(Bulkhead::new(config))), &world);
    }

    #[test]
    fn a_bulkhead_keeps_its_promises(
        config in any_config(),
        steps in proptest::collection::vec(any_step(), 0..250),
    ) {
        let mut run = Run::new(config);
        for step in steps {
            run.step(step)?;
        }
        run.judge()?;
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Asks for a place, with so much time for it.
    Enter(Option<u64>),
    /// Asks for a place past the queue.
    Pass,
    /// One of those inside leaves, and may forget to tell the queue for a while.
    Leave { which: u64, tells: bool },
    /// One of those who wait gives up.
    Abandon(u64),
    /// Time passes, with the timers served or not.
    Wait { millis: u64, served: bool },
    /// An input with a time from before.
    Back(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::option::of(0_u64..400).prop_map(Step::Enter),
        1 => Just(Step::Pass),
        4 => (any::<u64>(), prop::bool::weighted(0.8)).prop_map(|(which, tells)| Step::Leave { which, tells }),
        1 => any::<u64>().prop_map(Step::Abandon),
        4 => (0_u64..60, any::<bool>()).prop_map(|(millis, served)| Step::Wait { millis, served }),
        1 => (0_u64..500).prop_map(Step::Back),
    ]
}

/// One who waits, as the test knows.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Instant,
    deadline: Option<Instant>,
}

/// A bulkhead, and what a driver knows of it.
struct Run {
    bulkhead: Arc<Bulkhead>,
    machine: BulkheadMachine,
    now: Instant,
    /// The latest time that the machine was told.
    clock: Instant,
    next: u64,
    inside: Vec<Pass>,
    /// In the order of coming.
    waiting: BTreeMap<u64, Waiting>,
    asked: u32,
    answered: u32,
    abandoned: u32,
}

impl Run {
    fn new(config: BulkheadConfig) -> Self {
        let bulkhead = Arc::new(Bulkhead::new(config));
        Self {
            machine: BulkheadMachine::new(Arc::clone(&bulkhead)),
            bulkhead,
            now: Instant::from_millis(1_000),
            clock: Instant::ZERO,
            next: 0,
            inside: Vec::new(),
            waiting: BTreeMap::new(),
            asked: 0,
            answered: 0,
            abandoned: 0,
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Enter(time) => self.enter(time),
            Step::Pass => {
                let waits = self.bulkhead.waiting() > 0;
                let passed = self.bulkhead.enter(self.now);
                prop_assert!(passed.is_err() || !waits, "past those who wait");
                self.inside.extend(passed);
            }
            Step::Leave { which, tells } if !self.inside.is_empty() => {
                let pass = self.inside.swap_remove((which % self.inside.len() as u64) as usize);
                if self.bulkhead.leave(self.now, pass) == Left::Awaited && tells {
                    self.tell(self.now, BulkheadInput::Left);
                }
            }
            Step::Abandon(which) if !self.waiting.is_empty() => {
                let nth = (which % self.waiting.len() as u64) as usize;
                let number = *self.waiting.keys().nth(nth).unwrap();
                self.tell(self.now, BulkheadInput::Abandon(EntrantId::from_number(number)));
                self.waiting.remove(&number);
                self.abandoned += 1;
            }
            Step::Leave { .. } | Step::Abandon(_) => {}
            Step::Wait { millis, served } => {
                self.now += MS * millis as u32;
                if served && self.machine.poll_timeout().is_some_and(|due| due <= self.now) {
                    self.machine.handle_timeout(self.now);
                    self.clock = self.clock.max(self.now);
                }
            }
            Step::Back(millis) => self.tell(self.now - MS * millis as u32, BulkheadInput::Left),
        }
        self.hear()?;
        self.check(step)
    }

    fn enter(&mut self, time: Option<u64>) {
        let (now, number) = (self.now, self.next);
        let deadline = time.map(|millis| now + MS * millis as u32);
        (self.next, self.asked) = (number + 1, self.asked + 1);
        self.waiting.insert(number, Waiting { since: now, deadline });
        self.tell(now, BulkheadInput::Enter { id: EntrantId::from_number(number), deadline });
    }

    fn tell(&mut self, at: Instant, input: BulkheadInput) {
        self.clock = self.clock.max(at);
        self.machine.handle_input(at, input);
    }

    /// Takes the answers in, each of which has to be right.
    fn hear(&mut self) -> Result<(), TestCaseError> {
        while let Some(effect) = self.machine.poll_effect() {
            let number = effect.id().number();
            let Some(waiting) = self.waiting.remove(&number) else {
                return Err(TestCaseError::fail(format!("nobody waits for {effect:?}")));
            };
            self.answered += 1;
            match effect {
                BulkheadEffect::Admit { waited, pass, .. } => {
                    prop_assert!(waiting.deadline.is_none_or(|deadline| self.clock < deadline), "after its deadline");
                    prop_assert_eq!(waited, self.clock.since(waiting.since));
                    let limit = self.bulkhead.config().wait_max;
                    prop_assert!(limit.is_none_or(|limit| waited < limit), "after {:?}", waited);
                    if self.bulkhead.config().order == Order::Fifo {
                        let first = self.waiting.keys().next();
                        prop_assert!(first.is_none_or(|first| *first > number), "{} before {:?}", number, first);
                    }
                    self.inside.push(pass);
                }
                BulkheadEffect::Refuse { refusal, .. } => self.refused(waiting, refusal)?,
            }
        }
        Ok(())
    }

    fn refused(&self, waiting: Waiting, refusal: Refusal) -> Result<(), TestCaseError> {
        let config = self.bulkhead.config();
        let (waited, left) =
            (self.clock.since(waiting.since), waiting.deadline.map(|deadline| deadline.since(self.clock)));
        match refusal {
            Refusal::QueueFull { waiting_max, .. } => prop_assert_eq!(waiting_max, config.waiting_max),
            Refusal::DeadlineTooClose { expected, left: told, ahead, .. } => {
                prop_assert!(waited.is_zero() && Some(told) == left && expected >= told);
                let service = self.bulkhead.service_time().unwrap();
                prop_assert_eq!(expected, service * (ahead + 1) / config.concurrent_max.get());
            }
            Refusal::DeadlinePassed { waited: told } => {
                prop_assert_eq!((told, left), (waited, Some(Duration::ZERO)));
            }
            Refusal::WaitedTooLong { waited: told, wait_max, .. } => {
                prop_assert!(told == waited && waited >= wait_max);
                prop_assert!([config.wait_max, config.overload_wait_max].contains(&Some(wait_max)));
            }
            other => return Err(TestCaseError::fail(other.to_string())),
        }
        Ok(())
    }

    fn check(&self, step: Step) -> Result<(), TestCaseError> {
        let (inside, waiting) = (self.inside.len() as u32, self.waiting.len() as u32);
        let config = self.bulkhead.config();
        prop_assert!(inside <= config.concurrent_max.get(), "{} inside", inside);
        prop_assert!(waiting <= config.waiting_max, "{} wait", waiting);
        prop_assert_eq!((self.bulkhead.inside(), self.bulkhead.waiting()), (inside, waiting));
        prop_assert_eq!(self.asked, self.answered + self.abandoned + waiting, "all are accounted for");
        if matches!(step, Step::Enter(_) | Step::Back(_)) {
            prop_assert!(waiting == 0 || inside == config.concurrent_max.get(), "somebody waits for nothing");
        }
        Ok(())
    }

    /// Lets everybody out, and then in.
    fn judge(mut self) -> Result<(), TestCaseError> {
        while !(self.inside.is_empty() && self.waiting.is_empty()) {
            self.tell(self.now, BulkheadInput::Left);
            self.hear()?;
            prop_assert!(!self.inside.is_empty() || self.waiting.is_empty(), "somebody is forgotten");
            while let Some(pass) = self.inside.pop() {
                let _ = self.bulkhead.leave(self.now, pass);
            }
        }
        prop_assert_eq!((self.bulkhead.inside(), self.bulkhead.waiting(), self.machine.poll_timeout()), (0, 0, None));
        prop_assert_eq!((self.asked, self.machine.ignored()), (self.answered + self.abandoned, 0));
        Ok(())
    }
}
