//! Arrivals from a file: what is taken, and which line is blamed.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_sim::model::scenario::{Arrivals, Scenario};
use mesh_sim::reading::{Read, Unreadable, read_with};

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn blank_lines_and_comments_say_nothing_and_equal_offsets_are_in_order() {
    let mut scenario = traced();
    scenario.load_trace("# captured on Monday\n0s\n\n 250ms \r\n250ms\n1m 30s\n").unwrap();
    let expected = Arrivals::Trace {
        file: "monday.txt".into(),
        offsets: [MILLIS(0), MILLIS(250), MILLIS(250), MILLIS(90_000)].into(),
    };
    assert_eq!(scenario.clients.arrivals, expected);
    assert_eq!(scenario.trace_file(), Some("monday.txt"));
}

#[test]
fn the_line_its_value_and_the_rule_are_named() {
    for (text, said) in [
        ("0s\n\n250\n", "line 3: 250 is not allowed: must be a number with its unit, such as \"250ms\""),
        ("1s\nsoon\n", "line 2: soon is not allowed: must be a number with its unit, such as \"250ms\""),
        ("1s\n-1s\n", "line 2: -1s is not allowed: must be a number with its unit, such as \"250ms\""),
        ("1s\n2s\n1500ms\n", "line 3: 1500ms is not allowed: must be at or after the offset before it, which is 2s"),
        ("\u{1b}[31m", "line 1: \\u{1b}[31m is not allowed: must be a number with its unit, such as \"250ms\""),
    ] {
        let mut scenario = traced();
        let error = scenario.load_trace(text).unwrap_err();
        assert_eq!(error.to_string(), said);
        assert_eq!(scenario, traced(), "a refused trace changed something");
    }
}

#[test]
fn a_scenario_without_a_trace_keeps_its_arrivals() {
    let mut scenario = Scenario::new("x", MILLIS(1), Arrivals::poisson(1.0));
    scenario.load_trace("junk").unwrap();
    assert_eq!(scenario.trace_file(), None);
    assert_eq!(scenario.clients.arrivals, Arrivals::poisson(1.0));
}

#[test]
fn the_file_is_opened_by_its_name_and_its_problems_are_those_of_the_key() {
    let good = opened(|name| if name == "monday.txt" { Ok("1ms\n2ms\n".into()) } else { Err("no such file") });
    assert_eq!(good.unwrap().scenario.clients.arrivals.clone(), {
        let mut expected = traced();
        expected.load_trace("1ms\n2ms\n").unwrap();
        expected.clients.arrivals
    });
    for (opened, said) in [
        (opened(|_| Err("no such file")), "file: monday.txt cannot be read: no such file"),
        (opened(|_| Ok("1s\nsoon\n".into())), "file: monday.txt: line 2: soon is not allowed"),
        (opened(|_| Ok("# nothing\n".into())), "file: monday.txt is not allowed: no arrivals were loaded from it"),
    ] {
        let error = opened.unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert_eq!((problem.line(), problem.column()), (6, 31), "{error}");
        assert!(problem.message().starts_with(said), "{error}");
    }
}

fn opened(open: impl FnOnce(&str) -> Result<String, &'static str>) -> Result<Read, Unreadable> {
    let text = r#"version = 1
name = "traced"
duration = "1s"
strategies = ["random"]
servers = [{ group = "api", count = 2, service_time.constant.value = "10ms" }]
clients.arrivals.trace.file = "monday.txt"
"#;
    read_with("traced.toml", text, open)
}

fn traced() -> Scenario {
    let arrivals = Arrivals::Trace { file: "monday.txt".into(), offsets: [].into() };
    Scenario::new("traced", MILLIS(1_000), arrivals)
}
