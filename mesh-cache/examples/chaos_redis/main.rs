//! Caches of six processes on a Redis that dies, freezes, forgets and fills up at random, over links that break.
//!
//! `scripts/chaos-redis --minutes 2` runs it. Each process has a connection and a cache of its own, four tasks that read
//! and, all but one, a task that writes: it changes the origin, and then invalidates or publishes. Of every call it is
//! asked:
//!
//! - what is served as fresh is not older than what the process itself had changed, nor than what another had told so
//!   long ago that it must have been heard: 50 ms, or 2 s where the link or the server had kept silent; where the server
//!   had lost what it was told, once everybody hears again;
//! - no value is older than its age says, counted from when the origin had it;
//! - no call fails unless the origin did and nothing was cached;
//! - no hit takes longer than 250 ms, and no call longer than its deadlines.
//!
//! Afterwards everybody hears within 30 s, is fresh and agrees with the origin, is served with neither Redis nor the
//! origin, and has what it had. Exits with 1 otherwise. How late this machine's own timers were is allowed for.

mod aftermath;
mod faults;
mod judge;
mod origin;
mod process;
mod report;
mod weather;

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesh_cache::mesh_core::rng::Rng;
use mesh_cache::mesh_core::time::Instant;
use mesh_testkit::{ChaosOptions, RedisServer};
use tokio::task::JoinHandle;

use aftermath::{Belongings, black_out, settle};
use faults::{Chaos, Links};
use judge::{Judge, Rule, Tally};
use origin::{Origin, ROWS};
use process::{Process, QUIET, Writes};
use weather::{Lateness, Silence, Watch};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PROCESSES: usize = 6;
const READERS: usize = 4;
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
const USAGE: &str = "usage: chaos_redis [--minutes N] [--seed N]";

