//! The connections that checks over HTTP leave for the next: what they may not hide, and when they are closed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;

use mesh::mesh_core::health::Status;
use mesh::mesh_core::health::outlier::OutlierConfig;
use mesh::mesh_core::service::{CheckRunner, HealthCheckBuilder};
use mesh::{HealthCheck, Outcome, ServiceMesh};

use support::dial::Line;
use support::{Lab, instance_of, pass, port, secs, settle};

#[tokio::test(start_paused = true)]
async fn no_connection_is_used_for_longer_than_a_minute() {
    let (lab, mesh) = checked(http()).await;
    pass(secs(600)).await;
    let dials = lab.dial.dials(port(1));
    assert!((10..=13).contains(&dials), "{dials} in ten minutes");
    assert_eq!((status(&mesh).await, lab.dial.open(port(1))), (Status::Healthy, 1));
    // Whether one can connect to where a name has moved is known a minute later, though the old place still answers.
    lab.dial.set(port(1), Line::Refused);
    pass(secs(60 + 3 * 12)).await;
    assert_eq!(status(&mesh).await, Status::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_next_check_could_not_use_is_not_left_open() {
    let (lab, _mesh) = checked(http().interval(secs(61))).await;
    for _ in 0..50 {
        pass(secs(7)).await;
        assert_eq!(lab.dial.open(port(1)), 0);
    }
    assert!(lab.dial.dials(port(1)) >= 4);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_no_check_came_for_in_time_is_not_used() {
    let (lab, _mesh) = checked(http().no_traffic_interval(secs(120))).await;
    pass(secs(600)).await;
    let dials = lab.dial.dials(port(1));
    assert!((4..=6).contains(&dials), "{dials} in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_check_whose_first_failure_counts_leaves_no_connection() {
    let (lab, _mesh) = checked(http().fall(NonZeroU32::MIN)).await;
    for _ in 0..50 {
        pass(secs(7)).await;
        assert_eq!(lab.dial.open(port(1)), 0);
    }
    assert!(lab.dial.dials(port(1)) >= 20);
}

#[tokio::test(start_paused = true)]
async fn a_check_after_one_that_failed_shows_whether_one_can_connect() {
    let (lab, mesh) = checked(http().rise(TWO)).await;
    pass(secs(25)).await;
    assert_eq!((lab.dial.dials(port(1)), lab.dial.open(port(1))), (1, 1));
    lab.dial.set(port(1), Line::Keeps(500));
    pass(secs(30)).await;
    assert_eq!((status(&mesh).await, lab.dial.open(port(1))), (Status::Unhealthy, 0));
    // Nor does one that has to pass twice pass twice on one connection.
    let dials = lab.dial.dials(port(1));
    lab.dial.set(port(1), Line::Keeps(200));
    support::eventually("it is well", async || status(&mesh).await == Status::Healthy).await;
    assert!(lab.dial.dials(port(1)) - dials >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_over_an_old_connection_ends_no_ejection_of_an_instance_that_cannot_be_reached() {
    let mut lab = Lab::new();
    lab.config.service.outlier = OutlierConfig::default();
    // No check is hurried.
    lab.config.service.wake_after = NonZeroU32::new(100).unwrap();
    let (lab, mesh) = checked_in(lab, http()).await;
    pass(secs(25)).await;
    assert_eq!((lab.dial.dials(port(1)), lab.dial.open(port(1))), (1, 1));
    lab.dial.set(port(1), Line::Refused);
    for _ in 0..5 {
        unreachable(&mesh).await;
    }
    assert_eq!(status(&mesh).await, Status::Ejected);
    for _ in 0..20 {
        pass(secs(1)).await;
        assert_eq!(status(&mesh).await, Status::Ejected);
    }
    assert!(lab.dial.dials(port(1)) >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_comes_early_because_requests_fail_shows_whether_one_can_connect() {
    let (lab, mesh) = checked(http().interval(secs(29))).await;
    pass(secs(12)).await;
    assert_eq!((lab.dial.dials(port(1)), lab.dial.open(port(1))), (1, 1));
    for _ in 0..5 {
        unreachable(&mesh).await;
    }
    assert_eq!(lab.dial.dials(port(1)), 2);
    assert!(lab.now().since(mesh::mesh_core::time::Instant::ZERO) < secs(29), "the next was not due yet");
}

#[tokio::test(start_paused = true)]
async fn connections_are_closed_to_who_left_and_to_who_is_not_asked_over_http_any_more() {
    for change in ["left", "tcp", "unchecked"] {
        let (lab, _mesh) = checked(http()).await;
        pass(secs(25)).await;
        assert_eq!((lab.dial.open(port(1)), lab.dial.open(port(2))), (1, 1), "{change}");
        let first = instance_of("api", 1);
        match change {
            "left" => lab.registry.lose(&first.build().unwrap()).await,
            "tcp" => {
                let tcp = HealthCheck::tcp().run_by(CheckRunner::Mesh).interval(secs(1000));
                lab.registry.put(&first.check(tcp).build().unwrap()).await;
            }
            _ => lab.registry.put(&first.build().unwrap()).await,
        }
        settle().await;
        pass(secs(1)).await;
        assert_eq!((lab.dial.open(port(1)), lab.dial.open(port(2))), (0, 1), "{change}");
    }
}

fn http() -> HealthCheckBuilder {
    HealthCheck::http("/health").run_by(CheckRunner::Mesh).interval(secs(10)).timeout(secs(2)).fall(TWO)
}

/// A mesh that has begun to check two instances so, whose servers leave connections open.
async fn checked(check: HealthCheckBuilder) -> (Lab, ServiceMesh) {
    checked_in(Lab::new(), check).await
}

async fn checked_in(lab: Lab, check: HealthCheckBuilder) -> (Lab, ServiceMesh) {
    for number in [1, 2] {
        lab.dial.set(port(number), Line::Keeps(200));
        lab.registry.put(&instance_of("api", number).check(check.clone()).build().unwrap()).await;
    }
    let mesh = lab.mesh().await;
    mesh.get_healthy_services("api").await.unwrap();
    (lab, mesh)
}

/// One request to the first instance that finds it unreachable; those to the other end well.
async fn unreachable(mesh: &ServiceMesh) {
    loop {
        let lease = mesh.get_service_instance("api").await.unwrap();
        let is_first = support::number_of(lease.instance()) == 1;
        lease.finish(if is_first { Outcome::Unreachable } else { Outcome::Success });
        settle().await;
        if is_first {
            return;
        }
        pass(support::ms(100)).await;
    }
}

/// The status of the first instance.
async fn status(mesh: &ServiceMesh) -> Status {
    mesh.service_health("api").await.unwrap().instances[0].history.status()
}

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();
