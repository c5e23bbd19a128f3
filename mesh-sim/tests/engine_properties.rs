//! What holds for every run, whatever the scenario.

mod support;

use std::ops::ControlFlow;

use mesh_core::time::Instant;
use mesh_sim::model::scenario::{Arrivals, Distribution, Scenario, ServerGroup};
use mesh_sim::model::{Invalid, Observer, Run};
use proptest::prelude::*;
use support::{Auditor, any_scenario, millis};

proptest! {
    #[test]
    fn requests_add_up_nothing_is_left_in_flight_and_a_run_equals_its_repetition(scenario in any_scenario()) {
        let (run, auditor) = audited(&scenario)?;
        prop_assert!(auditor.problems.is_empty(), "{:#?}", auditor.problems);

        let requests = run.requests;
        let ended = requests.succeeded + requests.failed + requests.timed_out + requests.rejected + requests.refused;
        prop_assert_eq!(ended, requests.measured);
        prop_assert!(requests.measured <= requests.offered);
        prop_assert_eq!(auditor.ends.values().sum::<u64>(), requests.offered);
        prop_assert_eq!(run.events, auditor.events);
        let sent: u64 = run.servers.iter().map(|server| server.attempts).sum();
        prop_assert_eq!(sent, run.attempts);
        prop_assert!(run.attempts + requests.refused >= run.retries);
        prop_assert!(run.servers.iter().all(|server| server.utilisation.is_none_or(|busy| (0.0..=1.000_001).contains(&busy))));

        let (again, _) = audited(&scenario)?;
        prop_assert_eq!(&run, &again);
    }
}

/// Ends a run as soon as it is asked.
struct Impatient;

impl Observer for Impatient {
    fn progress(&mut self, _: Instant) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

#[test]
fn requests_of_an_interrupted_run_add_up_too() {
    let service = Distribution::exponential(millis(10));
    let scenario = Scenario::new("long", millis(3_600_000), Arrivals::poisson(900.0))
        .servers(ServerGroup::new("api", 10, service))
        .strategy(Default::default());
    let run = scenario.plan().expect("it is possible").run(0, &mut Impatient);
    let requests = run.requests;
    assert!(run.interrupted_at_s.is_some_and(|at| at < 3600.0));
    assert!(requests.succeeded > 0 && requests.offered > requests.measured);
    assert_eq!(requests.succeeded, requests.measured);
    assert_eq!(run.success_ratio, Some(1.0));
}

fn audited(scenario: &Scenario) -> Result<(Run, Auditor), Invalid> {
    let mut auditor = Auditor::default();
    let run = scenario.plan()?.run(0, &mut auditor);
    Ok((run, auditor.finish()))
}
