//! What a breaker says: its states, why it went from one to another, why it lets a call wait, and its numbers.

use core::fmt;

use mesh_core::time::Instant;
use thiserror::Error;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Lets every call through, and counts how they end.
    Closed,
    /// Lets none through, for a time.
    Open,
    /// Lets a few through, whose ends decide.
    HalfOpen,
    /// Lets none through until told otherwise.
    ForcedOpen,
    /// Lets every call through and counts, but never judges.
    Disabled,
    /// Lets every call through, counts, judges, and only tells when it would have opened.
    MetricsOnly,
}

impl State {
    /// The state as measurements name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics-only",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A state that a breaker keeps until it is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forced {
    /// See [`State::ForcedOpen`].
    Open,
    /// See [`State::Disabled`].
    Disabled,
    /// See [`State::MetricsOnly`].
    MetricsOnly,
}

/// That a breaker went from one state to another, and why. It is told to one caller only: whoever brought it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after. The same as before where a breaker that is [`State::MetricsOnly`] would have opened, and where
    /// one is reset that was closed: counting starts anew.
    pub to: State,
    /// What brought it about.
    pub reason: Reason,
    /// When it will let calls through again at the earliest, where it opened.
    pub until: Option<Instant>,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// So many calls failed in a row.
    FailuresInRow {
        /// How many.
        failures: u32,
    },
    /// So many calls failed in a row, and a quorum of processes finds the callee down.
    Evidence {
        /// How many.
        failures: u32,
    },
    /// The share of failed calls in the window reached its threshold.
    FailureRate(Counts),
    /// The share of slow calls in the window reached its threshold.
    SlowRate(Counts),
    /// It had been open for as long as it was to be.
    OpenTimeOver,
    /// The probes ended well enough.
    ProbesPassed(Counts),
    /// The probes ended too badly.
    ProbesFailed(Counts),
    /// Half-open came to no decision in the time that it had.
    HalfOpenTimeOver(Counts),
    /// It was told to.
    Ordered,
}

impl Reason {
    /// The reason as measurements name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailuresInRow { .. } => "failures-in-row",
            Self::Evidence { .. } => "evidence",
            Self::FailureRate(_) => "failure-rate",
            Self::SlowRate(_) => "slow-rate",
            Self::OpenTimeOver => "open-time-over",
            Self::ProbesPassed(_) => "probes-passed",
            Self::ProbesFailed(_) => "probes-failed",
            Self::HalfOpenTimeOver(_) => "half-open-time-over",
            Self::Ordered => "ordered",
        }
    }
}

/// How the calls ended that a breaker judges by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All of them.
    pub calls: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that took too long, failed or not.
    pub slow: u32,
    /// How many of the latest calls failed in a row, where that is looked at.
    pub failures_in_row: u32,
}

impl Counts {
    /// The share of failed calls in thousandths, rounded down; 0 where there was no call.
    #[must_use]
    pub fn failure_rate_milli(&self) -> u32 {
        share_milli(self.failed, self.calls)
    }

    /// The share of slow calls in thousandths, rounded down; 0 where there was no call.
    #[must_use]
    pub fn slow_rate_milli(&self) -> u32 {
        share_milli(self.slow, self.calls)
    }
}

/// That a breaker does not let a call through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the breaker is {state}: of {} calls {} failed and {} were slow", counts.calls, counts.failed, counts.slow)]
#[non_exhaustive]
pub struct Refused {
    /// Open, half-open with all its probes under way, or forced open.
    pub state: State,
    /// What it was opened for: the window, or the probes of the last half-open time. While half-open, the probes that
    /// have ended.
    pub counts: Counts,
    /// When asking again may help: at the end of the open time, or of another process' turn to find out; while half-open, when the probes under way are taken for
    /// lost or the time to decide is over, though it may help sooner, when a probe ends. None where it takes an order.
    pub retry_at: Option<Instant>,
    /// The transition that asking brought about, if it did: half-open that comes to no decision ends so.
    pub transition: Option<Transition>,
}

/// That one call may be made, to be handed back with how it ended.
///
/// It is plain data and small, so that whatever drives a call can keep it. There is never a copy of it: a call ends once, at
/// the breaker that let it through. A call that is given up hands it to [`Breaker::give_back`](super::Breaker::give_back); a
/// [`Guard`](super::Guard) does so when it is dropped. One that is lost all the same blocks a place of a half-open time
/// for no longer than [`HalfOpen::lost_after`](super::HalfOpen::lost_after), and nothing otherwise.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is dropped keeps a probe's place until it is taken for lost"]
pub struct Permit {
    pub(super) generation: u32,
    pub(super) role: Role,
}

impl Permit {
    /// The permit as a number, for a gate that keeps it in a [`Pass`](crate::call::Pass).
    #[must_use = "a permit that is dropped keeps a probe's place until it is taken for lost"]
    pub const fn into_bits(self) -> u64 {
        let role = match self.role {
            Role::Call => 0,
            Role::Probe => 1,
            Role::FirstProbe => 2,
        };
        (self.generation as u64) << 2 | role
    }

    /// The permit that [`Permit::into_bits`] has told. A number that it has not told is the permit of a time that is over or
    /// to come, and counts for nothing.
    pub const fn from_bits(bits: u64) -> Self {
        let role = match bits & 3 {
            0 => Role::Call,
            1 => Role::Probe,
            _ => Role::FirstProbe,
        };
        Self { generation: (bits >> 2) as u32, role }
    }

    /// Whether the call is a probe, on which it depends whether the breaker closes.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        match self.role {
            Role::Call => false,
            Role::Probe | Role::FirstProbe => true,
        }
    }

    /// The transition that asking for it brought about, if it did: the first probe makes the breaker half-open.
    #[must_use]
    pub const fn transition(&self) -> Option<Transition> {
        match self.role {
            Role::Call | Role::Probe => None,
            Role::FirstProbe => {
                let (from, to) = (State::Open, State::HalfOpen);
                Some(Transition { from, to, reason: Reason::OpenTimeOver, until: None })
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Call,
    Probe,
    FirstProbe,
}

/// How a call ended, as far as a breaker cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The callee did its work; how long it took.
    Succeeded(core::time::Duration),
    /// It did not; how long that took.
    Failed(core::time::Duration),
    /// It says nothing of the callee: the caller went away, or was wrong. As if there had been no call.
    Ignored,
}

fn share_milli(part: u32, of: u32) -> u32 {
    let share = (u64::from(part) * 1000).checked_div(u64::from(of)).unwrap_or(0);
    u32::try_from(share).unwrap_or(u32::MAX)
}
