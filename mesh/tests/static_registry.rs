//! The registry of a list: what a file may say, how its errors read, and what reading it again changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod registry_world;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use mesh::registry::{StaticListError, StaticRegistry};
use mesh_core::port::{Registry, RegistryError, Resolution, WatchEvent};
use mesh_core::registration::{Part, PartState, Standing};
use mesh_core::service::{CheckRunner, HealthCheck, ServiceConfig, Weight, Weights};
use mesh_core::snapshot::RegistryStatus;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use registry_world::{name, now, ready};
use tempfile::TempDir;

#[test]
fn a_file_lists_instances_with_the_keys_of_their_builder() {
    let registry = StaticRegistry::from_toml(
        r#"
        [[instance]]
        service = "api"
        host = "10.0.0.7"
        port = 8080
        tags = ["v1"]
        weight = 3
        meta = { team = "blue" }
        check = { path = "/ready", interval = "5s" }

        [[instance]]
        service = "api"
        host = "10.0.0.8"
        port = 8080
        id = "second"
        check = false

        [[instance]]
        service = "web"
        host = "web.internal"
        port = 80
        "#,
    )
    .unwrap();
    let first = ServiceConfig::builder("api", "10.0.0.7", 8080).tag("v1").weight(3).meta("team", "blue");
    let first = first.check(HealthCheck::http("/ready").interval(Duration::from_secs(5))).build().unwrap();
    let second = ServiceConfig::builder("api", "10.0.0.8", 8080).id("second").without_check().build().unwrap();
    let found = resolve(&registry, "api");
    let held: Vec<_> = found.snapshot.iter().map(|entry| (entry.instance(), entry.check())).collect();
    assert_eq!(held, [(first.instance(), first.check()), (second.instance(), None)]);
    assert!(found.known && found.authoritative && !registry.runs_checks());
    assert_eq!(resolve(&registry, "web").snapshot.entries()[0].status(), RegistryStatus::Unknown);
    let unlisted = resolve(&registry, "other");
    assert!(!unlisted.known && unlisted.snapshot.is_empty());
}

#[test]
fn errors_name_the_line_the_column_and_the_rule() {
    for (line_of_instance, column, problem) in [
        ("port = 0", 8, "port: 0 is not allowed: must be 1 to 65535"),
        ("port = 8080\nhostt = \"x\"", 1, "unknown field `hostt`"),
        ("port = 8080\ntags = [\"v1\", \" v2\"]", 8, "must not begin or end with white space"),
        ("port = 8080\nweight = 70000", 10, "weight: 70000 is not allowed: must be 0 to 65535"),
        ("port = \"8080\"", 8, "invalid type: string \"8080\", expected i64"),
        ("port = 8080\ncheck = { intervall = \"5s\" }", 11, "unknown field `intervall`"),
        ("port = 8080\ncheck = { interval = 5 }", 22, "invalid type: integer `5`, expected a string"),
        ("port = 8080 8081", 8, "string values must be quoted"),
    ] {
        let text = format!("# instances\n\n[[instance]]\nservice = \"api\"\nhost = \"10.0.0.7\"\n{line_of_instance}\n");
        let line = 5 + line_of_instance.lines().count();
        let error = refused(&text);
        let prefix = format!("list of instances: line {line}, column {column}: ");
        assert!(error.starts_with(&prefix) && error.contains(problem), "{line_of_instance:?}: {error}");
    }
}

#[test]
fn rules_between_keys_are_reported_where_their_instance_begins() {
    for (keys, problem) in [
        ("port = 80\ncheck = { interval = \"100ms\" }", "interval: 100ms is not allowed: must be 1s to 24h"),
        ("port = 80\ncheck = { target_host = \"10.9.9.9\" }", "must be the instance's own host"),
        ("port = 80\nmeta = { consul-x = \"1\" }", "must not begin with 'consul-'"),
        ("", "missing field `port`"),
    ] {
        let good = "[[instance]]\nservice = \"web\"\nhost = \"10.0.0.7\"\nport = 80\n";
        let error = refused(&format!("{good}\n[[instance]]\nservice = \"api\"\nhost = \"10.0.0.7\"\n{keys}\n"));
        assert!(error.starts_with("list of instances: line 6, column 1: "), "{keys:?}: {error}");
        assert!(error.contains(problem), "{keys:?}: {error}");
    }
}

#[test]
fn a_table_of_another_name_is_refused() {
    assert!(refused("[[instances]]\nservice = \"api\"\n").contains("unknown field `instances`"));
}

#[test]
fn what_a_file_says_cannot_forge_a_log_line() {
    let error =
        refused("[[instance]]\nservice = \"a\\nINFO all is well\\u001b[31m\"\nhost = \"10.0.0.7\"\nport = 80\n");
    assert!(error.contains("service: ") && !error.contains(char::is_control), "{error:?}");
    let error = refused("[[instance]]\n\"\\u001b[31m\\n\" = 1\n");
    assert!(error.contains("unknown field `\\u{1b}[31m\\n`") && !error.contains(char::is_control), "{error:?}");
    assert!(refused(&format!("[[instance]]\n{} = 1\n", "k".repeat(10_000))).len() < 3_000);
    let error = refused("[[instance]]\n\u{1b}[31m = 1\n");
    assert!(error.contains("line 2") && !error.contains(char::is_control), "{error:?}");
}

