//! What goes wrong, on two tracks at once: the server's troubles, and those of single links and of the origin.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_cache::Scope;
use mesh_cache::mesh_core::rng::Rng;
use mesh_cache::mesh_core::time::Instant;
use mesh_testkit::{Fault, FaultProxy, RedisServer};
use tokio::task::JoinSet;

use crate::judge::Judge;
use crate::origin::Origin;
use crate::process::{Process, QUIET, STRAIGHT};
use crate::weather::{Silence, Watch};
use crate::{Failure, timeline};

/// One thing that goes wrong with the server.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Killed,
    KilledAndEmptied,
    KilledAndSetBack,
    Restarted,
    Frozen,
    Asleep,
    BusyWithAScript,
    OutOfMemory,
    Flushed,
    ScriptsForgotten,
    ClientsKilled,
}

const TROUBLES: [Trouble; 11] = [
    Trouble::Killed,
    Trouble::KilledAndEmptied,
    Trouble::KilledAndSetBack,
    Trouble::Restarted,
    Trouble::Frozen,
    Trouble::Asleep,
    Trouble::BusyWithAScript,
    Trouble::OutOfMemory,
    Trouble::Flushed,
    Trouble::ScriptsForgotten,
    Trouble::ClientsKilled,
];

/// One thing that goes wrong elsewhere.
#[derive(Clone, Copy, Debug)]
enum Hitch {
    LinkSwallows,
    LinkStalls,
    LinkIsSlow,
    LinkIsReset,
    LinkIsCut,
    OriginFails,
}

const HITCHES: [Hitch; 6] = [
    Hitch::LinkSwallows,
    Hitch::LinkStalls,
    Hitch::LinkIsSlow,
    Hitch::LinkIsReset,
    Hitch::LinkIsCut,
    Hitch::OriginFails,
];

/// The server and what happens to it.
pub(crate) struct Chaos {
    pub(crate) server: RedisServer,
    pub(crate) processes: Vec<Arc<Process>>,
    pub(crate) random: Rng,
    pub(crate) watch: Watch,
    pub(crate) judge: Arc<Judge>,
    pub(crate) faults: usize,
}

/// The links, and what happens to them.
pub(crate) struct Links {
    pub(crate) processes: Vec<Arc<Process>>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) random: Rng,
    pub(crate) watch: Watch,
    pub(crate) faults: usize,
}

impl Chaos {
    /// Makes trouble for `time`, every kind once before any comes again.
    pub(crate) async fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let mut left = Vec::new();
        while self.watch.now().since(Instant::ZERO) < time {
            let trouble = draw(&mut left, &TROUBLES, &mut self.random);
            timeline(self.watch, format_args!("server     {trouble:?}"));
            self.faults += 1;
            self.trouble(trouble).await?;
            pause(&mut self.random, 1_000, 3_000).await;
        }
        Ok(())
    }

    async fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        let (server, random, silence) = (&mut self.server, &mut self.random, &self.judge.silence);
        match trouble {
            Trouble::Killed => {
                server.kill();
                pause(random, 10, 2_000).await;
                server.start_again().await;
            }
            Trouble::KilledAndEmptied => {
                server.kill();
                pause(random, 10, 500).await;
                server.start_empty().await;
            }
            Trouble::KilledAndSetBack => set_back(self).await?,
            Trouble::Restarted => {
                server.stop().await;
                server.start_again().await;
            }
            Trouble::Frozen => {
                silence.begin();
                server.freeze();
                pause(random, 50, 3_000).await;
                server.thaw();
                silence.end();
            }
            Trouble::Asleep => {
                silence.begin();
                let time = Duration::from_millis(50 + random.below(2_000));
                server.debug_sleep(time).await?;
                tokio::time::sleep(time).await;
                silence.end();
            }
            Trouble::BusyWithAScript => busy(self).await?,
            Trouble::OutOfMemory => {
                server.command(&["CONFIG", "SET", "maxmemory", "1"]).await?.accepted()?;
                pause(random, 200, 2_000).await;
                server.command(&["CONFIG", "SET", "maxmemory", "0"]).await?.accepted()?;
            }
            Trouble::Flushed => drop(server.command(&["FLUSHALL"]).await?.accepted()?),
            Trouble::ScriptsForgotten => drop(server.command(&["SCRIPT", "FLUSH"]).await?.accepted()?),
            Trouble::ClientsKilled => drop(server.kill_clients().await?),
        }
        Ok(())
    }
}

