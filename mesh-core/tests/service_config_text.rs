//! Instances, checks and configurations as tables of a file.

use std::time::Duration;

use mesh_core::service::{CheckRunner, HealthCheck, Instance, ServiceConfig, ServiceName, Weight};
use mesh_core::text;
use serde_json::{Value, from_value, json, to_value};

#[test]
fn a_table_has_the_keys_of_the_builder() {
    let table = json!({
        "service": "api", "host": "127.0.0.1", "port": 8080, "id": "x", "tags": ["v1"], "weight": 3, "zone": "a",
        "version": "1.2", "meta": { "k": "v" }, "check": { "path": "/ready", "interval": "5s" },
    });
    let check = HealthCheck::http("/ready").interval(Duration::from_secs(5));
    let built = ServiceConfig::builder("api", "127.0.0.1", 8080).id("x").tag("v1").weight(3).zone("a").version("1.2");
    assert_eq!(from_value::<ServiceConfig>(table).unwrap(), built.meta("k", "v").check(check).build().unwrap());
}

#[test]
fn what_a_table_leaves_out_has_its_default() {
    let config: ServiceConfig = from_value(with(json!({}))).unwrap();
    assert_eq!(config, ServiceConfig::builder("api", "127.0.0.1", 8080).build().unwrap());
    assert_eq!(from_value::<ServiceConfig>(with(json!({ "check": true }))).unwrap(), config);
    assert_eq!(from_value::<ServiceConfig>(with(json!({ "check": false }))).unwrap().check(), None);
    let drained: Instance = from_value(with(json!({ "weight": 0 }))).unwrap();
    assert!(drained.weights().passing.is_drained() && drained.weights().warning.is_drained());
    let warning: Instance = from_value(with(json!({ "weight": 5, "warning_weight": 2 }))).unwrap();
    assert_eq!((warning.weights().passing, warning.weights().warning), (Weight::new(5), Weight::new(2)));
}

