//! Maglev: a table that every instance fills in turn, by a permutation of its own.
//!
//! Eisenbud et al., "Maglev: a fast and reliable software network load balancer", 2016, section 3.4, with Envoy's keys
//! and weights. Shares follow the weights almost exactly; in return a few keys move that need not.

mod table;

use alloc::sync::Arc;
use core::any::Any;

use super::order::{self, Found, Order};
use super::rendezvous::Rendezvous;
use crate::balance::policy::{Draw, Picker};
use crate::balance::tried::EndpointId;
use crate::balance::view::Lineup;
use crate::service::Problems;
use table::{SIZE_MAX, is_prime, size_at_or_after};

/// The parameters of Maglev hashing.
///
/// Every instance has one entry of the table at least. A fleet larger than the table cannot have that: its keys are
/// placed as [`Strategy::Rendezvous`](crate::balance::Strategy::Rendezvous) places them, in O(n).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct MaglevConfig {
    /// How many entries the table has: a prime up to 5,000,011; what is none is taken as the next. Default 65,537, as
    /// Envoy; a hundred for each instance keep the imbalance below 1 %.
    pub size: u32,
}

impl MaglevConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        let holds = self.size <= SIZE_MAX && is_prime(self.size);
        problems.require(holds, "size", self.size, "must be a prime from 2 to 5000011");
    }
}

impl Default for MaglevConfig {
    fn default() -> Self {
        Self { size: 65_537 }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct Maglev(Kind);

#[derive(Debug)]
enum Kind {
    Table(Table),
    /// More instances than entries.
    Crowd(Rendezvous),
}

/// The position that each entry belongs to, and what the table was made of.
#[derive(Debug)]
struct Table {
    members: Box<[(EndpointId, u32)]>,
    entries: Arc<[u32]>,
}

impl Maglev {
    pub(in crate::balance) fn build(config: &MaglevConfig, lineup: &Lineup<'_>, previous: Option<&dyn Picker>) -> Self {
        let previous = previous.and_then(|previous| (previous as &dyn Any).downcast_ref());
        Self::build_from(config, lineup, previous)
    }

    /// As [`Maglev::build`], taking over the table of `previous` where nothing that it depends on changed.
    pub(super) fn build_from(config: &MaglevConfig, lineup: &Lineup<'_>, previous: Option<&Self>) -> Self {
        let size = size_at_or_after(config.size);
        if lineup.len() > size as usize {
            return Self(Kind::Crowd(Rendezvous::build(lineup)));
        }
        let member = |at| (lineup.endpoint(at).id(), lineup.weight(at));
        let members: Box<[_]> = (0..lineup.len()).map(member).collect();
        let same = |table: &&Table| table.members == members && table.entries.len() == size as usize;
        let entries = match previous.and_then(Self::table).filter(same) {
            Some(table) => Arc::clone(&table.entries),
            None => table::fill(size, lineup).into(),
        };
        Self(Kind::Table(Table { members, entries }))
    }

    /// Who places keys in the place of a table that is too small.
    pub(super) const fn crowded(&self) -> Option<&'static str> {
        match &self.0 {
            Kind::Table(_) => None,
            Kind::Crowd(_) => Some("rendezvous"),
        }
    }

    const fn table(&self) -> Option<&Table> {
        match &self.0 {
            Kind::Table(table) => Some(table),
            Kind::Crowd(_) => None,
        }
    }
}

impl Order for Table {
    #[inline]
    fn first(&self, hash: u64, lineup: &Lineup<'_>, mut accepts: impl FnMut(usize) -> bool) -> Option<Found> {
        if self.members.is_empty() {
            return None;
        }
        let entry = |hash: u64| self.entries[(hash % self.entries.len() as u64) as usize] as usize;
        let owner = entry(hash);
        if accepts(owner) {
            return Some(Found::owner(owner));
        }
        // As Envoy mutates the hash for its attempt number `attempt`.
        let mut successors = (1..=ATTEMPTS_MAX).map(|attempt| entry(hash ^ attempt.wrapping_neg()));
        let successor = successors.find(|&at| accepts(at));
        successor.map(Found::successor).or_else(|| order::race(hash, lineup, accepts))
    }
}

impl Order for Maglev {
    #[inline]
    fn first(&self, hash: u64, lineup: &Lineup<'_>, accepts: impl FnMut(usize) -> bool) -> Option<Found> {
        match &self.0 {
            Kind::Table(table) => table.first(hash, lineup, accepts),
            Kind::Crowd(crowd) => crowd.first(hash, lineup, accepts),
        }
    }
}

impl Picker for Maglev {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        order::pick(self, draw)
    }

    fn in_force(&self) -> Option<&'static str> {
        self.crowded()
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}

/// How many other entries are looked up for an instance that may serve, before all instances are looked at.
const ATTEMPTS_MAX: u64 = 64;
