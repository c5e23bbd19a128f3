//! The laws of [`Machine`], checked over a script by one function that every machine's tests call.

use core::fmt::Debug;
use core::time::Duration;

use super::Machine;
use crate::rng::Rng;
use crate::time::Instant;

/// What a run produced: every effect and event with its time, as text.
pub type Trace = Vec<String>;

/// How the world answers an effect: how much later, and what. `None` where it stays silent.
pub type Answer<M> = dyn Fn(&<M as Machine>::Effect, &mut Rng) -> Option<(Duration, <M as Machine>::Input)>;

/// A world to check a machine in: what is put in, and how the world answers effects.
pub struct World<'a, M: Machine> {
    /// Inputs and when they come; sorted by the runner, stable.
    pub script: Vec<(Instant, M::Input)>,
    /// The world's answer to an effect.
    pub answer: &'a Answer<M>,
    /// When the run ends.
    pub until: Instant,
    /// The seed of the world's own randomness.
    pub seed: u64,
}

impl<M: Machine> Debug for World<'_, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World").field("until", &self.until).field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Checks every law on the machines that `make` builds, and returns the trace of the run.
///
/// # Panics
/// With the law that was broken and the state before and after.
#[expect(clippy::panic, reason = "a test suite reports by panicking")]
pub fn assert_hold<M>(make: impl Fn() -> M, world: &World<'_, M>) -> Trace
where
    M: Machine + Debug,
    M::Input: Clone,
    M::Effect: Debug,
    M::Event: Debug,
{
    let first = Run::new(make(), world).finish();
    let second = Run::new(make(), world).finish();
    if let Some(at) = first.iter().zip(&second).position(|(a, b)| a != b) {
        panic!("law 4, same inputs, same effects: step {at} differs\n  {}\n  {}", first[at], second[at]);
    }
    assert_eq!(first.len(), second.len(), "law 4, same inputs, same effects: one run is longer");
    first
}

struct Run<'w, M: Machine> {
    machine: M,
    world: &'w World<'w, M>,
    rng: Rng,
    pending: Vec<(Instant, u64, M::Input)>,
    sequence: u64,
    now: Instant,
    trace: Trace,
    /// Every input so far, to be given again when it is late.
    given: Vec<M::Input>,
}

impl<'w, M> Run<'w, M>
where
    M: Machine + Debug,
    M::Input: Clone,
    M::Effect: Debug,
    M::Event: Debug,
{
    fn new(machine: M, world: &'w World<'w, M>) -> Self {
        let pending = world.script.iter().enumerate().map(|(i, (at, input))| (*at, i as u64, input.clone()));
        let pending: Vec<_> = pending.collect();
        let sequence = pending.len() as u64;
        Self {
            machine,
            world,
            rng: Rng::from_seed(world.seed),
            pending,
            sequence,
            now: Instant::ZERO,
            trace: Trace::new(),
            given: Vec::new(),
        }
    }

    fn finish(mut self) -> Trace {
        self.drain();
        for _ in 0..STEPS_MAX {
            if !self.step() {
                self.going_back_is_clamped();
                return self.trace;
            }
        }
        #[expect(clippy::panic, reason = "a test suite reports by panicking")]
        {
            panic!("the run did not end within {STEPS_MAX} steps: a timer fires without time passing");
        }
    }

    /// Does the next thing that is due; false when nothing is left before the end of the run.
    fn step(&mut self) -> bool {
        self.early_timeout_changes_nothing();
        let next = (0..self.pending.len()).min_by_key(|&i| (self.pending[i].0, self.pending[i].1));
        let input_at = next.map(|i| self.pending[i].0);
        let timer_at = self.machine.poll_timeout();
        match (input_at, timer_at) {
            (Some(at), timer) if at <= self.world.until && timer.is_none_or(|due| at <= due.max(self.now)) => {
                let Some(index) = next else { return false };
                let (at, _, input) = self.pending.swap_remove(index);
                self.now = self.now.max(at);
                self.given.push(input.clone());
                self.machine.handle_input(self.now, input);
                self.drain();
                true
            }
            (_, Some(due)) if due <= self.world.until => {
                self.now = self.now.max(due);
                self.machine.handle_timeout(self.now);
                let later = self.machine.poll_timeout().is_none_or(|next| next > self.now);
                assert!(
                    later,
                    "law 2, the next deadline is strictly later: due again at {:?}: {:?}",
                    self.now, self.machine
                );
                self.drain();
                true
            }
            _ => false,
        }
    }

    fn early_timeout_changes_nothing(&mut self) {
        let due = self.machine.poll_timeout();
        if due.is_some_and(|due| due <= self.now) {
            return;
        }
        let before = format!("{:?}", self.machine);
        self.machine.handle_timeout(self.now);
        let after = format!("{:?}", self.machine);
        assert_eq!(before, after, "law 1, a timeout that is not due changes nothing (at {:?}, due {due:?})", self.now);
    }

    /// Gives every input again, stamped with the beginning of time: late, repeated, and from before.
    fn going_back_is_clamped(&mut self) {
        let before = format!("{:?}", self.machine);
        self.machine.handle_timeout(Instant::ZERO);
        let after = format!("{:?}", self.machine);
        assert_eq!(before, after, "law 3, time that goes back is clamped (now {:?})", self.now);
        for input in core::mem::take(&mut self.given) {
            self.machine.handle_input(Instant::ZERO, input);
            self.drain();
            let clamped = self.machine.poll_timeout().is_none_or(|due| due >= self.now);
            assert!(clamped, "law 3, time that goes back is clamped (now {:?}): {:?}", self.now, self.machine);
        }
    }

    fn drain(&mut self) {
        let mut polled = 0;
        while let Some(effect) = self.machine.poll_effect() {
            polled += 1;
            assert!(polled < STEPS_MAX, "law 5, polling ends: effects never did");
            self.trace.push(format!("{:?} effect {effect:?}", self.now));
            if let Some((delay, input)) = (self.world.answer)(&effect, &mut self.rng) {
                self.pending.push((self.now + delay, self.sequence, input));
                self.sequence += 1;
            }
        }
        while let Some(event) = self.machine.poll_event() {
            polled += 1;
            assert!(polled < STEPS_MAX, "law 5, polling ends: events never did");
            self.trace.push(format!("{:?} event {event:?}", self.now));
        }
    }
}

const STEPS_MAX: usize = 100_000;
