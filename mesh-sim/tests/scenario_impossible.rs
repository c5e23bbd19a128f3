//! Files that say an impossible scenario: which value is blamed, at which line and column, and what is suggested.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(dead_code, reason = "each battery uses a part of the support")]

#[path = "scenario_support/refused.rs"]
mod refused;

use mesh_sim::reading::{Placed, read};
use refused::{changed, check, one, refusal};

#[test]
fn impossible_heads_and_servers_are_refused_with_their_rule() {
    check(&[
        ("version = 1", "version = 2", (1, 11), "version: 2 is not allowed: must be 1", ""),
        ("\"good\"", "\"Good one\"", (2, 8), "name: Good one is not allowed: must be 1 to 100 lower-case", ""),
        ("\"60s\"", "\"0s\"", (3, 12), "duration: 0ns is not allowed: must be above 0", ""),
        (
            "\"60s\"",
            "\"60s\"\nwarmup = \"1m\"",
            (4, 10),
            "warmup: 60s is not allowed: must be below the duration of 60s",
            "",
        ),
        ("choices = 2", "choices = 1", (4, 58), "choices: 1 is not allowed: must be 2 to 10", ""),
        (
            "[clients]",
            "[[servers]]\ngroup = \"back end\"\ncount = 1\nservice_time.constant.value = \"1s\"\n[clients]",
            (13, 9),
            "group: back end is not allowed: must be 1 to 512 letters",
            "",
        ),
        (
            "[clients]",
            "[[servers]]\ngroup = \"\"\ncount = 1\nservice_time.constant.value = \"1s\"\n[clients]",
            (13, 9),
            "group: \"\" is not allowed: a group must have a name",
            "",
        ),
        (
            "[clients]",
            "[[servers]]\ngroup = \"backend\"\ncount = 1\nservice_time.constant.value = \"1s\"\n[clients]",
            (13, 9),
            "group: backend is not allowed: another group has this name",
            "",
        ),
        ("count = 11", "count = 0", (8, 9), "count: 0 is not allowed: must be at least 1", ""),
        ("zone = \"a\"", "speed = -1", (9, 9), "speed: -1 is not allowed: must be a finite number above 0", ""),
        ("zone = \"a\"", "speed = nan", (9, 9), "speed: NaN is not allowed: must be a finite number above 0", ""),
        ("zone = \"a\"", "version = \"new\"", (9, 11), "version: new is not allowed: must be a semantic version", ""),
        ("zone = \"a\"", "tags = [\" x\"]", (9, 8), "tags:  x is not allowed", ""),
        ("zone = \"a\"", "meta = { \"a.b\" = \"v\" }", (9, 8), "meta: a.b is not allowed", ""),
    ]);
}

