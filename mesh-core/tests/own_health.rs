//! What follows from the service's own checks: alive, ready, started, and why.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use OwnStatus::{Degraded, Down, Up};
use mesh_core::health::own::{
    CheckKind, CheckName, CheckStatus, Importance, NOTE_BYTES_MAX, Note, OwnCheck, OwnCheckError, OwnHealth,
    OwnHealthConfig, OwnStatus, Reason, Report,
};
use mesh_core::time::Instant;

#[test]
fn without_checks_it_is_alive_started_and_ready() {
    let health = OwnHealth::default();
    assert_eq!(answers(&health, at(0)), (Up, Up, Up));
    assert!(!health.state(at(0)).judged && health.is_empty());
    assert_eq!(health.next_transition_at(at(0)), None);
}

#[test]
fn before_anything_is_reported_it_is_alive_and_not_ready() {
    let health = of([OwnCheck::liveness(name("loop")), OwnCheck::readiness(name("db"))]);
    assert_eq!(answers(&health, at(0)), (Up, Down, Up));
    assert_eq!(health.readiness(at(0)).summary(), "db pending");
    let minor = of([OwnCheck::readiness(name("mail")).degrading()]);
    assert_eq!(minor.readiness(at(0)).status, Degraded);
}

#[test]
fn a_critical_check_that_fails_takes_it_down_and_a_degrading_one_degrades_it() {
    for (importance, follows) in [(Importance::Critical, Down), (Importance::Degrading, Degraded)] {
        let mut check = OwnCheck::readiness(name("db"));
        check.importance = importance;
        let mut health = of([check]);
        say(&mut health, 0, "db", Report::Pass);
        assert_eq!(answers(&health, at(0)), (Up, Up, Up));
        say(&mut health, 1, "db", Report::fail("refused"));
        let readiness = health.readiness(at(1));
        assert_eq!((readiness.status, readiness.reasons.len()), (follows, 1));
        let Reason::Check { check, kind: CheckKind::Readiness, status, .. } = &readiness.reasons[0] else { panic!() };
        assert_eq!((check.as_str(), status), ("db", &CheckStatus::Failed(Note::new("refused"))));
        assert_eq!(health.liveness(at(1)).status, Up, "no restart mends it");
        say(&mut health, 2, "db", Report::Pass);
        assert_eq!(health.readiness(at(2)).status, Up);
    }
}

#[test]
fn a_warning_degrades_and_keeps_it_ready() {
    let mut health = of([OwnCheck::readiness(name("disk"))]);
    say(&mut health, 0, "disk", Report::warn("91 % full"));
    let readiness = health.readiness(at(0));
    assert_eq!((readiness.status, readiness.summary().as_str()), (Degraded, "disk warning"));
    assert_eq!(readiness.reasons[0].status().and_then(CheckStatus::note).map(Note::as_str), Some("91 % full"));
}

#[test]
fn what_is_not_alive_is_not_ready_either() {
    let mut health = of([OwnCheck::liveness(name("loop")), OwnCheck::readiness(name("db"))]);
    say(&mut health, 0, "db", Report::Pass);
    say(&mut health, 0, "loop", Report::fail("stuck"));
    assert_eq!(answers(&health, at(0)), (Down, Down, Up));
    assert_eq!(health.readiness(at(0)).summary(), "loop failed");
}

#[test]
fn the_first_report_decides_and_later_ones_count_to_their_threshold() {
    let mut health = of([OwnCheck::readiness(name("db")).thresholds(count(2), count(3))]);
    let says: [(Report, OwnStatus); 9] = [
        (Report::Pass, Up),
        (Report::fail("1"), Up),
        (Report::fail("2"), Up),
        (Report::Pass, Up),
        (Report::fail("1"), Up),
        (Report::fail("2"), Up),
        (Report::fail("3"), Down),
        (Report::Pass, Down),
        (Report::Pass, Up),
    ];
    for (second, (report, follows)) in says.into_iter().enumerate() {
        say(&mut health, second as u64, "db", report);
        assert_eq!(health.readiness(at(second as u64)).status, follows, "after report {second}");
    }
}

