//! Decides whether a call may make one more attempt than its first.

use core::fmt::Debug;

use mesh_core::time::Instant;
use thiserror::Error;

use crate::call::AttemptEnd;
use crate::classify::Class;

/// Decides whether a call may make one more attempt. Shared by all calls to a service.
pub trait Budget: Debug + Send + Sync {
    /// A call makes its first attempt.
    fn deposit(&self, now: Instant);
    /// Asks for one more attempt: a retry, or a hedge.
    fn withdraw(&self, now: Instant, extra: Extra) -> Answer;
    /// An attempt ended; `paid` is what it was granted with, `None` for a first attempt.
    fn ended(&self, now: Instant, end: AttemptEnd, paid: Option<Paid>);
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extra {
    /// A retry or a hedge.
    pub kind: ExtraKind,
    /// After what.
    pub after: After,
}

/// A retry or a hedge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraKind {
    /// After a failure.
    Retry,
    /// Beside what is under way.
    Hedge,
}

/// After what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// A failure.
    Transient,
    /// A timeout.
    TimedOut,
    /// An overload.
    Throttled,
    /// Nothing yet.
    Slow,
}

impl After {
    /// After an attempt that ended with `class`, or was timed out.
    #[must_use]
    pub const fn of(class: Option<Class>) -> Self {
        match class {
            None => Self::TimedOut,
            Some(Class::Throttled { .. }) => Self::Throttled,
            Some(Class::Success | Class::Transient | Class::Unreachable | Class::Permanent) => Self::Transient,
        }
    }
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Granted(Paid),
    /// Ask again after the wait.
    Later,
    /// It may not.
    Denied(Denial),
}

/// What an attempt was granted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid(pub u32);

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the budget has {left_milli} of {cost_milli} thousandths of a retry")]
pub struct Denial {
    /// What it has.
    pub left_milli: u64,
    /// What it wants.
    pub cost_milli: u64,
    /// When asking again may help.
    pub retry_at: Option<Instant>,
}
