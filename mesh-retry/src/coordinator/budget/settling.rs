//! One settlement after the other: when, with what, and what follows from its end.

use core::time::Duration;

use mesh_core::time::Instant;

use super::config::PROCESSES_MAX;
use super::machine::{FleetMachine, UnderWay};
use super::message::{FleetChange, FleetEffect, FleetEvent, FleetState};
use crate::coordinator::store::{Settle, Settled, Settlement, StoreFailure};

impl FleetMachine {
    /// When to settle next, as far as is known.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        if self.link.under_way.is_some() {
            return None;
        }
        let at = match self.state {
            _ if self.is_closing => self.has_rest().then_some(Instant::ZERO),
            FleetState::NoAssignment | FleetState::Expired | FleetState::LocalFallback => {
                self.seen.is_active.then_some(Instant::ZERO)
            }
            FleetState::Leased => {
                let is_urgent = self.seen.waiting > 0 || self.lease.unspent > 0;
                let heartbeat = self.seen.is_active.then(|| self.link.sent_at.after(HEARTBEAT_EVERY));
                if is_urgent { Some(Instant::ZERO) } else { self.tells_at().into_iter().chain(heartbeat).min() }
            }
        };
        at.map(|at| at.max(self.link.not_before))
    }

    /// Whether there is something to give back at the end.
    const fn has_rest(&self) -> bool {
        self.lease.unspent > 0 && self.link.failures == 0
    }

    /// When to tell of first attempts, if there are any: once a second where they bring a retry, and else before they are
    /// too old to be told.
    fn tells_at(&self) -> Option<Instant> {
        let untold = self.told.untold(self.seen.requests);
        if untold == 0 {
            return None;
        }
        let brings = untold.saturating_mul(u64::from(self.budget.config().limits.ratio_milli));
        let soon = (brings >= RETRY_MILLI).then(|| self.link.sent_at.after(TELL_EVERY));
        self.told.due_at().into_iter().chain(soon).min()
    }

    /// Sends a settlement.
    pub(super) fn settle(&mut self, now: Instant) {
        let config = *self.budget.config();
        let is_asking = self.seen.waiting > 0 && !self.is_closing;
        let lease = self.demand.lease(self.seen.waiting, config.want_max());
        let want = if is_asking { lease.saturating_sub(self.lease.tokens).max(1) } else { 0 };
        let returned = core::mem::take(&mut self.lease.unspent);
        let told_before = self.told.tell(now, self.seen.requests);
        self.link.epoch += 1;
        let epoch = self.link.epoch;
        self.link.under_way = Some(UnderWay { epoch, sent_at: now, want, returned, told_before });
        self.link.sent_at = now;
        self.seen.waiting = 0;
        self.emit(FleetEffect::Send(Settle {
            budget: self.name,
            limits: config.limits,
            process: self.process,
            epoch,
            cumulative_requests: self.seen.requests,
            reported_requests: told_before,
            want,
            kept: self.lease.tokens,
            returned,
        }));
    }

    /// When the reply is no longer awaited.
    pub(super) fn reply_due_at(&self) -> Option<Instant> {
        let within = self.budget.config().reply_within;
        self.link.under_way.map(|under_way| under_way.sent_at.after(within))
    }

    /// The reply has not come in time.
    pub(super) fn unanswered(&mut self, now: Instant) {
        if let Some(under_way) = self.link.under_way.take() {
            self.failed(now, &under_way, StoreFailure::Unknown);
        }
    }

    /// There is no reply. What may have been carried out is taken as carried out: what was told is not told again, what went
    /// back is gone, and what was granted is spent.
    pub(super) fn failed(&mut self, now: Instant, under_way: &UnderWay, failure: StoreFailure) {
        match failure {
            StoreFailure::Unknown => {}
            StoreFailure::NotDone => {
                self.told.untell(under_way.told_before);
                self.lease.unspent = self.lease.unspent.saturating_add(under_way.returned);
            }
        }
        self.link.failures = self.link.failures.saturating_add(1);
        if !self.is_closing && self.state != FleetState::LocalFallback {
            // Those who wait for it ask again at the end of their waits, and may have to wait for longer than that.
            self.seen.waiting = self.seen.waiting.saturating_add(u64::from(under_way.want));
        }
        let wait = match self.state {
            FleetState::LocalFallback => {
                let ttl = self.budget.config().lease_ttl;
                ttl / 2 + self.rng.up_to(ttl)
            }
            FleetState::NoAssignment | FleetState::Leased | FleetState::Expired => {
                let most = RETRY_AFTER.saturating_mul(1 << self.link.failures.min(4));
                most / 2 + self.rng.up_to(most / 2)
            }
        };
        self.link.not_before = now.after(wait);
        let after = now.since(under_way.sent_at);
        self.report(FleetEvent::Unsettled { failure, after, failures: self.link.failures });
    }

    /// There is a reply.
    pub(super) fn settled(&mut self, now: Instant, under_way: &UnderWay, settled: &Settled) {
        if settled.settlement == Settlement::Stale {
            // Another process has this one's name, or the store's state is not what this process made of it.
            self.failed(now, under_way, StoreFailure::Unknown);
            return;
        }
        self.link.failures = 0;
        self.link.not_before = now;
        let processes = settled.processes.clamp(1, PROCESSES_MAX);
        self.budget.share().divide(self.budget.config(), processes);
        let granted = settled.granted.min(under_way.want);
        let denied_for = self.take_note_of_denial(now, under_way.want, granted, settled);
        self.take(now, granted, under_way.sent_at.after(self.budget.config().lease_ttl));
        self.seen.waiting = self.seen.waiting.saturating_sub(u64::from(self.lease.tokens));
        if !self.is_closing {
            self.change(FleetState::Leased, FleetChange::Answered);
        }
        self.report(FleetEvent::Settled {
            latency: now.since(under_way.sent_at),
            at: settled.at,
            wanted: under_way.want,
            granted,
            returned: under_way.returned,
            left_milli: settled.left_milli,
            processes,
            denied_for,
        });
    }

    fn take_note_of_denial(&mut self, now: Instant, want: u32, granted: u32, settled: &Settled) -> Duration {
        if granted >= want {
            if want > 0 {
                self.demand.granted();
            }
            return Duration::ZERO;
        }
        let denied_for = self.demand.denied(granted, want, settled.wait, &mut self.rng);
        self.budget.deny_until(now.after(denied_for), settled.left_milli);
        // Those who were told to ask again are denied when they do, unless there is a token by then.
        self.seen.waiting = 0;
        denied_for
    }

    /// Takes tokens that are worth something until `end`.
    fn take(&mut self, now: Instant, granted: u32, end: Instant) {
        if self.is_closing || end <= now {
            self.lease.unspent = self.lease.unspent.saturating_add(granted);
        }
        if self.is_closing {
            return;
        }
        let is_prolonged = granted > 0 && end > now;
        let (granted, end) = if is_prolonged { (granted, end.max(self.lease.end)) } else { (0, self.lease.end) };
        let over = self.budget.grant(now, granted, end);
        self.lease.unspent = self.lease.unspent.saturating_add(over);
        self.lease.tokens = self.budget.tokens();
        self.lease.end = end;
    }
}

/// Processes are counted among those that share a budget, and known to it, as long as they settle now and then.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// How often to tell of first attempts at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// After a failure the next settlement waits for half of this or more, doubled with each further failure in a row.
const RETRY_AFTER: Duration = Duration::from_millis(25);

const RETRY_MILLI: u64 = 1_000;