#[test]
fn a_failure_that_is_only_counted_leaves_a_warning_in_force() {
    let mut health = of([OwnCheck::readiness(name("db")).thresholds(count(1), count(2))]);
    say(&mut health, 0, "db", Report::warn("slow"));
    say(&mut health, 1, "db", Report::fail("refused"));
    assert_eq!(health.status(at(1), &name("db")), Some(CheckStatus::Warning(Note::new("slow"))));
}

#[test]
fn a_check_that_falls_silent_is_stale_and_names_itself() {
    let mut health = of([OwnCheck::readiness(name("db")).valid_for(Some(secs(10)))]);
    say(&mut health, 5, "db", Report::Pass);
    assert_eq!(health.next_transition_at(at(5)), Some(at(15)));
    assert_eq!(health.readiness(Instant::from_nanos(at(15).as_nanos() - 1)).status, Up);
    let readiness = health.readiness(at(15));
    assert_eq!((readiness.status, readiness.summary().as_str()), (Down, "db stale"));
    assert_eq!(readiness.reasons[0].status(), Some(&CheckStatus::Stale(secs(10))));
    assert_eq!(health.next_transition_at(at(15)), None);
    say(&mut health, 20, "db", Report::Pass);
    assert_eq!(health.readiness(at(20)).status, Up);
}

#[test]
fn a_startup_check_that_is_blocked_does_not_pass() {
    let mut health = of([OwnCheck::readiness(name("db")), OwnCheck::startup(name("move")).depends_on(name("db"))]);
    for (second, db, started) in [(0, Report::fail("refused"), false), (1, Report::Pass, true)] {
        say(&mut health, second, "db", db);
        say(&mut health, second, "move", Report::Pass);
        assert_eq!(health.has_started(&name("move")), started);
    }
}

#[test]
fn silence_counts_as_failure_for_the_threshold_too() {
    let mut health = of([OwnCheck::readiness(name("db")).thresholds(count(2), count(1)).valid_for(Some(secs(10)))]);
    say(&mut health, 0, "db", Report::Pass);
    say(&mut health, 60, "db", Report::Pass);
    assert_eq!(health.status(at(60), &name("db")), Some(CheckStatus::Failed(Note::new("stale"))));
    say(&mut health, 61, "db", Report::Pass);
    assert_eq!(health.readiness(at(61)).status, Up);
}

#[test]
fn a_liveness_check_that_never_reports_is_stale_in_the_end() {
    let health = of([OwnCheck::liveness(name("loop")).valid_for(Some(secs(10)))]);
    assert_eq!(health.liveness(at(9)).status, Up);
    assert_eq!(health.liveness(at(10)).status, Down);
    let patient = of([OwnCheck::liveness(name("loop")).valid_for(None)]);
    assert_eq!((patient.liveness(Instant::MAX).status, patient.next_transition_at(at(0))), (Up, None));
}

#[test]
fn a_check_is_blocked_by_what_it_depends_on_and_the_root_is_named() {
    let mut health = of([
        OwnCheck::readiness(name("orders")).depends_on(name("cache")),
        OwnCheck::readiness(name("cache")).depends_on(name("network")),
        OwnCheck::readiness(name("network")),
    ]);
    for check in ["orders", "cache"] {
        say(&mut health, 0, check, Report::Pass);
    }
    say(&mut health, 0, "network", Report::fail("unreachable"));
    for check in ["orders", "cache"] {
        assert_eq!(health.status(at(0), &name(check)), Some(CheckStatus::Blocked { by: name("network") }));
    }
    let summary = health.readiness(at(0)).summary();
    assert_eq!(summary, "cache blocked by network; network failed; orders blocked by network");
    say(&mut health, 1, "orders", Report::fail("no cache"));
    assert_eq!(health.status(at(1), &name("orders")).unwrap().name(), "blocked", "not failed");
    say(&mut health, 2, "network", Report::Pass);
    assert_eq!(health.readiness(at(2)).summary(), "orders failed");
}

