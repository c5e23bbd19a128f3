//! Runs that would never end: a request whose answer is lost waits for ever, and one that always fails is tried for
//! ever, unless a timeout ends it.

use super::findings::{Findings, Path};
use crate::model::scenario::{FaultKind, Scenario};

/// Checks that there is a timeout where answers may be lost, or attempts be made without end.
pub(super) fn verify(scenario: &Scenario, found: &mut Findings) {
    let clients = &scenario.clients;
    let attempts = clients.retry.as_ref().map_or(1, |retry| retry.attempts_max.get());
    if attempts > ATTEMPTS_MAX && clients.timeout.is_none() {
        let message = format!(
            "{attempts} attempts of a call that always fails may never end: at most {ATTEMPTS_MAX} are allowed without \
             clients.timeout"
        );
        let path = Path::Root.key("clients");
        found.object(path.key("retry").key("attempts_max"), message, Some("set clients.timeout".to_owned()));
    }
    if clients.timeout.is_some() || clients.attempt_timeout.is_some() {
        return;
    }
    let help = || Some("set clients.timeout or clients.attempt_timeout".to_owned());
    let loss = scenario.network.loss;
    if loss > 0.0 && loss <= 1.0 {
        let message = "a lost message is never seen again: without a timeout the run may never end";
        found.object(Path::Root.key("network").key("loss"), message, help());
    }
    let faults = Path::Root.key("faults");
    for (at, fault) in scenario.faults.iter().enumerate() {
        if loses_answers(&fault.fault) {
            let name = fault.fault.name();
            let message =
                format!("`{name}` leaves requests without an answer: without a timeout the run may never end");
            found.object(faults.item(at).key("fault"), message, help());
        }
    }
}

const fn loses_answers(kind: &FaultKind) -> bool {
    matches!(kind, FaultKind::Hang | FaultKind::Loss { .. } | FaultKind::Partition { .. } | FaultKind::Pause)
}

/// By far more than any caller waits for, and still few enough for a run to end.
const ATTEMPTS_MAX: u32 = 1000;
