//! A call driven by hand.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use core::time::Duration;

use mesh_retry::backoff::Jitter;
use mesh_retry::call::{
    AttemptId, AttemptKind, CallEffect, CallEvent, CallInput, CallMachine, Decision, Terms, Unavailable,
};
use mesh_retry::classify::Class;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _};

/// A call and the clock of its driver.
pub(crate) struct Call<T: Terms> {
    pub(crate) machine: CallMachine<T>,
    pub(crate) now: Instant,
}

impl<T: Terms> Call<T> {
    pub(crate) fn new(terms: T) -> Self {
        let now = Instant::from_millis(5000);
        Self { machine: CallMachine::new(terms, 1, now), now }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn put(&mut self, input: CallInput) {
        self.machine.handle_input(self.now, input);
    }

    pub(crate) fn picked(&mut self, attempt: AttemptId, endpoint: u64) {
        self.put(CallInput::Picked { attempt, endpoint: EndpointId::from_number(endpoint) });
    }

    pub(crate) fn ended(&mut self, attempt: AttemptId, class: Class) {
        self.put(CallInput::Ended { attempt, class });
    }

    pub(crate) fn unavailable(&mut self, attempt: AttemptId, reason: Unavailable) {
        self.put(CallInput::Unavailable { attempt, reason });
    }

    /// What was decided since this was last asked.
    pub(crate) fn decision(&mut self) -> Option<Decision> {
        self.machine.take_decision()
    }

    /// The attempt that is asked for now, and what makes it necessary.
    pub(crate) fn asked(&mut self) -> Option<(AttemptId, AttemptKind)> {
        match self.machine.poll_effect() {
            Some(CallEffect::Attempt { attempt, kind, .. }) => Some((attempt, kind)),
            Some(CallEffect::Cancel { .. }) | None => None,
        }
    }

    /// The attempt that is asked for now.
    pub(crate) fn attempt(&mut self, expected: u32, limit: Option<Duration>) -> AttemptId {
        match self.machine.poll_effect() {
            Some(CallEffect::Attempt { attempt, number, timeout, .. }) => {
                assert_eq!((number, timeout), (expected, limit));
                assert_eq!(self.machine.attempts(), expected);
                attempt
            }
            other => panic!("attempt {expected} was expected, and {other:?} asked for"),
        }
    }

    /// The attempt that is asked for now, of several that are asked for at once.
    pub(crate) fn attempt_of_many(&mut self, expected: u32) -> AttemptId {
        match self.machine.poll_effect() {
            Some(CallEffect::Attempt { attempt, number, .. }) if number == expected => attempt,
            other => panic!("attempt {expected} was expected, and {other:?} asked for"),
        }
    }

    /// Waits for the machine's timer, and says how long.
    pub(crate) fn wait(&mut self) -> Duration {
        assert_eq!(self.machine.poll_event(), None);
        let due = self.machine.poll_timeout().expect("a timer");
        let waited = due - self.now;
        self.now = due;
        self.machine.handle_timeout(due);
        waited
    }

    /// The event of a call after which nothing follows.
    pub(crate) fn over(&mut self) -> CallEvent {
        assert_eq!(self.machine.poll_effect(), None);
        assert_eq!(self.machine.poll_timeout(), None);
        let event = self.machine.poll_event().expect("an event");
        assert_eq!(self.machine.poll_event(), None);
        event
    }
}

/// The default policy without jitter, so that the waits are known.
pub(crate) fn plain() -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.backoff.jitter = Jitter::None;
    policy
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