#[test]
fn one_id_listed_twice_is_refused_with_both_places() {
    let item = "[[instance]]\nservice = \"api\"\nhost = \"10.0.0.7\"\nport = 80\n\n";
    let other = "[[instance]]\nservice = \"web\"\nhost = \"10.0.0.7\"\nport = 80\nid = \"api-10.0.0.7-80\"\n\n";
    assert_eq!(
        refused(&format!("{item}{other}{item}")),
        "list of instances: id api-10.0.0.7-80 of service api is listed at line 1 and again at line 12"
    );
    assert!(StaticRegistry::from_toml(&format!("{item}{other}")).is_ok());
    let listed = vec![config("api", 1), config("api", 2), config("api", 1)];
    let error = StaticRegistry::from_instances(listed).unwrap_err();
    assert!(error.to_string().ends_with("is listed at item 1 and again at item 3"), "{error}");
}

#[test]
fn a_text_that_lists_nothing_is_refused_but_a_program_may_list_nothing() {
    assert_eq!(refused("# not written yet\n"), "list of instances: lists no [[instance]]");
    assert!(!resolve(&StaticRegistry::from_instances(Vec::new()).unwrap(), "api").known);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Listing::new();
    let error = StaticRegistry::open(&missing.path).unwrap_err().to_string();
    assert!(error.contains("list.toml: cannot be read: "), "{error}");
    let huge = Listing::new();
    fs::File::create(&huge.path).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    let error = StaticRegistry::open(&huge.path).unwrap_err().to_string();
    assert!(error.ends_with("it has more than 64 MiB"), "{error}");
    let binary = Listing::new();
    fs::write(&binary.path, [0xff, 0xfe]).unwrap();
    assert!(matches!(StaticRegistry::open(&binary.path), Err(StaticListError::Unreadable { .. })));
}

#[test]
fn an_invalid_file_is_named_with_its_line() {
    let listing = Listing::of("[[instance]]\nservice = \"api\"\nhost = \"10.0.0.7\"\nport = 0\n");
    let error = StaticRegistry::open(&listing.path).unwrap_err().to_string();
    assert!(error.contains("list.toml: line 4, column 8: port: 0 is not allowed"), "{error}");
}

#[test]
fn reading_the_file_again_puts_its_list_in_force_and_wakes_those_who_follow() {
    let listing = Listing::of(&toml_of(&[config("api", 1), config("web", 1)]));
    let registry = StaticRegistry::open(&listing.path).unwrap();
    let mut api = registry.watch(&name("api"));
    let mut web = registry.watch(&name("web"));
    assert!(matches!(now(&mut *api), Some(WatchEvent::Snapshot(seen)) if seen.snapshot.len() == 1));
    let Some(WatchEvent::Snapshot(web_before)) = now(&mut *web) else { panic!("no first event") };
    assert!(now(&mut *api).is_none());

    listing.write(&toml_of(&[config("api", 1), config("api", 2), config("web", 1)]));
    registry.clone().reload().unwrap();
    let Some(WatchEvent::Snapshot(seen)) = now(&mut *api) else { panic!("the change was missed") };
    assert_eq!((seen.snapshot.len(), &seen), (2, &resolve(&registry, "api")));
    assert!(matches!(now(&mut *web), Some(WatchEvent::Confirmed)));
    assert!(Arc::ptr_eq(&web_before.snapshot, &resolve(&registry, "web").snapshot));

    listing.write(&toml_of(&[config("web", 1)]));
    registry.reload().unwrap();
    assert!(matches!(now(&mut *api), Some(WatchEvent::Snapshot(gone)) if gone.snapshot.is_empty() && !gone.known));
}

#[test]
fn an_invalid_file_leaves_the_old_list_in_force() {
    let listing = Listing::of(&toml_of(&[config("api", 1)]));
    let registry = StaticRegistry::open(&listing.path).unwrap();
    let before = resolve(&registry, "api");
    let mut watch = registry.watch(&name("api"));
    let _first = now(&mut *watch).unwrap();
    let twice = toml_of(&[config("api", 2), config("api", 2)]);
    for bad in ["", "[[instance]]\nservice = \"api\"\n", "[[instance", &twice] {
        listing.write(bad);
        registry.reload().unwrap_err();
        assert_eq!(resolve(&registry, "api"), before);
    }
    fs::remove_file(&listing.path).unwrap();
    registry.reload().unwrap_err();
    assert_eq!(resolve(&registry, "api"), before);
    assert!(now(&mut *watch).is_none());
}

#[test]
fn a_list_without_a_file_cannot_be_read_again() {
    let registry = StaticRegistry::from_instances(vec![config("api", 1)]).unwrap();
    assert!(matches!(registry.reload(), Err(StaticListError::NoFile)));
}