/// Everybody who does something until it is told to stop.
struct Fleet {
    processes: Vec<Arc<Process>>,
    readers: Vec<JoinHandle<Tally>>,
    writers: Vec<JoinHandle<Writes>>,
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command says what it found")]
async fn main() -> Result<ExitCode, Failure> {
    let Some(ChaosOptions { minutes, seed }) = ChaosOptions::parse(std::env::args().skip(1), 2) else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    println!("chaos on Redis for {minutes} minutes, seed {seed}: {PROCESSES} processes, {ROWS} rows");

    let watch = Watch::start();
    let mut random = Rng::from_seed(seed);
    let server = server().await;
    let origin = Arc::new(Origin::new(watch, PROCESSES, random.next_u64())?);
    let (lateness, watching) = Lateness::watch(watch);
    let judge = Arc::new(Judge {
        watch,
        origin: Arc::clone(&origin),
        silence: Silence::new(watch),
        set_back: Silence::new(watch),
        lateness,
        is_warm: AtomicBool::new(false),
        shown: Default::default(),
    });
    let mut processes = Vec::new();
    for index in 0..PROCESSES {
        processes.push(Arc::new(Process::start(index, &server, &origin, watch).await?));
    }
    let unready = settle(&origin, &processes, SETTLED_WITHIN).await;
    if let Some(first) = unready.first() {
        return Err(format!("not ready: {first}").into());
    }
    let before = Belongings::count(&server, &processes).await?;
    let mut fleet = Fleet::start(processes.clone(), &judge, &mut random);

    let time = Duration::from_secs(minutes * 60);
    let mut chaos = Chaos {
        server,
        processes: processes.clone(),
        random: random.fork(),
        watch,
        judge: Arc::clone(&judge),
        faults: 0,
    };
    let mut links = Links { processes, origin, random: random.fork(), watch, faults: 0 };
    tokio::try_join!(chaos.run(time), links.run(time))?;
    let mut server = chaos.server;

    let writes = fleet.stop_writing().await?;
    let mut unsettled = settle(&judge.origin, &fleet.processes, SETTLED_WITHIN).await;
    timeline(watch, "the end of all faults; now the server and the origin at once");
    black_out(&mut server, &judge).await;
    unsettled.extend(settle(&judge.origin, &fleet.processes, SETTLED_WITHIN).await);
    let (processes, tally) = fleet.stop_reading().await?;
    let after = Belongings::return_to(&before, SETTLED_WITHIN, &server, &processes).await?;
    watching.abort();

    let verdict = Verdict { tally, writes, before, after, unsettled, faults: chaos.faults + links.faults };
    Ok(verdict.report(seed))
}

/// What the run came to.
struct Verdict {
    tally: Tally,
    writes: Writes,
    before: Belongings,
    after: Belongings,
    unsettled: Vec<String>,
    faults: usize,
}

impl Verdict {
    /// Prints it, with the line for programs at last.
    #[expect(clippy::print_stdout, reason = "a command says what it found")]
    fn report(&self, seed: u64) -> ExitCode {
        let Self { tally, writes, before, after, unsettled, faults } = self;
        report::calls(tally, *writes);
        report::lags(tally);
        report::belongings(before, after);
        println!("everybody hears, is fresh and agrees: {}", if unsettled.is_empty() { "yes" } else { "NO" });
        for one in unsettled.iter().take(UNSETTLED_SHOWN) {
            println!("unsettled: {one}");
        }
        let (stale, failed) = (tally.broken(Rule::StaleAsFresh), tally.broken(Rule::Failed));
        let (untrue, slow) = (tally.broken(Rule::Untrue), tally.broken(Rule::Slow));
        let left = u64::from(!after.is_within(before)) + u64::from(!unsettled.is_empty());
        println!("untrue {untrue}   slow {slow}   left over {}", if left == 0 { "nothing" } else { "SOMETHING" });
        let reads = tally.reads();
        println!("RESULT faults={faults} reads={reads} stale_as_fresh={stale} failed={failed} seed={seed}");
        let held = stale + failed + untrue + slow + left == 0 && *faults > 0 && reads > 0 && writes.told > 0;
        if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Fleet {
    fn start(processes: Vec<Arc<Process>>, judge: &Arc<Judge>, random: &mut Rng) -> Self {
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for process in &processes {
            for _ in 0..READERS {
                readers.push(tokio::spawn(Arc::clone(process).reader(Arc::clone(judge), random.fork())));
            }
            if process.index != QUIET {
                writers.push(tokio::spawn(Arc::clone(process).writer(random.fork())));
            }
        }
        Self { processes, readers, writers }
    }

    async fn stop_writing(&mut self) -> Result<Writes, Failure> {
        self.processes.iter().for_each(|process| process.stop_writing.store(true, Ordering::Relaxed));
        let mut all = Writes::default();
        for writer in self.writers.drain(..) {
            let writes = writer.await?;
            all.told += writes.told;
            all.not_told += writes.not_told;
        }
        Ok(all)
    }

    async fn stop_reading(self) -> Result<(Vec<Arc<Process>>, Tally), Failure> {
        self.processes.iter().for_each(|process| process.stop_reading.store(true, Ordering::Relaxed));
        let mut all = Tally::default();
        for reader in self.readers {
            all.merge(&reader.await?);
        }
        Ok((self.processes, all))
    }
}

/// A server that forgets nothing that it acknowledged, however it ends. It says that a script is busy so soon that what
/// it acknowledges with that is waited for.
async fn server() -> RedisServer {
    let builder = RedisServer::builder().append_only().setting("appendfsync", "always");
    builder.setting("lua-time-limit", "20").start().await
}

/// Prints a line of what happened when.
#[expect(clippy::print_stdout, reason = "whoever waits sees what happens")]
fn timeline(watch: Watch, what: impl fmt::Display) {
    println!("{:>6.1} s  {what}", watch.now().since(Instant::ZERO).as_secs_f64());
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}

const UNSETTLED_SHOWN: usize = 5;
