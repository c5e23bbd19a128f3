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

/// How a wait is drawn from its ceiling.
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
                { "const": "equal", "description": "Half of the ceiling, and anything up to the other half alike." },
                { "const": "proportional", "description": "The ceiling within a fifth, at most the cap." },
                { "const": "decorrelated", "description": "Anything from the base to three times the wait before alike, at most the cap." },
            ],
        })
    }
}

/// How outliers are found.
#[derive(Debug)]
pub(super) struct Outlier;

impl JsonSchema for Outlier {
    fn schema_name() -> Cow<'static, str> {
        "Outlier".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let plain = |about: &str, kind: &str| json!({ "description": about, "type": kind });
        let mut fields: Map<String, Value> = DETECTORS
            .iter()
            .map(|(name, about)| ((*name).to_owned(), json!({ "description": about, "type": ["object", "string"] })))
            .collect();
        let interval = json!({ "description": "From one sweep to the next.", "type": "string", "pattern": DURATION });
        let gathers = "For how many sweeps few attempts are judged together.";
        for (name, schema) in [
            ("interval", interval),
            ("gathers_max", json!({ "description": gathers, "type": "integer", "minimum": 0, "maximum": 1000 })),
            ("split_local_origin", plain("Whether no answer and an error are judged apart.", "boolean")),
            ("overloaded_is_failure", plain("Whether a full queue is a failure.", "boolean")),
            ("overloaded_lowers_rate", plain("Whether a full queue lowers the success rate.", "boolean")),
            ("ejection", plain("For how long outliers are out, how many, and how they come back.", "object")),
        ] {
            fields.insert(name.to_owned(), schema);
        }
        json_schema!({
            "description": "The library's block: each detector a table, or \"off\".",
            "type": "object",
            "properties": fields,
            "additionalProperties": false,
        })
    }
}

const DETECTORS: [(&str, &str); 7] = [
    ("failures_in_row", "Failures in a row."),
    ("gateway_in_row", "Refusals and silence in a row."),
    ("local_in_row", "Silence and broken connections in a row."),
    ("success_rate", "A success rate far below the mean."),
    ("failure_percentage", "Too large a share of failures."),
    ("latency", "Answers far slower than the median's."),
    ("correlated", "A part of the fleet that fails unlike the rest."),
];

/// When a breaker opens and closes.
#[derive(Debug)]
pub(super) struct Breaker;

