//! Processes that share one budget for their retries through a Redis, while half of all attempts fail.
//!
//! ```text
//! cargo run --release -p mesh --example fleet_budget -- --start-servers
//! scripts/chaos-redis --minutes 2 --budget
//! ```
//!
//! The first lets twenty processes call, kills Redis half-way and starts it again, and prints the fleet's retries second by
//! second: a tenth of the calls, and ten a second, however many processes there are. The second lets fifty processes call
//! while Redis is killed, frozen, emptied and restarted at random.
//!
//! Each process is a mesh of its own with a connection of its own. The bound is the one that the documentation of
//! `mesh_retry::coordinator::budget` derives, for the time since all began. Exits with 1 if the fleet ever made more retries
//! than that, or far fewer than it may: a budget that grants nothing is as wrong as one that grants too much.

mod books;
mod chaos;
mod process;

use std::process::ExitCode;
use std::time::Duration;

use mesh::TokioClock;
use mesh::mesh_core::port::Clock as _;
use mesh::mesh_core::rng::Rng;
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::coordinator::budget::FleetBudgetConfig;
use mesh_testkit::{ChaosOptions, RedisServer};

use books::{Bound, Sums};
use process::{Load, Process};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: fleet_budget --start-servers | --chaos [--minutes N] [--seed N]";

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((mode, [])) if mode == "--start-servers" => show().await,
        Some((mode, options)) if mode == "--chaos" => match ChaosOptions::parse(options.iter().cloned(), 2) {
            Some(ChaosOptions { minutes, seed }) => chaos::run(minutes, seed).await,
            None => Ok(usage()),
        },
        Some(_) | None => Ok(usage()),
    }
}

#[expect(clippy::print_stderr, reason = "a command says how it is used")]
fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Twenty processes, an outage half-way.
#[expect(clippy::print_stdout, reason = "a command says what it found")]
async fn show() -> Result<ExitCode, Failure> {
    let mut server = RedisServer::start().await;
    let load = Load { callers: 8, rest: Duration::from_millis(150) };
    let mut fleet = Fleet::start(&server, PROCESSES, load, &mut Rng::from_seed(SEED)).await?;
    println!("a tenth of the calls, 10 a second and 100 at once may be retries, for all together");
    println!(" s  what happens              requests  retries   ratio  alone  settled  failed");
    fleet.watch(8, "20 processes call").await;
    server.kill();
    fleet.watch(4, "Redis is killed").await;
    server.start_again().await;
    fleet.bound.losses += 1;
    fleet.watch(8, "Redis is back, empty").await;
    fleet.end("").await
}

/// Processes that share a budget, and what is known of them.
pub(crate) struct Fleet {
    processes: Vec<Process>,
    clock: TokioClock,
    pub(crate) bound: Bound,
    /// At the last look.
    seen: Sums,
    second: u32,
    /// Whether the bound held at every look so far.
    held: bool,
}

impl Fleet {
    pub(crate) async fn start(server: &RedisServer, count: u32, load: Load, rng: &mut Rng) -> Result<Self, Failure> {
        let mut budget = FleetBudgetConfig::default();
        let limits = &mut budget.limits;
        (limits.ratio_milli, limits.per_second_milli, limits.burst_milli) = (100, 10_000, 100_000);
        budget.processes_assumed = count;
        let clock = TokioClock::new();
        let bound = Bound { limits: budget.limits, began: clock.now(), losses: 0 };
        let mut processes = Vec::new();
        for _ in 0..count {
            processes.push(Process::start(&server.url(), &budget, load, clock, rng).await?);
        }
        Ok(Self { processes, clock, bound, seen: Sums::default(), second: 0, held: true })
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Lets `seconds` pass and tells what was seen in each.
    #[expect(clippy::print_stdout, reason = "whoever waits sees what happens")]
    async fn watch(&mut self, seconds: u32, what: &str) {
        for index in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.second += 1;
            let (before, sums) = (self.seen, self.look());
            let (requests, retries) = (sums.requests - before.requests, sums.retries - before.retries);
            let ratio = percent(retries, requests);
            let (settled, failed) = (sums.settled - before.settled, sums.unsettled - before.unsettled);
            let what = if index == 0 { what } else { "" };
            let (second, alone) = (self.second, sums.alone);
            println!(
                "{second:>2}  {what:<24} {requests:>9} {retries:>8} {ratio:>6.1}% {alone:>6} {settled:>8} {failed:>7}"
            );
        }
    }

    /// Takes note of what has been done so far, and whether it was within the bound.
    pub(crate) fn look(&mut self) -> Sums {
        let sums = Sums::of(self.processes.iter().map(|process| &process.books));
        self.held &= sums.retries <= self.bound.at(self.clock.now(), &sums);
        self.seen = sums;
        sums
    }

    /// Ends everything and prints what it came to, with `faults` at the beginning of the line for programs.
    #[expect(clippy::print_stdout, reason = "a command says what it found")]
    pub(crate) async fn end(mut self, faults: &str) -> Result<ExitCode, Failure> {
        self.processes.iter().for_each(Process::stop);
        for process in &mut self.processes {
            process.stopped().await?;
        }
        let sums = self.look();
        let now = self.clock.now();
        let (bound, lasting, held) = (self.bound.at(now, &sums), self.bound.lasting(now, &sums), self.held);
        let mut is_clean = true;
        for process in self.processes {
            is_clean &= process.end().await;
        }
        let Sums { requests, retries, .. } = sums;
        let ratio = percent(retries, requests);
        println!("{ratio:.1} % of the requests were retried; without bursts and shares {lasting} might have been");
        let grants = retries * 2 >= lasting;
        if !grants {
            println!("that is less than half: the budget grants too little");
        }
        println!("RESULT {faults}requests={requests} retries={retries} bound={bound} held={held}");
        Ok(if held && grants && is_clean && requests > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

const PROCESSES: u32 = 20;
const SEED: u64 = 1;
