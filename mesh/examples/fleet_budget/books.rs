//! What one process did and heard, and what all together may do by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh::TokioClock;
use mesh::mesh_core::port::Clock as _;
use mesh::mesh_core::recorder::{Measurement, Recorder};
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::budget::TokenBucketConfig;
use mesh::mesh_retry::call::AttemptKind;
use mesh::mesh_retry::coordinator::budget::{FleetBudgetConfig, FleetState};

/// The books of one process, kept by what its mesh records and its callers do.
#[derive(Debug)]
pub(crate) struct Books {
    clock: TokioClock,
    requests: AtomicU64,
    retries: AtomicU64,
    settled: AtomicU64,
    unsettled: AtomicU64,
    share: Mutex<Share>,
}

/// What the process may do alone.
#[derive(Debug)]
struct Share {
    per_second: u64,
    /// Of how many processes it last heard, and since when.
    processes: u32,
    since: Instant,
    /// What the share began with and what time has brought since, in millionths of a retry.
    micros: u64,
    is_alone: bool,
}

/// Sums over processes, for a line of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) settled: u64,
    pub(crate) unsettled: u64,
    /// How many processes go by their own shares.
    pub(crate) alone: usize,
    shares_micros: u64,
}

/// The bound that the documentation of the fleet's budget derives, for the time since all began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) limits: TokenBucketConfig,
    pub(crate) began: Instant,
    /// How often the store lost its state, or a part of it.
    pub(crate) losses: u64,
}

impl Books {
    pub(crate) fn new(config: &FleetBudgetConfig, clock: TokioClock) -> Self {
        let processes = config.processes_assumed;
        let share = Share {
            per_second: u64::from(config.limits.per_second_milli) * MILLI,
            processes,
            since: clock.now(),
            micros: u64::from(config.limits.burst_milli) * MILLI / u64::from(processes),
            is_alone: true,
        };
        let [requests, retries, settled, unsettled] = [0; 4].map(AtomicU64::new);
        Self { clock, requests, retries, settled, unsettled, share: Mutex::new(share) }
    }

    /// An attempt is made.
    pub(crate) fn attempt(&self, kind: AttemptKind) {
        let count = if kind == AttemptKind::First { &self.requests } else { &self.retries };
        count.fetch_add(1, Ordering::SeqCst);
    }

    fn share(&self, change: impl FnOnce(&mut Share)) -> (u64, bool) {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        share.pass_to(self.clock.now());
        change(&mut share);
        (share.micros, share.is_alone)
    }
}

impl Share {
    /// Credits the time since, rounded up.
    fn pass_to(&mut self, now: Instant) {
        let passed = u64::try_from(now.since(self.since).as_micros()).unwrap_or(u64::MAX);
        let brought = passed.saturating_mul(self.per_second) / MICROS / u64::from(self.processes.max(1));
        self.micros = self.micros.saturating_add(brought).saturating_add(1);
        self.since = now;
    }
}

impl Recorder for Books {
    fn record(&self, measurement: &Measurement<'_>) {
        if let Measurement::BudgetSettled { processes, .. } = *measurement {
            self.settled.fetch_add(1, Ordering::Relaxed);
            self.share(|share| share.processes = processes);
        } else if let Measurement::BudgetUnsettled { .. } = measurement {
            self.unsettled.fetch_add(1, Ordering::Relaxed);
        } else if let Measurement::BudgetStateChanged { to, .. } = *measurement {
            let is_alone = [FleetState::LocalFallback, FleetState::NoAssignment].map(FleetState::name).contains(&to);
            self.share(|share| share.is_alone = is_alone);
        }
    }
}

impl Sums {
    /// What stands in all `books`.
    pub(crate) fn of<'a>(books: impl Iterator<Item = &'a Arc<Books>>) -> Self {
        let mut sums = Self::default();
        for books in books {
            // Retries first: what is counted meanwhile raises the bound alone.
            sums.retries += books.retries.load(Ordering::SeqCst);
            sums.requests += books.requests.load(Ordering::SeqCst);
            sums.settled += books.settled.load(Ordering::Relaxed);
            sums.unsettled += books.unsettled.load(Ordering::Relaxed);
            let (micros, is_alone) = books.share(|_| {});
            sums.shares_micros += micros;
            sums.alone += usize::from(is_alone);
        }
        sums
    }
}

impl Bound {
    /// How many retries there may have been by `now`: what first attempts and time bring, what the bucket held, anew after
    /// each loss, and all shares. No token was with anybody when it began.
    pub(crate) fn at(&self, now: Instant, sums: &Sums) -> u64 {
        let TokenBucketConfig { ratio_milli, per_second_milli, burst_milli, .. } = self.limits;
        let requests = sums.requests * u64::from(ratio_milli) * MILLI;
        let passed = u64::try_from(now.since(self.began).as_micros()).unwrap_or(u64::MAX);
        let time = passed.saturating_mul(u64::from(per_second_milli)) / MILLI;
        let bursts = u64::from(burst_milli) * MILLI * (1 + self.losses);
        (requests + time + bursts + sums.shares_micros) / MICROS
    }

    /// What first attempts and time alone have brought by `now`.
    pub(crate) fn lasting(&self, now: Instant, sums: &Sums) -> u64 {
        let ratio = sums.requests * u64::from(self.limits.ratio_milli) / MILLI;
        let time = now.since(self.began).as_secs() * u64::from(self.limits.per_second_milli) / MILLI;
        ratio + time
    }
}

/// What is left of a link's patience when its server is away, so that whoever watches sees it come back.
pub(crate) const RECONNECT_MAX: Duration = Duration::from_millis(500);
const MILLI: u64 = 1_000;
const MICROS: u64 = 1_000_000;
