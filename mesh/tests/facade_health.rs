//! Health from end to end: what a backend answers to its checks decides whether it is picked, and at last whether
//! it stays registered.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;

use mesh::mesh_core::machine::ServiceMachineConfig;
use mesh::mesh_core::service::{HealthCheckBuilder, Weight, Weights};
use mesh::mesh_core::snapshot::RegistryStatus;
use mesh::{CallPolicy, HealthCheck, Outcome, PickError, ServiceMesh};

use support::backend::Backend;
use support::dial::Line;
use support::registry::{Answer, refused, unavailable};
use support::{Lab, eventually, healthy, in_flight, instance_of, ms, number_of, pass, port, retries, secs, settle};

#[tokio::test]
async fn a_backend_that_says_503_is_left_alone_until_it_is_well_again() {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    let backends = [Backend::start().await, Backend::start().await];
    for backend in &backends {
        mesh.register_service(backend.config("api")).await.unwrap();
    }
    let ports = async || {
        let all = mesh.get_healthy_services("api").await.unwrap();
        all.iter().map(|instance| instance.port()).collect::<Vec<_>>()
    };
    eventually("both are there", async || ports().await.len() == 2).await;
    backends[0].health_is(503);
    eventually("the sick one is out", async || ports().await == [backends[1].port()]).await;
    let truth = mesh.get_service("api").await.unwrap();
    assert_eq!(truth.port(), backends[1].port(), "and not for get_service either");
    backends[0].health_is(200);
    eventually("it is back", async || ports().await.len() == 2).await;
}