#[test]
fn impossible_clients_networks_and_bounds_are_refused_with_their_rule() {
    check(&[
        ("rate = 100.0", "rate = -100.0", (14, 33), "rate: -100 is not allowed: must be a finite number above 0", ""),
        ("rate = 100.0", "rate = 0", (14, 33), "rate: 0 is not allowed: must be a finite number above 0", ""),
        ("rate = 100.0", "rate = 1e9", (14, 33), "rate: about 6.0e10 requests would come: at most 1e10", ""),
        ("poisson = { rate = 100.0 }", "trace = { file = \"x.txt\" }", (14, 31), "file: x.txt cannot be read", ""),
        ("timeout = \"1s\"", "timeout = \"0s\"", (13, 11), "timeout: 0s is not allowed: must be longer than zero", ""),
        ("timeout = \"1s\"", "count = 100_001", (13, 9), "count: 100001 is not allowed: must be 1 to 100000", ""),
        (
            "timeout = \"1s\"",
            "health_check.interval = \"5ms\"",
            (13, 25),
            "interval: 5ms is not allowed: must be 10ms to 24h",
            "",
        ),
        (
            "timeout = \"1s\"",
            "health_check.timeout = \"1m\"",
            (13, 24),
            "timeout: 60s is not allowed: must be above 0 and at most",
            "",
        ),
        (
            "timeout = \"1s\"",
            "health_check.jitter_percent = 101",
            (13, 31),
            "jitter_percent: 101 is not allowed: must be 0 to 100",
            "",
        ),
        ("timeout = \"1s\"", "retry.backoff.exponential.base = \"0s\"", (13, 34), "base: 0ns is not allowed", ""),
        (
            "timeout = \"1s\"",
            "retry.backoff.exponential.cap = \"1ms\"",
            (13, 33),
            "cap: 1ms is not allowed: must be at least base",
            "",
        ),
        ("[[faults]]", "[network]\nloss = 1.5\n[[faults]]", (17, 8), "loss: 1.5 is not allowed: must be 0 to 1", ""),
        ("factor = 2.0", "factor = 0", (20, 33), "factor: 0 is not allowed: must be a finite number above 0", ""),
        (
            "at_least = 0.9",
            "between = [2, 1]",
            (25, 11),
            "between: [2, 1] is not allowed: the first must be at most",
            "",
        ),
        ("at_least = 0.9", "at_least = nan", (25, 12), "at_least: NaN is not allowed: must be a number", ""),
    ]);
}

#[test]
fn faults_that_hit_nobody_or_never_come_are_refused() {
    check(&[
        (
            "at = \"15s\"",
            "at = \"60s\"",
            (17, 6),
            "at: 60s is not allowed: the fault starts after the end, which is at 60s",
            "",
        ),
        ("for = \"30s\"", "for = \"0s\"", (18, 7), "for: 0s is not allowed: must be longer than zero", ""),
        (
            "\"backend\", index",
            "\"bakend\", index",
            (19, 20),
            "group: bakend is not allowed: no group",
            "did you mean `backend`?",
        ),
        ("index = 0", "index = 11", (19, 39), "index: 11 is not allowed: group `backend` has the indices 0 to 10", ""),
        (
            "index = 0",
            "fraction = 0.04",
            (19, 42),
            "fraction: 0.04 is not allowed: of the 11 servers of `backend` it hits none",
            "",
        ),
        ("index = 0", "fraction = 1.5", (19, 42), "fraction: 1.5 is not allowed: must be 0 to 1", ""),
        (
            "group = \"backend\", index = 0",
            "zone = \"c\"",
            (19, 19),
            "zone: c is not allowed: no group of servers is in this zone",
            "",
        ),
        (
            "group = \"backend\", index = 0",
            "clients = \"all\"",
            (19, 10),
            "`slowdown` cannot hit clients",
            "these can: partition",
        ),
        ("group = \"backend\", index = 0", "clients = \"some\"", (19, 10), "target: must be", ""),
        (
            "{ slowdown = { factor = 2.0 } }",
            "{ clock-skew = { by = \"1s\" } }",
            (19, 10),
            "`clock-skew` hits clients only",
            "aim it at { clients",
        ),
        ("{ slowdown = { factor = 2.0 } }", "\"registry-outage\"", (19, 10), "`registry-outage` takes no target", ""),
    ]);
}

#[test]
fn faults_with_impossible_numbers_are_refused() {
    check(&[
        (
            "slowdown = { factor = 2.0 }",
            "errors = { rate = 1.1 }",
            (20, 29),
            "rate: 1.1 is not allowed: must be 0 to 1",
            "",
        ),
        (
            "slowdown = { factor = 2.0 }",
            "flap = { up = \"0s\", down = \"1s\" }",
            (20, 25),
            "up: 0ns is not allowed: must be longer than zero",
            "",
        ),
        (
            "slowdown = { factor = 2.0 }",
            "flap = { up = \"1us\", down = \"1us\" }",
            (20, 18),
            "flap: it would crash 15000000 times",
            "",
        ),
        (
            "slowdown = { factor = 2.0 }",
            "service-time = { uniform = { min = \"2s\", max = \"1s\" } }",
            (20, 46),
            "min: 2s is not allowed: must be at most max",
            "",
        ),
    ]);
}