/// Lets the server lose what it acknowledged last, in an outage that is longer than changes are remembered for. Nobody
/// changes anything meanwhile: what cannot be told at once is told afterwards, and would hide what is not told again. Most
/// of what the server is set back to nobody has, so that it would be believed.
async fn set_back(chaos: &mut Chaos) -> Result<(), Failure> {
    let Chaos { server, random, judge, processes, .. } = chaos;
    server.remember()?;
    pause(random, 500, 1_500).await;
    processes.iter().for_each(|process| process.is_idle.store(true, Ordering::Relaxed));
    tokio::time::sleep(TOLD_WITHIN).await;
    judge.set_back.begin();
    server.kill();
    pause(random, 11_000, 13_000).await;
    for process in processes.iter() {
        process.cache.invalidate_here(&Scope::All);
    }
    server.start_as_remembered().await?;
    for process in processes.iter() {
        while !process.cache.is_hearing() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    judge.set_back.end();
    pause(random, 1_000, 2_000).await;
    processes.iter().for_each(|process| process.is_idle.store(false, Ordering::Relaxed));
    Ok(())
}

/// Lets a script run that does not end, until it is killed, amid many changes. What comes while the server is frozen it
/// reads in one go: it makes changes, acknowledges them, and has begun the script before it could tell of them.
async fn busy(chaos: &mut Chaos) -> Result<(), Failure> {
    let Chaos { server, random, judge, processes, .. } = chaos;
    judge.silence.begin();
    let mut script = server.connect().await?;
    let mut changes = JoinSet::new();
    for process in processes.iter().cycle().take(CHANGES_AMID) {
        changes.spawn(Arc::clone(process).change_once(random.fork()));
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    server.freeze();
    pause(random, 5, 20).await;
    script.send(&["EVAL", "while true do end", "0"]).await?;
    server.thaw();
    pause(random, 100, 4_000).await;
    // It cannot be killed before it runs.
    while server.command(&["SCRIPT", "KILL"]).await?.error().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    judge.silence.end();
    while changes.join_next().await.is_some() {}
    Ok(())
}

impl Links {
    /// Makes trouble for `time`, every kind once before any comes again.
    pub(crate) async fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let mut left = Vec::new();
        while self.watch.now().since(Instant::ZERO) < time {
            pause(&mut self.random, 300, 1_500).await;
            let hitch = draw(&mut left, &HITCHES, &mut self.random);
            self.faults += 1;
            if matches!(hitch, Hitch::OriginFails) {
                timeline(self.watch, format_args!("origin     {hitch:?}"));
                self.origin.set_failing(true);
                pause(&mut self.random, 200, 2_000).await;
                self.origin.set_failing(false);
                continue;
            }
            let process = self.victim(hitch);
            let Some(proxy) = &process.proxy else { continue };
            timeline(self.watch, format_args!("process {}  {hitch:?}", process.index));
            self.hitch(hitch, proxy, &process.silence).await;
        }
        Ok(())
    }

    /// A process with a proxy; of silence every other time the one that has nothing but its PINGs to notice it.
    fn victim(&mut self, hitch: Hitch) -> Arc<Process> {
        let is_silent = matches!(hitch, Hitch::LinkSwallows | Hitch::LinkStalls);
        let most = self.processes.len() - STRAIGHT;
        let drawn = STRAIGHT + usize::try_from(self.random.below(most as u64)).unwrap_or(0);
        let chosen = if is_silent && self.random.below(2) == 0 { QUIET } else { drawn };
        Arc::clone(&self.processes[chosen])
    }

    async fn hitch(&mut self, hitch: Hitch, proxy: &FaultProxy, silence: &Silence) {
        let random = &mut self.random;
        let (fault, is_silent) = match hitch {
            Hitch::LinkSwallows => (Fault::BlackHole, true),
            Hitch::LinkStalls => (Fault::Latency(Duration::from_millis(600 + random.below(2_000))), true),
            Hitch::LinkIsSlow => (Fault::Latency(Duration::from_millis(5 + random.below(200))), true),
            Hitch::LinkIsReset => (Fault::Reset, false),
            Hitch::LinkIsCut => (Fault::ResetAfter(usize::try_from(random.below(2_000)).unwrap_or(0)), false),
            Hitch::OriginFails => return,
        };
        if is_silent {
            silence.begin();
        }
        proxy.set(fault);
        pause(random, 100, 3_500).await;
        if fault == Fault::BlackHole {
            // What was swallowed is gone, which no network does to a connection that stands.
            proxy.set(Fault::Reset);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        proxy.set(Fault::None);
        if is_silent {
            silence.end();
        }
    }
}

/// Within what time changes have been told that could not be at once, and those that are under way.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// How many changes are made at once when a script begins.
const CHANGES_AMID: usize = 120;

/// One of `left`, which is filled up with `all` where it is empty.
fn draw<T: Copy>(left: &mut Vec<T>, all: &[T], random: &mut Rng) -> T {
    if left.is_empty() {
        left.extend_from_slice(all);
    }
    left.swap_remove(usize::try_from(random.below(left.len() as u64)).unwrap_or(0))
}

async fn pause(random: &mut Rng, least: u64, most: u64) {
    tokio::time::sleep(Duration::from_millis(least + random.below(most - least))).await;
}
