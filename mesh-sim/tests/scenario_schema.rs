//! The JSON Schema of scenario files, held against files and against what the parser takes.
#![cfg(feature = "schema")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(dead_code, reason = "each battery uses a part of the support")]

#[path = "scenario_support/generated.rs"]
mod generated;
#[path = "scenario_support/refused.rs"]
mod refused;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use mesh_core::health::outlier::OutlierConfig;
use mesh_retry::breaker::BreakerConfig;
use mesh_sim::reading::{read, schema};
use proptest::prelude::*;
use refused::{GOOD, changed};
use serde_json::{Value, json};

#[test]
fn the_schema_is_one_and_says_what_it_is_of() {
    let schema = schema();
    assert!(jsonschema::meta::is_valid(&schema));
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "mesh-sim scenario");
    assert_eq!(schema["required"], json!(["version", "name", "duration", "strategies", "servers", "clients"]));
    let text = schema.to_string();
    assert!(!text.contains("null") && !text.contains("```"), "{text}");
}

#[test]
fn the_schema_has_the_keys_of_the_library_s_outlier_block_and_no_others() {
    has_the_keys_of(
        "Outlier",
        [OutlierConfig::default(), OutlierConfig::envoy(), OutlierConfig::grpc(), OutlierConfig::off()],
    );
}

#[test]
fn the_schema_has_the_keys_of_the_library_s_breaker_and_no_others() {
    has_the_keys_of(
        "Breaker",
        [BreakerConfig::default(), BreakerConfig::resilience4j(), BreakerConfig::hystrix(), BreakerConfig::polly()],
    );
}

/// The block of the schema called `name` takes all of `configs`, and has the keys that they have.
fn has_the_keys_of<T: serde::Serialize>(name: &str, configs: [T; 4]) {
    let schema = schema();
    let block = &schema["$defs"][name];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let validator = jsonschema::validator_for(block).unwrap();
    let mut seen = BTreeSet::new();
    for config in configs {
        let written = serde_json::to_value(&config).unwrap();
        assert!(validator.is_valid(&written), "{written:#}");
        seen.append(&mut keys(&written));
    }
    assert_eq!(seen, keys(&block["properties"]));
}

#[test]
fn every_property_says_what_it_is() {
    let mut silent = Vec::new();
    properties(&schema(), "", &mut |path, property| {
        let parameters = property.get("properties").is_some();
        if property.get("description").is_none() && !parameters {
            silent.push(path.to_owned());
        }
    });
    // Of a fault's name with one law behind it the alternative itself is described.
    silent.retain(|path| !path.ends_with("service-time"));
    assert_eq!(silent, [""; 0]);
}

#[test]
fn shipped_scenarios_are_valid_and_read_without_a_warning() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let scenarios: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    assert!(!scenarios.is_empty());
    for path in scenarios {
        let (name, text) = (path.display().to_string(), fs::read_to_string(&path).unwrap());
        assert_eq!(errors(&text), [""; 0], "{name}");
        let read = read(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.warnings.to_string(), "");
    }
}

#[test]
fn a_good_file_is_valid_and_a_misspelt_or_impossible_one_is_not() {
    assert_eq!(errors(GOOD), [""; 0]);
    for (before, after) in [
        ("duration =", "duraton ="),
        ("zone =", "zones ="),
        ("mean =", "men ="),
        ("choices = 2", "choise = 2"),
        ("choices = 2", "choices = 11"),
        ("p2c-least-loaded", "p2c-lest-loaded"),
        ("\"random\", {", "\"randm\", {"),
        ("poisson", "poison"),
        ("slowdown", "slow-down"),
        ("\"60s\"", "\"60\""),
        ("\"60s\"", "\"60 parsecs\""),
        ("\"60s\"", "60"),
        ("version = 1", "version = 2"),
        ("[\"random\", { p2c-least-loaded = { choices = 2 } }]", "[]"),
        ("\"good\"", "\"Good one\""),
        ("count = 11", "count = 0"),
        ("rate = 100.0", "rate = 0"),
        ("factor = 2.0", "factor = -2"),
        ("index = 0", "index = -1"),
        ("at_least = 0.9", ""),
        ("at_least = 0.9", "at_least = 0.9\nat_most = 1"),
        ("group = \"backend\", index = 0", "clients = \"some\""),
        ("index = 0", "zone = \"a\""),
        ("timeout = \"1s\"", "retry.backoff.exponential.jitter = \"Equal\""),
    ] {
        let text = changed(before, after);
        assert!(!errors(&text).is_empty(), "{after} is valid");
        assert!(read("bad.toml", &text).is_err(), "{after} reads");
    }
}

#[test]
fn durations_are_valid_as_they_are_read() {
    for text in ["0", "0s", "250ms", "1m30s", "1h 2min  3.5s", " 1s ", "1 2s", "3µs", "2years 1month", "1M"] {
        let good = changed("\"30s\"", &format!("{text:?}"));
        let zero = text.starts_with('0');
        assert_eq!(errors(&good), [""; 0], "{text}");
        assert!(zero || read("good.toml", &good).is_ok(), "{text}");
    }
    for text in ["", "1", "s", "1s 0", "-1s", "1.s", "1s.5s", "1 parsec", "1S"] {
        let bad = changed("\"30s\"", &format!("{text:?}"));
        assert!(!errors(&bad).is_empty() && read("bad.toml", &bad).is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn what_is_written_is_valid(scenario in generated::scenarios()) {
        let text = toml::to_string(&scenario).unwrap();
        prop_assert_eq!(errors(&text), [""; 0], "{}", text);
    }
}

/// What the schema has against a file.
fn errors(text: &str) -> Vec<String> {
    let file: Value = toml::from_str(text).unwrap();
    validator().iter_errors(&file).map(|error| error.to_string()).collect()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// Shows every property of `schema` with its path.
fn properties(schema: &Value, path: &str, see: &mut dyn FnMut(&str, &Value)) {
    match schema {
        Value::Object(table) => {
            for (key, value) in table {
                let path = format!("{path}/{key}");
                if let (true, Value::Object(inner)) = (key == "properties", value) {
                    inner.iter().for_each(|(name, property)| see(&format!("{path}/{name}"), property));
                }
                properties(value, &path, see);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, path, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
