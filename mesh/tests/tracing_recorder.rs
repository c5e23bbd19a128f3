//! The tracing recorder: every measurement is an event with the metric's name, and nobody pays who does not listen.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh::mesh_cache::codec::JsonCodec;
use mesh::mesh_cache::coordinator_store::MemoryCoordinator;
use mesh::mesh_core::recorder::{Measurement, Recorder as _};
use mesh::operations::Failed;
use mesh::{CallPolicy, ServiceConfig, ServiceMesh, TokioClock, TracingRecorder};
use support::logs::Logs;

#[tokio::test]
async fn a_call_leaves_its_measurements_in_the_log() {
    let (log, _listening) = Logs::listen_to(tracing::Level::TRACE);

    let store = MemoryCoordinator::new(Arc::new(TokioClock::new()));
    let mesh = ServiceMesh::builder().recorder(TracingRecorder).coordinator(store).build().await.unwrap();
    let config = ServiceConfig::builder("api", "127.0.0.1", 8080).without_check().build().unwrap();
    let me = mesh.register_service(config).await.unwrap();
    let reply = mesh.call("api", &CallPolicy::default(), |_| async { Ok::<_, std::io::Error>(7) }).await;
    assert_eq!(reply.unwrap(), 7);
    mesh.call("nobody", &CallPolicy::default(), |_| async { Ok::<_, std::io::Error>(7) }).await.unwrap_err();
    let charges = mesh.operations("charges", JsonCodec::new(1)).open().unwrap();
    charges.run("17", "", async |_| Ok::<_, Failed<&str>>(7)).await.unwrap();
    me.deregister().await.unwrap();

    let text = log.text();
    for expected in [
        "mesh.client.call.duration",
        "mesh.client.attempt.duration",
        "outcome=\"success\"",
        "mesh.lb.refusals",
        "reason=\"unknown-service\"",
        "mesh.lb.endpoints",
        "mesh.discovery.updates",
        "mesh.registration.events",
        "metric=\"mesh.operation.begin.duration\" operation=\"charges\" result=\"first\"",
        "metric=\"mesh.operation.duration\" operation=\"charges\" result=\"kept\"",
        "mesh.registration.deregistration.duration",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn what_a_fleet_shares_is_written_with_all_its_values() {
    let (log, _listening) = Logs::listen_to(tracing::Level::TRACE);
    let (service, instance) = ("api".parse().unwrap(), "api-1".parse().unwrap());
    let (service, instance) = (&service, Some(&instance));
    let second = Duration::from_millis(1_500);
    for (measurement, values) in [
        (
            Measurement::BudgetSettled {
                service,
                latency: second,
                wanted: 5,
                granted: 4,
                returned: 3,
                left_milli: 2,
                processes: 6,
                denied_for: second,
            },
            "budget.settlement.duration\" service=api seconds=1.5 wanted=5 granted=4 returned=3 left_milli=2 processes=6 \
             denied_seconds=1.5",
        ),
        (
            Measurement::BudgetUnsettled { service, failure: "unknown", after: second, failures: 2 },
            "budget.failures\" service=api failure=\"unknown\" seconds=1.5 failures=2",
        ),
        (
            Measurement::BudgetAnswered { service, by_lease: 1, by_share: 2, deferred: 3, denied: 4 },
            "budget.answers\" service=api by_lease=1 by_share=2 deferred=3 denied=4",
        ),
        (
            Measurement::BudgetStateChanged { service, from: "leased", to: "expired", reason: "lease-over" },
            "budget.transitions\" service=api from=\"leased\" to=\"expired\" reason=\"lease-over\"",
        ),
        (
            Measurement::RetrySlots { service, result: "refilled", count: 9, latency: second },
            "slots\" service=api result=\"refilled\" count=9 seconds=1.5",
        ),
        (
            Measurement::VoteCounted { service, instance, live: 3, open: 2, latency: second },
            "votes.duration\" service=api instance=api-1 live=3 open=2 seconds=1.5",
        ),
        (
            Measurement::EvidenceChanged { service, instance: None, quorum: true, by: "store" },
            "evidence.transitions\" service=api quorum=true by=\"store\"",
        ),
        (
            Measurement::ProbeRight { service, instance, right: "shared" },
            "probe.rights\" service=api instance=api-1 right=\"shared\"",
        ),
        (
            Measurement::VoteFailed { service, instance, failure: "not-done" },
            "votes.failures\" service=api instance=api-1 failure=\"not-done\"",
        ),
        (
            Measurement::StoreSkew { service, gained_micros: -7, uncertain_by: second, was_set: true },
            "coordinator.skew\" service=api gained_micros=-7 uncertain_seconds=1.5 was_set=true",
        ),
    ] {
        TracingRecorder.record(&measurement);
        let text = log.text();
        let last = text.lines().last().unwrap();
        assert!(last.ends_with(values), "{last}\nends not with\n{values}");
    }
}