#[test]
fn a_stale_check_blocks_too_and_a_warning_or_silent_one_does_not() {
    let dependent = || OwnCheck::readiness(name("orders")).depends_on(name("db")).valid_for(None);
    let mut health = of([dependent(), OwnCheck::readiness(name("db")).degrading().valid_for(Some(secs(5)))]);
    say(&mut health, 0, "orders", Report::Pass);
    assert_eq!(health.status(at(0), &name("orders")), Some(CheckStatus::Passing));
    say(&mut health, 1, "db", Report::warn("slow"));
    assert_eq!(health.readiness(at(1)).status, Degraded);
    let readiness = health.readiness(at(6));
    assert_eq!((readiness.status, readiness.summary().as_str()), (Down, "orders blocked by db; db stale"));
}

#[test]
fn nobody_is_restarted_for_a_liveness_check_that_is_blocked() {
    let checks = [OwnCheck::liveness(name("loop")).depends_on(name("db")), OwnCheck::readiness(name("db"))];
    let mut health = of(checks);
    say(&mut health, 0, "loop", Report::fail("no progress"));
    say(&mut health, 0, "db", Report::fail("refused"));
    assert_eq!(answers(&health, at(0)), (Degraded, Down, Up));
    say(&mut health, 1, "db", Report::Pass);
    assert_eq!(health.liveness(at(1)).status, Down);
}

#[test]
fn neither_liveness_nor_readiness_is_judged_before_every_startup_check_passed_once() {
    let mut health = of([
        OwnCheck::startup(name("migrations")),
        OwnCheck::startup(name("warmup")).degrading(),
        OwnCheck::liveness(name("loop")),
        OwnCheck::readiness(name("db")),
    ]);
    say(&mut health, 0, "loop", Report::fail("not running"));
    say(&mut health, 0, "db", Report::Pass);
    say(&mut health, 0, "migrations", Report::fail("locked"));
    assert_eq!(answers(&health, at(0)), (Up, Down, Down));
    assert_eq!(health.readiness(at(0)).summary(), "migrations failed; warmup pending");
    say(&mut health, 1, "migrations", Report::Pass);
    assert_eq!(answers(&health, at(1)), (Up, Down, Down));
    say(&mut health, 2, "warmup", Report::Pass);
    assert_eq!(answers(&health, at(2)), (Up, Up, Up), "what liveness said before is forgotten");
    say(&mut health, 3, "migrations", Report::fail("asked again"));
    assert_eq!(answers(&health, at(3)), (Up, Up, Up), "it passed once");
    assert!(health.has_started(&name("migrations")) && !health.has_started(&name("db")));
    say(&mut health, 4, "loop", Report::fail("stuck"));
    assert_eq!(health.liveness(at(4)).status, Down);
}

#[test]
fn a_startup_check_that_passed_never_goes_stale_nor_blocks_nor_is_blocked() {
    let mut health = of([
        OwnCheck::startup(name("warmup")).depends_on(name("db")),
        OwnCheck::readiness(name("db")).valid_for(None),
        OwnCheck::readiness(name("cache")).depends_on(name("warmup")).valid_for(None),
    ]);
    for check in ["warmup", "db", "cache"] {
        say(&mut health, 0, check, Report::Pass);
    }
    assert_eq!(answers(&health, at(86_400)), (Up, Up, Up));
    say(&mut health, 1, "db", Report::fail("refused"));
    assert_eq!(health.readiness(at(1)).summary(), "db failed");
}

#[test]
fn liveness_checks_are_given_their_time_from_the_end_of_the_startup() {
    let mut health = of([
        OwnCheck::startup(name("warmup")).valid_for(None),
        OwnCheck::liveness(name("loop")).valid_for(Some(secs(10))),
    ]);
    say(&mut health, 100, "warmup", Report::Pass);
    assert_eq!(health.liveness(at(109)).status, Up);
    assert_eq!((health.liveness(at(110)).status, health.next_transition_at(at(100))), (Down, Some(at(110))));
}

