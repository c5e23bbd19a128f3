//! What a process may do alone while the store does not answer.

use core::time::Duration;

use mesh_core::time::saturating_nanos;

use super::config::{Fallback, FleetBudgetConfig};
use crate::sync::{AtomicU64, Ordering};

/// A bucket that holds a process' part of the fleet's. Callers deposit and withdraw; time is credited by the machine, which
/// also knows the number of processes.
///
/// Its level outlives every outage, so that outages that follow each other fill nothing.
#[derive(Debug)]
pub(super) struct Share {
    /// In millionths of a retry.
    level: AtomicU64,
    /// The most that it holds, and what a second brings, with the present number of processes.
    most: AtomicU64,
    per_second: AtomicU64,
    /// What a first attempt brings: each process makes its own, so that all together bring the fleet's.
    ratio: u64,
    deposits: AtomicU64,
}

impl Share {
    /// As full as its part of the fleet's burst.
    pub(super) fn new(config: &FleetBudgetConfig) -> Self {
        let part = part(config, config.processes_assumed);
        let ratio = match config.fallback {
            Fallback::Safe | Fallback::Optimistic => u64::from(config.limits.ratio_milli) * MILLI,
            Fallback::Pessimistic => 0,
        };
        Self {
            level: AtomicU64::new(part.burst),
            most: AtomicU64::new(part.most),
            per_second: AtomicU64::new(part.per_second),
            ratio,
            deposits: AtomicU64::new(0),
        }
    }

    /// A first attempt.
    pub(super) fn deposit(&self) {
        self.deposits.fetch_add(1, Ordering::Relaxed);
        self.add(self.ratio);
    }

    /// Pays one retry, or says how long time takes to bring what is missing, if it does.
    pub(super) fn withdraw(&self) -> Result<(), Option<Duration>> {
        let paid =
            self.level.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| level.checked_sub(RETRY)).map(drop);
        paid.map_err(|level| {
            let per_second = self.per_second.load(Ordering::Relaxed);
            let micros = ((RETRY - level) * MICROS_OF_A_SECOND).checked_div(per_second);
            micros.filter(|_| self.most.load(Ordering::Relaxed) >= RETRY).map(Duration::from_micros)
        })
    }

    /// Takes back what paid a retry that was not made, as far as it is not full.
    pub(super) fn give_back(&self) {
        self.add(RETRY);
    }

    /// What `passed` has brought.
    pub(super) fn credit(&self, passed: Duration) {
        let per_second = u128::from(self.per_second.load(Ordering::Relaxed));
        let brought = u128::from(saturating_nanos(passed)) * per_second / NANOS_OF_A_SECOND;
        self.add(u64::try_from(brought).unwrap_or(u64::MAX));
    }

    /// Takes note of how many processes there are. The level stays, as far as it is allowed.
    pub(super) fn divide(&self, config: &FleetBudgetConfig, processes: u32) {
        let part = part(config, processes);
        self.most.store(part.most, Ordering::Relaxed);
        self.per_second.store(part.per_second, Ordering::Relaxed);
        self.add(0);
    }

    /// How many first attempts it was told of.
    pub(super) fn deposits(&self) -> u64 {
        self.deposits.load(Ordering::Relaxed)
    }

    /// What it has, in thousandths of a retry.
    pub(super) fn level_milli(&self) -> u32 {
        u32::try_from(self.level_micros() / MILLI).unwrap_or(u32::MAX)
    }

    /// What it has, in millionths of a retry.
    pub(super) fn level_micros(&self) -> u64 {
        self.level.load(Ordering::Relaxed)
    }

    fn add(&self, brought: u64) {
        let most = self.most.load(Ordering::Relaxed);
        let more = |level: u64| Some(level.saturating_add(brought).min(most)).filter(|more| *more != level);
        let _ = self.level.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// The part of one of `processes`, in millionths of a retry.
struct Part {
    burst: u64,
    /// At least one retry, since a bucket that cannot hold one can never pay one.
    most: u64,
    per_second: u64,
}

fn part(config: &FleetBudgetConfig, processes: u32) -> Part {
    let processes = match config.fallback {
        Fallback::Safe => u64::from(processes.max(1)),
        Fallback::Optimistic => 1,
        Fallback::Pessimistic => return Part { burst: 0, most: 0, per_second: 0 },
    };
    let burst = u64::from(config.limits.burst_milli) * MILLI / processes;
    let per_second = u64::from(config.limits.per_second_milli) * MILLI / processes;
    Part { burst, most: burst.max(RETRY), per_second }
}

/// A retry, and a thousandth of one.
const RETRY: u64 = 1_000_000;
const MILLI: u64 = 1_000;
const MICROS_OF_A_SECOND: u64 = 1_000_000;
const NANOS_OF_A_SECOND: u128 = 1_000_000_000;
