//! Checks that a registry without an agent cannot have run as they are: those for agents alone, those of code of one's
//! own, and those over TLS where nobody speaks it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh::mesh_core::machine::ServiceMachineConfig;
use mesh::mesh_core::port::{Registry as _, RegistryError};
use mesh::mesh_core::service::{CheckRunner, HealthCheckBuilder};
use mesh::registry::{MemoryRegistry, StaticListError, StaticRegistry};
use mesh::{HealthCheck, MeshConfig, ServiceConfig, ServiceMesh};

#[tokio::test]
async fn a_registry_without_an_agent_refuses_them_and_keeps_nothing() {
    let registry = MemoryRegistry::new();
    for check in [HealthCheck::own(), HealthCheck::ttl(Duration::from_secs(10)), HealthCheck::alias("db-1")] {
        let config = ServiceConfig::builder("api", "127.0.0.1", 80).check(check).build().unwrap();
        let refused = registry.register(&config).await;
        let Err(RegistryError::Invalid { reason }) = &refused else { panic!("{refused:?}") };
        assert!(reason.starts_with("check.kind: "), "{reason}");
        assert!(!registry.resolve(config.service()).await.unwrap().known);
    }
}

#[tokio::test]
async fn one_over_tls_is_the_meshs_where_it_speaks_tls_and_refused_by_the_features_name_where_not() {
    let registry = MemoryRegistry::new();
    for check in [HealthCheck::grpc().tls(true), HealthCheck::http("/").tls(true)] {
        for runner in [CheckRunner::Registry, CheckRunner::Mesh] {
            let check = check.clone().run_by(runner);
            let config = ServiceConfig::builder("api", "127.0.0.1", 80).check(check).build().unwrap();
            let registered = registry.register(&config).await;
            let listed = StaticRegistry::from_instances(vec![config.clone()]);
            if cfg!(feature = "probe-tls") {
                assert!(registered.is_ok() && listed.is_ok(), "{registered:?} {listed:?}");
                continue;
            }
            let Err(RegistryError::Invalid { reason }) = &registered else { panic!("{registered:?}") };
            assert_eq!(&**reason, NEEDS_FEATURE);
            assert!(!registry.resolve(config.service()).await.unwrap().known);
            assert!(listed.unwrap_err().to_string().contains(NEEDS_FEATURE));
        }
    }
}

/// A mesh that is given such a check, or is told whom to trust.
#[tokio::test]
async fn without_the_feature_no_mesh_is_built_that_would_need_it() {
    let check = || HealthCheck::http("/").run_by(CheckRunner::Mesh);
    let of = |check: HealthCheckBuilder| {
        let mut config = ServiceMachineConfig::default();
        config.check = Some(check.build_for_any().unwrap());
        config
    };
    let mut everywhere = MeshConfig::default();
    everywhere.service = of(check().tls(true));
    let mut trusting: MeshConfig = MeshConfig::default();
    trusting.probe_tls.dangerously_accept_any_certificate = true;
    let one = ServiceMesh::builder().service("api".parse().unwrap(), of(check().tls(true)));
    for (builder, refused) in [
        (one, NEEDS_FEATURE),
        (ServiceMesh::builder().config(everywhere), NEEDS_FEATURE),
        (ServiceMesh::builder().config(trusting), TRUST_NEEDS_FEATURE),
    ] {
        let built = builder.build().await;
        if cfg!(feature = "probe-tls") {
            // A system that trusts nobody has none either for a check that is to trust the system.
            assert!(built.is_ok() || built.unwrap_err().to_string().starts_with("probe_tls.ca_file"));
        } else {
            assert_eq!(built.unwrap_err().to_string(), refused);
        }
    }
    assert!(ServiceMesh::builder().service("api".parse().unwrap(), of(check())).build().await.is_ok());
}

#[test]
fn a_list_refuses_them_too_and_says_where() {
    let text = "[[instance]]\nservice = \"api\"\nhost = \"127.0.0.1\"\nport = 80\ncheck = { kind = \"ttl\" }\n";
    let refused = StaticRegistry::from_toml(text).unwrap_err();
    assert!(matches!(refused, StaticListError::Check { .. }), "{refused:?}");
    assert!(refused.to_string().contains("line 1") && refused.to_string().contains("check.kind: ttl"), "{refused}");
}

const NEEDS_FEATURE: &str = "check.tls: true is not allowed: must be left out unless the crate mesh is built with its \
                             feature probe-tls";
const TRUST_NEEDS_FEATURE: &str = "probe_tls: \"\" is not allowed: must be left out unless the crate mesh is built with its \
                                   feature probe-tls";
