//! What the arguments change about a scenario: its seed, and which strategies run.

use mesh_core::balance::Strategy;

use super::Ended;
use crate::model::scenario::Scenario;
use crate::near;

/// Replaces the seed, where there is another.
pub(super) fn seed(scenario: &mut Scenario, seed: Option<u64>) {
    scenario.seed = seed.unwrap_or(scenario.seed);
}

/// A part of the clients that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// Active checks.
    HealthCheck,
    /// Outlier detection.
    Outlier,
    /// Retries, and the budget with them.
    Retry,
    /// The budget of retries and hedges.
    Budget,
    /// Hedges.
    Hedge,
    /// The circuit breaker.
    Breaker,
}

/// Leaves `part` out.
pub(super) fn leave_out(scenario: &mut Scenario, part: Part) {
    let clients = &mut scenario.clients;
    match part {
        Part::HealthCheck => clients.health_check = None,
        Part::Outlier => clients.outlier = None,
        Part::Retry => clients.retry = None,
        Part::Budget => {
            if let Some(retry) = &mut clients.retry {
                retry.budget = None;
            }
        }
        Part::Hedge => clients.hedge = None,
        Part::Breaker => clients.breaker = None,
    }
}

/// Runs the strategies called `names` instead of the scenario's, if any are named. A name is that of a label in the
/// scenario, of all strategies there that have it, or of a built-in strategy with its default parameters.
pub(super) fn strategies(scenario: &mut Scenario, names: &[&str]) -> Result<(), Ended> {
    if names.is_empty() {
        return Ok(());
    }
    let labels = scenario.labels();
    let mut chosen = Vec::new();
    for name in names {
        for one in named(scenario, &labels, name)? {
            // Two names may lead to one strategy.
            if one.at.is_none() || chosen.iter().all(|other: &Chosen| other.at != one.at) {
                chosen.push(one);
            }
        }
    }
    scenario.strategies = chosen.iter().map(|one| one.strategy.clone()).collect();
    // What tells two of one name apart is left out of the label of one alone.
    let labels_now = scenario.labels();
    let label_now = |label: &String| {
        let at = labels.iter().position(|other| other == label)?;
        chosen.iter().position(|one| one.at == Some(at)).map(|at| labels_now[at].clone())
    };
    scenario.expect.retain_mut(|expectation| match &mut expectation.strategy {
        None => true,
        Some(named) => match label_now(named) {
            Some(label) => {
                *named = label;
                true
            }
            // Of strategies that do not run nothing can be expected.
            None => !labels.contains(named) && chosen.iter().any(|one| one.strategy.name() == named.as_str()),
        },
    });
    Ok(())
}

/// A strategy that was named, and where it is in the scenario, if it is there.
struct Chosen {
    at: Option<usize>,
    strategy: Strategy,
}

fn named(scenario: &Scenario, labels: &[String], name: &str) -> Result<Vec<Chosen>, Ended> {
    let there = |at: usize| Chosen { at: Some(at), strategy: scenario.strategies[at].clone() };
    if let Some(at) = labels.iter().position(|label| label == name) {
        return Ok(vec![there(at)]);
    }
    let of_the_name = |at: &usize| scenario.strategies[*at].name() == name;
    let found: Vec<_> = (0..labels.len()).filter(of_the_name).map(there).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    match Strategy::from_name(name) {
        Some(strategy) => Ok(vec![Chosen { at: None, strategy }]),
        None => Err(unknown(labels, name)),
    }
}

fn unknown(labels: &[String], name: &str) -> Ended {
    let built_in = Strategy::built_in();
    let mut known: Vec<_> = labels.iter().map(String::as_str).chain(built_in.iter().map(Strategy::name)).collect();
    known.sort_unstable();
    known.dedup();
    let near = near::near(name, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("; {}", near::did_you_mean(near)));
    Ended::usage(format_args!("unknown strategy `{name}`{near}\nthere are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::read;

    #[test]
    fn a_label_leads_to_one_strategy_and_a_name_to_all_that_have_it() {
        assert_eq!(chosen(&["p2c-least-loaded(choices=3)"]).0, ["p2c-least-loaded"]);
        let both = ["p2c-least-loaded(choices=2)", "p2c-least-loaded(choices=3)"];
        assert_eq!(chosen(&["p2c-least-loaded"]).0, both);
        assert_eq!(
            chosen(&["p2c-least-loaded", "p2c-least-loaded(choices=3)", "random"]).0,
            [both[0], both[1], "random"]
        );
        assert_eq!(chosen(&[]).0, [both[0], both[1], "round-robin"]);
    }

    #[test]
    fn an_expectation_goes_on_being_about_its_strategy() {
        let (labels, expected) = chosen(&["p2c-least-loaded(choices=3)"]);
        assert_eq!(expected, [Some(labels[0].clone()), None]);
        assert_eq!(chosen(&["round-robin"]).1, [Some("round-robin".to_owned()), None]);
        assert_eq!(chosen(&["random"]).1, [None]);
    }

    #[test]
    fn an_expectation_of_a_name_is_about_all_that_have_it() {
        let text = SCENARIO.replace("strategy = \"p2c-least-loaded(choices=3)\"", "strategy = \"p2c-least-loaded\"");
        let mut scenario = read("two.toml", &text).unwrap().scenario;
        strategies(&mut scenario, &["p2c-least-loaded(choices=2)"]).unwrap();
        assert_eq!(scenario.expect[0].strategy.as_deref(), Some("p2c-least-loaded"));
        assert!(scenario.plan().is_ok());
    }

    #[test]
    fn an_unknown_strategy_is_refused_with_those_that_there_are() {
        let mut scenario = read("two.toml", SCENARIO).unwrap().scenario;
        let ended = strategies(&mut scenario, &["round-robbin"]).unwrap_err();
        assert!(ended.message.contains("did you mean `round-robin`?"), "{ended:?}");
        assert!(
            ended.message.contains(
                "there are adaptive, bounded-load, least-loaded, maglev, p2c-least-loaded, p2c-least-loaded(choices=2)"
            ),
            "{ended:?}"
        );
        assert_eq!(ended.code, 2);
    }

    /// The labels and the subjects of the expectations that are left of the scenario below.
    fn chosen(names: &[&str]) -> (Vec<String>, Vec<Option<String>>) {
        let mut scenario = read("two.toml", SCENARIO).unwrap().scenario;
        strategies(&mut scenario, names).unwrap();
        assert!(scenario.plan().is_ok());
        (scenario.labels(), scenario.expect.iter().map(|expectation| expectation.strategy.clone()).collect())
    }

    const SCENARIO: &str = r#"
        version = 1
        name = "two"
        duration = "1s"
        strategies = [{ p2c-least-loaded = { choices = 2 } }, { p2c-least-loaded = { choices = 3 } }, "round-robin"]
        servers = [{ group = "api", count = 4, service_time = { constant = { value = "1ms" } } }]
        clients = { arrivals = { uniform = { rate = 10.0 } } }
        expect = [
            { strategy = "p2c-least-loaded(choices=3)", metric = "success_ratio", at_least = 1.0 },
            { strategy = "round-robin", metric = "success_ratio", at_least = 1.0 },
            { metric = "success_ratio", at_least = 1.0 },
        ]
    "#;
}
