//! What the tests against real agents share.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses some of it; helpers fail like tests"
)]

use std::time::Duration;

use mesh_consul::mesh_core::port::{Registry, WatchEvent};
use mesh_consul::mesh_core::service::{HealthCheck, InstanceId, ServiceConfig, ServiceName};
use mesh_consul::mesh_core::snapshot::RegistryStatus;
use mesh_consul::watch::ServiceWatch;
use mesh_consul::{Consul, ConsulConfig, ConsulRegistry, QueryOptions};
use mesh_testkit::ConsulServer;

/// A watch's list as text: ids and statuses.
pub(crate) type Seen = Vec<(String, RegistryStatus)>;

pub(crate) fn config(url: &str) -> ConsulConfig {
    let mut config = ConsulConfig::at(url).expect("an address");
    // Tests wait for what happens, not for bounds.
    config.watch.retry_max = Duration::from_millis(500);
    config.watch.wait = Duration::from_secs(10);
    config
}

pub(crate) fn client(server: &ConsulServer) -> Consul {
    Consul::new(config(&server.url())).expect("a client")
}

pub(crate) fn registry(server: &ConsulServer) -> ConsulRegistry {
    ConsulRegistry::new(client(server))
}

pub(crate) fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

pub(crate) fn id(text: &str) -> InstanceId {
    text.parse().expect("an id")
}

/// An instance of `web` that no check looks at.
pub(crate) fn web(id: &str, port: u16) -> ServiceConfig {
    ServiceConfig::builder("web", "127.0.0.1", port).id(id).without_check().build().expect("valid")
}

/// An instance of `web` with a check of one second at its own port.
pub(crate) fn checked(id: &str, port: u16) -> ServiceConfig {
    let check = HealthCheck::http("/health").interval(Duration::from_secs(1)).timeout(Duration::from_secs(1));
    ServiceConfig::builder("web", "127.0.0.1", port).id(id).check(check).build().expect("valid")
}

/// An instance of `web` that reports by itself.
pub(crate) fn reporting(id: &str, ttl: Duration) -> ServiceConfig {
    ServiceConfig::builder("web", "127.0.0.1", 80).id(id).check(HealthCheck::ttl(ttl)).build().expect("valid")
}

pub(crate) fn watch(consul: &Consul) -> ServiceWatch {
    consul.watch(&name("web"), &QueryOptions::default()).expect("valid")
}

/// Waits until `watch` shows a list that is `wanted`, and returns all that it said before.
pub(crate) async fn until(watch: &mut ServiceWatch, mut wanted: impl FnMut(&Seen) -> bool) -> Vec<String> {
    let mut said = Vec::new();
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match watch.next().await {
                WatchEvent::Snapshot(resolution) => {
                    let seen: Seen =
                        resolution.snapshot.iter().map(|e| (e.instance().id().to_string(), e.status())).collect();
                    said.push(format!("{seen:?}"));
                    if wanted(&seen) {
                        return;
                    }
                }
                WatchEvent::Confirmed => said.push("confirmed".to_owned()),
                WatchEvent::Lost(error) => said.push(format!("lost: {error}")),
                other => said.push(format!("{other:?}")),
            }
        }
    });
    assert!(found.await.is_ok(), "not seen within 30 s; the watch said {said:?}");
    said
}

pub(crate) fn ids(seen: &Seen) -> Vec<&str> {
    seen.iter().map(|(id, _)| id.as_str()).collect()
}

pub(crate) async fn register(registry: &ConsulRegistry, config: &ServiceConfig) {
    registry.register(config).await.expect("registered");
}

/// Polls `fine` until it is true.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut fine: impl FnMut() -> F) {
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        while !fine().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(found.await.is_ok(), "not within 30 s: {what}");
}
