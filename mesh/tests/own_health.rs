//! The service's own health: checks that panic, hang or are forgotten, and what a probe is answered.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh::mesh_core::time::Instant;
use mesh::own_health::{
    CheckName, CheckStatus, HealthAnswer, HealthCheckError, HealthConfig, HealthRegistry, HealthReportError, OwnCheck,
    OwnStatus, ProbeKind, Probing, Report,
};
use mesh::{MeshConfig, ServiceMesh, TokioClock};

use support::{Lab, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_check_is_run_at_once_and_then_in_its_intervals() {
    let (health, runs) = (registry(), Runs::default());
    let mut answers = health.watch();
    health.register(readiness("db"), every(secs(5), secs(2)), runs.passing()).unwrap();
    assert_eq!(health.readiness().status, OwnStatus::Down, "nothing is known yet");
    settle().await;
    assert_eq!((runs.begun(), health.readiness().status), (1, OwnStatus::Up));
    assert_eq!(answers.borrow_and_update().readiness.status, OwnStatus::Up);
    pass(ms(4999)).await;
    assert_eq!(runs.begun(), 1);
    pass(ms(10_001)).await;
    assert_eq!(runs.begun(), 4);
    assert!(!answers.has_changed().unwrap(), "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_fails_and_is_run_again() {
    let (health, runs) = (registry(), Runs::default());
    let counted = runs.clone();
    let check = move || {
        let first = counted.begin() == 1;
        async move { if first { panic!("on purpose") } else { Report::Pass } }
    };
    health.register(readiness("db"), every(secs(5), secs(2)), check).unwrap();
    health
        .register(readiness("cache"), every(secs(5), secs(2)), || -> std::future::Ready<Report> { panic!("too") })
        .unwrap();
    settle().await;
    for check in ["db", "cache"] {
        assert_eq!(health.status(&name(check)), Some(CheckStatus::Failed("panicked".into())), "{check}");
    }
    pass(secs(5)).await;
    assert_eq!((runs.begun(), health.readiness().summary().as_str()), (2, "cache failed"));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_fails_after_its_timeout_and_never_runs_twice_at_a_time() {
    let (health, runs) = (registry(), Runs::default());
    let counted = runs.clone();
    let check = move || {
        let running = counted.running();
        async move {
            let _running = running;
            pending().await
        }
    };
    health.register(readiness("db"), every(secs(5), secs(2)), check).unwrap();
    pass(ms(1999)).await;
    assert_eq!(health.status(&name("db")), Some(CheckStatus::Pending));
    pass(ms(2)).await;
    assert_eq!(health.status(&name("db")), Some(CheckStatus::Failed("timed out".into())));
    assert_eq!(runs.under_way(), 0, "it is given up");
    pass(secs(18)).await;
    assert_eq!((runs.begun(), runs.under_way(), runs.most()), (5, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_by_hand_expires_and_is_told() {
    let health = registry();
    health.register_manual(vec![readiness("log").valid_for(None)]).unwrap();
    health.report(&name("log"), Report::Pass).unwrap();
    // Nothing expires so far.
    settle().await;
    health.register_manual(vec![readiness("queue").valid_for(Some(secs(10)))]).unwrap();
    health.report(&name("queue"), Report::Pass).unwrap();
    let mut answers = health.watch();
    assert_eq!(answers.borrow_and_update().readiness.status, OwnStatus::Up);
    tokio::time::timeout(secs(11), answers.changed()).await.unwrap().unwrap();
    assert_eq!(answers.borrow().readiness.summary(), "queue stale");
    let error = health.report(&name("other"), Report::Pass).unwrap_err();
    assert_eq!(error.to_string(), "check other: is not registered");
}

#[tokio::test(start_paused = true)]
async fn a_startup_check_is_run_until_it_has_passed() {
    let (health, runs) = (registry(), Runs::default());
    let counted = runs.clone();
    let check = move || {
        let passes = counted.begin() == 3;
        async move { if passes { Report::Pass } else { Report::fail("not yet") } }
    };
    health.register(OwnCheck::startup(name("warmup")), every(secs(5), secs(2)), check).unwrap();
    settle().await;
    assert_eq!((health.answer(ProbeKind::Startup).status, health.answer(ProbeKind::Liveness).status), (503, 200));
    pass(secs(60)).await;
    assert_eq!((runs.begun(), health.answer(ProbeKind::Startup).status), (3, 200));
}

#[tokio::test(start_paused = true)]
async fn when_the_last_handle_is_dropped_no_task_is_left() {
    let (health, runs) = (registry(), Runs::default());
    let counted = runs.clone();
    let check = move || {
        let running = counted.running();
        async move {
            let _running = running;
            pending().await
        }
    };
    health.register(readiness("db"), every(secs(5), secs(2)), check).unwrap();
    let (other, mut answers) = (health.clone(), health.watch());
    drop(health);
    settle().await;
    assert_eq!((runs.under_way(), alive_tasks()), (1, 3), "the check, its run and the keeper of the time");
    drop(other);
    settle().await;
    assert_eq!((runs.under_way(), alive_tasks()), (0, 0));
    answers.borrow_and_update();
    assert!(answers.changed().await.is_err(), "who watches is told that it ended");
}

#[tokio::test(start_paused = true)]
async fn one_that_a_check_holds_is_ended_by_hand() {
    let (health, runs) = (registry(), Runs::default());
    let (held, counted) = (health.clone(), runs.clone());
    let check = move || {
        counted.begin();
        let is_alive = held.liveness().status == OwnStatus::Up;
        async move { if is_alive { Report::Pass } else { Report::fail("dead") } }
    };
    health.register(readiness("db"), every(secs(5), secs(2)), check).unwrap();
    let mut answers = health.watch();
    settle().await;
    assert_eq!((health.readiness().status, alive_tasks()), (OwnStatus::Up, 2));
    for _ in 0..2 {
        health.end();
        settle().await;
        assert_eq!((runs.begun(), alive_tasks(), health.readiness().summary().as_str()), (1, 0, "draining"));
    }
    assert_eq!(health.report(&name("db"), Report::Pass), Err(HealthReportError::ShutDown));
    drop(health);
    answers.borrow_and_update();
    assert!(answers.changed().await.is_err(), "no check holds it any more");
}

#[tokio::test(start_paused = true)]
async fn checks_end_with_the_mesh_whoever_holds_a_handle() {
    for shut_down in [true, false] {
        let lab = Lab::new();
        let (mesh, runs) = (lab.mesh().await, Runs::default());
        let health = mesh.health().clone();
        health.register(OwnCheck::liveness(name("loop")), every(secs(5), secs(2)), runs.passing()).unwrap();
        settle().await;
        let kept = shut_down.then(|| mesh.clone());
        if let Some(mesh) = &kept {
            mesh.shutdown(secs(1)).await;
        }
        drop(mesh);
        pass(secs(3600)).await;
        assert_eq!((runs.begun(), alive_tasks()), (1, 0), "shut down: {shut_down}");
        assert_eq!(health.liveness().status, OwnStatus::Up, "nobody asked any more, so nothing is stale");
        assert_eq!(health.readiness().summary(), "draining");
        let refused = health.register(readiness("db"), Probing::default(), runs.passing());
        assert_eq!(refused, Err(HealthCheckError::ShutDown));
        assert_eq!(health.report(&name("loop"), Report::Pass), Err(HealthReportError::ShutDown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_out_of_bounds_is_refused_by_name() {
    let (health, runs) = (registry(), Runs::default());
    let refused = |check, probing| health.register(check, probing, runs.passing()).unwrap_err().to_string();
    let zero = secs(0);
    let text = refused(readiness("db"), every(zero, zero));
    assert_eq!(text, "interval: 0ns is not allowed: must be longer than zero");
    let text = refused(readiness("db"), every(secs(1), secs(2)));
    assert_eq!(text, "timeout: 2s is not allowed: must be longer than zero and at most interval = 1s");
    assert!(refused(readiness("db"), every(secs(1), zero)).starts_with("timeout: 0ns"));
    let text = refused(readiness("db").valid_for(Some(secs(7))), every(secs(5), secs(2)));
    assert_eq!(text, "valid_for: 7s is not allowed: must be longer than interval + timeout = 5s + 2s");
    let lonely = refused(readiness("db").depends_on(name("network")), Probing::default());
    assert_eq!(lonely, "check db: depends on network, which is not registered");
    settle().await;
    assert_eq!((runs.begun(), alive_tasks()), (0, 0));
}

#[test]
fn without_a_runtime_nothing_is_registered() {
    let health = registry();
    assert_eq!(health.register_manual(vec![readiness("db")]), Err(HealthCheckError::NoRuntime));
    assert!(health.drain_order().is_empty());
}

#[tokio::test(start_paused = true)]
async fn probes_are_answered_in_json_without_what_the_checks_said() {
    let health = registry();
    let cache = readiness("cache").depends_on(name("db")).degrading();
    health.register_manual(vec![readiness("db"), cache, OwnCheck::liveness(name("loop"))]).unwrap();
    health.report(&name("db"), Report::fail("password hunter2 refused")).unwrap();
    let answer = health.answer(ProbeKind::Readiness);
    assert_eq!(answer.status, 503);
    let expected = r#"{"probe":"readiness","status":"down","reasons":[{"check":"db","status":"failed"},{"check":"cache","status":"blocked","by":"db"}],"omitted":0}"#;
    assert_eq!(answer.body, expected);
    let alive = health.answer(ProbeKind::Liveness);
    assert_eq!(
        (alive.status, alive.body.as_str()),
        (200, r#"{"probe":"liveness","status":"up","reasons":[],"omitted":0}"#)
    );
    health.begin_drain();
    assert!(health.answer(ProbeKind::Readiness).body.contains(r#"[{"status":"draining"},"#));
}

#[tokio::test(start_paused = true)]
async fn a_degraded_readiness_is_429_for_those_who_ask_for_it_and_liveness_never_is() {
    for (degraded_is_429, status) in [(false, 200), (true, 429)] {
        let mut config = HealthConfig::default();
        config.degraded_is_429 = degraded_is_429;
        let health = HealthRegistry::new(config, Arc::new(TokioClock::showing(Instant::ZERO)));
        health.register_manual(vec![readiness("disk"), OwnCheck::liveness(name("loop"))]).unwrap();
        health.report(&name("disk"), Report::warn("91 % full")).unwrap();
        health.report(&name("loop"), Report::warn("slow")).unwrap();
        assert_eq!(
            (health.answer(ProbeKind::Readiness).status, health.answer(ProbeKind::Liveness).status),
            (status, 200)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_bounded_whatever_the_checks_say() {
    let mut config = HealthConfig::default();
    config.show_notes = true;
    let health = HealthRegistry::new(config, Arc::new(TokioClock::showing(Instant::ZERO)));
    let long = |number: usize| name(&format!("{}{number:02}", "n".repeat(62)));
    health.register_manual((0..64).map(|number| OwnCheck::readiness(long(number))).collect()).unwrap();
    for number in 0..64 {
        health.report(&long(number), Report::fail(&"\"\\\u{1}".repeat(10_000))).unwrap();
    }
    let body = health.answer(ProbeKind::Readiness).body;
    assert!(body.len() <= HealthAnswer::BODY_BYTES_MAX && body.contains(r#""omitted":48}"#), "{} bytes", body.len());
}

#[tokio::test]
async fn the_numbers_are_part_of_the_configuration_of_the_mesh() {
    let text = "[health]\ndegraded_is_429 = true\nchecks = { checks_max = 3, startup_deadline = \"1m\" }\n";
    let config: MeshConfig = toml::from_str(text).unwrap();
    assert_eq!(config.health.checks.startup_deadline, Some(secs(60)));
    let mut wrong = config.clone();
    wrong.health.checks.startup_deadline = Some(secs(0));
    assert!(ServiceMesh::builder().config(wrong).build().await.unwrap_err().to_string().contains("startup_deadline"));
    let mesh = ServiceMesh::builder().config(config).build().await.unwrap();
    let checks = ["a", "b", "c", "d"].map(readiness).to_vec();
    let refused = mesh.health().register_manual(checks).unwrap_err();
    assert_eq!(refused.to_string(), "check d: is one more than checks_max = 3");
}

/// Counts the runs of a check.
#[derive(Clone, Debug, Default)]
struct Runs(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// A run under way.
struct Running(Runs);

impl Runs {
    fn begin(&self) -> usize {
        self.0.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn running(&self) -> Running {
        self.begin();
        let now = self.0.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most.fetch_max(now, Ordering::Relaxed);
        Running(self.clone())
    }

    fn passing(&self) -> impl Fn() -> std::future::Ready<Report> + Send + Sync + 'static {
        let runs = self.clone();
        move || {
            runs.begin();
            std::future::ready(Report::Pass)
        }
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Relaxed)
    }

    fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn registry() -> HealthRegistry {
    HealthRegistry::new(HealthConfig::default(), Arc::new(TokioClock::showing(Instant::ZERO)))
}

fn readiness(check: &str) -> OwnCheck {
    OwnCheck::readiness(name(check))
}

fn name(text: &str) -> CheckName {
    text.parse().unwrap()
}

fn every(interval: Duration, timeout: Duration) -> Probing {
    Probing::every(interval, timeout)
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
