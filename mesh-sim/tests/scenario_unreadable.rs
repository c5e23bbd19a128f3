//! Files that do not say a scenario: what the parser finds, at which line and column, and what is suggested.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(dead_code, reason = "each battery uses a part of the support")]

#[path = "scenario_support/refused.rs"]
mod refused;

use mesh_sim::reading::read;
use refused::{GOOD, check, only};

#[test]
fn the_good_file_reads_without_a_warning() {
    let read = read("good.toml", GOOD).unwrap();
    assert_eq!(read.warnings.to_string(), "");
}

#[test]
fn keys_and_names_that_nobody_knows_are_placed_with_what_was_meant() {
    check(&[
        ("duration =", "duraton =", (3, 1), "unknown key `duraton`", "did you mean `duration`?"),
        ("[clients]", "[client]", (12, 2), "unknown key `client`", "did you mean `clients`?"),
        ("zone =", "zones =", (9, 1), "unknown key `zones` in `servers[0]`", "did you mean `zone`?"),
        (
            "mean =",
            "men =",
            (10, 34),
            "unknown key `men` in `servers[0].service_time.exponential`",
            "did you mean `mean`?",
        ),
        (
            "choices =",
            "choise =",
            (4, 48),
            "unknown key `choise` in `strategies[1].p2c-least-loaded`",
            "did you mean `choices`?",
        ),
        ("index =", "indx =", (19, 31), "unknown key `indx` in `faults[0].target`", "did you mean `index`?"),
        ("at_least", "at_last", (25, 1), "unknown key `at_last` in `expect[0]`", "did you mean `at_least`?"),
        ("\"random\", {", "\"randm\", {", (4, 15), "unknown strategy `randm`", "did you mean `random`?"),
        (
            "\"random\", {",
            "\"least_loaded\", {",
            (4, 15),
            "unknown strategy `least_loaded`",
            "did you mean `least-loaded`?",
        ),
        (
            "p2c-least-loaded",
            "p2c-lest-loaded",
            (4, 27),
            "unknown strategy `p2c-lest-loaded`",
            "did you mean `p2c-least-loaded`?",
        ),
        ("\"random\", {", "\"peak_ewma\", {", (4, 15), "unknown strategy `peak_ewma`", "did you mean `peak-ewma`?"),
        ("exponential", "exponental", (10, 18), "unknown distribution `exponental`", "did you mean `exponential`?"),
        ("poisson", "poison", (14, 14), "unknown kind of arrivals `poison`", "did you mean `poisson`?"),
        ("slowdown", "slow-down", (20, 11), "unknown fault `slow-down`", "did you mean `slowdown`?"),
        ("{ slowdown = { factor = 2.0 } }", "\"crsh\"", (20, 9), "unknown fault `crsh`", "did you mean `crash`?"),
        (
            "{ slowdown = { factor = 2.0 } }",
            "\"store-outages\"",
            (20, 9),
            "unknown fault",
            "did you mean `store-outage`?",
        ),
        ("timeout = \"1s\"", "cancel = \"queud\"", (13, 10), "unknown value `queud`", "did you mean `queued`?"),
        ("zone = \"a\"", "discipline = \"fifi\"", (9, 14), "unknown discipline `fifi`", "did you mean `fifo`?"),
        (
            "timeout = \"1s\"",
            "retry.backoff.exponential.jitter = \"ful\"",
            (13, 36),
            "unknown jitter `ful`",
            "did you mean `full`?",
        ),
        ("timeout = \"1s\"", "keys.zip = {count = 1}", (13, 6), "unknown kind of keys `zip`", "did you mean `zipf`?"),
    ]);
}

#[test]
fn unknown_keys_list_what_is_expected() {
    let problem = only("duration =", "duraton =");
    let note = problem.note().unwrap();
    assert!(note.starts_with("expected one of `version`, `name`, `description`"), "{note}");
    assert!(only("mean =", "man =").note().unwrap().ends_with("expected `mean`"));
}