#[test]
fn runs_that_may_never_end_are_refused() {
    let help = "set clients.timeout or clients.attempt_timeout";
    for (fault, name) in [
        ("\"hang\"", "hang"),
        ("\"pause\"", "pause"),
        ("{ partition = {} }", "partition"),
        ("{ loss = { rate = 0.1 } }", "loss"),
    ] {
        let text = changed("{ slowdown = { factor = 2.0 } }", fault).replace("timeout = \"1s\"\n", "");
        let problem = one(&text);
        let message =
            format!("fault: `{name}` leaves requests without an answer: without a timeout the run may never end");
        assert_eq!((problem.line(), problem.message(), problem.help()), (19, &*message, Some(help)));
        assert!(read("endless.toml", &text.replace("[clients]", "[clients]\nattempt_timeout = \"1s\"")).is_ok());
    }
    let lossy = changed("[[faults]]", "[network]\nloss = 0.1\n[[faults]]").replace("timeout = \"1s\"\n", "");
    let problem = one(&lossy);
    assert_eq!((problem.line(), problem.column(), problem.help()), (16, 8, Some(help)));
}

#[test]
fn attempts_without_end_are_refused_unless_the_call_has_a_deadline() {
    let retried = changed("[[faults]]", "[clients.retry]\nattempts_max = 1001\n[[faults]]");
    assert!(read("endless.toml", &retried).is_ok(), "the timeout ends it");
    let untimed = retried.replace("timeout = \"1s\"\n", "");
    let problem = one(&untimed);
    assert_eq!((problem.line(), problem.help()), (16, Some("set clients.timeout")));
    assert!(problem.message().contains("1001 attempts of a call that always fails may never end"), "{problem:?}");
    assert!(read("endless.toml", &untimed.replace("1001", "1000")).is_ok());
}

#[test]
fn expectations_name_numbers_and_strategies_that_there_are() {
    check(&[
        (
            "strategy = \"random\"",
            "strategy = \"randm\"",
            (23, 12),
            "it is not among the strategies",
            "did you mean `random`?",
        ),
        (
            "\"success_ratio\"",
            "\"sucess_ratio\"",
            (24, 10),
            "results have no such number",
            "did you mean `success_ratio`?",
        ),
        (
            "\"success_ratio\"",
            "\"latency.p99\"",
            (24, 10),
            "results have no such number",
            "did you mean `latency_ms.p99`?",
        ),
        ("\"success_ratio\"", "\"p50\"", (24, 10), "results have no such number", "did you mean `latency_ms.p50`?"),
        (
            "\"success_ratio\"",
            "\"wait_ms\"",
            (24, 10),
            "results have no such number",
            "name one of its numbers: wait_ms.mean, wait_ms.p99",
        ),
        ("\"success_ratio\"", "\"digest\"", (24, 10), "results have no such number", ""),
        ("\"success_ratio\"", "\"servers.11.share\"", (24, 10), "there is no server 11: they are numbered 0 to 10", ""),
        ("\"success_ratio\"", "\"servers.3.zone\"", (24, 10), "results have no such number", ""),
    ]);
    for metric in ["latency_ms.p9999", "requests.timed_out", "servers.10.utilisation", "imbalance", "events"] {
        assert!(read("metric.toml", &changed("success_ratio", metric)).is_ok(), "{metric}");
    }
}

#[test]
fn all_that_validation_finds_is_reported_in_the_order_of_the_format() {
    let text = changed("version = 1", "version = 9").replace("100.0", "-1").replace("factor = 2.0", "factor = -2.0");
    let error = refusal(&text);
    let lines: Vec<_> = error.problems().iter().map(Placed::line).collect();
    assert_eq!(lines, [1, 14, 20], "{error}");
}
