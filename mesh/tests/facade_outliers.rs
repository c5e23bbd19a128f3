//! Instances that fail requests: out without a check, tried again with one request, and all of it told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;

use mesh::mesh_core::health::outlier::OutlierConfig;
use mesh::mesh_core::health::{Reason, ServiceVerdict, Status};
use mesh::mesh_core::service::CheckRunner;
use mesh::{HealthCheck, Outcome, ServiceMesh};
use support::dial::Line;
use support::*;

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_take_an_instance_out_and_one_request_brings_it_back() {
    let (lab, mesh) = world(4).await;
    end_all(&mesh, 2, 5, Outcome::Failure).await;
    assert_eq!(healthy(&mesh, "api").await, [1, 3, 4]);
    let health = mesh.service_health("api").await.unwrap();
    let second = &health.instances[1];
    assert_eq!((number_of(&second.instance), second.history.status()), (2, Status::Ejected));
    assert_eq!(second.history.reason(), &Reason::Outlier("failures-in-row"));
    assert_eq!((health.aggregate.count(Status::Ejected), health.aggregate.verdict()), (1, ServiceVerdict::Degraded));
    pass(secs(34)).await;
    assert_eq!(mesh.service_health("api").await.unwrap().instances[1].history.status(), Status::Probing);
    let trial = mesh.get_service_instance("api").await.unwrap();
    assert_eq!(number_of(trial.instance()), 2);
    let other = mesh.get_service_instance("api").await.unwrap();
    assert_ne!(number_of(other.instance()), 2);
    trial.finish(Outcome::Success);
    settle().await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2, 3, 4]);
    assert_eq!(lab.notes.of("mesh.health.outliers"), ["failures-in-row: ejected"]);
    assert_eq!(lab.notes.of("mesh.health.restorations"), ["probe"]);
    let transitions =
        ["unknown to ejected by outlier", "ejected to probing by outlier", "probing to unknown by unchecked"];
    assert_eq!(lab.notes.of("mesh.health.transitions"), transitions);
    drop(other);
    assert!(mesh.shutdown(secs(1)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn how_attempts_ended_is_told_by_kind() {
    let (_lab, mesh) = world(1).await;
    let ends = [Outcome::Success, Outcome::Failure, Outcome::TimedOut, Outcome::Unreachable, Outcome::Cancelled];
    for outcome in ends.into_iter().chain([Outcome::Overloaded { retry_after: None }, Outcome::Failure]) {
        end_all(&mesh, 1, 1, outcome).await;
    }
    let tally = mesh.balancer_stats("api").await.unwrap().endpoints[0].tally;
    let counted = [tally.successes, tally.failures, tally.overloaded, tally.timed_out, tally.unreachable];
    assert_eq!(counted, [1, 2, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn checks_of_all_services_together_are_bounded_and_what_is_beyond_comes_later() {
    let mut lab = Lab::new();
    lab.config.checks_in_flight_max = NonZeroU32::MIN;
    let check = || HealthCheck::tcp().run_by(CheckRunner::Mesh).interval(ms(3_000)).timeout(ms(500));
    let services = [("api", 1), ("web", 2), ("log", 3)];
    for (service, number) in services {
        lab.dial.set(port(number), Line::Hangs);
        lab.registry.put(&instance_of(service, number).check(check()).build().unwrap()).await;
    }
    let mesh = lab.mesh().await;
    for (service, _) in services {
        mesh.get_healthy_services(service).await.unwrap();
    }
    pass(secs(60)).await;
    for (service, number) in services {
        let status = mesh.service_health(service).await.unwrap().instances[0].history.status();
        assert_eq!(status, Status::Unhealthy, "{service}");
        // A place is free after 500 ms, and asked for every 300 ms.
        let dials = lab.dial.dials(port(number));
        assert!((12..=20).contains(&dials), "{service}: {dials} in a minute");
    }
    assert_eq!(lab.dial.hanging_max(), 1);
}

/// A mesh with the default detection, and the instances 1 to `count`.
async fn world(count: u16) -> (Lab, ServiceMesh) {
    let mut lab = Lab::new();
    lab.config.service.outlier = OutlierConfig::default();
    let mesh = lab.mesh_with(count).await;
    mesh.get_healthy_services("api").await.unwrap();
    (lab, mesh)
}

/// Lets requests to the instance `wanted` end so; leases on others are given up.
async fn end_all(mesh: &ServiceMesh, wanted: u16, times: usize, outcome: Outcome) {
    let mut ended = 0;
    while ended < times {
        // What failed a moment ago is avoided.
        pass(secs(1)).await;
        let lease = mesh.get_service_instance("api").await.unwrap();
        if number_of(lease.instance()) == wanted {
            lease.finish(outcome);
            ended += 1;
            settle().await;
        }
    }
}