#[test]
fn a_wait_that_is_given_up_loses_no_change_of_the_file() {
    let listing = Listing::of(&toml_of(&[config("api", 1)]));
    let registry = StaticRegistry::open(&listing.path).unwrap();
    let mut watch = registry.watch(&name("api"));
    let _first = now(&mut *watch).unwrap();
    {
        let mut waiting = watch.next();
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        listing.write(&toml_of(&[config("api", 1), config("api", 2)]));
        registry.reload().unwrap();
    }
    assert!(matches!(now(&mut *watch), Some(WatchEvent::Snapshot(seen)) if seen.snapshot.len() == 2));
}

#[test]
fn a_watch_outlives_the_registry_it_came_from() {
    let registry = StaticRegistry::from_instances(vec![config("api", 1)]).unwrap();
    let mut watch = registry.watch(&name("api"));
    drop(registry);
    assert!(matches!(now(&mut *watch), Some(WatchEvent::Snapshot(seen)) if seen.snapshot.len() == 1));
    assert!(now(&mut *watch).is_none());
}

#[test]
fn nothing_can_be_registered_or_taken_away() {
    let registry = StaticRegistry::from_instances(vec![config("api", 1)]).unwrap();
    let config = config("api", 1);
    let refused = ready(registry.register(&config)).unwrap_err();
    assert!(matches!(refused, RegistryError::Unsupported { operation: "registration" }));
    let refused = ready(registry.deregister(config.service(), config.id(), Part::Service)).unwrap_err();
    assert!(matches!(refused, RegistryError::Unsupported { operation: "deregistration" }));
    assert_eq!(resolve(&registry, "api").snapshot.len(), 1);
}

#[test]
fn an_inspection_compares_with_the_list() {
    let listed = config("api", 1);
    let registry = StaticRegistry::from_instances(vec![listed.clone()]).unwrap();
    let matches = Standing { service: PartState::Matches, check: PartState::Matches };
    assert_eq!(ready(registry.inspect(&listed)).unwrap(), matches);
    assert_eq!(ready(registry.inspect(&config("api", 2))).unwrap(), Standing::ABSENT);
    assert_eq!(ready(registry.inspect(&config("web", 1))).unwrap(), Standing::ABSENT);
}

proptest! {
    #![proptest_config(same_every_time())]

    #[test]
    fn whatever_can_be_configured_can_be_listed_in_a_file(configs in prop::collection::vec(any_config(), 1..8)) {
        let mut configs = configs;
        configs.sort_by(|one, other| one.id().cmp(other.id()));
        configs.dedup_by(|one, other| one.id() == other.id());
        let read = StaticRegistry::from_toml(&toml_of(&configs)).unwrap();
        let listed = StaticRegistry::from_instances(configs).unwrap();
        prop_assert_eq!(resolve(&read, "api"), resolve(&listed, "api"));
    }

    #[test]
    fn no_text_brings_the_reader_down(text in "(\\[\\[instance\\]\\]\n)?(service|host|port|check| |=|\"|\n|\\PC|[\\[\\]{}0-9]){0,60}") {
        if let Err(error) = StaticRegistry::from_toml(&text) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }
}

fn same_every_time() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() }
}

fn any_config() -> impl Strategy<Value = ServiceConfig> {
    let check = prop_oneof![
        Just(None),
        (1..60_u64).prop_map(|seconds| Some(HealthCheck::http("/r?x=%20").interval(Duration::from_secs(seconds)))),
        (10..999_u64).prop_map(|millis| {
            Some(HealthCheck::tcp().run_by(CheckRunner::Mesh).interval(Duration::from_millis(millis)))
        }),
    ];
    let text = "[^\\p{Cc}]{0,20}";
    (1..=u16::MAX, any::<(u16, u16)>(), "[a-z]{1,5}", text, check).prop_map(|(port, weights, tag, value, check)| {
        let weights = Weights { passing: Weight::new(weights.0), warning: Weight::new(weights.1) };
        let config = ServiceConfig::builder("api", "10.0.0.7", port).weights(weights).tag(tag).meta("key", value);
        let config = match check {
            Some(check) => config.check(check),
            None => config.without_check(),
        };
        config.build().unwrap()
    })
}

/// A file of its own for one test, not written yet.
struct Listing {
    path: PathBuf,
    _directory: TempDir,
}

impl Listing {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { path: directory.path().join("list.toml"), _directory: directory }
    }

    fn of(text: &str) -> Self {
        let listing = Self::new();
        listing.write(text);
        listing
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }
}

fn toml_of(configs: &[ServiceConfig]) -> String {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        instance: &'a [ServiceConfig],
    }
    toml::to_string(&Document { instance: configs }).unwrap()
}

fn refused(text: &str) -> String {
    StaticRegistry::from_toml(text).unwrap_err().to_string()
}

fn resolve(registry: &StaticRegistry, service: &str) -> Resolution {
    ready(registry.resolve(&name(service))).unwrap()
}

fn config(service: &str, number: u16) -> ServiceConfig {
    ServiceConfig::builder(service, "127.0.0.1", number).build().unwrap()
}
