//! One process of a fleet, and what it must have left of what it was granted.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use mesh_core::machine::Machine as _;
use mesh_core::rng::mix;
use mesh_core::time::{Instant, saturating_nanos};

use crate::budget::{Budget as _, End, Paid};
use crate::coordinator::budget::{
    Fallback, FleetBudget, FleetBudgetConfig, FleetInput, FleetMachine, FleetState, Wake,
};
use crate::coordinator::store::{ProcessId, Settle, Settled, Settlement, StateKey, StoreFailure};

#[derive(Debug)]
pub(super) struct Process {
    /// Its number among all that ever were.
    pub(super) number: u64,
    pub(super) budget: Arc<FleetBudget>,
    pub(super) machine: FleetMachine,
    is_woken: Arc<AtomicBool>,
    /// Nobody drives the machine before.
    pub(super) driven_from: Instant,
    /// Of how many processes it takes itself to be one.
    pub(super) heard: u32,
    lease_ttl: Duration,
    /// Its latest settlement, and when it was sent.
    latest: Option<(Instant, Settle)>,
    /// After this nothing may be paid with tokens.
    lease_end: Instant,
    /// When tokens last came that no lease was left for to be prolonged.
    unbroken_since: Instant,
    paid: u64,
    paid_alone: u64,
    given_back: u64,
    granted: u64,
    returned: u64,
    /// The latest retries that it was granted, the earliest first.
    grants: VecDeque<Grant>,
}

/// A retry that was granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    paid: Paid,
    paid_at: Instant,
    is_alone: bool,
    /// When the lease ended that paid for it, as it was then.
    lease_end: Instant,
}

impl Process {
    pub(super) fn begin(config: &FleetBudgetConfig, number: u64, seed: u64, now: Instant) -> Self {
        let is_woken = Arc::new(AtomicBool::new(false));
        let budget = Arc::new(FleetBudget::new(config, Box::new(Flag(Arc::clone(&is_woken)))));
        let id = ProcessId::new(u128::from(number));
        let machine = FleetMachine::new(Arc::clone(&budget), StateKey::new(1), id, mix(seed ^ number), now);
        Self {
            number,
            budget,
            machine,
            is_woken,
            driven_from: Instant::ZERO,
            heard: config.processes_assumed,
            lease_ttl: config.lease_ttl,
            latest: None,
            lease_end: Instant::ZERO,
            unbroken_since: Instant::ZERO,
            paid: 0,
            paid_alone: 0,
            given_back: 0,
            granted: 0,
            returned: 0,
            grants: VecDeque::new(),
        }
    }

