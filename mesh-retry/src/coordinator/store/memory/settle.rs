//! Budgets of a whole fleet: buckets that processes settle with.

use core::time::Duration;

use super::expiring::Expiring;
use crate::budget::TokenBucketConfig;
use crate::coordinator::store::{
    PROCESS_COUNTS_FOR, PROCESS_KEPT_FOR, ProcessId, Settle, Settled, Settlement, StateKey, StoreTime,
};

/// All budgets.
#[derive(Clone, Debug)]
pub(super) struct Budgets(Expiring<StateKey, Bucket>);

impl Default for Budgets {
    fn default() -> Self {
        Self(Expiring::new(BUDGETS_MAX))
    }
}

impl Budgets {
    pub(super) fn settle(&mut self, now: StoreTime, settle: &Settle) -> Settled {
        // What is settled with lives anew, and what is not known starts full.
        let mut bucket =
            self.0.get_mut(now, settle.budget).map_or_else(|| Bucket::full(now, &settle.limits), core::mem::take);
        let settled = bucket.settle(now, settle);
        self.0.put(now, settle.budget, settle.bucket_kept_for(), bucket);
        settled
    }
}

/// One budget. A unit of its level is a millionth of a retry.
#[derive(Clone, Debug)]
struct Bucket {
    level: u64,
    /// Up to when time has been credited.
    credited_to: StoreTime,
    processes: Expiring<ProcessId, Process>,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug)]
struct Process {
    /// Its latest settlement that was carried out, and what it granted.
    epoch: u64,
    granted: u32,
    /// How many first attempts have been credited, or never will be.
    cumulative: u64,
    /// How many tokens it may still hold.
    held: u32,
    seen_at: StoreTime,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { level: 0, credited_to: StoreTime::default(), processes: Expiring::new(PROCESSES_MAX) }
    }
}

impl Bucket {
    fn full(now: StoreTime, limits: &TokenBucketConfig) -> Self {
        Self { level: burst(limits), credited_to: now, ..Self::default() }
    }

    fn settle(&mut self, now: StoreTime, settle: &Settle) -> Settled {
        let known = self.processes.get_mut(now, settle.process).copied();
        let (settlement, granted) = match known {
            Some(process) if settle.epoch == process.epoch => (Settlement::Repeated, process.granted),
            Some(process) if settle.epoch < process.epoch => (Settlement::Stale, 0),
            Some(_) | None => (Settlement::Applied, self.carry_out(now, settle, known)),
        };
        let level = if settlement == Settlement::Applied { self.level } else { self.level_at(now, &settle.limits) };
        Settled {
            at: now,
            settlement,
            granted,
            left_milli: u32::try_from(level / MILLI).unwrap_or(u32::MAX),
            wait: wait(level, settle.want.saturating_sub(granted), &settle.limits),
            processes: self.live(now),
        }
    }

    /// Credits what a process did, takes back what it returns, and grants what there is.
    fn carry_out(&mut self, now: StoreTime, settle: &Settle, known: Option<Process>) -> u32 {
        // Whether the requests of a process that is not known were credited before it was forgotten cannot be told.
        let credited = known.map_or(settle.cumulative_requests, |process| process.cumulative);
        let requests = settle.cumulative_requests.saturating_sub(credited.max(settle.reported_requests));
        let held = known.map_or(0, |process| process.held);
        let returned = settle.returned.min(held);
        let credit = requests.saturating_mul(u64::from(settle.limits.ratio_milli) * MILLI);
        let brought = credit.saturating_add(u64::from(returned) * RETRY);
        self.level = self.level_at(now, &settle.limits).saturating_add(brought).min(burst(&settle.limits));
        self.credited_to = self.credited_until(now);

        let granted = settle.want.min(u32::try_from(self.level / RETRY).unwrap_or(u32::MAX));
        self.level -= u64::from(granted) * RETRY;
        let process = Process {
            epoch: settle.epoch,
            granted,
            cumulative: settle.cumulative_requests.max(credited),
            held: (held - returned).min(settle.kept).saturating_add(granted),
            seen_at: now,
        };
        self.processes.put(now, settle.process, PROCESS_KEPT_FOR, process);
        granted
    }

    /// What there is at `now` with what time has brought.
    fn level_at(&self, now: StoreTime, limits: &TokenBucketConfig) -> u64 {
        let micros = now.as_micros().saturating_sub(self.credited_to.as_micros());
        let brought = micros.saturating_mul(u64::from(limits.per_second_milli)) / MILLI;
        self.level.saturating_add(brought).min(burst(limits))
    }

    /// Up to when time has been credited at `now`. A clock that goes back a little brings nothing until it is where it was;
    /// one that goes back by more has been set, and would bring nothing for too long.
    fn credited_until(&self, now: StoreTime) -> StoreTime {
        if self.credited_to.since(now) > AHEAD_MAX { now } else { self.credited_to.max(now) }
    }

    fn live(&mut self, now: StoreTime) -> u32 {
        let is_live = |process: &&Process| {
            now.since(process.seen_at) <= PROCESS_COUNTS_FOR && process.seen_at.since(now) <= AHEAD_MAX
        };
        let live = self.processes.values(now).filter(is_live).count();
        u32::try_from(live).unwrap_or(u32::MAX).max(1)
    }
}

/// How long time takes to bring `missing` retries beside the level.
fn wait(level: u64, missing: u32, limits: &TokenBucketConfig) -> Option<Duration> {
    if missing == 0 {
        return Some(Duration::ZERO);
    }
    let short = (u64::from(missing) * RETRY).saturating_sub(level);
    let per_second = u64::from(limits.per_second_milli);
    (per_second > 0).then(|| Duration::from_micros(short.saturating_mul(MILLI).div_ceil(per_second)))
}

/// What a bucket holds at most.
fn burst(limits: &TokenBucketConfig) -> u64 {
    u64::from(limits.burst_milli) * MILLI
}

/// A retry, and a thousandth of one.
const RETRY: u64 = 1_000_000;
const MILLI: u64 = 1_000;

/// How far a store's time may be behind what it was.
const AHEAD_MAX: Duration = Duration::from_secs(1);

const BUDGETS_MAX: usize = 4_096;
const PROCESSES_MAX: usize = 65_536;
