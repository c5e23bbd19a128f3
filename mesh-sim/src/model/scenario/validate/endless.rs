//! Runs that would never end: a request whose answer is lost waits for ever, unless a timeout ends it.

use super::findings::{Findings, Path};
use crate::model::scenario::{FaultKind, Scenario};

/// Checks that there is a timeout where answers may be lost.
pub(super) fn verify(scenario: &Scenario, found: &mut Findings) {
    let clients = &scenario.clients;
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
