//! What holds for every run, whatever the scenario.

mod support;

use mesh_sim::model::scenario::Scenario;
use mesh_sim::model::{Invalid, Run};
use proptest::prelude::*;
use support::{Auditor, any_scenario};

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

fn audited(scenario: &Scenario) -> Result<(Run, Auditor), Invalid> {
    let mut auditor = Auditor::default();
    let run = scenario.plan()?.run(0, &mut auditor);
    Ok((run, auditor.finish()))
}
