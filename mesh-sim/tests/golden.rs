//! The shipped scenarios give what is kept beside the code, and keep their own expectations.
#![expect(clippy::expect_used, reason = "what a test cannot set up fails it")]

use std::fs;
use std::path::Path;
use std::thread;

use mesh_sim::model::Report;
use mesh_sim::report::golden;
use mesh_sim::shipped::{self, Shipped};

#[test]
fn steady_gives_what_is_kept() {
    compare("steady");
}

#[test]
fn linkerd_slow_backend_gives_what_is_kept() {
    compare("linkerd-slow-backend");
}

#[test]
fn black_hole_gives_what_is_kept() {
    compare("black-hole");
}

#[test]
fn heterogeneous_fleet_gives_what_is_kept() {
    compare("heterogeneous-fleet");
}

#[test]
fn hashing_churn_gives_what_is_kept() {
    compare("hashing-churn");
}

#[test]
fn many_by_many_gives_what_is_kept() {
    compare("many-by-many");
}

#[test]
fn slow_discovery_gives_what_is_kept() {
    compare("slow-discovery");
}

#[test]
fn gray_failure_gives_what_is_kept() {
    compare("gray-failure");
}

#[test]
fn correlated_failure_gives_what_is_kept() {
    compare("correlated-failure");
}

#[test]
fn flapping_gives_what_is_kept() {
    compare("flapping");
}

#[test]
fn mass_check_failure_gives_what_is_kept() {
    compare("mass-check-failure");
}

#[test]
fn rolling_restart_gives_what_is_kept() {
    compare("rolling-restart");
}

#[test]
fn retry_storm_gives_what_is_kept() {
    compare("retry-storm");
}

#[test]
fn fleet_budget_gives_what_is_kept() {
    compare("fleet-budget");
}

#[test]
fn store_outage_gives_what_is_kept() {
    compare("store-outage");
}

#[test]
fn breaker_trip_gives_what_is_kept() {
    compare("breaker-trip");
}

#[test]
fn hedging_long_tail_gives_what_is_kept() {
    compare("hedging-long-tail");
}

#[test]
fn every_shipped_scenario_has_its_name_a_description_expectations_and_a_summary() {
    for shipped in shipped::ALL {
        let read = shipped.read().expect("a shipped scenario is possible");
        assert_eq!(read.scenario.name, shipped.name);
        assert!(read.warnings.all().is_empty(), "{}", read.warnings);
        assert!(!read.scenario.description.is_empty() && !read.scenario.expect.is_empty(), "{}", shipped.name);
        assert!(path(shipped).is_file(), "{}: run scripts/golden", shipped.name);
    }
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).expect("they are there").count();
    assert_eq!(files, shipped::ALL.len(), "a scenario is not shipped");
}

#[test]
fn a_line_that_changed_is_shown_beside_the_one_that_was_kept() {
    assert_eq!(differences("{\n  1,\n  2\n}", "{\n  1,\n  3\n}"), "line 3\n- 2\n+ 3");
    assert_eq!(differences("a\n", "a\nb\n"), "line 2\n- \n+ b");
}

#[track_caller]
fn compare(name: &str) {
    let shipped = shipped::find(name).expect("it is shipped");
    let report = run(shipped);
    let unmet: Vec<_> = report.expectations.iter().filter(|verdict| !verdict.holds).collect();
    assert!(unmet.is_empty(), "{unmet:#?}");
    let (kept, now) = (fs::read_to_string(path(shipped)).expect("it is kept"), golden(&report));
    assert!(
        kept == now,
        "{name} gives something else than what is kept; if that is meant, run scripts/golden:\n{}",
        differences(&kept, &now)
    );
}

/// Makes all runs at once, each on a thread of its own: nothing of one can be seen in another.
fn run(shipped: &Shipped) -> Report {
    let scenario = shipped.read().expect("a shipped scenario is possible").scenario;
    let plan = scenario.plan().expect("it is possible");
    let runs = thread::scope(|scope| {
        let plan = &plan;
        let running: Vec<_> = (0..plan.len()).map(|index| scope.spawn(move || plan.run(index, &mut ()))).collect();
        running.into_iter().map(|run| run.join().expect("it ends")).collect()
    });
    plan.report(runs)
}

/// The lines that were kept beside those that came, where they are not the same.
fn differences(kept: &str, now: &str) -> String {
    let (kept, now): (Vec<_>, Vec<_>) = (kept.lines().collect(), now.lines().collect());
    let line = |lines: &[&str], at: usize| lines.get(at).map_or_else(String::new, |line| line.trim().to_owned());
    let differ = |at: &usize| kept.get(*at) != now.get(*at);
    let shown = |at| format!("line {}\n- {}\n+ {}", at + 1, line(&kept, at), line(&now, at));
    (0..kept.len().max(now.len())).filter(differ).map(shown).collect::<Vec<_>>().join("\n")
}

fn path(shipped: &Shipped) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{}.json", shipped.name))
}
