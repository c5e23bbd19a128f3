//! Checks that the process has code of its own for: run by the same rules as any other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use mesh::mesh_core::health::{ProbeFailure, ProbeVerdict};
use mesh::mesh_core::machine::ServiceMachineConfig;
use mesh::mesh_core::port::BoxFuture;
use mesh::mesh_core::service::HealthCheckBuilder;
use mesh::{BuildError, CustomCheck, HealthCheck, Instance, ServiceMesh};
use support::{Lab, api, healthy, ms, number_of, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn what_it_says_decides_by_the_thresholds_of_its_check() {
    let (lab, probe) = (Lab::new(), Scripted::default());
    let mesh = lab.own(&probe, own()).await;
    pass(secs(2)).await;
    assert_eq!((healthy(&mesh, "api").await, lab.dial.dials(support::port(1))), (vec![1, 2], 0));
    probe.says(1, Manner::Fail);
    pass(secs(2)).await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2], "two of three");
    pass(secs(2)).await;
    assert_eq!(healthy(&mesh, "api").await, [2]);
    probe.says(1, Manner::Warn);
    pass(secs(4)).await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2], "degraded is not out");
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_has_failed_and_the_next_is_asked_all_the_same() {
    for manner in [Manner::Panic, Manner::PanicLater] {
        let (lab, probe) = (Lab::new(), Scripted::default());
        let mesh = lab.own(&probe, own()).await;
        probe.says(1, manner);
        pass(secs(6)).await;
        assert_eq!(healthy(&mesh, "api").await, [2], "{manner:?}");
        let asked = probe.asked(1);
        assert!((6..=7).contains(&asked), "{manner:?}: {asked} times, so no panic waited for its timeout");
        probe.says(1, Manner::Pass);
        pass(secs(4)).await;
        assert_eq!(healthy(&mesh, "api").await, [1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_dropped_at_its_timeout() {
    let (lab, probe) = (Lab::new(), Scripted::default());
    let mesh = lab.own(&probe, own()).await;
    probe.says(1, Manner::Hang);
    let mut most = 0;
    for _ in 0..100 {
        pass(ms(100)).await;
        most = most.max(probe.running());
    }
    assert_eq!(most, 1, "one at a time");
    assert_eq!(healthy(&mesh, "api").await, [2]);
    probe.says(1, Manner::Pass);
    pass(secs(4)).await;
    assert_eq!((probe.running(), healthy(&mesh, "api").await), (0, vec![1, 2]));
    probe.says(1, Manner::Hang);
    pass(secs(1)).await;
    drop(mesh);
    settle().await;
    pass(secs(2)).await;
    assert_eq!(probe.running(), 0, "and none outlives the mesh");
}

#[tokio::test]
async fn code_and_check_go_together_or_the_mesh_is_not_built() {
    let probe = Scripted::default();
    let refused = async |builder: mesh::ServiceMeshBuilder| {
        let BuildError::Config(error) = builder.build().await.unwrap_err() else { panic!("another error") };
        error.to_string()
    };
    let name = || "api".parse().unwrap();
    let other = refused(ServiceMesh::builder().custom_check(name(), HealthCheck::tcp(), probe.clone())).await;
    assert_eq!(other, "check.kind: tcp is not allowed: must be own where the mesh is given code to run");
    let wrong = HealthCheck::own().interval(ms(0));
    let wrong = refused(ServiceMesh::builder().custom_check(name(), wrong, probe.clone())).await;
    assert!(wrong.starts_with("interval: 0ns is not allowed"), "{wrong}");
    let mut config = ServiceMachineConfig::default();
    config.check = Some(HealthCheck::own().build_for_any().unwrap());
    let without = refused(ServiceMesh::builder().service(name(), config.clone())).await;
    assert!(without.starts_with("check.kind: own is not allowed: must come with the code to run"), "{without}");
    let given = ServiceMesh::builder().service(name(), config.clone()).custom_check(name(), own(), probe.clone());
    assert!(given.build().await.is_ok());
    let mut all = mesh::MeshConfig::default();
    all.service = config;
    assert!(refused(ServiceMesh::builder().config(all)).await.starts_with("check.kind: own"));
}

impl Lab {
    /// A mesh that asks both instances of `api` by `probe`.
    async fn own(&self, probe: &Scripted, check: HealthCheckBuilder) -> ServiceMesh {
        for number in [1, 2] {
            self.registry.put(&api(number)).await;
        }
        let mut config = ServiceMachineConfig::default();
        config.checks.jitter_percent = 0;
        let name = || "api".parse().unwrap();
        let builder = self.builder().service(name(), config).custom_check(name(), check, probe.clone());
        let mesh = builder.build().await.unwrap();
        assert_eq!(healthy(&mesh, "api").await, [1, 2], "until the first check says otherwise");
        mesh
    }
}

/// A check every second that gives up after half of one; rise 2, fall 3.
fn own() -> HealthCheckBuilder {
    HealthCheck::own().interval(secs(1)).timeout(ms(500))
}

/// What is said of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Pass,
    Warn,
    Fail,
    Panic,
    PanicLater,
    Hang,
}

const MANNERS: [Manner; 6] =
    [Manner::Pass, Manner::Warn, Manner::Fail, Manner::Panic, Manner::PanicLater, Manner::Hang];

/// Says what it is told to, of instances 1 and 2.
#[derive(Clone, Debug, Default)]
struct Scripted {
    says: Arc<[AtomicU8; 2]>,
    asked: Arc<[AtomicU32; 2]>,
    running: Arc<AtomicU32>,
}

impl Scripted {
    fn says(&self, number: u16, manner: Manner) {
        let at = MANNERS.iter().position(|known| *known == manner).unwrap();
        self.says[usize::from(number) - 1].store(at as u8, Ordering::Relaxed);
    }

    fn asked(&self, number: u16) -> u32 {
        self.asked[usize::from(number) - 1].load(Ordering::Relaxed)
    }

    fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }
}

impl CustomCheck for Scripted {
    fn check<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ProbeVerdict> {
        let at = usize::from(number_of(instance)) - 1;
        self.asked[at].fetch_add(1, Ordering::Relaxed);
        let manner = MANNERS[usize::from(self.says[at].load(Ordering::Relaxed))];
        if manner == Manner::Panic {
            panic!("on purpose");
        }
        let running = Running::of(&self.running);
        Box::pin(async move {
            let _running = running;
            match manner {
                Manner::Pass => ProbeVerdict::Passed,
                Manner::Warn => ProbeVerdict::Warned,
                Manner::Fail => ProbeVerdict::Failed(ProbeFailure::Own),
                Manner::Panic | Manner::PanicLater => {
                    tokio::task::yield_now().await;
                    panic!("on purpose")
                }
                Manner::Hang => std::future::pending().await,
            }
        })
    }
}

/// Counts while it lives.
struct Running(Arc<AtomicU32>);

impl Running {
    fn of(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
