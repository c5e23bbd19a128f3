//! How a process leaves what its fleet shares, in order and otherwise, on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod fleet_world;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mesh::CallPolicy;
use mesh::mesh_core::recorder::{Measurement, Recorder};
use mesh::mesh_retry::coordinator::budget::Fallback;

use fleet_world::{Mode, World, fail};
use support::{ms, pass, retries, secs};

#[tokio::test(start_paused = true)]
async fn what_begins_while_a_shutdown_waits_for_the_store_has_the_rest_of_its_grace() {
    for (grace, left) in [(secs(30), 0), (secs(2), 1)] {
        let world = World::new();
        let mesh = world.mesh(1, "mesh").await;
        fail(&mesh, "api").await;
        // Whoever leaves while his retry waits leaves a token, which is to go back.
        tokio::time::timeout(ms(50), fail(&mesh, "api")).await.unwrap_err();
        world.store.set(Mode::Silent);
        let (ending, calling) = (mesh.clone(), mesh.clone());
        let ending = tokio::spawn(async move { ending.shutdown(grace).await });
        pass(ms(100)).await;
        assert!(!ending.is_finished(), "it waits for the store");
        let late = tokio::spawn(async move {
            let attempt = |_| async {
                tokio::time::sleep(secs(5)).await;
                Ok::<_, &str>(())
            };
            calling.call("api", &CallPolicy::new(retries(1)).unwrap(), attempt).await
        });
        assert_eq!(ending.await.unwrap().in_flight_left, left, "{grace:?}");
        assert_eq!(late.is_finished(), left == 0, "{grace:?}");
        late.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn where_whoever_is_told_of_a_budget_panics_calls_go_by_the_share() {
    let mut world = World::new();
    world.budget.fallback = Fallback::Safe;
    world.budget.limits.burst_milli = 10_000;
    world.budget.processes_assumed = 2;
    let panics = Arc::<Panics>::default();
    let mesh = world.mesh_told(1, "mesh", Arc::clone(&panics)).await;
    for _ in 0..12 {
        fail(&mesh, "api").await;
        pass(ms(100)).await;
    }
    assert_eq!(panics.settled.load(Ordering::Relaxed), 1, "it is asked no more");
    assert_eq!(panics.granted.load(Ordering::Relaxed), 5, "half of the fleet's, or what one of two may make");
}

/// Panics when it is told of a settlement.
#[derive(Debug, Default)]
struct Panics {
    settled: AtomicU32,
    granted: AtomicU32,
}

impl Recorder for Panics {
    fn record(&self, measurement: &Measurement<'_>) {
        if let Measurement::BudgetSettled { .. } = measurement {
            self.settled.fetch_add(1, Ordering::Relaxed);
            panic!("a recorder of somebody's own");
        }
        if let Measurement::ExtraAttempt { result: "granted", .. } = measurement {
            self.granted.fetch_add(1, Ordering::Relaxed);
        }
    }
}
