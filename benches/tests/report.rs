//! The report: what it reads of criterion's files, and what it shows.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::Path;

use mesh_benches::report::{Counted, ReportError, Row, counted, instructions, rows, table};

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

#[test]
fn a_choice_is_what_a_pick_costs_above_the_floor_of_its_lease_and_is_set_against_lookups() {
    let all = [
        row("pick", "mesh/ring-hash", 10, 1, 30.0),
        row("pick", "mesh/ring-hash", 100, 1, 15.0),
        row("pick", "mesh/ring-hash", 1_000, 1, 40.0),
        row("pick", "floor/lease", 10, 1, 18.0),
        row("pick", "floor/lease", 100, 1, 18.0),
        row("pick", "pingora-ketama/Continuum", 10, 1, 30.0),
        row("pick", "pingora-ketama/Continuum", 100, 1, 45.0),
    ];
    let shown = table(&all);
    let expected = [
        "  mesh/ring-hash/choice                   12.0    -3.0",
        "  mesh/ring-hash/choice is what it costs above floor/lease",
        "  of the cost of mesh/ring-hash:",
        "    pingora-ketama/Continuum             1.00x   3.00x",
        "  of the cost of mesh/ring-hash/choice:",
        "    pingora-ketama/Continuum             2.50x",
    ];
    for line in expected {
        assert!(shown.lines().any(|shown| shown.trim_end() == line), "`{line}` is missing:\n{shown}");
    }
    let elsewhere = all.clone().map(|row| Row { bench: "contended".to_owned(), ..row });
    assert!(!table(&elsewhere).contains("/choice"), "a choice is measured by `pick` alone");
    let together = all.map(|row| Row { threads: 2, ..row });
    assert!(!table(&together).contains("/choice"), "what threads cost each other is no choice");
}

#[test]
fn a_table_is_what_a_view_costs_above_one_without_it() {
    let all = [
        row("tables", "mesh/random/build", 1_000, 1, 100.0),
        row("tables", "mesh/ring-hash/build", 1_000, 1, 500.0),
        row("tables", "mesh/random/build", 10_000, 1, 2_000_000.0),
        row("tables", "mesh/ring-hash/build", 10_000, 1, 1_976_500.0),
        row("tables", "mesh/random/one-changed", 1_000, 1, 50.0),
        row("tables", "mesh/ring-hash/one-changed", 1_000, 1, 150.0),
        row("tables", "pingora-ketama/build", 1_000, 1, 1_000.0),
        row("tables", "hashring/build", 1_000, 1, 1_000_000.0),
        row("tables", "hashring/build", 10_000, 1, 5.0),
    ];
    let shown = table(&all);
    let expected = [
        "  mesh/ring-hash/table                     400  -23.5k",
        "  mesh/ring-hash/table-changed             100",
        "  of the cost of mesh/ring-hash/table:",
        "    pingora-ketama/build                 2.50x",
        "    hashring/build                       2500x",
        "  of the cost of mesh/ring-hash/table-changed:",
        "    mesh/ring-hash/table                 4.00x",
        "    pingora-ketama/build                10.00x",
    ];
    for line in expected {
        assert!(shown.lines().any(|shown| shown.trim_end() == line), "`{line}` is missing:\n{shown}");
    }
}

#[test]
fn what_is_in_flight_is_set_against_what_is_in_flight() {
    let all = [
        row("contended", "mesh/p2c-least-loaded/16", 3, 2, 40.0),
        row("contended", "floor/p2c/16", 3, 2, 36.0),
        row("contended", "floor/p2c", 3, 2, 20.0),
    ];
    let shown = table(&all);
    assert!(shown.starts_with("contended, 2 threads together: ns an operation, median\n"), "{shown}");
    let ratios = shown.split_once("of the cost of mesh/p2c-least-loaded/16:\n").unwrap().1;
    assert_eq!(ratios, "    floor/p2c/16                         0.90x\n");
}

#[test]
fn ten_thousand_instances_are_set_against_ten() {
    let all = [10, 100, 10_000].map(|size| row("pick", "mesh/p2c-least-loaded", size, 1, f64::from(size) / 10.0));
    let shown = table(&all);
    assert!(
        shown.ends_with("  10000 instances of the cost of 10:\n    mesh/p2c-least-loaded                1000x\n"),
        "{shown}"
    );
    assert!(!table(&all[..2]).contains("of the cost of 10:"), "10,000 were not measured");
}

#[test]
fn counted_instructions_are_read_and_set_against_the_peers() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(counted(home.path()).unwrap(), []);
    let text = "mesh/p2c-least-loaded\t10\t60.0\ntower/p2c-pending-requests\t10\t900.5\n";
    fs::write(home.path().join("instructions.tsv"), text).unwrap();
    let all = counted(home.path()).unwrap();
    let one = Counted { subject: "mesh/p2c-least-loaded".to_owned(), size: 10, instructions: 60.0 };
    assert_eq!((all.len(), &all[0]), (2, &one));
    let expected = [
        "instructions of a pick, 1 thread, counted by callgrind",
        "  instances                                 10",
        "  mesh/p2c-least-loaded                   60.0",
        "  tower/p2c-pending-requests               900",
        "  of the cost of mesh/p2c-least-loaded:",
        "    tower/p2c-pending-requests          15.01x",
    ];
    assert_eq!(instructions(&all).lines().map(str::trim_end).collect::<Vec<_>>(), expected);
}

#[test]
fn a_line_of_counted_instructions_that_is_none_is_named() {
    let home = tempfile::tempdir().unwrap();
    for line in ["a\tb\t1.0", "a\t10", "a\t10\tmany", "a\t10\t1.0\t2", ""] {
        fs::write(home.path().join("instructions.tsv"), format!("x\t3\t1.5\n{line}\n")).unwrap();
        let error = counted(home.path()).unwrap_err();
        let named = matches!(&error, ReportError::Uncounted { line: found, .. } if found == line);
        assert!(named && error.to_string().contains("instructions.tsv"), "{error}");
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
