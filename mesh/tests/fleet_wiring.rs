//! Between the machines of a fleet's budgets and slots and their store, on paused time: what is asked of the store and under
//! which names, and what its answers count for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_world;
mod support;

use std::collections::BTreeSet;

use mesh::Attempt;
use mesh::mesh_retry::coordinator::store::{ProcessId, Settle, StateKey, StoreCommand, StoreFailure};

use fleet_world::{Mode, World, fail, failing, policy};
use support::{ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn an_answer_to_something_else_is_none_and_nobody_knows_what_was_done() {
    let world = World::new();
    let mesh = world.mesh(1, "mesh").await;
    world.store.set(Mode::Confused);
    for _ in 0..30 {
        fail(&mesh, "api").await;
        pass(ms(100)).await;
    }
    let failures = world.told("BudgetUnsettled");
    assert!(failures.len() > 3 && failures.iter().all(|told| told.contains(r#"failure: "unknown""#)), "{failures:?}");
    assert_eq!(world.told("BudgetSettled"), [""; 0]);
    assert_eq!(world.retries(), 0, "nothing was granted");
    let slots = world.told("RetrySlots");
    assert!(slots.len() >= 3 && slots[1..].iter().all(|told| told.contains(r#"result: "unknown""#)), "{slots:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_knows_of_a_failure_is_passed_on() {
    for (failure, told_again) in [(StoreFailure::Unknown, 0), (StoreFailure::NotDone, 1)] {
        let world = World::new();
        let mesh = world.mesh(1, "mesh").await;
        fail(&mesh, "api").await;
        pass(secs(1)).await;
        world.store.set(Mode::Fails(failure));
        // One call that succeeds, which the fleet is to be told of.
        mesh.call("api", &policy(), |_| async { Ok::<_, &str>(()) }).await.unwrap();
        pass(ms(1_900)).await;
        world.store.set(Mode::Answers);
        pass(secs(5)).await;
        let name = failure.name();
        assert!(world.told("BudgetUnsettled")[0].contains(&format!("failure: {name:?}")), "{name}");
        let settles = world.settles();
        let failed = settles.iter().position(|settle| settle.cumulative_requests == 1).unwrap();
        let next = settles[failed + 1];
        assert_eq!(next.cumulative_requests - next.reported_requests, told_again, "{name}: {next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_twice() {
    for mode in [Mode::Answers, Mode::Silent, Mode::Fails(StoreFailure::Unknown), Mode::Fails(StoreFailure::NotDone)] {
        let world = World::new();
        let mesh = world.mesh(1, "mesh").await;
        world.store.set(mode);
        for _ in 0..50 {
            fail(&mesh, "api").await;
            pass(ms(60)).await;
        }
        let epochs: Vec<u64> = world.settles().iter().map(|settle| settle.epoch).collect();
        assert!(epochs.len() > 5, "{mode:?}");
        assert_eq!(epochs, (1..=epochs.len() as u64).collect::<Vec<_>>(), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_fleet_and_service_has_a_budget_and_a_counter_of_its_own_and_each_process_a_name_in_each() {
    let world = World::new();
    for (number, namespace) in [(1, "mesh"), (2, "mesh"), (3, "other")] {
        let mesh = world.mesh(number, namespace).await;
        for service in ["api", "web"] {
            fail(&mesh, service).await;
        }
        pass(secs(1)).await;
    }
    let (mut budgets, mut counters, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for command in world.store.commands() {
        if let StoreCommand::Settle(Settle { budget, process, .. }) = command {
            budgets.insert(bits(budget));
            names.insert((bits(budget), number(process)));
        } else if let StoreCommand::TakeSlots(take) = command {
            counters.insert(bits(take.counter));
        }
    }
    assert_eq!((budgets.len(), counters.len()), (4, 4), "two fleets, each of two services");
    assert!(budgets.is_disjoint(&counters));
    let names: BTreeSet<u128> = names.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), 6, "three processes, each with two budgets");
    assert!(names.iter().all(|name| name >> 64 != 0 && *name as u64 != 0), "all of a name is drawn: {names:x?}");
}

#[tokio::test(start_paused = true)]
async fn processes_that_are_denied_or_failed_together_ask_again_apart() {
    let mut world = World::new();
    world.budget.limits.burst_milli = 1_000;
    let mut denied = BTreeSet::new();
    for number in 0..4 {
        let mesh = world.mesh(number, "mesh").await;
        fail(&mesh, "api").await;
        fail(&mesh, "api").await;
        let told = world.told("BudgetSettled").pop().unwrap();
        denied.insert(told.split("denied_for: ").nth(1).unwrap().to_owned());
    }
    assert!(denied.len() >= 3, "{denied:?}");

    let mut asked = BTreeSet::new();
    for number in 0..4 {
        let world = World::new();
        world.store.set(Mode::Fails(StoreFailure::NotDone));
        let _mesh = world.mesh(number, "mesh").await;
        pass(secs(10)).await;
        asked.insert(world.times(|command| matches!(command, StoreCommand::TakeSlots(_)))[1]);
    }
    assert!(asked.len() >= 3, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_block_of_slots_that_is_used_is_replaced_again_and_again() {
    let world = World::new();
    let mesh = world.mesh(1, "mesh").await;
    for round in 1..=5 {
        for _ in 0..8 {
            fail(&mesh, "api").await;
        }
        pass(secs(2)).await;
        let refilled = world.told("RetrySlots");
        assert!(refilled.len() > round, "{refilled:?}");
        assert!(refilled.iter().all(|told| told.contains(r#"result: "refilled""#)), "{refilled:?}");
    }
    let before = world.told("RetrySlots").len();
    pass(secs(60)).await;
    assert_eq!(world.told("RetrySlots").len(), before, "nothing is asked for who makes no retries");
}

#[tokio::test(start_paused = true)]
async fn a_block_that_is_used_up_is_replaced_before_the_one_after_a_first_use_would_be() {
    let world = World::new();
    let mesh = world.mesh(1, "mesh").await;
    let calls: Vec<_> = (0..30).map(|_| tokio::spawn(failing(mesh.clone()))).collect();
    pass(ms(300)).await;
    assert!(world.told("RetrySlots").len() >= 2, "{:?}", world.told("RetrySlots"));
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_service_that_is_forgotten_ends_its_slots_and_its_budget() {
    let mut world = World::new();
    world.services_max = 2;
    let mesh = world.mesh(1, "mesh").await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut most = 0;
    for number in 0..30 {
        let _ = mesh.get_service(&format!("made-up-{number}")).await;
        settle().await;
        pass(secs(1)).await;
        most = most.max(alive());
    }
    assert!(most <= 8, "{most} tasks of two services");
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_caller_leaves_before_it_is_made_costs_the_fleet_nothing() {
    let mut world = World::new();
    world.budget.limits.burst_milli = 1_000;
    let mesh = world.mesh(1, "mesh").await;
    for _ in 0..8 {
        let policy = policy();
        let call = mesh.call("api", &policy, |_| async { Err::<(), _>("failed") });
        tokio::time::timeout(ms(50), call).await.unwrap_err();
    }
    let mut attempts = 0;
    let attempt = |attempt: Attempt| {
        attempts = attempt.number();
        async { Err::<(), _>("failed") }
    };
    mesh.call("api", &policy(), attempt).await.unwrap_err();
    assert_eq!(attempts, 2, "the token is still there");
    assert_eq!(world.settles().iter().map(|settle| settle.want).sum::<u32>(), 1, "{:?}", world.settles());
}

fn bits(key: StateKey) -> u128 {
    key.bits()
}

fn number(process: ProcessId) -> u128 {
    u128::from_str_radix(&process.to_string(), 16).unwrap()
}
