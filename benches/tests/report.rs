//! The report: what it reads of criterion's files, and what it shows.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::Path;

use mesh_benches::report::{ReportError, Row, rows, table};

#[test]
fn results_are_read_as_bench_subject_size_threads_and_the_median() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "a", r#""function_id":"tower/p2c-pending-requests","value_str":"100/2""#, 171.25);
    write(home.path(), "b", r#""function_id":"mesh/p2c-least-loaded","value_str":"100/2""#, 20.5);
    write(home.path(), "b_base", r#""function_id":"something else","value_str":null"#, 1.0);
    let expected = [("mesh/p2c-least-loaded", 20.5), ("tower/p2c-pending-requests", 171.25)];
    let expected = expected.map(|(subject, ns)| row("pick", subject, 100, 2, ns));
    assert_eq!(rows(home.path()).unwrap(), expected);
    let json = serde_json::to_value(&expected[0]).unwrap();
    let as_promised = serde_json::json!(
        {"bench": "pick", "subject": "mesh/p2c-least-loaded", "size": 100, "threads": 2, "ns": 20.5}
    );
    assert_eq!(json, as_promised);
}

#[test]
fn a_report_of_nothing_says_how_to_measure() {
    let home = tempfile::tempdir().unwrap();
    for home in [home.path(), &home.path().join("missing")] {
        let error = rows(home).unwrap_err();
        assert!(matches!(error, ReportError::Nothing { .. }) && error.to_string().contains("cargo bench"), "{error}");
    }
}

#[test]
fn files_that_are_not_criterions_are_named() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "a", r#""function_id":1"#, 1.0);
    let error = rows(home.path()).unwrap_err();
    assert!(matches!(error, ReportError::Unexpected { .. }) && error.to_string().contains("benchmark.json"), "{error}");
}

#[test]
fn the_table_sets_peers_and_floor_against_ours_in_80_columns() {
    let sizes = [3, 10, 100, 1_000, 10_000];
    let subjects = [
        ("floor/p2c", 14.0),
        ("mesh/p2c-least-loaded", 20.0),
        ("pingora-load-balancing/RoundRobin", 1_540.0),
        ("tower/p2c-pending-requests", 170.0),
        ("mesh/one-changed", 12_345_678.0),
    ];
    let all = subjects.iter().flat_map(|(subject, ns)| sizes.map(|size| row("pick", subject, size, 1, *ns)));
    let shown = table(&all.collect::<Vec<_>>());
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let expected = [
        "pick, 1 thread: ns an operation, median",
        "  instances                                  3      10     100    1000   10000",
        "  mesh/p2c-least-loaded                   20.0    20.0    20.0    20.0    20.0",
        "  pingora-load-balancing/RoundRobin       1540    1540    1540    1540    1540",
        "  mesh/one-changed                      12.35M  12.35M  12.35M  12.35M  12.35M",
        "  of the cost of mesh/p2c-least-loaded:",
        "    tower/p2c-pending-requests           8.50x   8.50x   8.50x   8.50x   8.50x",
        "    floor/p2c                            0.70x   0.70x   0.70x   0.70x   0.70x",
    ];
    for line in expected {
        assert!(shown.lines().any(|shown| shown == line), "`{line}` is missing:\n{shown}");
    }
}

#[test]
fn simulators_are_set_against_ours_where_both_were_measured() {
    let all = [
        row("sim", "mesh-sim/steady", 100, 1, 400.0),
        row("sim", "mesh-sim/steady", 10_000, 1, 1_000.0),
        row("sim", "heap-loop/steady", 100, 1, 100.0),
        row("sim", "heap-loop/steady", 10_000, 1, 500.0),
        row("sim", "nexosim/steady", 100, 1, 600.0),
    ];
    let shown = table(&all);
    let expected = [
        "sim, 1 thread: ns an operation, median",
        "  of the cost of mesh-sim/steady:",
        "    nexosim/steady                       1.50x",
        "    heap-loop/steady                     0.25x   0.50x",
    ];
    for line in expected {
        assert!(shown.lines().any(|shown| shown.trim_end() == line), "`{line}` is missing:\n{shown}");
    }
}

#[test]
fn caches_are_set_against_ours_by_the_number_of_their_keys() {
    let all = [
        row("cache", "mesh/get-at", 1, 2, 10.0),
        row("cache", "mesh/get-at", 10_000, 2, 20.0),
        row("cache", "quick_cache/get", 1, 2, 30.0),
        row("cache", "quick_cache/get", 10_000, 2, 30.0),
    ];
    let shown = table(&all);
    let expected = [
        "cache, 2 threads together: ns an operation, median",
        "  keys                                       1   10000",
        "  of the cost of mesh/get-at:",
        "    quick_cache/get                      3.00x   1.50x",
    ];
    for line in expected {
        assert!(shown.lines().any(|shown| shown.trim_end() == line), "`{line}` is missing:\n{shown}");
    }
}

fn row(bench: &str, subject: &str, size: u32, threads: u32, ns: f64) -> Row {
    Row { bench: bench.to_owned(), subject: subject.to_owned(), size, threads, ns }
}

/// Writes the two files of one benchmark as criterion does.
fn write(home: &Path, name: &str, what: &str, ns: f64) {
    let latest = home.join("pick").join(name).join("new");
    fs::create_dir_all(&latest).unwrap();
    fs::write(latest.join("benchmark.json"), format!(r#"{{"group_id":"pick",{what},"throughput":null}}"#)).unwrap();
    let estimates = format!(r#"{{"mean":{{"point_estimate":9e9}},"median":{{"point_estimate":{ns}}}}}"#);
    fs::write(latest.join("estimates.json"), estimates).unwrap();
}
