//! Checks that only a registry's agent can run, where there is none.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh::mesh_core::port::{Registry as _, RegistryError};
use mesh::registry::{MemoryRegistry, StaticListError, StaticRegistry};
use mesh::{HealthCheck, ServiceConfig};

#[tokio::test]
async fn a_registry_without_an_agent_refuses_them_and_keeps_nothing() {
    let registry = MemoryRegistry::new();
    for check in [
        HealthCheck::grpc().tls(true),
        HealthCheck::own(),
        HealthCheck::ttl(Duration::from_secs(10)),
        HealthCheck::alias("db-1"),
        HealthCheck::http("/").tls(true),
    ] {
        let config = ServiceConfig::builder("api", "127.0.0.1", 80).check(check).build().unwrap();
        let refused = registry.register(&config).await;
        let Err(RegistryError::Invalid { reason }) = &refused else { panic!("{refused:?}") };
        assert!(reason.starts_with("check.kind: "), "{reason}");
        assert!(!registry.resolve(config.service()).await.unwrap().known);
    }
}

#[test]
fn a_list_refuses_them_too_and_says_where() {
    let text = "[[instance]]\nservice = \"api\"\nhost = \"127.0.0.1\"\nport = 80\ncheck = { kind = \"ttl\" }\n";
    let refused = StaticRegistry::from_toml(text).unwrap_err();
    assert!(matches!(refused, StaticListError::Check { .. }), "{refused:?}");
    assert!(refused.to_string().contains("line 1") && refused.to_string().contains("check.kind: ttl"), "{refused}");
}
