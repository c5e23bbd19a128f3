//! What the JSON Schema says where the types are another crate's: durations, strategies, names.

use alloc::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// A duration with its unit.
#[derive(Debug)]
pub(super) struct Span;

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Numbers with their units, one after the other.",
            "type": "string",
            "pattern": DURATION,
            "examples": ["250ms", "1m30s"],
        })
    }
}

/// How a wait is drawn below its ceiling.
#[derive(Debug)]
pub(super) struct JitterName;

impl JsonSchema for JitterName {
    fn schema_name() -> Cow<'static, str> {
        "Jitter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "const": "none", "description": "The ceiling itself." },
                { "const": "full", "description": "Anything up to the ceiling alike." },
            ],
        })
    }
}

/// The list of strategies: each a name, or a table of one name and its parameters.
pub(super) fn strategies(generator: &mut SchemaGenerator) -> Schema {
    let span = generator.subschema_for::<Span>().to_value();
    let names = STRATEGIES.iter().map(|(name, about, _)| json!({ "const": name, "description": about }));
    let tables = STRATEGIES.iter().map(|(name, about, params)| table(name, about, params, &span));
    let choices: Vec<Value> = names.chain(tables).collect();
    json_schema!({ "type": "array", "minItems": 1, "items": { "oneOf": choices } })
}

fn table(name: &str, about: &str, params: &[Param], span: &Value) -> Value {
    let param = |param: &Param| {
        let mut schema = match param.range {
            None => span.clone(),
            Some((least, most)) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        };
        schema["description"] = param.about.into();
        (param.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = params.iter().map(param).collect();
    json!({
        "description": about,
        "type": "object",
        "properties": { name: { "type": "object", "properties": properties, "additionalProperties": false } },
        "required": [name],
        "additionalProperties": false,
    })
}

/// A parameter of a strategy: a duration, or a whole number within a range.
#[derive(Debug)]
struct Param {
    name: &'static str,
    about: &'static str,
    range: Option<(u32, u32)>,
}

const FAILURE_HOLD: Param = Param {
    name: "failure_hold",
    about: "For how long after its end a failed attempt still adds one to the load compared; 0s holds nothing.",
    range: None,
};
const CHOICES: Param =
    Param { name: "choices", about: "How many distinct instances are drawn and compared.", range: Some((2, 10)) };

/// The strategies by their names, with what they do and their parameters.
const STRATEGIES: &[(&str, &str, &[Param])] = &[
    ("round-robin", "Every instance in turn; weights do not count.", &[]),
    ("random", "Any instance alike; weights do not count.", &[]),
    ("least-loaded", "The least (load + 1) / weight of all instances.", &[FAILURE_HOLD]),
    ("p2c-least-loaded", "The less loaded of two instances drawn by weight.", &[CHOICES, FAILURE_HOLD]),
];

/// What humantime takes: a number, which may have a fraction, and a unit, any number of times; or 0 alone.
const DURATION: &str = concat!(
    r"^(0|\s*([0-9][0-9\s]*(\.[0-9\s]+)?(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds|second|secs|sec|s",
    r"|minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w|months|month|M",
    r"|years|year|yrs|yr|y)\s*)+)$"
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mesh_core::balance::Strategy;

    use super::STRATEGIES;

    #[test]
    fn every_built_in_strategy_stands_in_the_schema_with_all_its_parameters() {
        let built_in = Strategy::built_in().into_iter().map(|strategy| {
            let text = serde_json::to_value(&strategy).unwrap();
            let params = text.as_object().and_then(|table| table[strategy.name()].as_object().cloned());
            (strategy.name().to_owned(), params.unwrap_or_default().keys().cloned().collect())
        });
        let listed = STRATEGIES
            .iter()
            .map(|(name, _, params)| ((*name).to_owned(), params.iter().map(|param| param.name.to_owned()).collect()));
        let built_in: BTreeSet<(String, BTreeSet<String>)> = built_in.collect();
        assert_eq!(listed.collect::<BTreeSet<_>>(), built_in);
    }
}