#[test]
fn missing_keys_are_named_with_their_table() {
    check(&[
        ("version = 1\n", "", (1, 1), "missing key `version`", ""),
        (
            "strategies = [\"random\", { p2c-least-loaded = { choices = 2 } }]",
            "",
            (1, 1),
            "missing key `strategies`",
            "",
        ),
        ("group = \"backend\"\n", "", (6, 1), "missing key `group` in `servers[0]`", ""),
        ("count = 11\n", "", (6, 1), "missing key `count` in `servers[0]`", ""),
        ("mean = \"10ms\"", "", (10, 32), "missing key `mean` in `servers[0].service_time.exponential`", ""),
        ("arrivals = { poisson = { rate = 100.0 } }", "", (12, 1), "missing key `arrivals` in `clients`", ""),
        ("at = \"15s\"", "", (16, 1), "missing key `at` in `faults[0]`", ""),
        ("metric = \"success_ratio\"", "", (22, 1), "missing key `metric` in `expect[0]`", ""),
        ("at_least = 0.9", "", (22, 1), "expect[0]: must have one of at_least, at_most and between", ""),
        (
            "target = { group = \"backend\", index = 0 }",
            "",
            (16, 1),
            "target: `slowdown` needs a target",
            "name one: { group",
        ),
    ]);
}

#[test]
fn values_of_a_wrong_type_are_told_the_right_one() {
    check(&[
        (
            "\"60s\"",
            "60",
            (3, 12),
            "duration: 60 is not allowed: must be a number with its unit",
            "write \"60s\" or \"60ms\"",
        ),
        ("\"60s\"", "\"60\"", (3, 12), "duration: 60 is not allowed: must be a number with its unit", ""),
        ("\"60s\"", "\"-60s\"", (3, 12), "duration: -60s is not allowed", ""),
        (
            "\"60s\"",
            "\"18446744073709551615s 1000000000ns\"",
            (3, 12),
            "is not allowed: must be a number with its unit",
            "",
        ),
        ("\"10ms\"", "0.01", (10, 41), "mean: 0.01 is not allowed: must be a number with its unit", "write \"0.01s\""),
        ("\"good\"", "1", (2, 8), "name: 1 is not allowed: must be text in quotes", ""),
        ("count = 11", "count = -1", (8, 9), "count: -1 is not allowed: must be a whole number from 0", ""),
        ("count = 11", "count = 1.5", (8, 9), "count: 1.5 is not allowed: must be a whole number", ""),
        (
            "count = 11",
            "count = 1\nworkers = 0",
            (9, 11),
            "workers: 0 is not allowed: must be a whole number from 1",
            "",
        ),
        ("rate = 100.0", "rate = \"100\"", (14, 33), "rate: 100 is not allowed: must be a number", ""),
        ("[[servers]]", "[servers]", (6, 1), "servers: a table is not allowed: must be a list", ""),
        (
            "{ slowdown = { factor = 2.0 } }",
            "\"slowdown\"",
            (20, 9),
            "`slowdown` needs its parameters",
            "write { slowdown = { … } }",
        ),
        ("{ slowdown = { factor = 2.0 } }", "{ crash = { now = true } }", (20, 19), "takes no parameters", ""),
        ("{ exponential = { mean = \"10ms\" } }", "{}", (10, 16), "must have exactly one name", ""),
        ("{ exponential = { mean = \"10ms\" } }", "7", (10, 16), "must be a name, or a table of one name", ""),
        ("index = 0", "zone = \"a\"", (19, 10), "target: must be { group }, { group, index }", ""),
        ("\"random\", {", "{ random = {}, least-loaded = {} }, {", (4, 15), "a strategy is a table of one name", ""),
        ("[clients]", "[clients", (12, 9), "unclosed table", ""),
        ("count = 11", "count = 11\ncount = 12", (9, 1), "duplicate key", ""),
    ]);
}
