//! Retries and copies that are paid from a budget, event by event.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "support/exact.rs"]
mod exact;

use exact::{Trace, at, backends, fault, ms, number, retry, scenario, with_clients};
use mesh_sim::model::scenario::{Clients, FaultKind, Hedge, RetryBudget, Scenario};

#[test]
fn a_bucket_pays_until_it_is_empty_and_first_attempts_fill_it() {
    // Every attempt fails at once. Two retries are paid from the full bucket, then one for every four requests.
    let trace = Trace::of(&failing(10, budget(0.25, 0.0, 2.0), |clients| clients));
    let (run, ends) = (&trace.run, trace.ends());
    assert_eq!((run.attempts, run.retries, run.retries_denied), (10 + 4, 4, 6));
    assert_eq!(ends, [0, 10, 0, 0, 0]);
}

#[test]
fn a_bucket_gains_with_time() {
    // A request every 100 ms for 900 ms, and five retries a second: one for every second request, after the first.
    let trace = Trace::of(&failing(10, budget(0.0, 5.0, 1.0), |clients| clients));
    assert_eq!((trace.run.retries, trace.run.retries_denied), (5, 5));
}

#[test]
fn every_client_has_a_bucket_of_its_own() {
    let of = |count| {
        let world = failing(40, budget(0.0, 0.0, 2.0), |mut clients| {
            clients.count = number(count);
            clients
        });
        Trace::of(&world).run.retries
    };
    assert_eq!((of(1), of(3)), (2, 6));
}

#[test]
fn copies_are_paid_like_retries() {
    let mut hedge = Hedge::default();
    (hedge.delay, hedge.attempts_max) = (ms(2), number(3));
    let mut retry = retry(1);
    retry.budget = Some(budget(0.0, 0.0, 1.0));
    let world = with_clients(scenario(at(&[0]), backends(3)), |clients| clients.hedge(hedge).retry(retry));
    let run = Trace::of(&world).run;
    assert_eq!((run.attempts, run.hedges, run.retries_denied, run.requests.succeeded), (2, 1, 1, 1));
}

#[test]
fn a_scenario_names_what_is_wrong_with_its_budget() {
    for (wrong, said) in [
        (budget(-0.1, 0.0, 5.0), "clients.retry.budget.ratio: -0.1 is not allowed: must be 0 to 1000"),
        (budget(0.1, f64::NAN, 5.0), "clients.retry.budget.per_second: NaN is not allowed: must be 0 to 500000"),
        (budget(0.1, 0.0, 0.5), "clients.retry.budget.burst: 0.5 is not allowed: must be 1 to 1000000"),
    ] {
        let error = failing(1, wrong, |clients| clients).validate().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// So many requests, 100 ms apart or closer, that all fail at once and may be retried once.
fn failing(requests: u64, budget: RetryBudget, change: impl FnOnce(Clients) -> Clients) -> Scenario {
    let apart = 1_000 / requests.max(10);
    let offsets: Vec<u64> = (0..requests).map(|number| number * apart).collect();
    let mut retry = retry(2);
    retry.budget = Some(budget);
    let world = scenario(at(&offsets), backends(1));
    let world = world.fault(fault(FaultKind::Errors { rate: 1.0, latency: ms(0) }, 0, 1_000));
    with_clients(world, |clients| change(clients.retry(retry)))
}

fn budget(ratio: f64, per_second: f64, burst: f64) -> RetryBudget {
    let mut budget = RetryBudget::default();
    (budget.ratio, budget.per_second, budget.burst) = (ratio, per_second, burst);
    budget
}
