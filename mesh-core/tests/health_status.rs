//! What is thought of an instance when its sources disagree: the table of precedence, row by row.

use mesh_core::health::{CheckEvidence, Health, OutlierStanding, ProbeFailure, ProbeVerdict, Reason, Sources, Status};
use mesh_core::service::Weight;
use mesh_core::snapshot::RegistryStatus;
use mesh_core::time::Instant;

#[test]
fn of_every_combination_of_sources_the_first_row_that_holds_decides() {
    let rows = rows();
    let mut decided = vec![0; rows.len()];
    for sources in every_combination() {
        let expected = rows.iter().enumerate().find_map(|(row, says)| says(&sources).map(|outcome| (row, outcome)));
        let (row, outcome) = expected.unwrap();
        decided[row] += 1;
        assert_eq!(Status::of(&sources), outcome, "row {} of {sources:?}", row + 1);
    }
    assert!(decided.iter().all(|count| *count > 0), "a row that nothing reaches: {decided:?}");
}

#[test]
fn of_an_instance_nobody_has_spoken_of_nothing_is_known() {
    assert_eq!(Status::of(&Sources::default()), (Status::Unknown, Reason::Unchecked));
    assert!(Status::Unknown.is_up());
}

#[test]
fn the_registrys_critical_takes_out_what_passes_our_check() {
    let mut sources = with_check(Health::Healthy, ProbeVerdict::Passed, true);
    sources.registry = RegistryStatus::Critical;
    assert_eq!(Status::of(&sources), (Status::Unhealthy, Reason::Registry(RegistryStatus::Critical)));
}

#[test]
fn our_failing_check_takes_out_what_the_registry_says_passes() {
    let mut sources = with_check(Health::Unhealthy, refused(), true);
    sources.registry = RegistryStatus::Passing;
    assert_eq!(Status::of(&sources), (Status::Unhealthy, Reason::Check(refused())));
}

#[test]
fn an_agent_that_restarts_takes_nobody_out_where_the_list_is_doubted() {
    let mut sources = Sources::default();
    sources.registry = RegistryStatus::Critical;
    sources.registry_doubted = true;
    assert_eq!(Status::of(&sources), (Status::Degraded, Reason::Registry(RegistryStatus::Critical)));
    sources.check = Some(evidence(Health::Healthy, ProbeVerdict::Passed, true));
    assert_eq!(Status::of(&sources), (Status::Healthy, Reason::Check(ProbeVerdict::Passed)));
    sources.check = Some(evidence(Health::Unhealthy, refused(), true));
    assert_eq!(Status::of(&sources), (Status::Unhealthy, Reason::Check(refused())));
}

#[test]
fn an_old_failure_counts_only_where_the_registry_does_not_vouch() {
    let mut sources = with_check(Health::Unhealthy, refused(), false);
    assert_eq!(Status::of(&sources).0, Status::Unhealthy);
    sources.registry = RegistryStatus::Warning;
    assert_eq!(Status::of(&sources), (Status::Degraded, Reason::Registry(RegistryStatus::Warning)));
    sources.registry = RegistryStatus::Critical;
    sources.registry_doubted = true;
    assert_eq!(Status::of(&sources), (Status::Unhealthy, Reason::Check(refused())));
}

#[test]
fn damping_holds_out_what_would_return_and_hides_no_fault() {
    let until = Instant::from_millis(5);
    let mut sources = with_check(Health::Healthy, ProbeVerdict::Passed, true);
    sources.damped_until = Some(until);
    assert_eq!(Status::of(&sources), (Status::Unhealthy, Reason::Damped { until }));
    sources.check = Some(evidence(Health::Unhealthy, refused(), true));
    assert_eq!(Status::of(&sources), (Status::Unhealthy, Reason::Check(refused())));
    sources.outlier = OutlierStanding::Ejected("success-rate");
    assert_eq!(Status::of(&sources), (Status::Ejected, Reason::Outlier("success-rate")));
}

#[test]
fn no_request_probes_what_is_known_to_fail() {
    let mut sources = with_check(Health::Unhealthy, refused(), true);
    sources.outlier = OutlierStanding::Probing("consecutive");
    assert_eq!(Status::of(&sources).0, Status::Unhealthy);
    sources.check = None;
    assert_eq!(Status::of(&sources), (Status::Probing, Reason::Outlier("consecutive")));
}

#[test]
fn each_status_is_up_down_or_planned_and_has_a_name_of_its_own() {
    let named = [
        (Status::Unknown, "unknown", (true, false, false)),
        (Status::Healthy, "healthy", (true, false, false)),
        (Status::Degraded, "degraded", (true, false, false)),
        (Status::Unhealthy, "unhealthy", (false, true, false)),
        (Status::Ejected, "ejected", (false, true, false)),
        (Status::Probing, "probing", (false, true, false)),
        (Status::Draining, "draining", (false, false, true)),
        (Status::Maintenance, "maintenance", (false, false, true)),
    ];
    for (status, name, kind) in named {
        assert_eq!(status.name(), name);
        assert_eq!((status.is_up(), status.is_down(), status.is_planned()), kind, "{name}");
    }
}

#[test]
fn each_reason_names_its_source() {
    let named = [
        (Reason::Unchecked, "unchecked"),
        (Reason::Drained, "drained"),
        (Reason::Weight, "weight"),
        (Reason::Maintenance, "maintenance"),
        (Reason::Registry(RegistryStatus::Passing), "registry"),
        (Reason::Check(ProbeVerdict::Passed), "check"),
        (Reason::Outlier("latency"), "outlier"),
        (Reason::Damped { until: Instant::ZERO }, "damped"),
    ];
    for (reason, name) in named {
        assert_eq!(reason.name(), name);
    }
}

