//! What processes think of a subject, and who of them tries it.

use super::expiring::Expiring;
use super::term::Term;
use crate::coordinator::store::{Probe, Probed, ProcessId, ReleaseProbe, StateKey, StoreTime, Vote, Voted};

/// The votes and probes of a memory store.
#[derive(Clone, Debug)]
pub(super) struct Votes {
    ballots: Expiring<StateKey, Expiring<ProcessId, Ballot>>,
    probes: Expiring<StateKey, Holder>,
}

#[derive(Clone, Copy, Debug)]
struct Ballot {
    term: Term,
    open: bool,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    holder: ProcessId,
    term: Term,
}

impl Default for Votes {
    fn default() -> Self {
        Self { ballots: Expiring::new(KEYS_MAX), probes: Expiring::new(KEYS_MAX) }
    }
}

impl Votes {
    pub(super) fn vote(&mut self, now: StoreTime, command: &Vote) -> Voted {
        let &Vote { subject, voter, open, live_for } = command;
        let ballots = self.ballots.remove(subject);
        let mut ballots = ballots.unwrap_or_else(|| Expiring::new(VOTERS_MAX));
        // Counted though it may be over at once.
        ballots.remove(voter);
        let (mut live, mut for_open, mut kept_for) = (1, u32::from(open), live_for);
        for ballot in ballots.values(now).filter(|ballot| ballot.term.is_running(now)) {
            live += 1;
            for_open += u32::from(ballot.open);
            kept_for = kept_for.max(ballot.term.ends().since(now));
        }
        ballots.put(now, voter, live_for, Ballot { term: Term::new(now, live_for), open });
        self.ballots.put(now, subject, kept_for, ballots);
        Voted { live, open: for_open }
    }

    pub(super) fn probe(&mut self, now: StoreTime, command: &Probe) -> Probed {
        let &Probe { subject, holder, lease } = command;
        if let Some(other) = self.probes.get_mut(now, subject)
            && other.holder != holder
        {
            let lease_left = other.term.left(now);
            if !lease_left.is_zero() {
                return Probed::Others { lease_left };
            }
        }
        self.probes.put(now, subject, lease, Holder { holder, term: Term::new(now, lease) });
        Probed::Mine
    }

    pub(super) fn release(&mut self, now: StoreTime, command: &ReleaseProbe) -> Probed {
        if self.probes.get_mut(now, command.subject).is_some_and(|probe| probe.holder == command.holder) {
            self.probes.remove(command.subject);
        }
        Probed::Released
    }
}

const KEYS_MAX: usize = 16_384;
const VOTERS_MAX: usize = 65_536;
