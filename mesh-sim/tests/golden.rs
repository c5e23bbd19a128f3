//! Every shipped scenario keeps its promises, and gives what it gave when somebody last looked at the numbers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

use mesh_sim::model::Report;
use mesh_sim::{report, shipped};

#[test]
fn steady_gives_what_it_gave() {
    compare("steady");
}

#[test]
fn linkerd_slow_backend_gives_what_it_gave() {
    compare("linkerd-slow-backend");
}

#[test]
fn black_hole_gives_what_it_gave() {
    compare("black-hole");
}

#[test]
fn many_by_many_gives_what_it_gave() {
    compare("many-by-many");
}

#[test]
fn slow_discovery_gives_what_it_gave() {
    compare("slow-discovery");
}

#[test]
fn rolling_restart_gives_what_it_gave() {
    compare("rolling-restart");
}

#[test]
fn every_shipped_scenario_is_compared_and_no_summary_is_left_over() {
    let compared =
        ["steady", "linkerd-slow-backend", "black-hole", "many-by-many", "slow-discovery", "rolling-restart"];
    let shipped: Vec<_> = shipped::ALL.iter().map(|shipped| shipped.name).collect();
    assert_eq!(shipped, compared, "add a test for each shipped scenario above");
    let mut kept: Vec<_> = fs::read_dir(kept_in())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".json", ""))
        .collect();
    kept.sort();
    let mut named = compared.map(str::to_owned);
    named.sort();
    assert_eq!(kept, named);
}

#[test]
fn a_changed_line_is_shown_beside_the_one_it_replaced() {
    let shown = difference("{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  \"a\": 1,\n  \"b\": 3\n}\n");
    assert_eq!(shown, "line 3\n  -   \"b\": 2\n  +   \"b\": 3\n");
    assert_eq!(difference("a\n", "a\nb\n"), "line 2\n  - \n  + b\n");
    assert_eq!(difference("a\n", "a\n"), "");
}

/// Runs the scenario called `name` and holds it to its expectations and its summary.
#[track_caller]
fn compare(name: &str) {
    let report = run(name);
    for verdict in &report.expectations {
        assert!(verdict.holds, "{verdict:?}");
    }
    let now = report::golden(&report);
    let path = kept_in().join(format!("{name}.json"));
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let difference = difference(&kept, &now);
    assert!(
        difference.is_empty(),
        "{} is not what {name} gives now (- kept, + now):\n{difference}\n\
         where this is meant, renew it and say why in the commit: scripts/golden {name}",
        path.display()
    );
}

/// Makes all runs at once, each on a thread of its own: nothing of one can be seen in another.
fn run(name: &str) -> Report {
    let scenario = shipped::find(name).unwrap().read().unwrap().scenario;
    let plan = scenario.plan().unwrap();
    let runs = thread::scope(|scope| {
        let running: Vec<_> = (0..plan.len())
            .map(|index| {
                let plan = &plan;
                scope.spawn(move || plan.run(index, &mut ()))
            })
            .collect();
        running.into_iter().map(|run| run.join().unwrap()).collect()
    });
    plan.report(runs)
}

/// The lines in which `now` is not `kept`: their numbers, what was there and what is.
fn difference(kept: &str, now: &str) -> String {
    let (kept, now): (Vec<_>, Vec<_>) = (kept.lines().collect(), now.lines().collect());
    let mut text = String::new();
    for at in 0..kept.len().max(now.len()) {
        let (was, is) = (kept.get(at).copied().unwrap_or_default(), now.get(at).copied().unwrap_or_default());
        if was != is {
            let _ = write!(text, "line {}\n  - {was}\n  + {is}\n", at + 1);
        }
    }
    text
}

fn kept_in() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}
