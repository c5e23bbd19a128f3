//! Many threads at once on a real runtime: instances join, leave and die while calls go on, and every count ends at
//! zero.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mesh::mesh_core::rng::Rng;
use mesh::registry::MemoryRegistry;
use mesh::{Attempt, CallPolicy, Outcome, RetryPolicy, ServiceConfig, ServiceMesh};
use mesh_core::port::Registry as _;
use mesh_core::registration::Part;

use support::backend::Backend;
use support::{api, eventually, in_flight, ms, number_of, secs};

const TASKS: u64 = 8;
const INSTANCES: u16 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_count_is_lost_while_instances_join_leave_and_fail() {
    let registry = MemoryRegistry::new();
    let mesh = ServiceMesh::builder().registry(registry.clone()).build().await.unwrap();
    registry.register(&api(1)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let churn = tokio::spawn(churn(registry.clone(), Arc::clone(&stop)));

    let served = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> =
        (0..TASKS).map(|task| tokio::spawn(caller(mesh.clone(), task, Arc::clone(&served)))).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    churn.await.unwrap();
    assert!(served.load(Ordering::Relaxed) > 0);
    for number in 1..=INSTANCES {
        registry.register(&api(number)).await.unwrap();
    }
    eventually("all are back", async || mesh.get_healthy_services("api").await.is_ok_and(|all| all.len() == 8)).await;
    assert_eq!(in_flight(&mesh, "api").await, 0);
    let report = mesh.shutdown(secs(10)).await;
    assert_eq!(report.in_flight_left, 0, "those to instances that left included");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_that_change_threads_are_counted_right() {
    let registry = MemoryRegistry::new();
    for number in 1..=4 {
        registry.register(&api(number)).await.unwrap();
    }
    let mesh = ServiceMesh::builder().registry(registry).build().await.unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let finishing = tokio::spawn(async move {
        let mut received = 0;
        while let Some(lease) = receiver.recv().await {
            received += 1;
            match received % 3 {
                0 => mesh::Lease::finish(lease, Outcome::Success),
                1 => mesh::Lease::finish(lease, Outcome::Failure),
                _ => drop(lease),
            }
        }
        received
    });
    let picking: Vec<_> = (0..TASKS)
        .map(|_| {
            let (mesh, sender) = (mesh.clone(), sender.clone());
            tokio::spawn(async move {
                for _ in 0..2_000 {
                    sender.send(mesh.get_service_instance("api").await.unwrap()).await.unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    for picker in picking {
        picker.await.unwrap();
    }
    assert_eq!(finishing.await.unwrap(), TASKS * 2_000);
    assert_eq!(in_flight(&mesh, "api").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn registrations_from_many_tasks_all_stand_and_all_leave() {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    let tasks: Vec<_> = (0..TASKS as u16)
        .map(|task| {
            let mesh = mesh.clone();
            tokio::spawn(async move {
                for round in 0..40 {
                    let me = mesh.register_service(api(1 + task * 100 + round)).await.unwrap();
                    if round % 2 == 0 {
                        me.deregister().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let found = mesh.get_healthy_services("api").await.unwrap();
    assert_eq!(found.len(), 160);
    let report = mesh.shutdown(secs(10)).await;
    assert!(report.is_clean());
    assert_eq!(report.deregistered.len(), 160);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_may_register_and_leave_under_one_id() {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    let (wins, losses) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (mesh, wins, losses) = (mesh.clone(), Arc::clone(&wins), Arc::clone(&losses));
            tokio::spawn(async move {
                for _ in 0..50 {
                    match mesh.register_service(api(1)).await {
                        Ok(me) => {
                            assert!(me.is_kept());
                            wins.fetch_add(1, Ordering::Relaxed);
                            me.deregister().await.unwrap();
                        }
                        Err(mesh::RegisterError::AlreadyRegistered { .. }) => {
                            losses.fetch_add(1, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(wins.load(Ordering::Relaxed) + losses.load(Ordering::Relaxed), TASKS * 50);
    assert!(wins.load(Ordering::Relaxed) >= 50);
    assert!(mesh.get_healthy_services("api").await.is_err(), "nobody is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drain_holds_for_every_thread_as_soon_as_it_returns() {
    let registry = MemoryRegistry::new();
    for number in 1..=2 {
        registry.register(&api(number)).await.unwrap();
    }
    let mesh = ServiceMesh::builder().registry(registry).build().await.unwrap();
    mesh.get_service("api").await.unwrap();
    let key = api(1).key().clone();
    for _ in 0..500 {
        mesh.drain("api", &key).await.unwrap();
        let elsewhere = mesh.clone();
        let picked =
            tokio::spawn(async move { number_of(elsewhere.get_service_instance("api").await.unwrap().instance()) });
        assert_eq!(mesh.get_healthy_services("api").await.unwrap().len(), 1);
        assert_eq!(picked.await.unwrap(), 2);
        mesh.undrain("api", &key).await.unwrap();
        assert_eq!(mesh.get_healthy_services("api").await.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_notice_nothing_of_backends_that_die_and_come_back() {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    let mut backends = Vec::new();
    for _ in 0..4 {
        let backend = Backend::start().await;
        mesh.register_service(backend.config("api")).await.unwrap();
        backends.push(backend);
    }
    let (client, calls) = (reqwest::Client::new(), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..TASKS)
        .map(|_| {
            let (mesh, client, calls) = (mesh.clone(), client.clone(), Arc::clone(&calls));
            tokio::spawn(async move {
                let policy = CallPolicy::new(RetryPolicy::aggressive()).unwrap();
                while calls.fetch_add(1, Ordering::Relaxed) < 4_000 {
                    let reply = mesh.call("api", &policy, |instance: Attempt| {
                        let request = client.get(format!("http://{}/", instance.authority()));
                        async move { request.send().await?.text().await }
                    });
                    assert_eq!(reply.await.unwrap(), "hello");
                }
            })
        })
        .collect();
    for (victim, after) in [(0, 800), (3, 1_600), (1, 2_400)] {
        eventually("so many calls were made", async || calls.load(Ordering::Relaxed) > after).await;
        backends[victim].kill().await;
        eventually("a few more were made", async || calls.load(Ordering::Relaxed) > after + 300).await;
        backends[victim].revive().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let report = mesh.shutdown(secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
}

/// Makes calls that end in every way there is.
async fn caller(mesh: ServiceMesh, task: u64, served: Arc<AtomicU64>) {
    let mut rng = Rng::from_seed(task);
    let mut retry = RetryPolicy::aggressive();
    (retry.backoff.base, retry.backoff.cap, retry.attempt_timeout) = (ms(1), ms(2), Some(ms(2)));
    let policy = CallPolicy::new(retry).unwrap();
    for _ in 0..400 {
        let (fate, patience) = (rng.below(10), rng.below(4));
        let call = mesh.call("api", &policy, |instance| async move {
            match fate {
                0 => Err("no"),
                1 => std::future::pending().await,
                2..4 => {
                    tokio::task::yield_now().await;
                    Ok(number_of(&instance))
                }
                _ => Ok(number_of(&instance)),
            }
        });
        // Cancelled in the middle, kept to its end, or given to another task.
        match fate % 3 {
            0 => _ = tokio::time::timeout(ms(patience), call).await,
            1 => served_if(call.await.is_ok(), &served),
            _ => {
                if let Ok(lease) = mesh.get_service_instance("api").await {
                    tokio::spawn(async move { drop(lease) });
                }
                served_if(call.await.is_ok(), &served);
            }
        }
    }
}

fn served_if(ok: bool, served: &AtomicU64) {
    served.fetch_add(u64::from(ok), Ordering::Relaxed);
}

/// Lets instances join, change and leave until told to stop.
async fn churn(registry: MemoryRegistry, stop: Arc<AtomicBool>) {
    let mut rng = Rng::from_seed(99);
    while !stop.load(Ordering::Relaxed) {
        let number = 1 + rng.below(u64::from(INSTANCES)) as u16;
        let config = api(number);
        match rng.below(4) {
            0 | 1 => registry.register(&config).await.unwrap(),
            2 => registry.deregister(config.service(), config.id(), Part::Service).await.unwrap(),
            _ => registry.register(&weighted(number, rng.below(3) as u16)).await.unwrap(),
        }
        tokio::task::yield_now().await;
    }
}

fn weighted(number: u16, weight: u16) -> ServiceConfig {
    support::instance_of("api", number).weight(weight).build().unwrap()
}
