//! `mesh-sim run`: a run for each strategy, and what came of them.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mesh_core::balance::{EndpointId, Explanation};
use mesh_core::time::Instant;

use super::selection::Part;
use super::{
    BAD_SCENARIO, DIFFERED, Ended, INTERRUPTED, Look, UNMET, json, outputs, print, scenarios, selection, tell,
};
use crate::env::{self, Output, Stopwatch};
use crate::model::scenario::Scenario;
use crate::model::{Event, Observer, Plan, Report, Run};
use crate::report::{self, Tracer};

/// What a run is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A file, or the name of a scenario that comes with it.
    #[arg(value_name = "FILE")]
    scenario: PathBuf,
    /// Replaces the scenario's seed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Runs this instead of the scenario's; may be repeated.
    #[arg(long = "strategy", value_name = "NAME")]
    strategies: Vec<String>,
    /// Leaves this part of the clients out, to see what it does; repeatable.
    #[arg(long, value_name = "PART")]
    without: Vec<Part>,
    /// Prints the result as JSON, and nothing else.
    #[arg(long)]
    json: bool,
    /// Writes the numbers as a table, a line a strategy.
    #[arg(long, value_name = "OUT.csv")]
    csv: Option<PathBuf>,
    /// Writes every event as a line of JSON.
    #[arg(long, value_name = "OUT.ndjson")]
    trace: Option<PathBuf>,
    /// Not yet supported: writes a report.
    #[arg(long, value_name = "OUT.html", hide = true)]
    report: Option<PathBuf>,
    /// Runs every strategy twice and compares.
    #[arg(long)]
    double_check: bool,
}

pub(super) fn run(arguments: &Arguments, look: Look) -> Result<(), Ended> {
    if arguments.report.is_some() {
        return Err(Ended::usage("not yet supported: --report"));
    }
    let mut read = scenarios::find(&arguments.scenario, look)?;
    let selection: Vec<_> = arguments.strategies.iter().map(String::as_str).collect();
    selection::seed(&mut read.scenario, arguments.seed);
    selection::strategies(&mut read.scenario, &selection)?;
    arguments.without.iter().for_each(|part| selection::leave_out(&mut read.scenario, *part));
    // Before the first file, so that whoever sees one knows that an interrupt will be heard.
    let interrupted = env::interrupts();
    let (csv, trace) = files(arguments, &read.scenario)?;
    scenarios::warn(&read, look);
    let plan =
        read.scenario.plan().map_err(|invalid| Ended::with(BAD_SCENARIO, format_args!("mesh-sim: {invalid}")))?;
    let stopwatch = Stopwatch::start();
    let mut runner = Runner { plan: &plan, interrupted, trace };
    let runs = runner.all(arguments.double_check)?;
    let mut report = plan.report(runs);
    report.wall_s = stopwatch.seconds();
    forget_what_is_not_whole(&mut report);
    if arguments.json {
        print(&(json(&report)? + "\n"))?;
    } else {
        print(&report::table(&read.scenario, &report, look.result_colours))?;
    }
    let is_interrupted = runner.is_interrupted();
    keep(csv, runner.trace, &report, is_interrupted)?;
    if is_interrupted {
        return Err(Ended::with(INTERRUPTED, "mesh-sim: interrupted"));
    }
    let unmet = report.expectations.iter().filter(|verdict| !verdict.holds).count();
    if unmet == 0 { Ok(()) } else { Err(Ended { code: UNMET, message: String::new() }) }
}

/// Begins the files that the run will write, before anything runs.
fn files(arguments: &Arguments, scenario: &Scenario) -> Result<(Option<Output>, Option<Output>), Ended> {
    let arrivals = scenario.trace_file().map(|file| scenarios::beside(&arguments.scenario, file));
    let mut taken = vec![&*arguments.scenario];
    taken.extend(arrivals.as_deref());
    let csv = outputs::begin(arguments.csv.as_deref(), &taken)?;
    taken.extend(arguments.csv.as_deref());
    let trace = outputs::begin(arguments.trace.as_deref(), &taken)?;
    Ok((csv, trace))
}

/// Of a run that was interrupted nothing can be expected.
fn forget_what_is_not_whole(report: &mut Report) {
    let broken = |run: &&Run| run.interrupted_at_s.is_some();
    let labels: Vec<_> = report.runs.iter().filter(broken).map(|run| run.label.clone()).collect();
    report.expectations.retain(|verdict| !labels.contains(&verdict.strategy));
}

/// Makes the runs of a plan.
struct Runner<'p> {
    plan: &'p Plan<'p>,
    interrupted: Arc<AtomicBool>,
    trace: Option<Output>,
}

