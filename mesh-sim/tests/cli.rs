//! The command as its users meet it: what it prints, what it writes and how it ends.
#![expect(clippy::expect_used, reason = "what a test cannot set up fails it")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[test]
fn a_run_prints_a_table_of_80_columns_that_ends_with_a_line_for_programs() {
    let output = run(&["run", "linkerd-slow-backend"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("round-robin") && text.contains("✓ p2c-least-loaded success_ratio"), "{text}");
    let last = text.lines().last().expect("it prints something");
    assert!(last.starts_with("RESULT scenario=linkerd-slow-backend runs=3 expectations=3 failed=0 seconds="), "{last}");
    assert!(!text.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn every_command_keeps_to_80_columns() {
    for arguments in [&["list"][..], &["--help"], &["run", "--help"], &["check", "steady"]] {
        let text = stdout(&run(arguments));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{arguments:?}\n{text}");
    }
}

#[test]
fn json_is_all_that_is_printed_and_has_the_shape_of_the_format() {
    let output = run(&["run", "black-hole", "--json", "--seed", "7"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON and nothing else");
    assert_eq!(
        (&report["version"], &report["scenario"], &report["seed"]),
        (&1.into(), &"black-hole".into(), &7.into())
    );
    assert!(report["wall_s"].as_f64().is_some_and(|seconds| seconds > 0.0));
    for run in report["runs"].as_array().expect("runs") {
        let requests = &run["requests"];
        let count = |name: &str| requests[name].as_u64().expect("a number");
        let ended = ["succeeded", "failed", "timed_out", "rejected", "refused"].map(count).iter().sum::<u64>();
        assert_eq!(ended, count("measured"));
        assert!(run["servers"][0]["share"].as_f64().is_some_and(|share| share <= 0.101), "{run}");
        assert_eq!(run["digest"].as_str().map(str::len), Some(16));
    }
}

#[test]
fn one_seed_gives_one_digest_in_two_processes_and_another_seed_another() {
    let digests = |seed: &str| {
        let output = run(&["run", "black-hole", "--json", "--seed", seed, "--strategy", "p2c-least-loaded"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        report["runs"][0]["digest"].as_str().expect("a digest").to_owned()
    };
    assert_eq!(digests("5"), digests("5"));
    assert_ne!(digests("5"), digests("6"));
}

#[test]
fn a_trace_has_a_line_for_every_event() {
    let directory = tempfile::tempdir().expect("a directory");
    let (trace, csv) = (directory.path().join("t.ndjson"), directory.path().join("r.csv"));
    let output =
        run(&["run", small(directory.path()).as_str(), "--json", "--trace", text(&trace), "--csv", text(&csv)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let events: u64 = report["runs"].as_array().expect("runs").iter().filter_map(|run| run["events"].as_u64()).sum();
    let lines = fs::read_to_string(&trace).expect("it is written");
    let parsed: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(parsed.len() as u64, events);
    let picked = parsed.iter().find(|event| event["event"] == "picked").expect("somebody was picked");
    assert!(picked["server"]["group"] == "api" && picked["request"].is_u64() && picked["t_ns"].is_u64(), "{picked}");
    let table = fs::read_to_string(&csv).expect("it is written");
    let columns = |line: &str| line.split(',').count();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].starts_with("scenario,") && rows[0].contains("latency_ms.p99"), "{table}");
    assert!(rows.iter().all(|row| columns(row) == columns(rows[0])), "{table}");
    assert_eq!(names(directory.path()), ["r.csv", "small.toml", "t.ndjson"], "nothing is left behind");
}

#[test]
fn usage_errors_end_with_2_and_say_what_is_known() {
    for (arguments, said) in [
        (&["run", "stedy"][..], "did you mean `steady`?"),
        (&["run", "steady", "--strategy", "fastest"], "there are least-loaded"),
        (&["sweep", "steady", "--seeds", "1..3"], "not yet supported: sweep"),
        (&["run", "steady", "--report", "r.html"], "not yet supported: --report"),
        (&["fly"], "unrecognized subcommand"),
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_bad_scenario_ends_with_4_and_points_at_the_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bad.toml");
    fs::write(&path, SMALL.replace("rate = 100.0", "rate = -1.0")).expect("it can be written");
    for command in ["run", "check"] {
        let output = run(&[command, text(&path)]);
        assert_eq!(code(&output), 4);
        let said = stderr(&output);
        assert!(said.contains("bad.toml:11:") && said.contains("^") && said.contains("-1"), "{said}");
    }
}

#[test]
fn an_unmet_expectation_ends_with_3() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hopeful.toml");
    let hope = "\n[[expect]]\nmetric = \"latency_ms.p99\"\nat_most = 0.001\n";
    fs::write(&path, SMALL.to_owned() + hope).expect("it can be written");
    let output = run(&["run", text(&path)]);
    assert_eq!(code(&output), 3);
    assert!(stdout(&output).contains("✗ round-robin latency_ms.p99"), "{}", stdout(&output));
}

#[test]
fn what_cannot_be_written_is_found_out_before_the_run_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = small(directory.path());
    let missing = directory.path().join("nowhere").join("t.ndjson");
    let output = run(&["run", &scenario, "--trace", text(&missing)]);
    assert_eq!(code(&output), 1);
    assert!(output.stdout.is_empty() && stderr(&output).contains("cannot be written"), "{}", stderr(&output));

    let twice = directory.path().join("same");
    let output = run(&["run", &scenario, "--trace", text(&twice), "--csv", text(&twice)]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let output = run(&["run", &scenario, "--csv", &scenario]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&scenario).expect("it is still there"), SMALL);
    assert_eq!(names(directory.path()), ["small.toml"]);
}

#[test]
fn whoever_stops_reading_breaks_nothing() {
    let mut child = command(&["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("it is text");
    assert_eq!((child.wait().expect("it ends").code(), said.as_str()), (Some(0), ""));
}

#[test]
fn interrupted_it_says_what_it_has_and_writes_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("long.toml");
    fs::write(&path, SMALL.replace("duration = \"10s\"", "duration = \"300d\"")).expect("it can be written");
    let csv = directory.path().join("r.csv");
    let arguments = ["run", text(&path), "--csv", text(&csv)];
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_until(|| names(directory.path()).len() > 1);
    // The file that it began is there, and so is, a moment later, whoever hears the interrupt.
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(sent.success());
    let said: Vec<_> = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(said.iter().any(|line| line.contains("interrupted at")), "{said:#?}");
    assert_eq!(names(directory.path()), ["long.toml"], "no file is left, whole or not");
}

#[expect(clippy::disallowed_methods, reason = "whoever waits for a process needs a deadline by the clock")]
fn wait_until(so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "it did not come to that");
        std::thread::yield_now();
    }
}

#[test]
fn runs_that_are_made_twice_are_the_same() {
    let output = run(&["run", "black-hole", "--double-check"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn what_is_shown_can_be_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("shown.toml");
    fs::write(&path, stdout(&run(&["show", "black-hole"]))).expect("it can be written");
    let digest = |name: &str| {
        let output = run(&["run", name, "--json", "--strategy", "random"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        report["runs"][0]["digest"].clone()
    };
    assert_eq!(digest(text(&path)), digest("black-hole"));
}

#[test]
fn the_schema_is_json() {
    let schema: Value = serde_json::from_slice(&run(&["schema"]).stdout).expect("it is JSON");
    assert!(schema["properties"]["servers"].is_object(), "{schema}");
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it starts")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-sim"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn small(directory: &Path) -> String {
    let path = directory.join("small.toml");
    fs::write(&path, SMALL).expect("it can be written");
    text(&path).to_owned()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const SMALL: &str = "version = 1
name = \"small\"
duration = \"10s\"
strategies = [\"round-robin\", \"random\"]

[[servers]]
group = \"api\"
count = 3
service_time = { exponential = { mean = \"10ms\" } }
[clients]
arrivals = { poisson = { rate = 100.0 } }
";
