//! Slots for the retries of a whole fleet, on paused time: who was failed together comes back one after another.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mesh::mesh_cache::coordinator_store::{CoordinatorStore, MemoryCoordinator};
use mesh::mesh_core::port::BoxFuture;
use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::coordinator::slots::SlotsConfig;
use mesh::mesh_retry::coordinator::store::{StoreCommand, StoreFailure, StoreReply};
use mesh::{Attempt, CallPolicy, MeshConfig, ServiceMesh};

use support::{Lab, api, healthy, ms, pass, retries, secs, settle};

const SLOTS: &str = "mesh.client.slots";

#[tokio::test(start_paused = true)]
async fn processes_that_fail_together_come_back_one_after_another() {
    let lab = Lab::new();
    let store = MemoryCoordinator::new(Arc::new(lab.clock));
    let mut processes = Vec::new();
    for number in 0..10 {
        processes.push(process(&lab, store.clone(), number).await);
    }
    pass(ms(10)).await;
    let times = fail_together(&lab, &processes).await;
    let mut slots = BTreeMap::new();
    for wait in &times {
        *slots.entry((wait.as_millis() - 100) / 100).or_insert(0) += 1;
    }
    assert_eq!(slots.values().copied().collect::<Vec<_>>(), [1; 10], "{times:?}");
    assert_eq!(lab.notes.of(SLOTS)[0], "refilled: 11");
    for mesh in processes {
        assert!(mesh.shutdown(secs(1)).await.is_clean());
    }
    settle().await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "no task is left");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_retries_have_jitter_and_wait_for_nobody() {
    let lab = Lab::new();
    for silent in [false, true] {
        let mesh = process(&lab, Away { silent }, 7).await;
        pass(secs(1)).await;
        let times = fail_together(&lab, &[mesh.clone(), mesh.clone(), mesh.clone()]).await;
        let range = ms(100)..=ms(1_101);
        assert!(times.iter().all(|wait| range.contains(wait)), "{times:?}");
        assert!(times[0] != times[1] || times[1] != times[2], "{times:?}");
        let word = if silent { "unknown: 0" } else { "not-done: 0" };
        assert_eq!(lab.notes.of(SLOTS).last().unwrap(), word);
    }
}

#[tokio::test(start_paused = true)]
async fn slots_want_a_store_and_numbers_that_keep_their_rules() {
    let mut config = MeshConfig::default();
    config.calls.retry_slots = Some(SlotsConfig::default());
    let without = ServiceMesh::builder().config(config.clone()).build().await.unwrap_err().to_string();
    assert!(without.starts_with("calls.retry_slots: "), "{without}");
    config.calls.retry_slots.as_mut().unwrap().width = ms(0);
    let wrong = ServiceMesh::builder().config(config).build().await.unwrap_err().to_string();
    assert!(wrong.contains("calls.retry_slots") && wrong.contains("width"), "{wrong}");
    let read: MeshConfig = toml::from_str("[calls.retry_slots]\nslots = 20").unwrap();
    assert_eq!(read.calls.retry_slots.unwrap().slots.get(), 20);
}

/// A process of the fleet, which follows `api`.
async fn process(lab: &Lab, store: impl CoordinatorStore + 'static, number: u64) -> ServiceMesh {
    lab.registry.put(&api(1)).await;
    let mut config = lab.config.clone();
    config.calls.retry_slots = Some(SlotsConfig::default());
    let mesh =
        lab.builder().environment(lab.environment(number)).config(config).coordinator(store).build().await.unwrap();
    healthy(&mesh, "api").await;
    mesh
}

/// How long after its first attempt each process makes its retry, when all fail at once.
async fn fail_together(lab: &Lab, processes: &[ServiceMesh]) -> Vec<std::time::Duration> {
    let began = lab.now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let calls: Vec<_> =
        processes.iter().cloned().map(|mesh| tokio::spawn(fail(mesh, lab.clock, Arc::clone(&times)))).collect();
    for call in calls {
        call.await.unwrap();
    }
    times.lock().unwrap().iter().map(|at: &Instant| at.since(began)).collect()
}

async fn fail(mesh: ServiceMesh, clock: mesh::TokioClock, times: Arc<Mutex<Vec<Instant>>>) {
    use mesh::mesh_core::port::Clock as _;
    let attempt = |attempt: Attempt| {
        if attempt.number() > 1 {
            times.lock().unwrap().push(clock.now());
        }
        async { Err::<(), _>("failed") }
    };
    mesh.call("api", &CallPolicy::new(retries(2)).unwrap(), attempt).await.unwrap_err();
}

/// A store that is away.
#[derive(Clone, Copy, Debug)]
struct Away {
    silent: bool,
}

impl CoordinatorStore for Away {
    fn apply(&self, _: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        let silent = self.silent;
        Box::pin(async move { if silent { std::future::pending().await } else { Err(StoreFailure::NotDone) } })
    }
}