#[test]
fn a_startup_that_is_late_counts_as_not_alive_until_it_passes_after_all() {
    let mut config = OwnHealthConfig::default();
    config.startup_deadline = Some(secs(60));
    let mut health = OwnHealth::new(config);
    health.register(at(5), OwnCheck::startup(name("warmup")).valid_for(None)).unwrap();
    assert_eq!(health.next_transition_at(at(5)), Some(at(65)));
    assert_eq!(answers(&health, at(64)), (Up, Down, Down));
    assert_eq!(answers(&health, at(65)), (Down, Down, Down));
    assert_eq!(health.liveness(at(65)).summary(), "warmup pending and late");
    assert_eq!(health.next_transition_at(at(65)), None);
    say(&mut health, 70, "warmup", Report::Pass);
    assert_eq!(answers(&health, at(70)), (Up, Up, Up));
}

#[test]
fn a_drain_turns_readiness_off_whatever_the_checks_say_and_leaves_liveness() {
    let mut health = of([OwnCheck::readiness(name("db")), OwnCheck::liveness(name("loop"))]);
    say(&mut health, 0, "db", Report::Pass);
    say(&mut health, 0, "loop", Report::Pass);
    health.begin_drain();
    say(&mut health, 1, "db", Report::Pass);
    assert_eq!(answers(&health, at(1)), (Up, Down, Up));
    assert_eq!(health.readiness(at(1)).reasons, [Reason::Draining]);
    assert!(health.is_draining());
    let mut idle = OwnHealth::default();
    idle.begin_drain();
    assert!(idle.state(at(0)).judged && idle.readiness(at(0)).status == Down);
}

#[test]
fn those_depended_upon_stop_last() {
    let health = of([
        OwnCheck::readiness(name("http")).depends_on(name("orders")).depends_on(name("users")),
        OwnCheck::readiness(name("orders")).depends_on(name("db")),
        OwnCheck::readiness(name("users")).depends_on(name("db")),
        OwnCheck::readiness(name("db")),
    ]);
    let order: Vec<String> = health.drain_order().iter().map(ToString::to_string).collect();
    assert_eq!(order, ["http", "users", "orders", "db"]);
}

#[test]
fn what_cannot_be_registered_is_refused_by_name_and_changes_nothing() {
    let mut health = of([OwnCheck::readiness(name("db"))]);
    let mut refused = |checks: Vec<OwnCheck>| {
        let error = health.register_all(at(1), checks).unwrap_err();
        assert_eq!(health.drain_order(), [name("db")]);
        error.to_string()
    };
    assert_eq!(refused(vec![OwnCheck::liveness(name("db"))]), "check db: is registered already");
    let twice = || OwnCheck::liveness(name("loop"));
    assert_eq!(refused(vec![twice(), twice()]), "check loop: is registered already");
    let lost = OwnCheck::readiness(name("a")).depends_on(name("b"));
    assert_eq!(refused(vec![lost]), "check a: depends on b, which is not registered");
    let own = OwnCheck::readiness(name("a")).depends_on(name("a"));
    assert_eq!(refused(vec![own]), "checks depend on each other: a -> a");
    let hasty = OwnCheck::readiness(name("a")).valid_for(Some(secs(0)));
    assert_eq!(refused(vec![hasty]), "check a: valid_for: 0s is not allowed: must be longer than zero");
    let cycle = vec![
        OwnCheck::readiness(name("aside")).depends_on(name("b")),
        OwnCheck::readiness(name("b")).depends_on(name("c")).depends_on(name("db")),
        OwnCheck::readiness(name("c")).depends_on(name("d")),
        OwnCheck::readiness(name("d")).depends_on(name("b")),
    ];
    assert_eq!(refused(cycle), "checks depend on each other: b -> c -> d -> b");
    let error = health.report(at(1), &name("nobody"), Report::Pass).unwrap_err();
    assert_eq!(error.to_string(), "check nobody: is not registered");
}