#[test]
fn a_table_goes_through_the_same_rules() {
    for (wrong, said) in [
        (json!({ "port": 0 }), "port: 0 is not allowed"),
        (json!({ "port": 65_536 }), "port: 65536 is not allowed"),
        (json!({ "weight": -1 }), "weight: -1 is not allowed"),
        (json!({ "host": "0.0.0.0" }), "host: 0.0.0.0 is not allowed"),
        (json!({ "meta": { "a.b": "v" } }), "meta key: a.b is not allowed"),
        (json!({ "version": "junk" }), "version: junk is not allowed"),
        (json!({ "tag": "v1" }), "unknown field `tag`"),
        (json!({ "check": { "intervall": "5s" } }), "unknown field `intervall`"),
        (json!({ "check": { "interval": "5" } }), "duration: 5 is not allowed: must be a number with its unit"),
        (json!({ "check": { "interval": 5 } }), "invalid type: integer `5`"),
        (json!({ "check": { "interval": "500ms" } }), "interval: 500ms is not allowed"),
        (json!({ "check": { "kind": "tcp", "path": "/" } }), "path: / is not allowed: only an HTTP check has one"),
        (json!({ "check": { "rise": 0 } }), "nonzero"),
        (json!({ "check": { "headers": { "host": "a" } } }), "header: host is not allowed"),
        (json!({ "check": { "headers": { "a": "x\r\ny" } } }), "headers: (a hidden value) is not allowed"),
        (
            json!({ "check": { "headers": { "a": 7_654_321 } } }),
            "headers: (a hidden value) is not allowed: must be text",
        ),
        (json!({ "check": { "expected_statuses": ["299-200"] } }), "expected_statuses: 299-200 is not allowed"),
        (json!({ "check": { "kind": "own", "run_by": "registry" } }), "run_by: registry is not allowed"),
        (json!({ "check": { "target_host": "10.0.0.9" } }), "target: 10.0.0.9 is not allowed"),
        (json!({ "check": "/health" }), "expected false or a table"),
    ] {
        let error = from_value::<ServiceConfig>(with(wrong)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_duration_is_the_sum_of_its_parts_and_one_that_overflows_is_refused() {
    for (text, expected) in [
        ("0", Some(Duration::ZERO)),
        ("1m30s", Some(Duration::from_secs(90))),
        (" 1h 2min  3.5s ", Some(Duration::from_millis(3_723_500))),
        ("18446744073709551615s 999999999ns", Some(Duration::MAX)),
        ("18446744073709551615s 1000000000ns", None),
        ("18446744073709551616s", None),
        ("", None),
        ("1s 0", None),
        ("1s.5s", None),
        ("-1s", None),
        ("1 2s", Some(Duration::from_secs(12))),
    ] {
        assert_eq!(text::duration::deserialize(json!(text)).ok(), expected, "{text:?}");
    }
}

#[test]
fn an_instance_alone_has_no_check() {
    assert!(from_value::<Instance>(with(json!({}))).is_ok());
    for check in [json!(false), json!({})] {
        let error = from_value::<Instance>(with(json!({ "check": check }))).unwrap_err();
        assert!(error.to_string().starts_with("check: is not allowed here"), "{error}");
    }
}

#[test]
fn what_is_written_reads_the_same() {
    let all = HealthCheck::http("/ready").host_header("h").interval(Duration::from_millis(250));
    let all = all.deregister_after(None).run_by(CheckRunner::Mesh).target("10.0.0.9", 81).allow_foreign_target();
    let second = Duration::from_secs(1);
    let more = HealthCheck::http("/").header("authorization", "Bearer x").header("x-b", "").expect_status(200..=299);
    let more = more.expect_status(304).expect_body("all \"well\"").degraded_header("X-Degraded");
    let more = more.unhealthy_interval(second).edge_interval(second * 2).no_traffic_interval(second * 3);
    let more = more.immediate_on_status(true);
    let own = Some(HealthCheck::own());
    for check in [Some(HealthCheck::tcp()), Some(HealthCheck::http("/")), Some(all), Some(more), own, None] {
        let builder = ServiceConfig::builder("api", "::1", 80).tag("a").zone("z").version("1").meta("k", "é");
        let config = match check {
            Some(check) => builder.check(check),
            None => builder.without_check(),
        };
        let config = config.build().unwrap();
        let written = to_value(&config).unwrap();
        assert_eq!(from_value::<ServiceConfig>(written).unwrap(), config);
        assert_eq!(from_value::<Instance>(to_value(&**config.instance()).unwrap()).unwrap(), **config.instance());
    }
    let scoped = Instance::builder("api", "::1", 80).scope("dc1/node").build().unwrap();
    assert_eq!(from_value::<Instance>(to_value(&scoped).unwrap()).unwrap(), scoped);
}

#[test]
fn a_check_for_any_instance_is_a_table_of_its_own() {
    let check: HealthCheck = from_value(json!({ "path": "/ready", "interval": "5s", "target_port": 9090 })).unwrap();
    assert_eq!(check, HealthCheck::http("/ready").interval(Duration::from_secs(5)).port(9090).build_for_any().unwrap());
    assert_eq!(from_value::<HealthCheck>(to_value(&check).unwrap()).unwrap(), check);
    assert!(from_value::<HealthCheck>(json!({ "target_host": "10.0.0.9" })).is_err());
}

#[test]
fn names_are_written_as_text_and_parsed_again() {
    let name: ServiceName = from_value(json!("api")).unwrap();
    assert_eq!(to_value(&name).unwrap(), json!("api"));
    let error = from_value::<ServiceName>(json!("a b")).unwrap_err();
    assert!(error.to_string().starts_with("service: a b is not allowed"), "{error}");
}

#[test]
fn durations_have_units_and_may_be_left_out_or_never() {
    let times: Times = from_value(json!({ "must": "1m 30s", "or_never": "never" })).unwrap();
    assert_eq!(times, Times { must: Duration::from_secs(90), may: None, or_never: None });
    let times = Times { may: Some(Duration::from_millis(250)), or_never: Some(Duration::from_secs(7)), ..times };
    assert_eq!(to_value(&times).unwrap(), json!({ "must": "1m 30s", "may": "250ms", "or_never": "7s" }));
    assert_eq!(from_value::<Times>(to_value(&times).unwrap()).unwrap(), times);
    let null = json!({ "must": "1s", "may": null, "or_never": "1s" });
    assert_eq!(from_value::<Times>(null).unwrap().may, None);
    let error = from_value::<Times>(json!({ "must": "1\u{1b}s", "or_never": "never" })).unwrap_err();
    assert!(error.to_string().starts_with("duration: 1\\u{1b}s is not allowed"), "{error}");
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Times {
    #[serde(with = "text::duration")]
    must: Duration,
    #[serde(default, with = "text::maybe_duration")]
    may: Option<Duration>,
    #[serde(with = "text::duration_or_never")]
    or_never: Option<Duration>,
}

/// The least table, with the keys of `more`.
fn with(more: Value) -> Value {
    let mut table = json!({ "service": "api", "host": "127.0.0.1", "port": 8080 });
    let (Value::Object(least), Value::Object(more)) = (&mut table, more) else { unreachable!() };
    least.extend(more);
    table
}
