//! What the engine must give: closed forms of queueing theory and published experiments, beside what it gives.
//!
//! Each truth is a [`Row`]: the claim, the value, the tolerance that is listed for it and the standard error of the
//! value from independent replications. The randomness of a row follows from its number and is never chosen. The same
//! rows give the same values on every machine, whatever the number of threads.

mod bins;
mod contention;
mod experiments;
mod formulas;
mod hashing;
mod hedging;
mod queues;
mod retrial;
mod retries;
mod row;
mod windows;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

pub use row::{Claim, Row};

use row::Estimate;

/// What came of a number of truths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many rows there were.
    pub rows: u32,
    /// How many of them failed.
    pub failed: u32,
    /// Whether it was stopped before the last.
    pub interrupted: bool,
}

/// Some truths that are measured together.
struct Task {
    claims: Vec<(String, Claim, f64)>,
    /// From a seed to an estimate for each claim.
    measure: Box<dyn Fn(u64) -> Vec<Estimate> + Send + Sync>,
}

/// Measures every truth on `threads` threads and hands each to `on_row`, in their order, as soon as it is known.
///
/// The short form leaves out utilisations above 0.9, which take long to settle. `stop`, once true, ends it early.
pub fn run(full: bool, threads: usize, stop: &Arc<AtomicBool>, mut on_row: impl FnMut(&Row)) -> Summary {
    let tasks = tasks(full);
    let first = firsts(&tasks);
    let (next, (sender, measured)) = (AtomicUsize::new(0), mpsc::channel());
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (sender, tasks, first, next) = (sender.clone(), &tasks, &first, &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(at).filter(|_| !stop.load(Ordering::Relaxed)) else { return };
                    // Nobody listens any more where the rows are not wanted.
                    let _ = sender.send((at, (task.measure)(u64::from(first[at]))));
                }
            });
        }
        drop(sender);
        let mut known: Vec<Option<Vec<Estimate>>> = (0..tasks.len()).map(|_| None).collect();
        let mut told = 0;
        for (at, estimates) in measured {
            known[at] = Some(estimates);
            while let Some(estimates) = known.get_mut(told).and_then(Option::take) {
                for row in rows(&tasks[told], first[told], &estimates) {
                    summary.rows += 1;
                    summary.failed += u32::from(!row.holds());
                    on_row(&row);
                }
                told += 1;
            }
        }
        summary.interrupted = told < tasks.len();
    });
    summary
}

/// Measures only the truths whose names contain `name`, here and now.
#[must_use]
pub fn only(name: &str) -> Vec<Row> {
    let tasks = tasks(true);
    let first = firsts(&tasks);
    let is_meant = |task: &Task| task.claims.iter().any(|(claim, ..)| claim.contains(name));
    let chosen = tasks.iter().zip(&first).filter(|(task, _)| is_meant(task));
    chosen.flat_map(|(task, &first)| rows(task, first, &(task.measure)(u64::from(first)))).collect()
}

fn tasks(full: bool) -> Vec<Task> {
    let mut tasks = queues::tasks(full);
    tasks.extend(bins::tasks());
    tasks.extend(queues::retrial_tasks());
    tasks.extend(experiments::tasks());
    tasks.extend(hashing::tasks());
    tasks.extend(windows::tasks());
    tasks.extend(hedging::tasks());
    tasks.extend(retries::tasks());
    tasks
}

/// The number of each task's first row.
fn firsts(tasks: &[Task]) -> Vec<u32> {
    let mut next = 1;
    let number = |task: &Task| {
        let first = next;
        next += task.claims.len() as u32;
        first
    };
    tasks.iter().map(number).collect()
}

fn rows(task: &Task, first: u32, estimates: &[Estimate]) -> Vec<Row> {
    let row = |((number, (name, claim, listed)), estimate): ((u32, &(String, Claim, f64)), &Estimate)| Row {
        number,
        name: name.clone(),
        value: estimate.value,
        claim: *claim,
        listed: *listed,
        standard_error: estimate.standard_error,
    };
    (first..).zip(&task.claims).zip(estimates).map(row).collect()
}

/// Measures `N` numbers in `replications` independent replications, whose seeds follow from `seed`.
fn replicate<const N: usize>(seed: u64, replications: u64, measure: impl Fn(u64) -> [f64; N]) -> Vec<Estimate> {
    let samples: Vec<[f64; N]> = (0..replications).map(|number| measure(seed * SEEDS_PER_ROW + number)).collect();
    let column = |at: usize| samples.iter().map(|sample| sample[at]).collect::<Vec<_>>();
    (0..N).map(|at| Estimate::of(&column(at))).collect()
}

/// No row has as many replications.
const SEEDS_PER_ROW: u64 = 1000;
