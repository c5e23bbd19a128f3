//! The files that a run writes: whole or not at all, whatever happens.
#![expect(clippy::expect_used, reason = "what a test cannot set up fails it")]

mod cli_support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cli_support::*;

#[test]
fn what_cannot_be_written_is_found_out_before_the_run_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = small(directory.path());
    let missing = directory.path().join("nowhere").join("t.ndjson");
    let csv = directory.path().join("r.csv");
    for path in [text(&missing), text(directory.path()), "/", ".."] {
        let output = run(&["run", &scenario, "--csv", text(&csv), "--trace", path]);
        assert_eq!(code(&output), 1, "{path}");
        assert!(output.stdout.is_empty() && stderr(&output).contains("cannot be written"), "{}", stderr(&output));
        assert_eq!(names(directory.path()), ["small.toml"]);
    }
}

#[test]
fn every_file_needs_a_name_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = small(directory.path());
    let same = directory.path().join("same");
    let roundabout = directory.path().join(".").join("same");
    let link = directory.path().join("link.toml");
    symlink(&scenario, &link).expect("it can be made");
    for arguments in [
        ["run", &scenario, "--trace", text(&same), "--csv", text(&roundabout)],
        ["run", &scenario, "--csv", &scenario, "--seed", "1"],
        ["run", &scenario, "--csv", text(&link), "--seed", "1"],
        ["run", text(&link), "--trace", &scenario, "--seed", "1"],
    ] {
        let output = run(&arguments);
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(output.stdout.is_empty() && stderr(&output).contains("is named twice"), "{}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(&scenario).expect("it is still there"), SMALL);
    assert_eq!(names(directory.path()), ["link.toml", "small.toml"]);
}

#[test]
fn the_arrivals_that_a_scenario_names_are_not_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    let arrivals = written(directory.path(), "arrivals.txt", "10ms\n20ms\n");
    let content = SMALL.replace("{ poisson = { rate = 100.0 } }", "{ trace = { file = \"arrivals.txt\" } }");
    let scenario = written(directory.path(), "traced.toml", &content);
    assert_eq!(code(&run(&["run", &scenario])), 0);
    let output = run(&["run", &scenario, "--csv", &arrivals]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&arrivals).expect("it is still there"), "10ms\n20ms\n");
}

#[test]
fn a_link_goes_on_leading_where_it_leads() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = small(directory.path());
    fs::create_dir(directory.path().join("results")).expect("it can be made");
    let real = written(&directory.path().join("results"), "real.csv", "old");
    let link = directory.path().join("latest.csv");
    symlink("results/real.csv", &link).expect("it can be made");
    assert_eq!(code(&run(&["run", &scenario, "--csv", text(&link)])), 0);
    assert!(link.is_symlink());
    assert!(fs::read_to_string(real).expect("it is there").starts_with("scenario,"));
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = small(directory.path());
    let socket = directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).expect("it can be made");
    let output = run(&["run", &scenario, "--csv", text(&socket)]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("no regular file") && !socket.is_file(), "{}", stderr(&output));
}

#[test]
fn a_name_as_long_as_names_may_be_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = small(directory.path());
    let name = "n".repeat(255);
    let output = run(&["run", &scenario, "--csv", text(&directory.path().join(&name))]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(names(directory.path()), [&name, "small.toml"]);
}

#[test]
fn a_run_that_disappoints_is_written_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let hope = "\n[[expect]]\nmetric = \"latency_ms.p99\"\nat_most = 0.001\n";
    let scenario = written(directory.path(), "hopeful.toml", &(SMALL.to_owned() + hope));
    let output = run(&["run", &scenario, "--csv", text(&directory.path().join("r.csv"))]);
    assert_eq!(code(&output), 3);
    assert_eq!(names(directory.path()), ["hopeful.toml", "r.csv"]);
}

#[test]
fn interrupted_it_says_what_it_has_and_writes_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = written(directory.path(), "long.toml", &long());
    let csv = written(directory.path(), "r.csv", "old");
    let trace = directory.path().join("t.ndjson");
    let mut child = command(&["run", &scenario, "--csv", &csv, "--trace", text(&trace)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Once the trace grows, the run is on its way.
    wait_until(|| names(directory.path()).iter().any(|name| length(directory.path(), name, ".partial") > 0));
    interrupt(&child);
    let said: Vec<_> = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok).collect();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(code(&output), 130);
    let remark = |line: &String| line.contains("round-robin: interrupted at ") && line.ends_with(" s of 25920000 s");
    assert!(said.iter().any(remark), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("1 strategy not run")), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("runs=1 expectations=0 failed=0 ")), "{said:#?}");
    assert!(
        stderr(&output).contains("not written: ") && stderr(&output).contains("interrupted"),
        "{}",
        stderr(&output)
    );
    assert_eq!(names(directory.path()), ["long.toml", "r.csv"], "no file is left that is not whole");
    assert_eq!(fs::read_to_string(&csv).expect("it is still there"), "old");
}

#[test]
fn a_second_interrupt_ends_it_at_once_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    // The result is longer than a pipe, and nobody reads on: it stays busy with printing.
    let scenario = written(directory.path(), "long.toml", &long().replace("count = 3", "count = 5000"));
    let csv = directory.path().join("r.csv");
    let mut child = command(&["run", &scenario, "--json", "--csv", text(&csv)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    wait_until(|| names(directory.path()).len() > 1);
    interrupt(&child);
    let mut printed = child.stdout.take().expect("piped");
    printed.read_exact(&mut [0; 1]).expect("it prints what it has");
    assert_eq!(names(directory.path()).len(), 2, "the file is begun and has no name yet");
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert_eq!(names(directory.path()), ["long.toml"]);
}

/// A scenario that nobody waits for.
fn long() -> String {
    let expect = "\n[[expect]]\nmetric = \"success_ratio\"\nat_least = 1\n";
    SMALL.replace("duration = \"10s\"", "duration = \"300d\"") + expect
}

/// How long the file called `name` is, if it ends like that.
fn length(directory: &std::path::Path, name: &str, end: &str) -> u64 {
    let metadata = name.ends_with(end).then(|| fs::metadata(directory.join(name)).ok()).flatten();
    metadata.map_or(0, |metadata| metadata.len())
}

/// What Ctrl-C sends.
fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(sent.success());
}

#[expect(clippy::disallowed_methods, reason = "whoever waits for a process needs a deadline by the clock")]
fn wait_until(so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "it did not come to that");
        std::thread::yield_now();
    }
}
