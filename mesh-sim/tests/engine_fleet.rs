//! A budget that all clients share: what the coordinator is to the simulation.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use mesh_sim::model::Run;
use mesh_sim::reading::read;
use mesh_sim::shipped;

/// The runs' tries of the scenario `name`, with `changes` made in its text.
fn run(name: &str, changes: &[(&str, &str)]) -> Run {
    let mut text = shipped::find(name).unwrap().text.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    read("changed.toml", &text).unwrap().scenario.plan().unwrap().run(0, &mut ())
}

const FEWER: [(&str, &str); 3] =
    [("count = 1000", "count = 300"), ("rate = 100.0", "rate = 60.0"), ("duration = \"100s\"", "duration = \"60s\"")];

#[test]
fn however_many_share_it_a_fleet_retries_no_more_than_its_budget_and_hardly_less() {
    for count in ["1", "10", "1000"] {
        let run = run("fleet-budget", &[("count = 1000", &format!("count = {count}"))]);
        let tries = run.attempts_per_request.unwrap();
        assert!((1.07..1.11).contains(&tries), "{count}: {tries}");
    }
}

#[test]
fn with_a_budget_for_each_client_the_many_retry_half_as_often_again() {
    let run = run("fleet-budget", &[("scope = \"fleet\"", "scope = \"client\"")]);
    assert!(run.attempts_per_request.unwrap() > 1.4, "{:?}", run.attempts_per_request);
}

#[test]
fn a_store_that_takes_long_costs_retries_and_is_waited_for_by_nobody() {
    // A reply takes twice that: of the waits, which are 100 to 200 ms at first, most end before the second's.
    let [quick, slow] = [("20ms", 1.05), ("150ms", 1.02)].map(|(latency, at_least)| {
        let law = format!("latency = {{ constant = {{ value = \"{latency}\" }} }}");
        let law = ("latency = { exponential = { mean = \"2ms\" } }", &*law);
        let run = run("fleet-budget", &[FEWER[0], FEWER[1], FEWER[2], law]);
        let tries = run.attempts_per_request.unwrap();
        assert!((at_least..1.11).contains(&tries), "{latency}: {tries}");
        tries
    });
    assert!(slow < quick, "{slow} with a slow store, {quick} with a quick one");
}

#[test]
fn an_outage_of_the_store_leaves_each_client_its_share() {
    let from_the_start = run("store-outage", &[("at = \"20s\"\nfor = \"20s\"", "at = \"0s\"")]);
    let tries = from_the_start.attempts_per_request.unwrap();
    assert!((1.05..1.11).contains(&tries), "{tries}");
    // Who answers has changed: an outage that nobody noticed would leave the very same retries.
    let after_the_end = run("store-outage", &[("at = \"20s\"\nfor = \"20s\"", "at = \"59s999ms\"")]);
    let shipped = run("store-outage", &[]);
    assert_ne!(shipped.retries, after_the_end.retries);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let digest = || run("store-outage", &[("duration = \"60s\"", "duration = \"45s\"")]).digest;
    assert_eq!(digest(), digest());
}
