//! A file that reads, and what becomes of it when one part of it is changed.

use mesh_sim::reading::{Placed, Unreadable, read};

/// A file that reads; each case changes one part of it.
pub(crate) const GOOD: &str = r#"version = 1
name = "good"
duration = "60s"
strategies = ["random", { p2c-least-loaded = { choices = 2 } }]

[[servers]]
group = "backend"
count = 11
zone = "a"
service_time = { exponential = { mean = "10ms" } }

[clients]
timeout = "1s"
arrivals = { poisson = { rate = 100.0 } }

[[faults]]
at = "15s"
for = "30s"
target = { group = "backend", index = 0 }
fault = { slowdown = { factor = 2.0 } }

[[expect]]
strategy = "random"
metric = "success_ratio"
at_least = 0.9
"#;

/// What is replaced, by what, the line and column that are blamed, what is said, and what is suggested.
pub(crate) type Case = (&'static str, &'static str, (usize, usize), &'static str, &'static str);

/// Makes each case's change and holds the only problem to it.
pub(crate) fn check(cases: &[Case]) {
    for (before, after, place, said, help) in cases {
        let problem = only(before, after);
        let context = format!("{after}: {problem:?}");
        assert_eq!((problem.line(), problem.column()), *place, "{context}");
        assert!(problem.message().contains(said), "{context}");
        let helped = problem.help().unwrap_or_default();
        assert!(if help.is_empty() { helped.is_empty() } else { helped.starts_with(help) }, "{context}");
    }
}

pub(crate) fn only(before: &str, after: &str) -> Placed {
    one(&changed(before, after))
}

pub(crate) fn one(text: &str) -> Placed {
    let error = refusal(text);
    assert_eq!(error.problems().len(), 1, "{error}");
    error.problems()[0].clone()
}

pub(crate) fn refusal(text: &str) -> Unreadable {
    match read("bad.toml", text) {
        Ok(_) => panic!("this reads:\n{text}"),
        Err(error) => error,
    }
}

pub(crate) fn changed(before: &str, after: &str) -> String {
    assert_eq!(GOOD.matches(before).count(), 1, "{before} does not stand once in the good file");
    GOOD.replacen(before, after, 1)
}
