//! How often a fleet asks a real Redis, where each process wants more than there is for all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;
#[path = "coordinator_support/fleet.rs"]
mod fleet;
mod redis_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::mesh_retry::coordinator::budget::FleetBudgetConfig;
use mesh_testkit::RedisServer;

use coordinator_support::{KEY, SOON, connected, scripts_run};
use fleet::Process;
use redis_support::Stopwatch;

const PROCESSES: u32 = 100;
const EVERY: Duration = Duration::from_millis(100);
/// How many retries a second there are for all.
const RATE: u64 = 200;
const BURST: u64 = 400;

/// Facts 4.3: a hundred processes that want a thousand retries a second of two hundred asked 996 times a second where each
/// retry is asked for, 830 with leases of ten, and 191 with leases that follow the demand and denials that are remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_processes_that_want_five_times_what_there_is_ask_two_hundred_times_a_second_at_most() {
    let server = RedisServer::start().await;
    let mut config = FleetBudgetConfig::default();
    config.processes_assumed = PROCESSES;
    config.limits.ratio_milli = 0;
    config.limits.per_second_milli = u32::try_from(RATE * 1_000).unwrap();
    config.limits.burst_milli = u32::try_from(BURST * 1_000).unwrap();
    let url = server.url();
    let started = Stopwatch::start();
    let mut processes = Vec::new();
    for number in 0..PROCESSES {
        processes.push(Process::start(number, KEY, &config, connected(&url, SOON).await));
    }
    let calls: Vec<_> =
        processes.iter().zip(0..).map(|(process, number)| tokio::spawn(call(Arc::clone(process), number))).collect();

    tokio::time::sleep(Duration::from_secs(4)).await;
    let sum = |count: fn(&Process) -> &AtomicU64| -> u64 {
        processes.iter().map(|process| count(process).load(Ordering::Relaxed)).sum()
    };
    let read = || (sum(|process| &process.wanted), sum(|process| &process.granted));
    let (measured, asked_before, (wanted_before, granted_before)) =
        (Stopwatch::start(), scripts_run(&server).await, read());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (asked, (wanted, granted)) = (scripts_run(&server).await - asked_before, read());
    let seconds = measured.elapsed().as_secs_f64();
    let each_second = |count: u64| count as f64 / seconds;
    let (asked, wanted_now) = (each_second(asked), each_second(wanted - wanted_before));
    let granted_now = each_second(granted - granted_before);
    println!(
        "store calls a second: {asked:.0}; retries a second: {wanted_now:.0} wanted, {granted_now:.0} granted of {RATE}"
    );
    let all = started.elapsed().as_secs_f64();
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(asked <= 200.0, "{asked:.0} a second");
    assert!(granted_now >= RATE as f64 * 0.5, "a budget that grants nothing is as wrong as one that grants too much");
    // What the fleet has, and all the shares that the processes went by until they heard of the store, or did not hear.
    let bound = 2.0 * (BURST as f64 + RATE as f64 * all);
    assert!(granted as f64 <= bound, "{granted} of {bound:.0}");
}

/// One call every so often, each of which fails.
async fn call(process: Arc<Process>, number: u32) {
    tokio::time::sleep(EVERY * number / PROCESSES).await;
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let process = Arc::clone(&process);
        tokio::spawn(async move { process.call(EVERY / 2).await });
    }
}