impl Runner<'_> {
    fn all(&mut self, twice: bool) -> Result<Vec<Run>, Ended> {
        let mut runs = Vec::new();
        for index in 0..self.plan.len() {
            if self.is_interrupted() {
                break;
            }
            let run = self.one(index)?;
            if twice && run.interrupted_at_s.is_none() {
                let mut watch = Watch::new(self.plan, index, Arc::clone(&self.interrupted));
                let second = self.plan.run(index, &mut watch);
                watch.bar.finish_and_clear();
                compare(&run, second)?;
            }
            runs.push(run);
        }
        Ok(runs)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn one(&mut self, index: usize) -> Result<Run, Ended> {
        let stopwatch = Stopwatch::start();
        let mut watch = Watch::new(self.plan, index, Arc::clone(&self.interrupted));
        let mut run = match &mut self.trace {
            None => self.plan.run(index, &mut watch),
            Some(file) => {
                let path = file.path().to_owned();
                let tracer = Tracer::new(self.plan.scenario(), self.plan.label(index), file);
                let mut traced = Traced { tracer, watch: &mut watch };
                let run = self.plan.run(index, &mut traced);
                traced.tracer.finish().map_err(|error| outputs::failed(&path, &error))?;
                run
            }
        };
        watch.bar.finish_and_clear();
        run.wall_s = stopwatch.seconds();
        Ok(run)
    }
}

/// Holds two runs of one seed to be the same but for the time that they took.
fn compare(first: &Run, mut second: Run) -> Result<(), Ended> {
    second.wall_s = first.wall_s;
    if second.interrupted_at_s.is_some() || second == *first {
        return Ok(());
    }
    let (label, one, other) = (&first.label, &first.digest, &second.digest);
    Err(Ended::with(DIFFERED, format_args!("mesh-sim: {label}: two runs of one seed differed: {one} and {other}")))
}

/// Shows how far a run is, and ends it when it is interrupted.
struct Watch {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Watch {
    fn new(plan: &Plan<'_>, index: usize, interrupted: Arc<AtomicBool>) -> Self {
        let millis = u64::try_from(plan.scenario().duration.as_millis()).unwrap_or(u64::MAX);
        let target = if env::terminals().0 { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(millis), target);
        if let Ok(style) = ProgressStyle::with_template("{msg:24} {bar:30} {percent:>3} %  {eta} left") {
            bar.set_style(style);
        }
        bar.set_message(plan.label(index).to_owned());
        Self { bar, interrupted }
    }
}

impl Observer for Watch {
    fn progress(&mut self, at: Instant) -> ControlFlow<()> {
        self.bar.set_position(at.as_nanos() / 1_000_000);
        if self.interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Both a trace and a watch.
struct Traced<'w, W> {
    tracer: W,
    watch: &'w mut Watch,
}

impl<W: std::io::Write> Observer for Traced<'_, Tracer<'_, W>> {
    fn occurred(&mut self, at: Instant, event: &Event) {
        self.tracer.occurred(at, event);
    }

    fn wants_reasons(&self) -> bool {
        self.tracer.wants_reasons()
    }

    fn picked(&mut self, at: Instant, event: &Event, why: &Explanation, server: &dyn Fn(EndpointId) -> u32) {
        self.tracer.picked(at, event, why, server);
    }

    fn progress(&mut self, at: Instant) -> ControlFlow<()> {
        // What cannot be written need not be simulated.
        if self.tracer.has_failed() { ControlFlow::Break(()) } else { self.watch.progress(at) }
    }
}

/// Gives the files their names, once all of them are whole; those of an interrupted run get none.
fn keep(csv: Option<Output>, trace: Option<Output>, report: &Report, is_interrupted: bool) -> Result<(), Ended> {
    let mut csv = csv;
    if let Some(file) = &mut csv {
        let written = file.write_all(report::csv(report).as_bytes());
        written.map_err(|error| outputs::failed(file.path(), &error))?;
    }
    let files: Vec<_> = [csv, trace].into_iter().flatten().collect();
    let names = files.iter().map(|file| file.path().display().to_string()).collect::<Vec<_>>().join(", ");
    if files.is_empty() {
        return Ok(());
    }
    if is_interrupted {
        tell(&format!("not written: {names}"));
        return Ok(());
    }
    outputs::keep(files)?;
    tell(&format!("written: {names}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shipped;

    #[test]
    fn two_runs_of_one_seed_that_differ_are_told_apart() {
        let mut scenario = shipped::find("rolling-restart").unwrap().read().unwrap().scenario;
        (scenario.duration, scenario.warmup) = (core::time::Duration::from_secs(1), core::time::Duration::ZERO);
        (scenario.faults, scenario.expect) = (Vec::new(), Vec::new());
        let first = scenario.plan().unwrap().run(0, &mut ());
        let mut again = first.clone();
        again.wall_s = 12.0;
        assert!(compare(&first, again).is_ok());
        scenario.seed += 1;
        let other = scenario.plan().unwrap().run(0, &mut ());
        let ended = compare(&first, other.clone()).unwrap_err();
        assert_eq!(ended.code, DIFFERED);
        assert!(ended.message.contains(&first.digest) && ended.message.contains(&other.digest), "{ended:?}");
        let mut broken = other;
        broken.interrupted_at_s = Some(0.5);
        assert!(compare(&first, broken).is_ok());
    }
}
