//! `mesh-sim run`: a run for each strategy, and what came of them.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mesh_core::balance::Strategy;
use mesh_core::time::Instant;

use super::{BAD_SCENARIO, DIFFERED, Ended, INTERRUPTED, Look, UNMET, json, outputs, print, scenarios, tell};
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
    change(&mut read.scenario, arguments)?;
    // Before the first file, so that whoever sees one knows that an interrupt will be heard.
    let interrupted = env::interrupts();
    let (csv, trace) = (arguments.csv.as_deref(), arguments.trace.as_deref());
    let csv_file = outputs::begin(csv, &[&*arguments.scenario])?;
    let trace_file =
        outputs::begin(trace, &[Some(&*arguments.scenario), csv].into_iter().flatten().collect::<Vec<_>>())?;
    scenarios::warn(&read, look);
    let plan =
        read.scenario.plan().map_err(|invalid| Ended::with(BAD_SCENARIO, format_args!("mesh-sim: {invalid}")))?;
    let stopwatch = Stopwatch::start();
    let mut runner = Runner { plan: &plan, interrupted, trace: trace_file };
    let runs = runner.all(arguments.double_check)?;
    let mut report = plan.report(runs);
    report.wall_s = stopwatch.seconds();
    show(&read.scenario, &report, arguments.json)?;
    if runner.interrupted.load(Ordering::Relaxed) {
        let files = if csv.is_some() || trace.is_some() { "; no file was written" } else { "" };
        return Err(Ended::with(INTERRUPTED, format_args!("mesh-sim: interrupted{files}")));
    }
    keep(csv_file, runner.trace, &report)?;
    let unmet = report.expectations.iter().filter(|verdict| !verdict.holds).count();
    if unmet == 0 { Ok(()) } else { Err(Ended { code: UNMET, message: String::new() }) }
}

/// Makes the changes that the arguments ask for.
fn change(scenario: &mut Scenario, arguments: &Arguments) -> Result<(), Ended> {
    scenario.seed = arguments.seed.unwrap_or(scenario.seed);
    if !arguments.strategies.is_empty() {
        let chosen: Result<_, _> = arguments.strategies.iter().map(|name| strategy(scenario, name)).collect();
        scenario.strategies = chosen?;
        let runs = scenario.strategies.iter().map(Strategy::name).collect::<Vec<_>>();
        // Of strategies that do not run nothing can be expected.
        let about = |named: &String| runs.contains(&named.as_str()) || arguments.strategies.contains(named);
        scenario.expect.retain(|expectation| expectation.strategy.as_ref().is_none_or(about));
    }
    Ok(())
}

/// The strategy called `name`: by its label in the scenario, or by its name with its default parameters.
fn strategy(scenario: &Scenario, name: &str) -> Result<Strategy, Ended> {
    let labels = scenario.labels();
    let labelled = labels.iter().position(|label| label == name);
    let found = labelled.map(|at| scenario.strategies[at].clone()).or_else(|| Strategy::from_name(name));
    found.ok_or_else(|| {
        let built_in = Strategy::built_in();
        let known = labels.iter().map(String::as_str).chain(built_in.iter().map(Strategy::name));
        let mut known: Vec<_> = known.collect();
        known.sort_unstable();
        known.dedup();
        Ended::usage(format_args!("unknown strategy `{name}`; there are {}", known.join(", ")))
    })
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
            let run = self.one(index)?;
            if twice && run.interrupted_at_s.is_none() {
                self.compare(index, &run)?;
            }
            let interrupted = run.interrupted_at_s.is_some();
            runs.push(run);
            if interrupted {
                break;
            }
        }
        Ok(runs)
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

    /// Makes a run again, which must be the same.
    fn compare(&self, index: usize, first: &Run) -> Result<(), Ended> {
        let mut watch = Watch::new(self.plan, index, Arc::clone(&self.interrupted));
        let second = self.plan.run(index, &mut watch);
        watch.bar.finish_and_clear();
        if second.interrupted_at_s.is_some() || second.digest == first.digest {
            return Ok(());
        }
        let (label, one, other) = (&first.label, &first.digest, &second.digest);
        Err(Ended::with(DIFFERED, format_args!("mesh-sim: {label}: two runs of one seed differed: {one} and {other}")))
    }
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

    fn progress(&mut self, at: Instant) -> ControlFlow<()> {
        // What cannot be written need not be simulated.
        if self.tracer.has_failed() { ControlFlow::Break(()) } else { self.watch.progress(at) }
    }
}

fn show(scenario: &Scenario, report: &Report, as_json: bool) -> Result<(), Ended> {
    if as_json {
        return print(&(json(report)? + "\n"));
    }
    print(&report::table(scenario, report))
}

/// Gives the files their names, once all of them are whole.
fn keep(csv: Option<Output>, trace: Option<Output>, report: &Report) -> Result<(), Ended> {
    let mut csv = csv;
    if let Some(file) = &mut csv {
        let path = file.path().to_owned();
        file.write_all(report::csv(report).as_bytes()).map_err(|error| outputs::failed(&path, &error))?;
    }
    let written: Vec<_> = [&csv, &trace].into_iter().flatten().map(|file| file.path().display().to_string()).collect();
    outputs::keep(csv)?;
    outputs::keep(trace)?;
    if !written.is_empty() {
        tell(&format!("written: {}", written.join(", ")));
    }
    Ok(())
}
