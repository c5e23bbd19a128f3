//! A scenario that was found possible, ready to run.

use mesh_core::balance::Strategy;
use serde_json::{Value, json};

use super::engine;
use super::observe::Observer;
use super::problem::{Invalid, Warning};
use super::result::{Report, Run, Verdict};
use super::scenario::{Expectation, Scenario};

/// A scenario that was found possible: its runs can be made one by one.
#[derive(Debug)]
pub struct Plan<'s> {
    scenario: &'s Scenario,
    warnings: Vec<Warning>,
    labels: Vec<String>,
}

impl Scenario {
    /// Finds out whether it is possible.
    ///
    /// # Errors
    /// Everything that is impossible about it.
    pub fn plan(&self) -> Result<Plan<'_>, Invalid> {
        let warnings = self.validate()?;
        Ok(Plan { scenario: self, warnings, labels: self.labels() })
    }

    /// What its runs are called: the strategy's name, with what tells it from others of the same name.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        labels(&self.strategies)
    }

    /// Runs every strategy, one after the other.
    ///
    /// # Errors
    /// Everything that is impossible about the scenario; nothing was run then.
    pub fn run(&self) -> Result<Report, Invalid> {
        let plan = self.plan()?;
        let runs = (0..plan.len()).map(|index| plan.run(index, &mut ())).collect();
        Ok(plan.report(runs))
    }
}

impl Plan<'_> {
    /// The scenario.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        self.scenario
    }

    /// What is possible and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// How many runs there are to make: one for each strategy.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no run to make.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// What the run at `index` is called.
    #[must_use]
    pub fn label(&self, index: usize) -> &str {
        &self.labels[index]
    }

    /// Makes the run at `index`, which must be below [`Plan::len`].
    pub fn run<O: Observer>(&self, index: usize, observer: &mut O) -> Run {
        let strategy = &self.scenario.strategies[index];
        let mut run = engine::run(self.scenario, strategy, observer);
        run.label = self.labels[index].clone();
        run.params = params(strategy);
        run
    }

    /// Puts `runs` together and holds them to what the scenario expects.
    #[must_use]
    pub fn report(&self, runs: Vec<Run>) -> Report {
        let expectations = verdicts(self.scenario, &runs);
        let Scenario { version, name, seed, .. } = self.scenario;
        Report { version: *version, scenario: name.clone(), seed: *seed, wall_s: 0.0, runs, expectations }
    }
}

/// A strategy's parameters in force; none for one that has none or is the user's own.
pub(super) fn params(strategy: &Strategy) -> Value {
    match serde_json::to_value(strategy) {
        Ok(Value::Object(table)) => table.into_iter().next().map_or_else(|| json!({}), |(_, params)| params),
        Ok(_) | Err(_) => json!({}),
    }
}

/// What runs are called: the strategy's name, and where two have one name what tells them apart.
pub(super) fn labels(strategies: &[Strategy]) -> Vec<String> {
    let label = |(at, strategy): (usize, &Strategy)| {
        let name = strategy.name();
        let same: Vec<_> = (0..strategies.len()).filter(|&other| strategies[other].name() == name).collect();
        let differing = differing(&same.iter().map(|&other| params(&strategies[other])).collect::<Vec<_>>());
        let mine = params(strategy);
        let told: Vec<_> =
            differing.iter().filter_map(|key| Some(format!("{key}={}", plain(mine.get(key)?)))).collect();
        match same.len() {
            1 => name.to_owned(),
            _ if told.is_empty() => format!("{name}#{}", same.iter().filter(|&&other| other <= at).count()),
            _ => format!("{name}({})", told.join(",")),
        }
    };
    strategies.iter().enumerate().map(label).collect()
}

/// The parameters in which not all are alike.
fn differing(params: &[Value]) -> Vec<String> {
    let keys = params.first().and_then(Value::as_object).into_iter().flat_map(|table| table.keys());
    keys.filter(|key| params.iter().any(|other| other.get(*key) != params[0].get(*key))).cloned().collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Holds every run to the expectations that are about it.
fn verdicts(scenario: &Scenario, runs: &[Run]) -> Vec<Verdict> {
    let of_run = |run: &Run| {
        let numbers = serde_json::to_value(run).unwrap_or_default();
        let about = scenario.expect.iter().filter(|expectation| {
            expectation.strategy.as_ref().is_none_or(|named| *named == run.strategy || *named == run.label)
        });
        let verdict = |expectation: &Expectation| {
            let value = number(&numbers, &expectation.metric);
            let holds = value.is_some_and(|value| expectation.bound.holds(value));
            let (strategy, metric) = (run.label.clone(), expectation.metric.clone());
            Verdict { strategy, metric, value, bound: expectation.bound.to_string(), holds }
        };
        about.map(verdict).collect::<Vec<_>>()
    };
    runs.iter().flat_map(of_run).collect()
}

/// The number that a dotted path names in a run.
pub(crate) fn number(run: &Value, path: &str) -> Option<f64> {
    let step = |value: &Value, key: &str| match key.parse::<usize>() {
        Ok(index) if value.is_array() => value.get(index).cloned(),
        Ok(_) | Err(_) => value.get(key).cloned(),
    };
    path.split('.').try_fold(run.clone(), |value, key| step(&value, key))?.as_f64()
}