    /// When its machine is to be driven.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let timeout =
            if self.is_woken.load(Ordering::Relaxed) { Some(Instant::ZERO) } else { self.machine.poll_timeout() };
        timeout.map(|at| at.max(self.driven_from))
    }

    pub(super) fn handle(&mut self, now: Instant, input: Option<FleetInput>) {
        let ignored = self.machine.ignored();
        match input {
            Some(input) => self.machine.handle_input(now, input),
            None => self.machine.handle_timeout(now),
        }
        if self.machine.ignored() > ignored {
            return;
        }
        match input {
            Some(FleetInput::Reply { settled, .. }) => self.replied(now, &settled),
            Some(FleetInput::Failed { failure: StoreFailure::NotDone, epoch }) => {
                // What was to go back did not, if nothing else has been sent since.
                if let Some((_, settle)) = self.latest.filter(|(_, settle)| settle.epoch == epoch) {
                    self.returned -= u64::from(settle.returned);
                }
            }
            Some(
                FleetInput::Failed { failure: StoreFailure::Unknown, .. } | FleetInput::Woken | FleetInput::Shutdown,
            )
            | None => {}
        }
    }

    fn replied(&mut self, now: Instant, settled: &Settled) {
        if let Some((sent_at, settle)) = self.latest.filter(|_| settled.settlement != Settlement::Stale) {
            let granted = settled.granted.min(settle.want);
            self.granted += u64::from(granted);
            if granted > 0 {
                self.unbroken_since = if self.lease_end <= now { now } else { self.unbroken_since };
                self.lease_end = self.lease_end.max(sent_at.after(self.lease_ttl));
            }
        }
    }

    pub(super) fn sent(&mut self, now: Instant, settle: &Settle) {
        self.returned += u64::from(settle.returned);
        self.latest = Some((now, *settle));
    }

    pub(super) fn paid(&mut self, now: Instant, paid: Paid, is_alone: bool) {
        if self.grants.len() == GRANTS_MAX {
            self.grants.pop_front();
        }
        self.grants.push_back(Grant { paid, paid_at: now, is_alone, lease_end: self.lease_end });
        if is_alone {
            self.paid_alone += 1;
        } else {
            self.paid += 1;
            assert!(now < self.lease_end, "paid at {now:?} with a token of a lease that ended at {:?}", self.lease_end);
        }
    }

    pub(super) fn take_grant(&mut self, is_latest: bool) -> Option<Grant> {
        if is_latest { self.grants.pop_back() } else { self.grants.pop_front() }
    }

    /// The retry of `grant` was not made, and whoever `is_late` knows no later time than that at which he paid. Returns what
    /// came back, in millionths of a retry.
    pub(super) fn not_made(&mut self, now: Instant, grant: &Grant, is_late: bool) -> i128 {
        let there = || (i128::from(self.budget.tokens()), i128::from(self.budget.share().level_micros()));
        let (tokens, level) = there();
        self.budget.ended(if is_late { grant.paid_at } else { now }, End::NotMade, Some(grant.paid));
        let (more_tokens, more_level) = (there().0 - tokens, there().1 - level);
        if grant.is_alone {
            assert!(more_tokens == 0 && (0..=RETRY).contains(&more_level), "{more_tokens} and {more_level} came back");
            return more_level;
        }
        let is_certain = self.machine.state() == FleetState::Leased && now.after(TICK) < grant.lease_end;
        let may_come = if is_late { self.unbroken_since < grant.lease_end } else { now < grant.lease_end };
        let expected = i128::from(is_certain)..=i128::from(may_come);
        assert!(more_level == 0 && expected.contains(&more_tokens), "{more_tokens} came back at {now:?} of {grant:?}");
        self.given_back += u64::from(more_tokens > 0);
        more_tokens * RETRY
    }

    pub(super) const fn retries(&self) -> u64 {
        self.paid + self.paid_alone
    }

    /// How many tokens it has, to spend or to give back.
    pub(super) fn tokens(&self) -> u64 {
        u64::from(self.budget.tokens()) + u64::from(self.machine.lease.unspent)
    }

    /// Each token that it heard of has been paid with, has gone back, or is there.
    pub(super) fn check(&self) {
        let (came, gone) = (self.granted + self.given_back, self.paid + self.returned);
        assert_eq!(came, gone + self.tokens(), "{} paid and {} returned: {self:?}", self.paid, self.returned);
    }

    pub(super) fn is_woken(&self) -> bool {
        self.is_woken.load(Ordering::Relaxed)
    }

    pub(super) fn take_wake(&self) -> bool {
        self.is_woken.swap(false, Ordering::Relaxed)
    }
}

const RETRY: i128 = 1_000_000;

/// By how much earlier a lease may end than it was said to.
const TICK: Duration = Duration::from_millis(2);

/// How many retries are remembered that were granted.
const GRANTS_MAX: usize = 64;

/// What the share of one of `processes` begins with and gains, in millionths of a retry.
pub(super) struct ShareRate {
    pub(super) burst: u64,
    per_second: u64,
}

impl ShareRate {
    pub(super) fn of(config: &FleetBudgetConfig, processes: u32) -> Self {
        let all = match config.fallback {
            Fallback::Pessimistic => return Self { burst: 0, per_second: 0 },
            Fallback::Safe => u64::from(processes),
            Fallback::Optimistic => 1,
        };
        let part = |milli: u32| u64::from(milli) * 1_000 / all;
        Self { burst: part(config.limits.burst_milli), per_second: part(config.limits.per_second_milli) }
    }

    /// What time brings, rounded up.
    pub(super) fn brings(&self, passed: Duration) -> i128 {
        let brought = u128::from(saturating_nanos(passed)) * u128::from(self.per_second);
        i128::try_from(brought.div_ceil(1_000_000_000)).unwrap_or(i128::MAX)
    }
}

/// Takes note that the driver is to come.
#[derive(Debug)]
struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