#[tokio::test]
async fn a_backend_that_is_killed_is_left_alone_and_no_caller_notices() {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    let mut backends = [Backend::start().await, Backend::start().await, Backend::start().await];
    for backend in &backends {
        mesh.register_service(backend.config("api")).await.unwrap();
    }
    let client = reqwest::Client::new();
    let policy = CallPolicy::new(retries(3)).unwrap();
    let call = async || {
        let reply = mesh.call("api", &policy, |instance| {
            let request = client.get(format!("http://{}/", instance.authority())).timeout(secs(5));
            async move { request.send().await?.text().await }
        });
        assert_eq!(reply.await.unwrap(), "hello");
    };
    call().await;
    backends[1].kill().await;
    eventually("the checks find out", async || {
        call().await;
        mesh.get_healthy_services("api").await.unwrap().len() == 2
    })
    .await;
    backends[1].revive().await;
    let before = backends[1].served();
    eventually("it is given work again", async || {
        call().await;
        backends[1].served() > before
    })
    .await;
    assert_eq!(in_flight(&mesh, "api").await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_registrys_own_checks_say_counts_without_any_of_the_meshs() {
    let lab = Lab::new();
    let weighted = instance_of("api", 2).weights(Weights { passing: Weight::new(100), warning: Weight::new(1) });
    lab.registry.put_as(&instance_of("api", 1).build().unwrap(), RegistryStatus::Critical).await;
    lab.registry.put_as(&weighted.build().unwrap(), RegistryStatus::Warning).await;
    lab.registry.put_as(&instance_of("api", 3).weight(100).build().unwrap(), RegistryStatus::Passing).await;
    let mesh = lab.mesh().await;
    assert_eq!(healthy(&mesh, "api").await, [2, 3]);
    let mut leases = Vec::new();
    for _ in 0..100 {
        assert_ne!(number_of(&mesh.get_service("api").await.unwrap()), 1);
        leases.push(mesh.get_service_instance("api").await.unwrap());
    }
    let warned = leases.iter().filter(|lease| number_of(lease.instance()) == 2).count();
    assert!(warned <= 10, "{warned} of 100 requests in flight with a share of 1 in 101");
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failing_answer_takes_an_instance_out_and_a_warning_does_not() {
    let lab = Lab::new();
    for number in 1..=6 {
        lab.registry.put(&instance_of("api", number).check(every_second()).build().unwrap()).await;
    }
    let answers = [Line::Status(200), Line::Status(500), Line::Status(302), Line::Refused, Line::Hangs];
    for (number, line) in (1..).zip(answers) {
        lab.dial.set(port(number), line);
    }
    lab.dial.set(port(6), Line::Status(429));
    let mesh = lab.mesh().await;
    assert_eq!(healthy(&mesh, "api").await, [1, 2, 3, 4, 5, 6], "until the first check says otherwise");
    pass(secs(2)).await;
    assert_eq!(healthy(&mesh, "api").await, [1, 6]);
    let refused = mesh.get_service_instance("api").await.unwrap();
    assert!([1, 6].contains(&number_of(refused.instance())));
}

#[tokio::test(start_paused = true)]
async fn thresholds_are_those_of_the_check() {
    let lab = Lab::new();
    let (three, two) = (NonZeroU32::new(3).unwrap(), NonZeroU32::new(2).unwrap());
    let check = every_second().fall(three).rise(two);
    lab.registry.put(&instance_of("api", 1).check(check).build().unwrap()).await;
    let mesh = without_jitter(&lab).await;
    healthy(&mesh, "api").await;
    settled_checks(&lab, 1, 1).await;
    lab.dial.set(port(1), Line::Refused);
    settled_checks(&lab, 1, 2).await;
    assert_eq!(healthy(&mesh, "api").await, [1], "two failures are not three");
    settled_checks(&lab, 1, 1).await;
    assert!(healthy(&mesh, "api").await.is_empty());
    lab.dial.set(port(1), Line::Status(200));
    settled_checks(&lab, 1, 1).await;
    assert!(healthy(&mesh, "api").await.is_empty(), "one success is not two");
    settled_checks(&lab, 1, 1).await;
    assert_eq!(healthy(&mesh, "api").await, [1]);
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_hurry_the_check() {
    let lab = Lab::new();
    let check = HealthCheck::http("/health").interval(secs(3600));
    lab.registry.put(&instance_of("api", 1).check(check).build().unwrap()).await;
    let mesh = lab.mesh().await;
    healthy(&mesh, "api").await;
    pass(secs(3)).await;
    assert_eq!(lab.dial.dials(port(1)), 1, "the first check comes soon, the next in an hour");
    lab.dial.set(port(1), Line::Refused);
    for failures in 1..=5 {
        mesh.get_service_instance("api").await.unwrap().finish(Outcome::Failure);
        settle().await;
        assert_eq!(lab.dial.dials(port(1)), if failures < 5 { 1 } else { 2 });
    }
    let error = mesh.get_service_instance("api").await.unwrap_err();
    assert!(matches!(error.pick(), Some(PickError::NoneHealthy { unhealthy: 1, .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn cancelled_and_successful_requests_hurry_nothing() {
    let lab = Lab::new();
    let check = HealthCheck::http("/health").interval(secs(3600));
    lab.registry.put(&instance_of("api", 1).check(check).build().unwrap()).await;
    let mesh = lab.mesh().await;
    healthy(&mesh, "api").await;
    pass(secs(3)).await;
    for _ in 0..4 {
        for _ in 0..4 {
            mesh.get_service_instance("api").await.unwrap().finish(Outcome::Failure);
            drop(mesh.get_service_instance("api").await.unwrap());
        }
        mesh.get_service_instance("api").await.unwrap().finish(Outcome::Success);
    }
    settle().await;
    assert_eq!(lab.dial.dials(port(1)), 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_critical_for_too_long_is_taken_out_of_the_registry() {
    let lab = Lab::new();
    for number in 1..=3 {
        lab.registry.put(&instance_of("api", number).check(every_second()).build().unwrap()).await;
    }
    lab.dial.set(port(2), Line::Refused);
    let mesh = lab.mesh().await;
    healthy(&mesh, "api").await;
    pass(secs(59)).await;
    assert_eq!(lab.registry.held("api").await, ["api-1", "api-2", "api-3"]);
    pass(secs(4)).await;
    assert_eq!(lab.registry.held("api").await, ["api-1", "api-3"]);
    assert_eq!(lab.registry.journal(), ["deregister api-2"]);
    assert_eq!(healthy(&mesh, "api").await, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn one_good_answer_starts_the_time_to_deregistration_anew() {
    let lab = Lab::new();
    for number in 1..=2 {
        lab.registry.put(&instance_of("api", number).check(every_second()).build().unwrap()).await;
    }
    let mesh = lab.mesh().await;
    healthy(&mesh, "api").await;
    for _ in 0..5 {
        lab.dial.set(port(2), Line::Refused);
        pass(secs(50)).await;
        lab.dial.set(port(2), Line::Status(200));
        pass(secs(3)).await;
    }
    assert_eq!(lab.registry.held("api").await, ["api-1", "api-2"]);
}

#[tokio::test(start_paused = true)]
async fn when_most_instances_are_sick_nobody_is_taken_out() {
    let lab = Lab::new();
    for number in 1..=3 {
        lab.registry.put(&instance_of("api", number).check(every_second()).build().unwrap()).await;
        lab.dial.set(port(number), if number == 1 { Line::Status(200) } else { Line::Refused });
    }
    let mesh = lab.mesh().await;
    healthy(&mesh, "api").await;
    pass(secs(400)).await;
    assert_eq!(lab.registry.held("api").await.len(), 3, "the checks are the likelier culprit");
}

#[tokio::test(start_paused = true)]
async fn as_many_instances_as_configured_are_never_taken_out() {
    for (keeps, stay) in [(1, vec!["api-1"]), (2, vec!["api-1", "api-2"])] {
        let lab = Lab::new();
        for number in 1..=2 {
            lab.registry.put(&instance_of("api", number).check(every_second()).build().unwrap()).await;
        }
        lab.dial.set(port(2), Line::Refused);
        let mut own = ServiceMachineConfig::default();
        own.deregister_keeps = NonZeroU32::new(keeps).unwrap();
        let mesh = lab.builder().service("api".parse().unwrap(), own).build().await.unwrap();
        healthy(&mesh, "api").await;
        pass(secs(400)).await;
        assert_eq!(lab.registry.held("api").await, stay);
    }
}

#[tokio::test(start_paused = true)]
async fn an_automatic_deregistration_that_fails_is_tried_again() {
    let lab = Lab::new();
    for number in 1..=2 {
        lab.registry.put(&instance_of("api", number).check(every_second()).build().unwrap()).await;
    }
    lab.dial.set(port(2), Line::Refused);
    lab.registry.deregister_is(Answer::No(unavailable()));
    let mesh = lab.mesh().await;
    healthy(&mesh, "api").await;
    pass(secs(100)).await;
    assert!(lab.registry.journal().len() >= 2);
    assert_eq!(lab.registry.held("api").await.len(), 2);
    lab.registry.deregister_is(Answer::Truly);
    pass(secs(31)).await;
    assert_eq!(lab.registry.held("api").await, ["api-1"]);
}

#[tokio::test(start_paused = true)]
async fn automatic_deregistrations_that_hang_do_not_pile_up_and_one_that_is_refused_is_not_repeated() {
    for (answer, orders) in [(Answer::Never, 5..), (Answer::No(refused()), 1..)] {
        let lab = Lab::new();
        for number in 1..=2 {
            lab.registry.put(&instance_of("api", number).check(every_second()).build().unwrap()).await;
        }
        lab.dial.set(port(2), Line::Refused);
        lab.registry.deregister_is(answer.clone());
        let mesh = lab.mesh().await;
        healthy(&mesh, "api").await;
        pass(secs(400)).await;
        assert!(lab.registry.under_way() <= 1);
        let made = lab.registry.journal().len();
        assert!(orders.contains(&made), "{made} orders");
        assert_eq!(made == 1, matches!(answer, Answer::No(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_of_the_mesh_replaces_those_of_the_instances_and_deregisters_nobody() {
    let lab = Lab::new();
    for number in 1..=2 {
        lab.registry.put(&instance_of("api", number).build().unwrap()).await;
    }
    lab.dial.set(port(2), Line::Refused);
    let mut own = ServiceMachineConfig::default();
    own.check = Some(every_second().build_for_any().unwrap());
    let mesh = lab.builder().service("api".parse().unwrap(), own).build().await.unwrap();
    healthy(&mesh, "api").await;
    pass(secs(3)).await;
    assert_eq!(healthy(&mesh, "api").await, [1]);
    pass(secs(400)).await;
    assert_eq!(lab.registry.held("api").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn checks_stop_when_the_instance_leaves_and_when_the_mesh_ends() {
    let lab = Lab::new();
    let configs = [1, 2].map(|number| instance_of("api", number).check(every_second()).build().unwrap());
    for config in &configs {
        lab.registry.put(config).await;
    }
    let mesh = lab.mesh().await;
    healthy(&mesh, "api").await;
    pass(secs(5)).await;
    lab.registry.lose(&configs[0]).await;
    settle().await;
    let (gone, stays) = (lab.dial.dials(port(1)), lab.dial.dials(port(2)));
    pass(secs(10)).await;
    assert_eq!(lab.dial.dials(port(1)), gone);
    assert!(lab.dial.dials(port(2)) > stays + 5);
    mesh.shutdown(secs(1)).await;
    let stays = lab.dial.dials(port(2));
    pass(secs(10)).await;
    assert_eq!(lab.dial.dials(port(2)), stays);
}

/// A check every second that gives up after half of one.
fn every_second() -> HealthCheckBuilder {
    HealthCheck::http("/health").interval(secs(1)).timeout(ms(500))
}

async fn without_jitter(lab: &Lab) -> ServiceMesh {
    let mut own = ServiceMachineConfig::default();
    own.checks.jitter_percent = 0;
    lab.builder().service("api".parse().unwrap(), own).build().await.unwrap()
}

/// Waits until `more` further checks of an instance were made and answered.
async fn settled_checks(lab: &Lab, number: u16, more: usize) {
    let goal = lab.dial.dials(port(number)) + more;
    eventually("the checks are made", async || lab.dial.dials(port(number)) == goal).await;
    settle().await;
}
