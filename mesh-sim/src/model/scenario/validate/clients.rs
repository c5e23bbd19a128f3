//! The clients: their timeouts, retries and checks by production's rules.

use mesh_core::machine::ServiceMachineConfig;
use mesh_core::service::{ConfigError, Zone};
use mesh_retry::backoff::BackoffError;
use mesh_retry::policy::PolicyError;

use super::arrivals;
use super::findings::{Findings, Path};
use crate::model::scenario::{ClientZone, Clients, HealthChecks, Keys, Scenario};

/// Checks everything about the clients.
pub(super) fn verify(scenario: &Scenario, found: &mut Findings) {
    let (path, clients) = (Path::Root.key("clients"), &scenario.clients);
    verify_zone(clients, path, found);
    arrivals::verify(&clients.arrivals, path.key("arrivals"), found);
    for (key, timeout) in [("timeout", clients.timeout), ("attempt_timeout", clients.attempt_timeout)] {
        let holds = timeout.is_none_or(|timeout| !timeout.is_zero());
        found.require(holds, path.key(key), "0s", "must be longer than zero, or left out");
    }
    if let Some(keys) = &clients.keys {
        verify_keys(keys, path.key("keys"), found);
    }
    verify_retries(clients, path.key("retry"), found);
    verify_budget(clients, path.key("retry").key("budget"), found);
    verify_hedges(clients, path.key("hedge"), found);
    if let Some(Err(error)) = clients.breaker.as_ref().map(|breaker| breaker.validate()) {
        found.object(path.key("breaker"), error.to_string(), None);
    }
    if let Some(checks) = &clients.health_check {
        verify_checks(checks, path.key("health_check"), found);
    }
    if let Some(outlier) = &clients.outlier {
        // As part of a service, whose endpoints count no run however long.
        let mut config = ServiceMachineConfig::default();
        config.outlier = outlier.clone();
        if let Err(error) = config.validate() {
            repeat(&error, found, path.key("outlier"));
        }
    }
}

fn verify_zone(clients: &Clients, path: Path<'_>, found: &mut Findings) {
    if let Some(ClientZone::In(zone)) = &clients.zone
        && let Err(error) = Zone::try_from(zone.as_str())
    {
        repeat(&error, found, path);
    }
}

fn verify_keys(keys: &Keys, path: Path<'_>, found: &mut Findings) {
    if let Keys::Zipf { count, exponent } = keys {
        let path = path.key("zipf");
        let rule = format_args!("must be 1 to {ZIPF_KEYS_MAX}").to_string();
        found.require(count.get() <= ZIPF_KEYS_MAX, path.key("count"), count, rule);
        let holds = (0.0..f64::INFINITY).contains(exponent);
        found.require(holds, path.key("exponent"), exponent, "must be a finite number from 0 up");
    }
}

fn verify_retries(clients: &Clients, path: Path<'_>, found: &mut Findings) {
    let mut policy = clients.policy();
    (policy.deadline, policy.attempt_timeout) = (None, None);
    let Err(PolicyError::Backoff(error)) = policy.validate() else { return };
    let (backoff, shape) = (path.key("backoff"), "exponential");
    let key = match error {
        BackoffError::BaseZero => "base",
        BackoffError::CapBelowBase { .. } => "cap",
        BackoffError::MultiplierBelowOne { .. } => "multiplier_milli",
        // A scenario has one base.
        BackoffError::ThrottledBaseZero | BackoffError::CapBelowThrottledBase { .. } | _ => "",
    };
    let said = error.to_string();
    let message = said.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&said);
    match key {
        "" => found.object(backoff.key(shape), message, None),
        key => found.object(backoff.key(shape).key(key), message, None),
    }
}

fn verify_budget(clients: &Clients, path: Path<'_>, found: &mut Findings) {
    let Some(budget) = clients.retry.as_ref().and_then(|retry| retry.budget.as_ref()) else { return };
    let numbers = [
        ("ratio", budget.ratio, 0.0, 1_000.0),
        ("per_second", budget.per_second, 0.0, 500_000.0),
        ("burst", budget.burst, 1.0, 1_000_000.0),
    ];
    for (key, number, least, most) in numbers {
        let rule = format_args!("must be {least} to {most}").to_string();
        found.require((least..=most).contains(&number), path.key(key), number, rule);
    }
}

fn verify_hedges(clients: &Clients, path: Path<'_>, found: &mut Findings) {
    let Some(hedge) = &clients.hedge else { return };
    if let Err(error) = hedge.to_policy().validate() {
        let (said, key) = (error.to_string(), "attempts_max");
        let message = said.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&said);
        found.object(path.key(key), message, None);
    }
}

/// Asks the builder of checks, and the machine that is to run them.
fn verify_checks(checks: &HealthChecks, path: Path<'_>, found: &mut Findings) {
    if let Err(error) = checks.build() {
        repeat(&error, found, path);
    }
    let mut config = ServiceMachineConfig::default();
    config.checks.jitter_percent = checks.jitter_percent;
    if let Err(error) = config.validate() {
        repeat(&error, found, path);
    }
}

/// Notes all that `error` says of the table at `path`.
fn repeat(error: &ConfigError, found: &mut Findings, path: Path<'_>) {
    for problem in error.problems() {
        found.refuse(path.key(problem.field()), problem.value(), problem.rule(), None);
    }
}

/// Each key has a number of its own in memory.
const ZIPF_KEYS_MAX: u32 = 10_000_000;
