//! The example of the format: what is not supported yet is refused by name, and the rest reads.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_retry::backoff::Jitter;
use mesh_sim::model::scenario::{CancelMode, Discipline, Distribution, FaultKind, Scenario, Target};
use mesh_sim::reading::read;

/// The example of `scenario-format.md`, version 1.
const EXAMPLE: &str = include_str!("data/format-example.toml");

#[test]
fn the_example_is_refused_for_exactly_what_is_not_supported_yet() {
    let error = read("example.toml", EXAMPLE).unwrap_err();
    let said: Vec<_> = error.problems().iter().map(|problem| (problem.line(), problem.message())).collect();
    let expected = [(44, "clients.tree"), (45, "clients.routes")];
    let expected = expected.map(|(line, what)| (line, format!("not yet supported: {what}")));
    assert_eq!(said, expected.each_ref().map(|(line, message)| (*line, message.as_str())), "{error}");
}

#[test]
fn the_example_without_those_tables_reads() {
    let read = read("example.toml", &supported()).unwrap();
    assert_eq!(read.warnings.to_string(), "");
    let Scenario { servers, clients, faults, .. } = &read.scenario;
    assert_eq!((servers[0].discipline, servers[0].queue_limit), (Discipline::Delay, Some(1_000)));
    let seconds = Duration::from_secs;
    assert_eq!((clients.timeout, clients.attempt_timeout), (Some(seconds(1)), Some(seconds(1))));
    assert_eq!(clients.cancel, CancelMode::None);
    assert!(
        clients.retry.is_some() && clients.hedge.is_some() && clients.keys.is_some() && clients.health_check.is_some()
    );
    assert!(clients.outlier.is_some());
    assert_eq!(faults[0].target, Some(Target::Server { group: "backend".into(), index: 0 }));
    assert_eq!(faults[0].fault, FaultKind::ServiceTime(Distribution::constant(seconds(2))));
}

#[test]
fn every_jitter_of_the_format_reads_and_is_production_s() {
    for (name, jitter) in JITTERS {
        let text = supported().replace("jitter = \"full\"", &format!("jitter = \"{name}\""));
        let read = read("jitter.toml", &text).unwrap();
        let backoff = read.scenario.clients.policy().backoff;
        assert_eq!((backoff.jitter, backoff.base.as_millis(), backoff.cap.as_millis()), (jitter, 50, 2000), "{name}");
        assert!(toml::to_string(&read.scenario).unwrap().contains(&format!("jitter = \"{name}\"")));
    }
}

#[cfg(feature = "schema")]
#[test]
fn the_schema_takes_the_example_without_those_tables() {
    let schema = jsonschema::draft202012::new(&mesh_sim::reading::schema()).unwrap();
    let errors = |text: &str| {
        let file: serde_json::Value = toml::from_str(text).unwrap();
        schema.iter_errors(&file).map(|error| error.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(errors(&supported()), [""; 0]);
    for (name, _) in JITTERS {
        assert_eq!(errors(&supported().replace("\"full\"", &format!("\"{name}\""))), [""; 0], "{name}");
    }
    assert!(!errors(EXAMPLE).is_empty());
}

#[test]
fn everything_that_comes_later_is_refused_by_its_name_at_its_place() {
    for (before, after, place, what) in [
        ("weight = 1 ", "priority = 1", (13, 1), "servers.priority"),
        ("\"round-robin\", ", "\"client-wrr\", ", (7, 15), "strategy `client-wrr`"),
        ("\"round-robin\", ", "{ prequal = { pool = 9 } }, ", (7, 17), "strategy `prequal`"),
    ] {
        let supported = supported();
        assert_eq!(supported.matches(before).count(), 1, "{before}");
        let error = read("later.toml", &supported.replace(before, after)).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert_eq!(problem.message(), format!("not yet supported: {what}"));
        assert_eq!((problem.line(), problem.column()), place, "{error}");
    }
}

const JITTERS: [(&str, Jitter); 5] = [
    ("none", Jitter::None),
    ("full", Jitter::Full),
    ("equal", Jitter::Equal),
    ("proportional", Jitter::Proportional),
    ("decorrelated", Jitter::Decorrelated),
];

/// The example without what is not supported yet.
fn supported() -> String {
    let mut kept = Vec::new();
    let mut table = "";
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            table = line.split([' ', '#']).next().unwrap();
        }
        let later = ["[clients.tree]", "[clients.routes]"];
        if !later.contains(&table) {
            kept.push(line);
        }
    }
    kept.join("\n")
}
