//! The index of a blocking query, and the rules by which it moves.
//!
//! Decides which index the next query blocks on. The rules are those of Consul's documentation of blocking
//! queries, and one of ours: it is never taken from an answer that is no success, because error answers carry
//! an index as well (1.8.7 sends 1 with a 500, and a client that believes it spins).

use std::fmt;
use std::num::NonZeroU64;

/// What a blocking query waits to be exceeded; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(NonZeroU64);

impl Index {
    /// The index that the header's text says; 0 becomes 1, as Consul documents; none where it is no number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number: u64 = text.trim().parse().ok()?;
        Some(Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)))
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// What to block on next, given what the query before blocked on: nothing where the index went back, because
    /// the servers were restored or another server answered, and a query on the old index would miss what changed.
    #[must_use]
    pub fn after(self, last: Option<Self>) -> Option<Self> {
        last.is_none_or(|last| self >= last).then_some(self)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
