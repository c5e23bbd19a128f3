//! A simulated fleet and the bound of its budget, driven by bytes: what the fuzz target runs and the tests replay; and by
//! hand, for tests of what a fleet gets done.
//!
//! Any bytes are a script: the first chooses the budget, the others are operations with their arguments, cut off where they
//! end. After every call, every message and every timer the bound is checked for every window that began before: with
//! one difference, that what shares hold and gain counts for all processes, and not only for those that go by them.

mod fleet;
mod ledger;
mod network;
mod process;

use core::time::Duration;

use super::{Fallback, FleetBudgetConfig};
use crate::budget::TokenBucketConfig;

pub use fleet::{Counts, Fleet};
pub use network::Faults;

/// Runs the script that `bytes` are, and says what it came across.
///
/// # Panics
/// When the fleet makes more retries than its bound, or a token is paid twice, lost without a failure, or paid with after
/// the end of its lease.
pub fn replay(bytes: &[u8]) -> Counts {
    let mut script = bytes.iter().copied();
    let config = config(script.next().unwrap_or(0));
    let seed = u64::from(script.next().unwrap_or(0));
    let mut fleet = Fleet::new(&config, PROCESSES, seed);
    while let Some(operation) = script.next() {
        step(&mut fleet, operation, script.next().unwrap_or(0));
    }
    fleet.counts()
}

/// One of several budgets: small and large, with and without what time brings, with each fallback.
fn config(choice: u8) -> FleetBudgetConfig {
    let limits = match choice % 4 {
        0 => TokenBucketConfig { ratio_milli: 100, per_second_milli: 10_000, burst_milli: 20_000 },
        1 => TokenBucketConfig { ratio_milli: 500, per_second_milli: 0, burst_milli: 5_000 },
        2 => TokenBucketConfig { ratio_milli: 0, per_second_milli: 50_000, burst_milli: 100_000 },
        _ => TokenBucketConfig { ratio_milli: 1_000, per_second_milli: 1_000, burst_milli: 1_000 },
    };
    let fallback = match choice / 4 % 4 {
        0 | 1 => Fallback::Safe,
        2 => Fallback::Pessimistic,
        _ => Fallback::Optimistic,
    };
    FleetBudgetConfig {
        limits,
        fallback,
        processes_assumed: 1 + u32::from(choice / 16),
        ..FleetBudgetConfig::default()
    }
}

/// Carries one operation out. The upper half of the operations are calls and time, as most of a life is.
fn step(fleet: &mut Fleet, operation: u8, argument: u8) {
    let process = usize::from(argument) % PROCESSES;
    let count = 1 + u32::from(argument) / PROCESSES as u32;
    match operation % 32 {
        0 => fleet.restart(process),
        1 => fleet.shut_down(process),
        2 => fleet.stall(process, Duration::from_millis(50 * u64::from(count))),
        3 => fleet.lose_state(),
        4 => fleet.keep_copy(),
        5 => fleet.fail_over(),
        6 => fleet.move_store_clock(jump(argument)),
        7 | 8 => fleet.set_faults(faults(argument)),
        9 => fleet.set_faults(Faults::default()),
        10..=13 => fleet.advance(Duration::from_millis(20 * u64::from(argument))),
        14..=18 => fleet.advance(Duration::from_millis(u64::from(argument))),
        19..=21 => (0..count).for_each(|_| fleet.succeed(process)),
        22..=28 => (0..count).for_each(|_| fleet.fail(process)),
        30 => (0..count).for_each(|at| fleet.not_make(process, at % 2 == 0, true)),
        31 => (0..count).for_each(|at| fleet.not_make(process, at % 2 == 0, false)),
        _ => fleet.press(u64::from(count) / 8 + 1, Duration::from_millis(1_000)),
    }
}

/// A second or two, or minutes, in either direction.
fn jump(argument: u8) -> i64 {
    let size = if argument & 1 == 0 { 20_000 } else { 2_000_000 };
    let signed = i64::from(argument >> 1) - 64;
    signed * size
}

/// What fails, as bits choose.
fn faults(argument: u8) -> Faults {
    let of = |bit: u8, milli: u32| if argument & bit == 0 { 0 } else { milli };
    let delay = if argument & 16 == 0 { 5 } else { 400 };
    Faults {
        lose_commands_milli: of(1, 300),
        lose_replies_milli: of(2, 300),
        copy_milli: of(4, 300),
        refuse_milli: of(8, 300),
        delay_max: Duration::from_millis(delay),
        is_refusing: argument >> 5 == 6,
        is_silent: argument >> 5 == 7,
    }
}

const PROCESSES: usize = 4;
