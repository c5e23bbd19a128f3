//! Putting together what a process registers: defaults, builders, and problems reported all at once.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::service::{
    CheckKind, CheckRunner, ConfigError, HealthCheck, Instance, Problem, ServiceConfig, Weight, Weights,
};

#[test]
fn an_instance_without_more_said_has_the_defaults_users_know() {
    let config = ServiceConfig::builder("api", "10.0.0.7", 8080).build().unwrap();
    let instance = config.instance();
    assert_eq!(config.id().as_str(), "api-10.0.0.7-8080");
    assert_eq!(config.service().as_str(), "api");
    assert_eq!(config.key().scope().as_str(), "");
    assert_eq!(
        (instance.host().as_str(), instance.port(), instance.authority().as_str()),
        ("10.0.0.7", 8080, "10.0.0.7:8080")
    );
    assert_eq!(instance.weights(), Weights { passing: Weight::ONE, warning: Weight::ONE });
    assert!(instance.tags().is_empty() && instance.meta().is_empty());
    assert_eq!((instance.zone(), instance.version()), (None, None));

    let check = config.check().unwrap();
    let CheckKind::Http(http) = check.kind() else { panic!("{check:?}") };
    assert_eq!((http.path().as_str(), http.method().as_str(), http.host_header()), ("/health", "GET", None));
    assert_eq!((check.interval(), check.timeout()), (Duration::from_secs(30), Duration::from_secs(10)));
    assert_eq!(check.deregister_after(), Some(Duration::from_secs(60)));
    assert_eq!((check.rise().get(), check.fall().get(), check.run_by()), (1, 1, CheckRunner::Registry));
    assert_eq!(check.address(instance), (instance.host(), 8080));
}

#[test]
fn everything_that_is_said_is_kept() {
    let config = ServiceConfig::builder("api", "db.example", 8080)
        .id("custom")
        .tag("v1")
        .tag("canary")
        .tag("v1")
        .meta("team", "blue")
        .weight(5)
        .zone("eu-1")
        .version("v1.2")
        .check(HealthCheck::tcp())
        .build()
        .unwrap();
    let instance = config.instance();
    assert_eq!(instance.id().as_str(), "custom");
    assert_eq!(instance.tags().iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["canary", "v1"]);
    let meta = instance.meta().iter().collect::<Vec<_>>();
    assert_eq!(meta, [("team", "blue"), ("version", "1.2.0"), ("zone", "eu-1")]);
    assert_eq!(instance.weights(), Weights { passing: Weight::new(5), warning: Weight::ONE });
    assert_eq!(instance.zone().unwrap().as_str(), "eu-1");
    assert_eq!(instance.version().unwrap().to_string(), "1.2.0");
    assert_eq!(config.check().unwrap().kind(), &CheckKind::Tcp);
}

#[test]
fn a_service_may_be_registered_without_a_check() {
    assert_eq!(api().without_check().build().unwrap().check(), None);
    assert!(api().without_check().check(HealthCheck::tcp()).build().unwrap().check().is_some());
}

#[test]
fn a_drained_instance_stays_drained_while_it_warns() {
    let drained = api().weight(0).build().unwrap();
    assert_eq!(drained.instance().weights(), Weights { passing: Weight::DRAINED, warning: Weight::DRAINED });
    let both = Weights { passing: Weight::new(7), warning: Weight::new(3) };
    assert_eq!(api().weights(both).build().unwrap().instance().weights(), both);
}

#[test]
fn zone_and_version_are_read_from_metadata() {
    let instance = api().meta("version", "1.0.0").meta("zone", "a").build().unwrap();
    assert_eq!(instance.instance().version().unwrap().to_string(), "1.0.0");
    assert_eq!(instance.instance().zone().unwrap().as_str(), "a");
    assert_eq!(instance, api().version("1").zone("a").build().unwrap());
}

#[test]
fn metadata_is_free_where_the_version_is_not() {
    let free = api().meta("version", "blue-7").meta("zone", "second floor").build().unwrap();
    assert_eq!((free.instance().version(), free.instance().zone()), (None, None));
    assert_eq!(free.instance().meta().get("version"), Some("blue-7"));
    assert_eq!(fields(&api().version("blue-7").build().unwrap_err()), ["version"]);
    assert_eq!(fields(&api().zone("second floor").build().unwrap_err()), ["zone"]);
}

#[test]
fn the_last_of_two_values_counts() {
    let config = api().zone("a").zone("b").weight(2).weight(3).id("one").id("two").build().unwrap();
    assert_eq!(config.instance().zone().unwrap().as_str(), "b");
    assert_eq!(config.instance().weights().passing, Weight::new(3));
    assert_eq!(config.id().as_str(), "two");
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_calls() {
    let error = ServiceConfig::builder("", "0.0.0.0", 0)
        .weight(70_000)
        .tag(" a")
        .meta("a.b", "v")
        .zone("")
        .version("junk")
        .id("a b")
        .check(HealthCheck::http("health").interval(Duration::ZERO).port(0))
        .build()
        .unwrap_err();
    let instance = ["service", "host", "port", "weight", "tag", "meta key", "zone", "version", "id"];
    let check = ["path", "port", "interval"];
    assert_eq!(fields(&error), [&instance[..], &check[..]].concat());
    assert_eq!(error.omitted(), 0);
}

#[test]
fn an_endless_list_of_problems_is_counted_and_not_kept() {
    let error = (0..1000).fold(api(), |builder, _| builder.tag("")).build().unwrap_err();
    assert_eq!(error.problems().len(), ConfigError::PROBLEMS_MAX);
    assert_eq!(error.omitted(), 1000 - ConfigError::PROBLEMS_MAX);
    assert!(error.to_string().ends_with("; and 984 more"), "{error}");
}

#[test]
fn ports_out_of_range_are_named() {
    for port in [0, 65_536] {
        let error = ServiceConfig::builder("api", "10.0.0.7", port).build().unwrap_err();
        assert_eq!(error.to_string(), format!("port: {port} is not allowed: must be 1 to 65535"));
    }
}

#[test]
fn a_scope_is_part_of_the_identity() {
    let one = Instance::builder("api", "10.0.0.7", 80).scope("dc1/a").build().unwrap();
    let other = Instance::builder("api", "10.0.0.7", 80).scope("dc1/b").build().unwrap();
    assert_eq!(one.id(), other.id());
    assert_ne!(one.key(), other.key());
}

#[test]
fn debug_output_is_bounded_and_holds_no_control_characters() {
    let mut builder = Instance::builder("api", "10.0.0.7", 80).tag("a\u{202e}b");
    for number in 0..60 {
        builder = builder.meta(format!("k{number}"), "\u{2028}".repeat(170));
    }
    let shown = format!("{:?}", builder.build().unwrap());
    assert!(shown.chars().count() < 800, "{shown}");
    assert!(!shown.contains(['\u{202e}', '\u{2028}']), "{shown}");
    assert!(
        shown.starts_with("Instance(api api-10.0.0.7-80 at 10.0.0.7:80, weights 1/1, tags [a\\u{202e}b]"),
        "{shown}"
    );
}

#[test]
fn a_clone_shares_what_it_was_cloned_from() {
    let config = api().build().unwrap();
    assert!(Arc::ptr_eq(config.instance(), config.clone().instance()));
}

fn api() -> mesh_core::service::ServiceConfigBuilder {
    ServiceConfig::builder("api", "10.0.0.7", 8080)
}

fn fields(error: &ConfigError) -> Vec<&'static str> {
    error.problems().iter().map(Problem::field).collect()
}