#[test]
fn there_are_no_more_checks_than_the_bound() {
    let mut config = OwnHealthConfig::default();
    config.checks_max = count(2);
    let mut health = OwnHealth::new(config);
    let checks = |names: &[&str]| names.iter().map(|text| OwnCheck::readiness(name(text))).collect::<Vec<_>>();
    let error = health.register_all(at(0), checks(&["a", "b", "c"])).unwrap_err();
    assert!(matches!(&error, OwnCheckError::TooMany { name, .. } if name.as_str() == "c"), "{error}");
    assert!(health.is_empty());
    health.register_all(at(0), checks(&["a", "b"])).unwrap();
    assert!(health.register_all(at(0), checks(&["c"])).is_err());
}

#[test]
fn names_are_words_of_at_most_64_bytes() {
    assert!("a".repeat(64).parse::<CheckName>().is_ok());
    for text in ["", "a b", "a\n", "ä", &"a".repeat(65)] {
        assert!(text.parse::<CheckName>().is_err(), "{text:?}");
    }
}

#[test]
fn a_time_that_goes_back_changes_nothing() {
    let mut health = of([OwnCheck::readiness(name("db")).valid_for(Some(secs(10)))]);
    say(&mut health, 20, "db", Report::Pass);
    say(&mut health, 3, "db", Report::Pass);
    assert_eq!(health.next_transition_at(at(0)), Some(at(30)));
    assert_eq!(health.readiness(at(0)).status, Up);
    let silent = OwnCheck::readiness(name("cache")).valid_for(Some(secs(10)));
    let mut health = of([OwnCheck::readiness(name("db")), silent]);
    say(&mut health, 20, "db", Report::Pass);
    assert_eq!(health.readiness(at(0)).summary(), "cache stale", "what was stale once is not fresh again");
}

#[test]
fn notes_are_bounded_escaped_and_bare_of_credentials() {
    assert_eq!(Note::new("a\r\nSet-Cookie: b\u{202e}").as_str(), "a\\r\\nSet-Cookie: b\\u{202e}");
    let url = Note::new("cannot reach postgres://me:p@ss@db:5432/x?a@b or redis://:secret@r");
    assert_eq!(url.as_str(), "cannot reach postgres://***@db:5432/x?a@b or redis://***@r");
    assert_eq!(Note::new("http://db/").as_str(), "http://db/");
    for text in ["ä".repeat(100_000), "\u{1}".repeat(100_000), "x".repeat(257)] {
        let note = Note::new(&text);
        assert!(note.as_str().len() <= NOTE_BYTES_MAX && note.as_str().ends_with('…'), "{note}");
    }
    assert_eq!(Note::new(&"x".repeat(256)).as_str().len(), 256);
    let cut = Note::new(&format!("{}amqp://me:secret", " ".repeat(200)).repeat(20));
    assert!(cut.as_str().contains("amqp"), "{cut}");
    let long = format!("amqp://me:{}@mq", "secret".repeat(1000));
    assert_eq!(Note::new(&long).as_str(), "amqp://***");
}

#[test]
fn a_summary_is_one_line_of_at_most_256_bytes_that_counts_what_it_leaves_out() {
    let checks = (0..60).map(|number| OwnCheck::readiness(name(&format!("{}{number:02}", "n".repeat(62)))));
    let summary = of(checks).readiness(at(0)).summary();
    assert!(summary.len() <= 256 && summary.ends_with("; 57 more"), "{summary}");
}

fn of(checks: impl IntoIterator<Item = OwnCheck>) -> OwnHealth {
    let mut health = OwnHealth::default();
    health.register_all(at(0), checks.into_iter().collect()).unwrap();
    health
}

/// Liveness, readiness and startup.
fn answers(health: &OwnHealth, now: Instant) -> (OwnStatus, OwnStatus, OwnStatus) {
    let state = health.state(now);
    (state.liveness.status, state.readiness.status, state.startup.status)
}

fn say(health: &mut OwnHealth, second: u64, check: &str, report: Report) {
    health.report(at(second), &name(check), report).unwrap();
}

fn name(text: &str) -> CheckName {
    text.parse().unwrap()
}

fn at(second: u64) -> Instant {
    Instant::ZERO + secs(second)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn count(count: u32) -> NonZeroU32 {
    count.try_into().unwrap()
}
