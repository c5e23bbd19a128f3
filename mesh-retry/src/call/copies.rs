//! Keeps track of the attempts of one call that are under way at once. Decides nothing.

use mesh_core::time::Instant;

use super::gate::Pass;
use super::terms::GATES_MAX;
use super::{AttemptId, AttemptKind};
use crate::budget::Paid;
use crate::hedge::COPIES_MAX;

/// One attempt, from the time it is asked for to the time its driver is told to forget it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    pub(super) id: AttemptId,
    pub(super) number: u32,
    pub(super) kind: AttemptKind,
    pub(super) stage: Stage,
    pub(super) began: Instant,
    pub(super) paid: Option<Paid>,
    pub(super) passes: Passes,
}

/// The passes of the gates that an attempt has been admitted by, one place a gate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passes {
    given: u8,
    passes: [Pass; GATES_MAX],
}

impl Passes {
    pub(super) fn put(&mut self, gate: usize, pass: Pass) {
        if let Some(place) = self.passes.get_mut(gate) {
            *place = pass;
            self.given |= 1 << gate;
        }
    }

    pub(super) fn of(&self, gate: usize) -> Option<Pass> {
        self.passes.get(gate).copied().filter(|_| self.given & 1 << gate != 0)
    }
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The driver has not taken it up.
    Asked,
    UnderWay,
    /// It is to be abandoned, of which the driver has not been told.
    Abandoned {
        lost: bool,
    },
}

impl Copy {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::UnderWay)
    }
}

/// The attempts under way, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Copies {
    slots: [Option<Copy>; COPIES_MAX as usize],
}

impl Copies {
    /// Keeps `copy`; false where there is no room, which a valid policy never sees.
    pub(super) fn put(&mut self, copy: Copy) -> bool {
        let Some(free) = self.slots.iter_mut().find(|slot| slot.is_none()) else { return false };
        *free = Some(copy);
        true
    }

    pub(super) fn live(&self, id: AttemptId) -> Option<&Copy> {
        self.slots.iter().flatten().find(|copy| copy.id == id && copy.is_live())
    }

    pub(super) fn take_live(&mut self, id: AttemptId) -> Option<Copy> {
        self.take(|copy| copy.id == id && copy.is_live())
    }

    /// Takes away the oldest that `is_meant`.
    pub(super) fn take(&mut self, is_meant: impl Fn(&Copy) -> bool) -> Option<Copy> {
        self.slots
            .iter_mut()
            .filter(|slot| slot.as_ref().is_some_and(&is_meant))
            .min_by_key(|slot| slot.map(|copy| copy.id))?
            .take()
    }

    /// The oldest that `is_meant`.
    pub(super) fn first(&mut self, is_meant: impl Fn(&Copy) -> bool) -> Option<&mut Copy> {
        self.slots.iter_mut().flatten().filter(|copy| is_meant(copy)).min_by_key(|copy| copy.id)
    }

    pub(super) fn count_live(&self) -> u32 {
        self.slots.iter().flatten().map(|copy| u32::from(copy.is_live())).sum()
    }
}
