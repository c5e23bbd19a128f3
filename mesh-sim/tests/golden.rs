//! The shipped scenarios give what is kept beside the code, and keep their own expectations.
#![expect(clippy::expect_used, reason = "what a test cannot set up fails it")]

use std::fs;
use std::path::Path;

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
fn many_by_many_gives_what_is_kept() {
    compare("many-by-many");
}

#[test]
fn slow_discovery_gives_what_is_kept() {
    compare("slow-discovery");
}

#[test]
fn rolling_restart_gives_what_is_kept() {
    compare("rolling-restart");
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

#[track_caller]
fn compare(name: &str) {
    let shipped = shipped::find(name).expect("it is shipped");
    let report = shipped.read().expect("a shipped scenario is possible").scenario.run().expect("it is possible");
    let unmet: Vec<_> = report.expectations.iter().filter(|verdict| !verdict.holds).collect();
    assert!(unmet.is_empty(), "{unmet:#?}");
    let (kept, now) = (fs::read_to_string(path(shipped)).expect("it is kept"), golden(&report));
    let differences: Vec<_> = kept
        .lines()
        .zip(now.lines())
        .filter(|(kept, now)| kept != now)
        .map(|(kept, now)| format!("- {}\n+ {}", kept.trim(), now.trim()))
        .collect();
    assert!(
        kept == now,
        "{name} gives something else than what is kept; if that is meant, run scripts/golden:\n{}",
        differences.join("\n")
    );
}

fn path(shipped: &Shipped) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{}.json", shipped.name))
}
