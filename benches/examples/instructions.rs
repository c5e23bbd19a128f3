//! A loop of picks to count the instructions of: `instructions <subject> <instances> <picks>`, and `instructions --list`.
//!
//! What the loop costs beside the picks is the same for any number of them, so that two runs tell what a pick takes.
//! `scripts/bench-instructions` runs it under valgrind.
#![expect(clippy::expect_used, reason = "a loop that cannot be set up has nothing to count")]

#[path = "../benches/common/tower.rs"]
mod tower;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;

use ::tower::Service;
use mesh_benches::floors::Counters;
use mesh_benches::ours::Ours;
use mesh_benches::subject::in_turn;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => Ok(std::io::stdout().write_all((subjects().join("\n") + "\n").as_bytes())?),
        [subject, size, picks] => loop_of(subject, size.parse()?, picks.parse()?),
        _ => Err("usage: instructions <subject> <instances> <picks>, or --list".into()),
    }
}

/// The names of the subjects. Those that read the clock are left out: valgrind counts no call into the kernel.
fn subjects() -> Vec<String> {
    let ours = Ours::all().into_iter().filter(|ours| !ours.reads_clock()).map(|ours| ours.name);
    ours.chain([PENDING_REQUESTS, PEAK_EWMA, TWO_CHOICES, ROTATION].map(str::to_owned)).collect()
}

fn loop_of(subject: &str, size: usize, picks: u64) -> Result<(), Box<dyn Error>> {
    let counters = Counters::new(size);
    match subject {
        PENDING_REQUESTS => turns_of(tower::pending_requests(size), picks),
        PEAK_EWMA => turns_of(tower::peak_ewma(size), picks),
        TWO_CHOICES => in_turn(counters.two_choices(0))(picks),
        ROTATION => in_turn(counters.rotation())(picks),
        ours => {
            let ours = Ours::all().into_iter().find(|one| one.name == ours).ok_or("there is no such subject")?;
            ours.worker(&ours.balancer(size), 0)(picks);
        }
    }
    Ok(())
}

fn turns_of(balance: impl Service<(), Future: Future + Unpin>, picks: u64) {
    let balance = Mutex::new(balance);
    in_turn(tower::Picks(balance.lock().expect("nobody else has it")))(picks);
}

const PENDING_REQUESTS: &str = "tower/p2c-pending-requests";
const PEAK_EWMA: &str = "tower/p2c-peak-ewma";
const TWO_CHOICES: &str = "floor/p2c";
const ROTATION: &str = "floor/round-robin";
