//! What this process invalidated lately, to be told again to a server that may have lost it.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::time::Instant;

use super::reason::Epoch;
use crate::key::Mark;
use crate::second::Reach;

/// What this process invalidated lately: told again when the connection is new, since a server that failed over may
/// have lost what it acknowledged.
#[derive(Debug, Default)]
pub(super) struct Owed {
    by_mark: BTreeMap<Mark, Debt>,
    /// The connection that was told what its server may not know.
    repaid: Option<Epoch>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Debt {
    pub(super) reach: Reach,
    pub(super) since: Instant,
}

impl Owed {
    /// Remembers a debt, in the place of an earlier one of the same scope.
    pub(super) fn note(&mut self, mark: Mark, debt: Debt) {
        if self.by_mark.len() >= OWED_MAX {
            self.by_mark.retain(|_, other| other.is_due(debt.since));
        }
        if self.by_mark.len() < OWED_MAX || self.by_mark.contains_key(&mark) {
            self.by_mark.insert(mark, debt);
        }
    }

    /// What is to be told on the connection `epoch`, unless it was told already.
    pub(super) fn due(&mut self, epoch: Epoch, now: Instant) -> Vec<(Mark, Reach)> {
        if self.repaid.is_some_and(|repaid| repaid >= epoch) {
            return Vec::new();
        }
        self.repaid = Some(epoch);
        self.by_mark.retain(|_, debt| debt.is_due(now));
        self.by_mark.iter().map(|(mark, debt)| (*mark, debt.reach)).collect()
    }
}

impl Debt {
    fn is_due(&self, now: Instant) -> bool {
        now.since(self.since) < RETOLD
    }
}

/// How long after it was told a change is told again to a new connection.
const RETOLD: Duration = Duration::from_secs(10);
/// How many changes are remembered for that.
const OWED_MAX: usize = 16_384;
