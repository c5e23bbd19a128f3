//! The command as its users meet it: what it prints, what it writes and how it ends.
#![expect(clippy::expect_used, reason = "what a test cannot set up fails it")]

mod cli_support;

use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use cli_support::*;

#[test]
fn a_run_prints_a_table_of_80_columns_that_ends_with_a_line_for_programs() {
    let output = run(&["run", "linkerd-slow-backend"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    let for_people = text.lines().filter(|line| !line.starts_with("RESULT "));
    assert!(for_people.into_iter().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("round-robin") && text.contains("✓ p2c-least-loaded success_ratio"), "{text}");
    let last = text.lines().last().expect("it prints something");
    assert!(last.starts_with("RESULT scenario=linkerd-slow-backend runs=4 expectations=4 failed=0 seconds="), "{last}");
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
        (&["run", "steady", "--strategy", "fastest"], "there are adaptive, bounded-load"),
        (&["run", "steady", "--strategy", "lest-loaded"], "did you mean `least-loaded`?"),
        (&["run", "steady", "--seed", "one"], "invalid value 'one'"),
        (&["run", "."], "it is a directory"),
        (&["sweep", "steady", "--seeds", "1..3"], "not yet supported: sweep"),
        (&["merge", "one.json", "two.json"], "not yet supported: merge"),
        (&["storm", "--seed", "1"], "not yet supported: storm"),
        (&["replay"], "not yet supported: replay"),
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
fn whoever_stops_reading_breaks_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&["list"][..], &["--help"], &["schema"], &["show", "steady"], &["run", &small(directory.path())]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command(arguments).stdout(writer).output().expect("it starts");
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{arguments:?}");
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
fn a_file_wins_over_the_shipped_scenario_of_its_name_and_a_directory_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = || stdout(&command(&["check", "steady"]).current_dir(directory.path()).output().expect("it starts"));
    fs::create_dir(directory.path().join("steady")).expect("it can be made");
    assert_eq!(check(), "ok: steady, 20 servers, 1 client, ~192.0 k requests\n");
    fs::remove_dir(directory.path().join("steady")).expect("it can be removed");
    written(directory.path(), "steady", SMALL);
    assert_eq!(check(), "ok: small, 3 servers, 1 client, ~1000 requests\n");
}

#[test]
fn a_scenario_may_come_through_a_pipe() {
    let mut child = command(&["check", "/dev/stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().expect("it starts");
    child.stdin.take().expect("piped").write_all(SMALL.as_bytes()).expect("it reads");
    let said = std::io::read_to_string(child.stdout.take().expect("piped")).expect("it is text");
    assert_eq!(
        (child.wait().expect("it ends").code(), said.as_str()),
        (Some(0), "ok: small, 3 servers, 1 client, ~1000 requests\n")
    );
}

#[test]
fn what_is_no_text_is_a_bad_scenario() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("binary.toml");
    fs::write(&path, b"name = \"\xff\"").expect("it can be written");
    let output = run(&["run", text(&path)]);
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("it is not UTF-8 text"), "{}", stderr(&output));
}

#[test]
fn the_strategies_that_are_named_run_with_the_parameters_of_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let strategies = "[{ p2c-least-loaded = { choices = 2 } }, { p2c-least-loaded = { choices = 3 } }, \"random\"]";
    let content = SMALL.replace("[\"round-robin\", \"random\"]", strategies);
    let path = written(directory.path(), "two.toml", &content);
    let choices = |names: &[&str]| {
        let mut arguments = vec!["run", &path, "--json"];
        arguments.extend(names.iter().flat_map(|name| ["--strategy", name]));
        let report = json(&run(&arguments));
        let runs = report["runs"].as_array().expect("runs");
        runs.iter().map(|run| run["params"]["choices"].as_u64().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(choices(&[]), [2, 3, 0]);
    assert_eq!(choices(&["p2c-least-loaded(choices=3)"]), [3]);
    assert_eq!(choices(&["p2c-least-loaded", "round-robin"]), [2, 3, 0]);
}

#[test]
fn colours_are_for_terminals_and_for_whoever_insists() {
    let directory = tempfile::tempdir().expect("a directory");
    let bad = written(directory.path(), "bad.toml", &SMALL.replace("rate = 100.0", "rate = -1.0"));
    let hope = "\n[[expect]]\nmetric = \"success_ratio\"\nat_least = 1\n";
    let good = written(directory.path(), "good.toml", &(SMALL.to_owned() + hope));
    for (colours, no_color, is_coloured) in
        [("auto", false, false), ("never", false, false), ("always", false, true), ("always", true, true)]
    {
        for arguments in [["check", &bad], ["run", &good]] {
            let mut command = command(&["--color", colours]);
            if no_color {
                command.env("NO_COLOR", "1");
            }
            let output = command.args(arguments).output().expect("it starts");
            let said = stdout(&output) + &stderr(&output);
            assert_eq!(said.contains('\u{1b}'), is_coloured, "{colours} {arguments:?}\n{said}");
        }
        let help = run(&["--help", &format!("--color={colours}")]);
        assert_eq!(stdout(&help).contains('\u{1b}'), is_coloured, "{colours}");
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let help = stdout(&run(&["--help"]));
    for code in ["0 fine", "1 an output", "2 usage", "3 an expectation", "4 a bad", "5 two runs", "130 interrupted"] {
        assert!(help.replace('\n', " ").contains(code), "{code}\n{help}");
    }
}

#[test]
fn what_cannot_be_printed_ends_with_1_and_writes_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, csv) = (small(directory.path()), directory.path().join("r.csv"));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device that is always full");
    let output = command(&["run", &path, "--csv", text(&csv)]).stdout(full).output().expect("it starts");
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert_eq!(names(directory.path()), ["small.toml"]);
}

#[test]
fn the_schema_is_json() {
    let schema: Value = serde_json::from_slice(&run(&["schema"]).stdout).expect("it is JSON");
    assert!(schema["properties"]["servers"].is_object(), "{schema}");
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("it is JSON and nothing else")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_is_left_out_is_missed() {
    for (name, part) in [
        ("gray-failure", "outlier"),
        ("correlated-failure", "outlier"),
        ("flapping", "health-check"),
        ("retry-storm", "budget"),
        ("hedging-long-tail", "hedge"),
        ("breaker-trip", "breaker"),
    ] {
        assert_eq!(code(&run(&["run", name])), 0, "{name}");
        let output = run(&["run", name, "--without", part]);
        assert_eq!(code(&output), 3, "{}", stdout(&output));
    }
    let output = run(&["run", "steady", "--without", "luck"]);
    assert!(code(&output) == 2 && stderr(&output).contains("outlier"), "{}", stderr(&output));
}
