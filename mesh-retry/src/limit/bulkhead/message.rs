//! What a bulkhead's machine is told and asks for. Decides nothing.

use core::time::Duration;

use mesh_core::time::Instant;

use super::gate::Pass;
use super::reason::Refusal;

/// One call that asks to go in, as its driver names it. It is free again when the call is admitted, refused or abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntrantId(u64);

impl EntrantId {
    /// The call numbered `number`.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a bulkhead's machine is told.
///
/// Of inputs about a call that does not wait, or about one that waits already, only the number is kept:
/// [`BulkheadMachine::ignored`](super::BulkheadMachine::ignored).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkheadInput {
    /// A call asks to go in, and waits if it must and may.
    Enter {
        /// The call.
        id: EntrantId,
        /// When it is too late to go in; none where it may wait for as long as anybody.
        deadline: Option<Instant>,
    },
    /// A call has left whose place is awaited ([`Left::Awaited`](super::Left::Awaited)). More of them than have left do no
    /// harm.
    Left,
    /// A call wants to go in no more. One that was admitted has a pass, which is given back to the bulkhead instead.
    Abandon(EntrantId),
}

/// What a bulkhead's machine asks for: each call that asked to go in and was not abandoned gets one answer.
#[derive(Debug, PartialEq, Eq)]
pub enum BulkheadEffect {
    /// Let the call go on.
    Admit {
        /// The call.
        id: EntrantId,
        /// How long it had waited, for the recorder.
        waited: Duration,
        /// What it has to give back.
        pass: Pass,
    },
    /// Tell the call that it is not let in.
    Refuse {
        /// The call.
        id: EntrantId,
        /// Why not.
        refusal: Refusal,
    },
}

impl BulkheadEffect {
    /// The call that it is about.
    #[must_use]
    pub const fn id(&self) -> EntrantId {
        match self {
            Self::Admit { id, .. } | Self::Refuse { id, .. } => *id,
        }
    }
}
