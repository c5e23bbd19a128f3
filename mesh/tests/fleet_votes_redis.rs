//! What the breakers of a fleet find out, shared through a real Redis: a quorum there, a store that dies and comes back empty,
//! and processes that go by themselves meanwhile.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use mesh::mesh_cache::redis::RedisConfig;
use mesh::mesh_core::health::outlier::OutlierConfig;
use mesh::mesh_retry::breaker::BreakerConfig;
use mesh::mesh_retry::coordinator::votes::VotesConfig;
use mesh::{CallPolicy, MeshConfig, RetryPolicy, ServiceConfig, ServiceMesh};
use mesh_testkit::RedisServer;

use support::recorder::Notes;
use support::{eventually, ms, secs};

const BREAKER: &str = "mesh.client.breaker.transitions";
const VOTES: &str = "mesh.client.votes.duration";
const EVIDENCE: &str = "mesh.client.evidence.transitions";
const FAILURES: &str = "mesh.client.votes.failures";

/// Failures in a row at which a breaker opens by itself, and while there is a quorum.
const ALONE: u32 = 20;
const LOWERED: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_crosses_a_real_redis_ends_with_it_and_comes_back_with_it() {
    let mut server = RedisServer::start().await;
    let [first, second, third] =
        [Process::start(&server).await, Process::start(&server).await, Process::start(&server).await];
    for process in [&first, &second, &third] {
        process.calls(true, 1).await;
    }
    for process in [&first, &second, &third] {
        eventually("all have a vote", async || process.last(VOTES) == "0 of 3").await;
    }
    first.calls(false, ALONE).await;
    second.calls(false, ALONE).await;
    eventually("the third hears of it", async || third.last(EVIDENCE) == "quorum by store").await;
    third.calls(false, LOWERED - 1).await;
    third.calls(true, 1).await;
    third.calls(false, LOWERED - 1).await;
    assert!(third.notes.of(BREAKER).is_empty(), "its own path failed two times in a row at most");
    third.calls(false, 1).await;
    assert_eq!(third.last(BREAKER), "closed to open by evidence");

    server.kill();
    let fourth = Process::start(&server).await;
    eventually("nobody is known to find it open", async || third.last(EVIDENCE) == "no quorum by silence").await;
    assert!(!third.notes.of(FAILURES).is_empty());
    fourth.calls(false, ALONE - 1).await;
    assert!(fourth.notes.of(BREAKER).is_empty(), "without a store it goes by its own threshold");
    fourth.calls(false, 1).await;
    assert_eq!(fourth.last(BREAKER), "closed to open by failures-in-row");

    server.start_again().await;
    // Nobody has to be told that the scripts and the votes of before are gone.
    eventually("evidence is back", async || third.last(EVIDENCE) == "quorum by store").await;
    // Breakers close when a call finds the service well, and with these their votes change.
    for process in [&first, &second, &third, &fourth] {
        let closes = async || {
            process.try_one(true).await;
            process.last(BREAKER) == "half-open to closed by probes-passed"
        };
        eventually("its breaker closes", closes).await;
        assert!(process.mesh.shutdown(secs(5)).await.is_clean());
    }
}

/// A process that calls a service as well or ill as it is told.
struct Process {
    mesh: ServiceMesh,
    notes: Notes,
}

impl Process {
    async fn start(server: &RedisServer) -> Self {
        let mut breaker = BreakerConfig::consecutive(NonZeroU32::new(ALONE).unwrap());
        breaker.open.base = ms(200);
        let mut votes = VotesConfig::default();
        (votes.heartbeat, votes.live_for, votes.probe_lease, votes.reply_within) = (ms(100), secs(2), secs(1), ms(250));
        let mut config = MeshConfig::default();
        (config.calls.breaker, config.calls.votes) = (Some(breaker), Some(votes));
        config.service.outlier = OutlierConfig::off();
        let mut redis = RedisConfig::at(&server.url()).unwrap();
        redis.link.retry_max = ms(500);
        let notes = Notes::default();
        let mesh = ServiceMesh::builder().config(config).recorder(notes.clone()).redis_config(redis);
        let mesh = mesh.build().await.unwrap();
        let instance = ServiceConfig::builder("api", "127.0.0.1", 9).without_check().build().unwrap();
        mesh.register_service(instance).await.unwrap();
        Self { mesh, notes }
    }

    /// So many calls that are let through.
    async fn calls(&self, is_well: bool, count: u32) {
        for _ in 0..count {
            self.try_one(is_well).await;
        }
    }

    /// A call, which the breaker may refuse.
    async fn try_one(&self, is_well: bool) {
        let policy = CallPolicy::new(RetryPolicy::never()).unwrap();
        let attempt = |_| async move { if is_well { Ok(()) } else { Err("ill") } };
        let call = self.mesh.call("api", &policy, attempt);
        let _ = tokio::time::timeout(PATIENCE, call).await.unwrap();
    }

    fn last(&self, metric: &str) -> String {
        self.notes.of(metric).pop().unwrap_or_default()
    }
}

/// No call waits for the store.
const PATIENCE: Duration = Duration::from_secs(10);
