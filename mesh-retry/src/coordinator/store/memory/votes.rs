//! What processes think of subjects, and who tries them.

use crate::coordinator::store::{Probe, Probed, ReleaseProbe, StoreTime, Vote, Voted};

#[derive(Clone, Debug, Default)]
pub(super) struct Votes;

impl Votes {
    pub(super) fn vote(&mut self, _: StoreTime, vote: &Vote) -> Voted {
        Voted { live: 1, open: u32::from(vote.open) }
    }

    pub(super) fn probe(&mut self, _: StoreTime, _: &Probe) -> Probed {
        Probed::Mine
    }

    pub(super) fn release(&mut self, _: StoreTime, _: &ReleaseProbe) -> Probed {
        Probed::Released
    }
}