impl JsonSchema for Breaker {
    fn schema_name() -> Cow<'static, str> {
        "Breaker".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number =
            |about: &str, most: u32| json!({ "description": about, "type": "integer", "minimum": 0, "maximum": most });
        let span = |about: &str| json!({ "description": about, "type": "string", "pattern": DURATION });
        let block = |about: &str| json!({ "description": about, "type": "object" });
        json_schema!({
            "description": "The library's block.",
            "type": "object",
            "properties": {
                "failures_in_row": number("After how many failures in a row it opens; 0 for never.", u32::MAX),
                "window": block("Which calls the rates are of: count, or time."),
                "calls_min": number("How many calls a rate is of at least.", 100_000),
                "failure_rate_milli": number("The share of failures at which it opens; 0 for never.", 1_000),
                "slow_rate_milli": number("The share of slow calls at which it opens; 0 for never.", 1_000),
                "slow_after": span("A call is slow that takes longer."),
                "open": block("For how long it is open."),
                "half_open": block("How it closes."),
            },
            "additionalProperties": false,
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
        let mut schema = match param.kind {
            Kind::Span => span.clone(),
            Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Kind::Number(least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
            Kind::Word(words) => json!({ "enum": words }),
            Kind::Strategy(names) => {
                let known = || STRATEGIES.iter().filter(|(name, ..)| names.contains(name));
                let bare = known().filter(|(.., params)| params.is_empty());
                let bare = bare.map(|(name, about, _)| json!({ "const": name, "description": about }));
                let tables = known().filter(|(.., params)| !params.is_empty());
                let tables = tables.map(|(name, about, params)| table(name, about, params, span));
                json!({ "oneOf": bare.chain(tables).collect::<Vec<_>>() })
            }
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

/// A parameter of a strategy.
#[derive(Debug)]
struct Param {
    name: &'static str,
    about: &'static str,
    kind: Kind,
}

/// What a parameter's value is.
#[derive(Debug)]
enum Kind {
    /// A duration.
    Span,
    /// A whole number within a range.
    Whole(u32, u32),
    /// A number within a range.
    Number(f64, f64),
    /// One of a few words.
    Word(&'static [&'static str]),
    /// One of these strategies: a table where it has parameters, a name where it has none.
    Strategy(&'static [&'static str]),
}

const fn param(name: &'static str, about: &'static str, kind: Kind) -> Param {
    Param { name, about, kind }
}

const FAILURE_HOLD: Param = param(
    "failure_hold",
    "For how long after its end a failed attempt still adds one to the load compared; 0s holds nothing.",
    Kind::Span,
);
const CHOICES: Param = param("choices", "How many distinct instances are drawn and compared.", Kind::Whole(2, 10));
const SEQUENCE: Param = param(
    "sequence",
    "The order in which instances come: gRPC's static stride scheduler, or nginx's smooth sequence.",
    Kind::Word(&["stride", "smooth"]),
);
const PEAK_EWMA: &[Param] = &[
    param("decay", "The time after which what was observed weighs 1/e of what it did.", Kind::Span),
    param("initial_rtt", "The latency taken for an instance that has not answered yet.", Kind::Span),
    param("failure_penalty", "The latency that a failed attempt is learnt as, where it took less.", Kind::Span),
    param("retry_after_max", "The most that an overloaded instance's Retry-After is learnt as.", Kind::Span),
];
const RING: &[Param] = &[
    param("kind", "Whose ring it is: ours, nginx's, or Envoy's.", Kind::Word(&["fixed", "ketama", "xds"])),
    param("points", "Points for each unit of weight, of the rings `fixed` and `ketama`.", Kind::Whole(1, 1_000)),
    param("ring_min", "The fewest points of the ring `xds`.", Kind::Whole(1, 8_388_608)),
    param("ring_max", "The most points of a ring.", Kind::Whole(1, 8_388_608)),
];
const SIZE: Param = param("size", "How many entries the table has: a prime.", Kind::Whole(2, 5_000_011));
const BOUNDED: &[Param] = &[
    param("factor", "How many times its share of the load an instance takes at most.", Kind::Number(1.0, 100.0)),
    param("of", "How keys find their owner.", Kind::Strategy(&["ring-hash", "maglev", "rendezvous"])),
    FAILURE_HOLD,
];
const ADAPTIVE: &[Param] = &[
    param("variation_percent", "Above this variation of the load it turns to least loaded.", Kind::Whole(1, 1_000)),
    param("connections", "Above this many requests an instance it turns to two choices.", Kind::Whole(1, u32::MAX)),
    param("hysteresis_percent", "How far below its threshold a signal has to fall again.", Kind::Whole(0, 100)),
    param("interval", "How often the signals are looked at.", Kind::Span),
    FAILURE_HOLD,
];

/// The strategies by their names, with what they do and their parameters.
const STRATEGIES: &[(&str, &str, &[Param])] = &[
    ("round-robin", "Every instance in turn; weights do not count.", &[]),
    ("weighted-round-robin", "Every instance as often as its weight says, evenly spread.", &[SEQUENCE]),
    ("random", "Any instance alike; weights do not count.", &[]),
    ("weighted-random", "Any instance, as often as its weight says.", &[]),
    ("least-loaded", "The least (load + 1) / weight of all instances.", &[FAILURE_HOLD]),
    ("p2c-least-loaded", "The less loaded of two instances drawn by weight.", &[CHOICES, FAILURE_HOLD]),
    ("peak-ewma", "Of two instances the one with the lower latency × (load + 1) / weight.", PEAK_EWMA),
    ("ring-hash", "The instance that owns the request's key on a ring of points.", RING),
    ("maglev", "The instance that owns the request's key in Maglev's table.", &[SIZE]),
    ("rendezvous", "The instance that scores highest for the request's key.", &[]),
    ("bounded-load", "The owner of the request's key, or whoever comes next and is not overloaded.", BOUNDED),
    ("adaptive", "Changes between weighted round robin, two choices and least loaded.", ADAPTIVE),
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
