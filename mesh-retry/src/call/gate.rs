//! What may keep an attempt from being made, whatever the call thinks of it. Decides nothing.
//!
//! A circuit breaker, a concurrency limit and an adaptive throttle are gates, and so is anything of a user's own. A
//! gate is shared by all calls to a service: `&self`, atomics, no lock.

use core::fmt::{self, Debug};
use core::time::Duration;

use mesh_core::time::Instant;

use crate::budget::End;
use crate::classify::Class;

/// Lets attempts through, or does not, and learns how those ended that it let through.
pub trait Gate: Debug + Send + Sync {
    /// Asks to make an attempt now. `entropy` is the call's own, for gates that draw.
    ///
    /// # Errors
    /// The gate is shut: nothing is counted, and no [`Gate::ended`] follows.
    fn admit(&self, now: Instant, entropy: u64) -> Result<Pass, Shut>;

    /// The attempt that was admitted with `pass` ended so, after `took`. Called exactly once for every pass.
    fn ended(&self, now: Instant, pass: Pass, end: AttemptEnd, took: Duration);

    /// Why nobody would pass now, asked before a retry waits; `None` where somebody might. Counts nothing.
    ///
    /// A retry waits until [`Shut::opens_at`], if that is not longer than its policy waits for a callee.
    fn shut(&self, now: Instant) -> Option<Shut>;
}

/// What a gate gives with an admission, to know the attempt again: its own to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass(pub u64);

/// Why a gate let nobody through, with the numbers that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shut {
    /// Which gate, in metrics and logs: `breaker`, `concurrency`, `throttle`, or a name of the user's.
    pub gate: &'static str,
    /// Its state in a word: `open`, `half-open`, `full`.
    pub state: &'static str,
    /// What was measured: failures in thousandths of a breaker, calls under way of a limit.
    pub value: u64,
    /// What it is held against.
    pub limit: u64,
    /// When asking again may help, where that is known.
    pub opens_at: Option<Instant>,
}

impl Shut {
    /// A gate called `gate` that is `state`, because `value` has passed `limit`.
    #[must_use]
    pub const fn new(gate: &'static str, state: &'static str, value: u64, limit: u64) -> Self {
        Self { gate, state, value, limit, opens_at: None }
    }

    /// The same, with the time at which asking again may help.
    #[must_use]
    pub const fn opening_at(mut self, at: Option<Instant>) -> Self {
        self.opens_at = at;
        self
    }
}

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, state, value, limit, .. } = self;
        write!(f, "the {gate} is {state}: {value} of {limit}")
    }
}

/// How an attempt ended, as gates and budgets see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// It got an answer of this class.
    Ended(Class),
    /// It took longer than it was given.
    TimedOut,
    /// Nobody waits for it any more: another copy won, or the caller left. Says nothing of the callee.
    Cancelled,
    /// It was not made after all: there was no instance, or another gate was shut.
    NotMade,
}

impl AttemptEnd {
    /// What a budget is told of it.
    pub(super) const fn of_budget(self) -> End {
        match self {
            Self::Ended(Class::Success) => End::Succeeded,
            Self::Ended(Class::Permanent) => End::Permanent,
            Self::Ended(Class::Transient | Class::Unreachable | Class::Throttled { .. } | Class::Final { .. })
            | Self::TimedOut => End::Failed,
            Self::Cancelled => End::Cancelled,
            Self::NotMade => End::NotMade,
        }
    }
}
