//! Weighted rendezvous: every instance draws a score for the key, and the best owns it.
//!
//! Whoever joins takes only keys for itself and whoever leaves gives away only its own; a change of weight moves keys to
//! or from the changed instance alone. The price is a look at every instance for every pick.

use super::order::{self, Found, Order, Race};
use crate::balance::policy::{Draw, Picker};
use crate::balance::view::Lineup;

#[derive(Debug)]
pub(in crate::balance) struct Rendezvous {
    nodes: Box<[Node]>,
}

/// An instance as the race sees it.
#[derive(Clone, Copy, Debug)]
struct Node {
    identity: u64,
    weight: u32,
}

impl Rendezvous {
    pub(in crate::balance) fn build(lineup: &Lineup<'_>) -> Self {
        let node = |at| Node { identity: order::identity(lineup.instance(at)), weight: lineup.weight(at) };
        Self { nodes: (0..lineup.len()).map(node).collect() }
    }
}

impl Order for Rendezvous {
    fn first(&self, hash: u64, _: &Lineup<'_>, mut accepts: impl FnMut(usize) -> bool) -> Option<Found> {
        let mut race = Race::new(hash);
        for (position, node) in self.nodes.iter().enumerate() {
            race.enter(position, node.identity, node.weight, &mut accepts);
        }
        race.winner()
    }
}

impl Picker for Rendezvous {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        order::pick(self, draw)
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}
