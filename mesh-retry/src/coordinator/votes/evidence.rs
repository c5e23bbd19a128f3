//! What a breaker knows of what other processes found: the part that calls meet.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use mesh_core::time::Instant;

use super::super::wake::Wake;
use super::config::VotesConfig;
use crate::sync::{AtomicU64, Ordering};

/// What other processes found of a subject, shared by its breaker and its [`VotesMachine`](super::VotesMachine).
///
/// **Orderings**: each of the two words says all there is to know of its matter, and nothing else is read by what they say;
/// so relaxed loads suffice. Turns are swapped (acquire and release), so that all see them change in one order.
pub struct Evidence {
    lowered_to: NonZeroU32,
    /// How long an answer may take, and the driver to look.
    patience: Duration,
    /// Until when there is a quorum, in nanoseconds.
    quorum_until: AtomicU64,
    /// See [`Turn`].
    turn: AtomicU64,
    wake: Arc<dyn Wake>,
}

/// By what right a breaker tries its subject, or why it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeRight {
    /// It is the only one of all processes.
    Shared {
        /// Until then.
        until: Instant,
    },
    /// Each process may until its breaker changes: the store is lost, or this one calls so seldom that its turn was over
    /// before it made use of it.
    Local,
    /// Another process tries.
    Others {
        /// When to ask again: long before its lease ends, for its turn may be over sooner.
        until: Instant,
    },
}

impl ProbeRight {
    /// The right as measurements name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared { .. } => "shared",
            Self::Local => "local",
            Self::Others { .. } => "others",
        }
    }
}

/// Whose turn it is to try: what is known in the upper 2 bits, and until when, in nanoseconds, in the lower 62. What is local
/// has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn(u64);

impl Evidence {
    /// No quorum, and nobody's probe; `wake` wakes the driver of its machine.
    #[must_use]
    pub fn new(config: &VotesConfig, wake: Arc<dyn Wake>) -> Self {
        Self {
            lowered_to: config.lowered_to,
            patience: config.reply_within.saturating_mul(2),
            quorum_until: AtomicU64::new(0),
            turn: AtomicU64::new(Turn::NOBODYS.0),
            wake,
        }
    }

    /// At how many failures in a row the breaker opens, where there is a quorum at `now`.
    #[must_use]
    pub fn lowered_to(&self, now: Instant) -> Option<u32> {
        (now.as_nanos() < self.quorum_until.load(Ordering::Relaxed)).then_some(self.lowered_to.get())
    }

    /// Whether the breaker may try its subject. The first that asks while nobody has answered has the store asked.
    ///
    /// # Errors
    /// When to ask again.
    pub fn may_probe(&self, now: Instant) -> Result<(), Instant> {
        let mut turn = Turn(self.turn.load(Ordering::Relaxed));
        loop {
            let (kind, until) = (turn.kind(), turn.until());
            let runs = now < until;
            match kind {
                LOCAL => return Ok(()),
                MINE if runs => return Ok(()),
                OTHERS | ASKED if runs => return Err(until),
                // Nobody has said anything in time, not even that the store is lost.
                ASKED => return Ok(()),
                _ => {}
            }
            let asked = Turn::new(ASKED, now.after(self.patience));
            match self.turn.compare_exchange_weak(turn.0, asked.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.wake.wake();
                    return Err(asked.until());
                }
                Err(changed) => turn = Turn(changed),
            }
        }
    }

    /// Until when it is known not to be the breaker's turn. Asks nobody.
    #[must_use]
    pub fn refusal(&self, now: Instant) -> Option<Instant> {
        let turn = Turn(self.turn.load(Ordering::Relaxed));
        Some(turn.until()).filter(|until| matches!(turn.kind(), OTHERS | ASKED) && now < *until)
    }

    /// Whether the breaker has asked, and nobody has answered.
    pub(super) fn is_asked(&self) -> bool {
        Turn(self.turn.load(Ordering::Relaxed)).kind() == ASKED
    }

    /// By what right the breaker may try its subject or may not, where that was answered and holds at `now`.
    #[must_use]
    pub fn right(&self, now: Instant) -> Option<ProbeRight> {
        let turn = Turn(self.turn.load(Ordering::Relaxed));
        let until = turn.until();
        let right = match turn.kind() {
            MINE => ProbeRight::Shared { until },
            LOCAL => return Some(ProbeRight::Local),
            OTHERS => ProbeRight::Others { until },
            _ => return None,
        };
        (now < until).then_some(right)
    }

    pub(super) fn set_turn(&self, right: ProbeRight) {
        let turn = match right {
            ProbeRight::Shared { until } => Turn::new(MINE, until),
            ProbeRight::Local => Turn::new(LOCAL, Instant::ZERO),
            ProbeRight::Others { until } => Turn::new(OTHERS, until),
        };
        self.turn.swap(turn.0, Ordering::AcqRel);
    }

    /// Whoever wants to try has to ask.
    pub(super) fn end_turn(&self) {
        self.turn.swap(Turn::NOBODYS.0, Ordering::AcqRel);
    }

    pub(super) fn set_quorum(&self, until: Instant) {
        self.quorum_until.store(until.as_nanos(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quorum_until = Instant::from_nanos(self.quorum_until.load(Ordering::Relaxed));
        let turn = Turn(self.turn.load(Ordering::Relaxed));
        f.debug_struct("Evidence").field("quorum_until", &quorum_until).field("turn", &turn).finish_non_exhaustive()
    }
}

impl Turn {
    const NOBODYS: Self = Self(0);

    const fn new(kind: u64, until: Instant) -> Self {
        let nanos = if until.as_nanos() > UNTIL_MAX { UNTIL_MAX } else { until.as_nanos() };
        Self(kind << UNTIL_BITS | nanos)
    }

    const fn kind(self) -> u64 {
        self.0 >> UNTIL_BITS
    }

    const fn until(self) -> Instant {
        Instant::from_nanos(self.0 & UNTIL_MAX)
    }
}

/// Nobody has asked since the last turn ended: the same as a turn of others that is over.
const OTHERS: u64 = 0;
const ASKED: u64 = 1;
const MINE: u64 = 2;
const LOCAL: u64 = 3;

/// 146 years.
const UNTIL_BITS: u32 = 62;
const UNTIL_MAX: u64 = (1 << UNTIL_BITS) - 1;
