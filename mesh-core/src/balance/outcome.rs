//! How an attempt ended, and what the owner of the balancer is to do about it.

use core::time::Duration;

/// How the attempt that a lease stood for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The instance did what it was asked.
    Success,
    /// The instance answered with an error.
    Failure,
    /// The instance said that it has too much to do, and perhaps for how long.
    Overloaded {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer came in time.
    TimedOut,
    /// There was no answer, for there was no connection or it broke: refused, reset, or nowhere to be found.
    Unreachable,
    /// The caller lost interest: nothing is learnt of the instance.
    Cancelled,
}

impl Outcome {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Overloaded { .. } => "overloaded",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the instance failed the caller: an error, a refusal or silence.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::Overloaded { .. } | Self::TimedOut | Self::Unreachable)
    }
}

/// What the end of an attempt asks of the balancer's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Nothing.
    No,
    /// A threshold was crossed: the owner hands its service machine a sweep.
    Sweep,
}
