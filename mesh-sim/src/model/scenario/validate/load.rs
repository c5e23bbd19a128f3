//! What is possible and probably not meant: more load than the servers can carry, and nothing to measure.

use super::findings::{Findings, Path};
use crate::model::scenario::{Arrivals, ClientZone, Discipline, Scenario, ServerGroup};

/// Warns of everything; the scenario was found possible.
pub(super) fn warn(scenario: &Scenario, found: &mut Findings) {
    warn_of_overload(scenario, found);
    warn_of_nothing_measured(scenario, found);
    warn_of_steps_after_the_end(scenario, found);
    let spread = scenario.clients.zone == Some(ClientZone::Spread);
    if spread && scenario.servers.iter().all(|group| group.zone.is_none()) {
        let message = "no group of servers has a zone to spread the clients over";
        found.warn(Path::Root.key("clients").key("zone"), message);
    }
}

/// A queue without a limit grows for as long as more comes than is served.
fn warn_of_overload(scenario: &Scenario, found: &mut Findings) {
    let arrivals = &scenario.clients.arrivals;
    let Some(offered) = arrivals.peak_rate(scenario.duration) else { return };
    let capacity: f64 = scenario.servers.iter().map(ServerGroup::capacity).sum();
    let unbounded = |group: &ServerGroup| group.discipline != Discipline::Delay && group.queue_limit.is_none();
    if offered > capacity && scenario.servers.iter().any(unbounded) {
        let message = format!(
            "{} requests/s are offered and the servers carry {}: without a queue_limit the queues grow without bound",
            rounded(offered),
            rounded(capacity)
        );
        found.warn(Path::Root.key("clients").key("arrivals"), message);
    }
}

fn warn_of_nothing_measured(scenario: &Scenario, found: &mut Findings) {
    let arrivals = &scenario.clients.arrivals;
    let closed = matches!(arrivals, Arrivals::Closed { .. });
    let measured = arrivals.expected(scenario.duration) - arrivals.expected_until(scenario.warmup, scenario.duration);
    if !closed && measured < 0.5 {
        let message =
            format!("hardly a request comes after the warm-up, so nothing is measured: {measured:.2} expected");
        let key = if scenario.warmup.is_zero() { "duration" } else { "warmup" };
        found.warn(Path::Root.key(key), message);
    }
}

fn warn_of_steps_after_the_end(scenario: &Scenario, found: &mut Findings) {
    let Arrivals::Steps { steps } = &scenario.clients.arrivals else { return };
    let late = steps.iter().position(|step| step.at >= scenario.duration);
    if let Some(late) = late {
        let message = format!("this step comes after the end, which is at {:?}", scenario.duration);
        found.warn(Path::Root.key("clients").key("arrivals").key("steps").key("steps").item(late).key("at"), message);
    }
}

/// Four digits say enough.
fn rounded(rate: f64) -> String {
    let text = if rate >= 100.0 { format!("{rate:.0}") } else { format!("{rate:.2}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
