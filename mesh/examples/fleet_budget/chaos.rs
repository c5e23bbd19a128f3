//! Faults of the server at random, under a fleet that retries all the time.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use mesh::mesh_core::rng::Rng;
use mesh_testkit::RedisServer;

use crate::process::Load;
use crate::{Failure, Fleet, percent};

/// One thing that goes wrong with the server.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    KilledAndEmptied,
    KilledAndSetBack,
    Restarted,
    Frozen,
    FrozenForLong,
    Asleep,
    OutOfMemory,
    Flushed,
    ScriptsForgotten,
    ClientsKilled,
}

const FAULTS: [Fault; 11] = [
    Fault::Killed,
    Fault::KilledAndEmptied,
    Fault::KilledAndSetBack,
    Fault::Restarted,
    Fault::Frozen,
    Fault::FrozenForLong,
    Fault::Asleep,
    Fault::OutOfMemory,
    Fault::Flushed,
    Fault::ScriptsForgotten,
    Fault::ClientsKilled,
];

/// Lets fifty processes call while the server has one fault after the other.
#[expect(clippy::print_stdout, reason = "a command says what it found")]
pub(crate) async fn run(minutes: u64, seed: u64) -> Result<ExitCode, Failure> {
    println!("chaos on the Redis of a fleet's budget for {minutes} minutes, seed {seed}: {PROCESSES} processes");
    let mut random = Rng::from_seed(seed);
    // It loses nothing that it acknowledged, but where that is the fault.
    let mut server = RedisServer::builder().append_only().setting("appendfsync", "always").start().await;
    let load = Load { callers: 4, rest: Duration::from_millis(150) };
    let mut fleet = Fleet::start(&server, PROCESSES, load, &mut random).await?;
    let (began, time) = (fleet.now(), Duration::from_secs(minutes * 60));
    let (mut left, mut faults) = (Vec::new(), 0_u64);
    while fleet.now().since(began) < time {
        pause(&mut random, 1_000, 3_000).await;
        let fault = draw(&mut left, &mut random);
        faults += 1;
        let lost = strike(&mut server, fault, &mut random).await?;
        fleet.bound.losses += u64::from(lost);
        tell(&mut fleet, began, format_args!("{fault:?}"));
    }
    // Whoever went alone is to come back.
    tokio::time::sleep(SETTLES_WITHIN).await;
    tell(&mut fleet, began, "the end of all faults");
    if fleet.look().alone > 0 {
        println!("not all have come back to the store");
        fleet.end(&format!("faults={faults} ")).await?;
        return Ok(ExitCode::FAILURE);
    }
    fleet.end(&format!("faults={faults} ")).await
}

/// Prints a line of what happened when, and how the fleet has fared by then.
#[expect(clippy::print_stdout, reason = "whoever waits sees what happens")]
fn tell(fleet: &mut Fleet, began: mesh::mesh_core::time::Instant, what: impl fmt::Display) {
    let sums = fleet.look();
    let now = fleet.now();
    let (seconds, ratio) = (now.since(began).as_secs_f64(), percent(sums.retries, sums.requests));
    let (retries, bound, alone) = (sums.retries, fleet.bound.at(now, &sums), sums.alone);
    let what = what.to_string();
    println!("{seconds:>6.1} s  {what:<22} {retries:>6} of {bound:>6} retries, {ratio:>5.1} %, {alone:>2} alone");
}

/// Lets `fault` happen and pass; says whether the server lost what it had acknowledged.
async fn strike(server: &mut RedisServer, fault: Fault, random: &mut Rng) -> Result<bool, Failure> {
    match fault {
        Fault::Killed => {
            server.kill();
            pause(random, 10, 4_000).await;
            server.start_again().await;
        }
        Fault::KilledAndEmptied => {
            server.kill();
            pause(random, 10, 2_000).await;
            server.start_empty().await;
        }
        Fault::KilledAndSetBack => {
            server.remember()?;
            pause(random, 500, 2_000).await;
            server.kill();
            server.start_as_remembered().await?;
        }
        Fault::Restarted => {
            server.stop().await;
            server.start_again().await;
        }
        Fault::Frozen | Fault::FrozenForLong => {
            let (least, most) = if matches!(fault, Fault::Frozen) { (50, 1_000) } else { (1_000, 4_000) };
            server.freeze();
            pause(random, least, most).await;
            server.thaw();
        }
        Fault::Asleep => {
            let time = Duration::from_millis(50 + random.below(2_000));
            server.debug_sleep(time).await?;
            tokio::time::sleep(time).await;
        }
        Fault::OutOfMemory => {
            server.command(&["CONFIG", "SET", "maxmemory", "1"]).await?.accepted()?;
            pause(random, 200, 2_000).await;
            server.command(&["CONFIG", "SET", "maxmemory", "0"]).await?.accepted()?;
        }
        Fault::Flushed => drop(server.command(&["FLUSHALL"]).await?.accepted()?),
        Fault::ScriptsForgotten => drop(server.command(&["SCRIPT", "FLUSH"]).await?.accepted()?),
        Fault::ClientsKilled => drop(server.kill_clients().await?),
    }
    Ok(matches!(fault, Fault::KilledAndEmptied | Fault::KilledAndSetBack | Fault::Flushed))
}

/// Every fault once before any comes again.
fn draw(left: &mut Vec<Fault>, random: &mut Rng) -> Fault {
    if left.is_empty() {
        left.extend_from_slice(&FAULTS);
    }
    left.swap_remove(usize::try_from(random.below(left.len() as u64)).unwrap_or(0))
}

async fn pause(random: &mut Rng, least: u64, most: u64) {
    tokio::time::sleep(Duration::from_millis(least + random.below(most - least))).await;
}

const PROCESSES: u32 = 50;
/// A link tries every half second, a settlement is tried every second and a half, and this machine may be busy.
const SETTLES_WITHIN: Duration = Duration::from_secs(8);
