//! How refusals and warnings look.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(dead_code, reason = "each battery uses a part of the support")]

#[path = "scenario_support/refused.rs"]
mod refused;

use mesh_sim::reading::{Unreadable, read};
use refused::{GOOD, changed, refusal};

#[test]
fn a_refusal_names_the_place_with_a_caret_and_says_what_was_meant() {
    let text = changed("poisson", "poison")
        .replace("rate = 100.0 } }", "rate = 100.0 } }  # of all clients together, at any time");
    let expected = "\
error: unknown kind of arrivals `poison`
  --> bad.toml:14:14
   |
14 | arrivals = { poison = { rate = 100.0 } }  # of all clients together, at ...
   |              ^^^^^^
   |
   = help: did you mean `poisson`?
   = note: expected one of `poisson`, `uniform`, `bursts`, `steps`, `ramp`,
           `closed`, `trace`";
    assert_eq!(refusal(&text).to_string(), expected);
}

#[test]
fn several_problems_are_shown_one_after_the_other() {
    let text = changed("version = 1", "version = 9").replace("100.0", "-1");
    let expected = "\
error: version: 9 is not allowed: must be 1
 --> bad.toml:1:11
  |
1 | version = 9
  |           ^

error: rate: -1 is not allowed: must be a finite number above 0
  --> bad.toml:14:33
   |
14 | arrivals = { poisson = { rate = -1 } }
   |                                 ^^";
    assert_eq!(refusal(&text).to_string(), expected);
}

#[test]
fn a_value_over_several_lines_is_shown_by_its_first() {
    let text = changed("{ exponential = { mean = \"10ms\" } }", "{ empirical = { values = [\n] } }");
    let expected = "\
error: values: [] is not allowed: there must be at least one
  --> bad.toml:10:42
   |
10 | service_time = { empirical = { values = [
   |                                         ^";
    assert_eq!(refusal(&text).to_string(), expected.replace("10:42", "10:41"));
}

#[test]
fn a_warning_looks_alike() {
    let text = changed("100.0", "5000");
    let expected = "\
warning: arrivals: 5000 requests/s are offered and the servers carry 1100:
         without a queue_limit the queues grow without bound
  --> good.toml:14:12
   |
14 | arrivals = { poisson = { rate = 5000 } }
   |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^";
    assert_eq!(read("good.toml", &text).unwrap().warnings.to_string(), expected);
}

#[test]
fn twenty_problems_are_shown_and_the_rest_are_counted() {
    let fault = "\n[[faults]]\nat = \"1s\"\ntarget = { group = \"nobody\" }\nfault = \"crash\"\n";
    let shown = |problems: usize| {
        let error = refusal(&format!("{GOOD}{}", fault.repeat(problems)));
        assert_eq!(error.problems().len(), problems);
        let text = error.to_string();
        (text.matches("nobody is not allowed").count(), text.lines().last().unwrap().to_owned())
    };
    assert_eq!(Unreadable::SHOWN_MAX, 20);
    assert_eq!(shown(20), (20, "    |                    ^^^^^^^^".into()));
    assert_eq!(shown(23), (20, "error: and 3 more".into()));
}

#[test]
fn colours_are_there_on_request_only() {
    let error = refusal(&changed("version = 1", "version = 9"));
    assert!(!error.to_string().contains('\u{1b}'));
    let coloured = error.coloured();
    assert!(coloured.contains("\u{1b}["), "{coloured}");
    let warned = read("good.toml", &changed("100.0", "5000")).unwrap().warnings;
    assert!(!warned.to_string().contains('\u{1b}') && warned.coloured().contains("\u{1b}["));
    assert_eq!(warned.all()[0].line(), 14);
}

#[test]
fn nothing_in_a_file_or_its_name_reaches_the_terminal_raw() {
    let text = changed("name = \"good\"", "\"\\u001b[31m\" = 1\nname = \"good\" # \u{1b}[2J\u{202e}");
    let error = read("bad\u{1b}[31m.toml", &text).unwrap_err();
    let shown = error.to_string();
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    let text = changed("name = \"good\"", "name = \"\u{202e}\\u001b[31m\" # \u{202e}");
    let shown = read("bad.toml", &text).unwrap_err().to_string();
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
}

#[test]
fn columns_count_characters_and_not_bytes() {
    let error = refusal(&changed("zone = \"a\"", "meta = { \"é\" = 'é', k = 1 }"));
    assert_eq!((error.problems()[0].line(), error.problems()[0].column()), (9, 25), "{error}");
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    for (before, after) in [
        (
            "\"good\"",
            "\"A name that is much longer than any name has a right to be, with spaces and capitals in it, more than once\"",
        ),
        (
            "{ slowdown = { factor = 2.0 } }",
            "\"not-a-fault-that-anybody-ever-heard-of-in-the-whole-wide-world-of-faults\"",
        ),
        ("count = 11\n", ""),
        ("zone = \"a\"", "version = \"latest and greatest of all the versions that were ever released to the public\""),
        ("success_ratio", "latency_ms"),
    ] {
        let error = refusal(&changed(before, after));
        for line in error.to_string().lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
    }
}
