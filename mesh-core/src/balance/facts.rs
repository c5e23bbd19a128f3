//! What is known of each instance besides its counters, in a log that is only ever added to.
//!
//! Every change of an instance adds a row; views name the rows that hold for them, so a change copies nothing but a
//! list of numbers. When the log is full, the rows still in force are copied to a new one: O(n) once in n changes.

use alloc::sync::Arc;
use std::sync::OnceLock;

use super::builder::{Eligibility, Member};
use super::slab::filled;
use crate::route::Selector;
use crate::service::{Instance, InstanceKey, Weight};

/// What is known of an instance.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) instance: Arc<Instance>,
    /// Where its counters are.
    pub(super) slot: u32,
    pub(super) weight: Weight,
    /// As it was said; a weight of 0 drains whatever was.
    pub(super) said: Eligibility,
}

impl Fact {
    /// Whether it may be picked.
    pub(super) const fn eligibility(&self) -> Eligibility {
        self.said.with_weight(self.weight)
    }

    /// Whether it may be picked for a request of the route that `selector` is.
    pub(super) fn is_candidate(&self, selector: &Selector) -> bool {
        self.eligibility() == Eligibility::Usable && selector.matches(&self.instance)
    }

    /// Whether it is about the same instance as `member`.
    pub(super) fn is_of(&self, member: &Member) -> bool {
        Arc::ptr_eq(&self.instance, &member.instance) || self.instance.key() == member.instance.key()
    }

    /// Whether `member` is a new process under the old name, for it is at another address.
    pub(super) fn moved(&self, member: &Member) -> bool {
        let (before, now) = (&self.instance, &member.instance);
        before.host() != now.host() || before.port() != now.port()
    }
}

/// The log as views read it.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts(Arc<[OnceLock<Fact>]>);

impl Facts {
    /// The fact in `row`, which must have been written.
    #[inline]
    pub(super) fn get(&self, row: u32) -> &Fact {
        filled(&self.0[row as usize])
    }

    /// Where among `rows`, which are in the order of their keys, the instance `key` is, or where it would be.
    pub(super) fn find(&self, rows: &[u32], key: &InstanceKey) -> Result<usize, usize> {
        rows.binary_search_by(|row| self.get(*row).instance.key().cmp(key))
    }
}

/// The log as the builder writes it.
#[derive(Debug, Default)]
pub(super) struct Log {
    facts: Facts,
    used: usize,
    /// Full ones that views may still read. They are kept so that freeing them, which takes long, is left to the
    /// builder and never to a pick that lets go of the last such view.
    retired: Vec<Facts>,
}

impl Log {
    pub(super) const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether `more` rows fit, and the log is not far too large for the `live` rows in force.
    pub(super) fn is_fit_for(&self, live: usize, more: usize) -> bool {
        let size = self.facts.0.len();
        self.used + more <= size && (size <= SIZE_MIN || size <= 8 * (live + more))
    }

    /// Copies `rows` to a new log with room for `more` and as many again; they are numbered from 0. Returns the
    /// new number of each row.
    pub(super) fn renew(&mut self, rows: &[u32], more: usize) -> Box<[u32]> {
        let mut moved = vec![u32::MAX; self.used];
        let size = (2 * (rows.len() + more)).max(SIZE_MIN);
        let mut cells: Vec<_> = rows.iter().map(|row| OnceLock::from(self.facts.get(*row).clone())).collect();
        cells.resize_with(size, OnceLock::new);
        for (now, row) in (0..).zip(rows) {
            moved[*row as usize] = now;
        }
        self.retired.push(core::mem::replace(&mut self.facts, Facts(cells.into())));
        self.used = rows.len();
        moved.into()
    }

    /// Adds a row; there must be room.
    pub(super) fn add(&mut self, fact: Fact) -> u32 {
        let row = self.used;
        let _ = self.facts.0[row].set(fact);
        self.used += 1;
        row as u32
    }

    /// Frees full logs that no view reads any more.
    pub(super) fn tidy(&mut self) {
        self.retired.retain(|facts| Arc::strong_count(&facts.0) > 1);
    }
}

const SIZE_MIN: usize = 64;