type Row = fn(&Sources) -> Option<(Status, Reason)>;

/// The table in the docs of `Status`, each row on its own.
fn rows() -> [Row; 15] {
    use RegistryStatus as Says;
    [
        |of| of.drained.then_some((Status::Draining, Reason::Drained)),
        |of| (of.weight.get() == 0).then_some((Status::Draining, Reason::Weight)),
        |of| (of.registry == Says::Maintenance).then_some((Status::Maintenance, Reason::Maintenance)),
        |of| (of.outlier == EJECTED).then_some((Status::Ejected, Reason::Outlier("latency"))),
        |of| {
            let failing = checked(of, Health::Unhealthy, true).filter(|_| !of.check_doubted);
            failing.map(|reason| (Status::Unhealthy, reason))
        },
        |of| {
            let believed = of.registry == Says::Critical && !of.registry_doubted;
            believed.then_some((Status::Unhealthy, Reason::Registry(Says::Critical)))
        },
        |of| {
            let vouched = of.registry == Says::Passing || of.registry == Says::Warning;
            let stale = checked(of, Health::Unhealthy, false);
            stale.filter(|_| !vouched && !of.check_doubted).map(|reason| (Status::Unhealthy, reason))
        },
        |of| of.damped_until.map(|until| (Status::Unhealthy, Reason::Damped { until })),
        |of| (of.outlier == PROBING).then_some((Status::Probing, Reason::Outlier("latency"))),
        |of| {
            let warns = checked(of, Health::Degraded, true);
            let doubted = checked(of, Health::Unhealthy, true).filter(|_| of.check_doubted);
            warns.or(doubted).map(|reason| (Status::Degraded, reason))
        },
        |of| (of.registry == Says::Warning).then_some((Status::Degraded, Reason::Registry(Says::Warning))),
        |of| checked(of, Health::Healthy, true).map(|reason| (Status::Healthy, reason)),
        |of| (of.registry == Says::Critical).then_some((Status::Degraded, Reason::Registry(Says::Critical))),
        |of| (of.registry == Says::Passing).then_some((Status::Healthy, Reason::Registry(Says::Passing))),
        |_| Some((Status::Unknown, Reason::Unchecked)),
    ]
}

const EJECTED: OutlierStanding = OutlierStanding::Ejected("latency");
const PROBING: OutlierStanding = OutlierStanding::Probing("latency");

fn checked(sources: &Sources, health: Health, is_fresh: bool) -> Option<Reason> {
    let check = sources.check.as_ref()?;
    (check.health == health && check.is_fresh == is_fresh).then(|| Reason::Check(check.verdict.clone()))
}

fn every_combination() -> Vec<Sources> {
    let mut all = vec![Sources::default()];
    vary(&mut all, [false, true], |sources, drained| sources.drained = drained);
    vary(&mut all, [Weight::ONE, Weight::DRAINED], |sources, weight| sources.weight = weight);
    let statuses = [
        RegistryStatus::Unknown,
        RegistryStatus::Passing,
        RegistryStatus::Warning,
        RegistryStatus::Critical,
        RegistryStatus::Maintenance,
    ];
    vary(&mut all, statuses, |sources, registry| sources.registry = registry);
    vary(&mut all, [false, true], |sources, doubted| sources.registry_doubted = doubted);
    vary(&mut all, [OutlierStanding::Admitting, EJECTED, PROBING], |sources, outlier| sources.outlier = outlier);
    let damped = [None, Some(Instant::from_millis(7))];
    vary(&mut all, damped, |sources, until| sources.damped_until = until);
    vary(&mut all, [false, true], |sources, doubted| sources.check_doubted = doubted);
    let mut checks = vec![None];
    for is_fresh in [false, true] {
        checks.push(Some(evidence(Health::Unknown, ProbeVerdict::Passed, is_fresh)));
        checks.push(Some(evidence(Health::Healthy, ProbeVerdict::Passed, is_fresh)));
        checks.push(Some(evidence(Health::Degraded, ProbeVerdict::Warned, is_fresh)));
        checks.push(Some(evidence(Health::Unhealthy, refused(), is_fresh)));
    }
    vary(&mut all, checks, |sources, check| sources.check = check);
    assert_eq!(all.len(), 2 * 2 * 5 * 2 * 3 * 2 * 2 * 9);
    all
}

fn vary<T: Clone>(all: &mut Vec<Sources>, values: impl IntoIterator<Item = T>, set: fn(&mut Sources, T)) {
    let before = std::mem::take(all);
    for value in values {
        all.extend(before.iter().cloned().map(|mut sources| {
            set(&mut sources, value.clone());
            sources
        }));
    }
}

fn with_check(health: Health, verdict: ProbeVerdict, is_fresh: bool) -> Sources {
    let mut sources = Sources::default();
    sources.check = Some(evidence(health, verdict, is_fresh));
    sources
}

const fn evidence(health: Health, verdict: ProbeVerdict, is_fresh: bool) -> CheckEvidence {
    CheckEvidence { health, verdict, is_fresh }
}

const fn refused() -> ProbeVerdict {
    ProbeVerdict::Failed(ProbeFailure::Connect)
}
