//! What the recorder and the log are told of a fleet's budgets and slots, on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_world;
mod support;

use std::sync::atomic::Ordering;

use fleet_world::{Mode, World, fail, failing};
use mesh::{Attempt, CallPolicy};
use support::logs::Logs;
use support::{instance_of, ms, pass, retries, secs};

#[tokio::test(start_paused = true)]
async fn an_answer_is_awaited_for_half_a_second_and_what_it_took_is_told() {
    for (takes, is_settled) in [(ms(0), true), (ms(490), true), (ms(510), false)] {
        let world = World::new();
        world.store.set(Mode::Slow(takes));
        let mesh = world.mesh(1, "mesh").await;
        fail(&mesh, "api").await;
        pass(ms(520)).await;
        let settled = world.told("BudgetSettled");
        assert_eq!(!settled.is_empty(), is_settled, "{takes:?}");
        if is_settled {
            assert!(settled[0].contains(&format!("latency: {takes:?}")), "{settled:?}");
        } else {
            let failures = world.told("BudgetUnsettled");
            assert!(failures[0].contains(r#"failure: "unknown", after: 500ms"#), "{failures:?}");
        }
        let slots = world.told("RetrySlots");
        let result = if is_settled { r#"result: "refilled""# } else { r#"result: "unknown""# };
        let latency = format!("latency: {:?}", takes.min(ms(500)));
        assert!(slots[0].contains(result) && slots[0].contains(&latency), "{takes:?}: {slots:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_a_silent_store_is_unknown_and_none_is_waited_for_behind() {
    let world = World::new();
    world.store.set(Mode::Silent);
    let mesh = world.mesh(1, "mesh").await;
    let mut tasks = 0;
    for _ in 0..200 {
        fail(&mesh, "api").await;
        pass(ms(400)).await;
        tasks = tasks.max(tokio::runtime::Handle::current().metrics().num_alive_tasks());
    }
    assert!(tasks <= 6, "{tasks} tasks");
    for kind in ["BudgetUnsettled", "RetrySlots"] {
        let told = world.told(kind);
        assert!(told.len() >= 5 && told.iter().all(|told| told.contains(r#""unknown""#)), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_store_is_measured_by_how_long_its_answers_take_and_one_that_was_set_is_told() {
    let (logs, _listening) = Logs::listen();
    let world = World::new();
    world.store.set(Mode::Slow(ms(40)));
    let mesh = world.mesh(1, "mesh").await;
    for _ in 0..10 {
        fail(&mesh, "api").await;
        pass(ms(500)).await;
    }
    let told = world.told("StoreSkew");
    assert!(told.len() > 3 && told.iter().all(|told| told.contains("was_set: false")), "{told:?}");
    assert!(told.iter().skip(1).all(|told| told.contains("uncertain_by: 40ms")), "{told:?}");
    assert!(!logs.text().contains("was set"), "{}", logs.text());
    world.store_ahead.0.fetch_add(3_600_000, Ordering::Relaxed);
    for _ in 0..4 {
        fail(&mesh, "api").await;
        pass(ms(500)).await;
    }
    let set: Vec<String> = world.told("StoreSkew").into_iter().filter(|told| told.contains("was_set: true")).collect();
    assert!(set.len() == 1 && set[0].contains("gained_micros: 36000"), "{set:?}");
    assert_eq!(logs.text().matches("the clock of the store, or of this process, was set").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn how_long_nobody_asks_for_more_is_told_where_that_was_denied() {
    let mut world = World::new();
    world.budget.limits.burst_milli = 1_000;
    let mesh = world.mesh(1, "mesh").await;
    fail(&mesh, "api").await;
    fail(&mesh, "api").await;
    let settled = world.told("BudgetSettled");
    assert!(settled[0].contains("granted: 1") && settled[0].contains("denied_for: 0ns"), "{settled:?}");
    let denied = settled.last().unwrap();
    assert!(denied.contains("granted: 0") && !denied.contains("denied_for: 0ns"), "{denied}");
}

#[tokio::test(start_paused = true)]
async fn an_end_in_order_is_no_loss_of_the_store() {
    let (logs, _listening) = Logs::listen();
    let world = World::new();
    let mesh = world.mesh(1, "mesh").await;
    fail(&mesh, "api").await;
    assert!(mesh.shutdown(secs(5)).await.is_clean());
    assert!(world.told("BudgetStateChanged").last().unwrap().contains(r#"reason: "shutdown""#));
    assert!(!logs.text().contains("is lost"), "{}", logs.text());
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_a_store_that_has_slots_alone_is_measured_all_the_same_and_else_once() {
    for has_budget in [true, false] {
        let mut world = World::new();
        world.has_budget = has_budget;
        world.store.set(Mode::Slow(ms(40)));
        let mesh = world.mesh(1, "mesh").await;
        for _ in 0..10 {
            fail(&mesh, "api").await;
            pass(ms(500)).await;
        }
        let answers = world.told(if has_budget { "BudgetSettled" } else { "RetrySlots" });
        let told = world.told("StoreSkew");
        assert!(told.len() > 2 && told.len() <= answers.len(), "{has_budget}: {told:?}");
        assert!(told.iter().skip(1).all(|told| told.contains("uncertain_by: 40ms")), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_store_pays_for_during_its_wait_is_told_once_and_when_it_is_paid_for() {
    let world = World::new();
    let mesh = world.mesh(1, "mesh").await;
    fail(&mesh, "api").await;
    assert_eq!(extra_attempts(&world), [r#""granted", wait: 0ns"#, r#""attempts-exhausted", wait: 0ns"#]);
    // What calls find at hand is paid for before their waits.
    let next = world.told("ExtraAttempt").len();
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(failing(mesh.clone()))).collect();
    for call in calls {
        call.await.unwrap();
    }
    let before = world.told("ExtraAttempt").len();
    let calls: Vec<_> = (0..2).map(|_| tokio::spawn(failing(mesh.clone()))).collect();
    for call in calls {
        call.await.unwrap();
    }
    let granted = |told: &[String]| told.iter().filter(|told| told.contains("granted")).cloned().collect::<Vec<_>>();
    let (asked, held) = (granted(&extra_attempts(&world)[next..before]), granted(&extra_attempts(&world)[before..]));
    assert!(asked.iter().any(|told| told.ends_with("wait: 0ns")), "{asked:?}");
    assert!(held.len() == 2 && held.iter().any(|told| !told.ends_with("wait: 0ns")), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_paid_for_is_told_before_the_next_one_is() {
    let world = World::new();
    let mesh = world.mesh(1, "mesh").await;
    for number in 2..=3 {
        world.lab.registry.put(&instance_of("api", number).build().unwrap()).await;
    }
    let policy = CallPolicy::new(retries(4)).unwrap();
    mesh.call("api", &policy, |_: Attempt| async { Err::<(), _>("failed") }).await.unwrap_err();
    let told = world.told.all();
    let kinds = told.iter().filter_map(|told| told.split(' ').next());
    let kinds: Vec<_> = kinds.filter(|kind| ["AttemptEnded", "ExtraAttempt"].contains(kind)).collect();
    let course = ["AttemptEnded", "ExtraAttempt"].repeat(4);
    assert_eq!(kinds, course, "three that are paid for, and one that the policy does not allow");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_put_off_and_then_denied_is_told_as_denied_alone() {
    let mut world = World::new();
    world.budget.limits.burst_milli = 1_000;
    let mesh = world.mesh(1, "mesh").await;
    fail(&mesh, "api").await;
    for mode in [Mode::Answers, Mode::Silent] {
        pass(secs(5)).await;
        world.store.set(mode);
        let (before, deferred) = (world.told("ExtraAttempt").len(), world.told("BudgetAnswered").len());
        fail(&mesh, "api").await;
        let told = extra_attempts(&world).split_off(before);
        assert!(told.len() == 1 && told[0].starts_with(r#""budget"#), "{mode:?}: {told:?}");
        assert!(world.told("BudgetAnswered").len() > deferred, "{mode:?}: it was put off");
    }
}

#[tokio::test(start_paused = true)]
async fn how_calls_were_answered_is_told_and_agrees_with_what_became_of_them() {
    let mut world = World::new();
    world.budget.limits.burst_milli = 3_000;
    let mesh = world.mesh(1, "mesh").await;
    for _ in 0..4 {
        fail(&mesh, "api").await;
    }
    // Whoever asks just after the store has said that it has nothing is denied at once.
    let asks = tokio::spawn(failing(mesh.clone()));
    pass(ms(1)).await;
    fail(&mesh, "api").await;
    asks.await.unwrap();
    pass(secs(1)).await;
    let told = world.told("BudgetAnswered");
    let sum = |field: &str| -> u64 {
        let of = |told: &String| -> u64 {
            let rest = told.split(&format!("{field}: ")).nth(1).unwrap();
            rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        told.iter().map(of).sum()
    };
    let ends = extra_attempts(&world);
    let ended = |result: &str| ends.iter().filter(|end| end.starts_with(&format!("{result:?}"))).count() as u64;
    assert_eq!((sum("by_lease"), ended("granted"), sum("by_share")), (3, 3, 0), "{told:?}");
    assert_eq!(sum("denied"), ended("budget"), "{told:?}, {ends:?}");
    assert!(sum("denied") >= 1 && sum("deferred") > ended("budget-silent"), "{told:?}, {ends:?}");
}

/// What became of each attempt that a call wanted beside its first.
fn extra_attempts(world: &World) -> Vec<String> {
    let result = |told: &String| {
        let rest = told.split("result: ").nth(1).unwrap();
        rest.split(", budget_milli").next().unwrap().to_owned()
    };
    world.told("ExtraAttempt").iter().map(result).collect()
}
