//! What the recorder and the log are told of a fleet's budgets and slots, on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_world;
mod support;

use std::sync::atomic::Ordering;

use fleet_world::{Mode, World, fail};
use support::logs::Logs;
use support::{ms, pass, secs};

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
        assert!(slots[0].contains(result), "{takes:?}: {slots:?}");
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
