//! The run as a table.

use mesh_cache::{Freshness, Source};

use crate::aftermath::{Belongings, KEYS_MAX};
use crate::judge::{FRESHNESSES, HEARING, PROMPT, SOURCES, Tally};
use crate::millis;
use crate::process::Writes;

/// Prints what calls came to.
#[expect(clippy::print_stdout, reason = "a command says what it found")]
pub(crate) fn calls(tally: &Tally, writes: Writes) {
    let row = |name: &str, cells: &[u64]| {
        let sum: u64 = cells.iter().sum();
        let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
        println!("{name:<16}{cells}{sum:>14}");
    };
    let names: String = SOURCES.iter().map(|source| format!("{:>14}", Source::name(*source))).collect();
    println!("{:<16}{names}{:>14}", "reads", "all");
    for (freshness, cells) in FRESHNESSES.iter().zip(&tally.served) {
        row(Freshness::name(*freshness), cells);
    }
    let sums: Vec<u64> = (0..SOURCES.len()).map(|at| tally.served.iter().map(|cells| cells[at]).sum()).collect();
    row("all", &sums);
    println!("not served, as the origin failed and nothing was cached: {}", tally.unserved);
    let share = 100.0 * tally.hits as f64 / tally.reads().max(1) as f64;
    let (hit, call) = (millis(tally.longest_hit), millis(tally.longest_call));
    println!("hits {share:.2} %   longest hit {hit}   longest call {call}");
    let Writes { told, not_told } = writes;
    println!("changes told {told}   not told {not_told}");
}

/// Prints how late processes heard of changes, and how true ages were.
#[expect(clippy::print_stdout, reason = "a command says what it found")]
pub(crate) fn lags(tally: &Tally) {
    println!("{:<32}{:>10}{:>14}{:>14}", "fresh after another had told", "reads", "longest", "allowed");
    for (name, lag, allowed) in
        [("link and server in order", &tally.lag, PROMPT), ("a moment after silence", &tally.lag_in_silence, HEARING)]
    {
        println!("{name:<32}{:>10}{:>14}{:>14}", lag.count, millis(lag.longest), millis(allowed));
    }
    println!("values were older than their age by {} at most", millis(tally.age_short));
}

/// Prints what there was and what is left.
#[expect(clippy::print_stdout, reason = "a command says what it found")]
pub(crate) fn belongings(before: &Belongings, after: &Belongings) {
    println!(
        "connections {} then {}   tasks {} then {}",
        before.connections, after.connections, before.tasks, after.tasks
    );
    println!("entries {} then {}   keys of the server {} of {KEYS_MAX}", before.entries, after.entries, after.keys);
}
