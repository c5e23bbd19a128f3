//! The JSON Schema of scenario files, for editors and other programs.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::model::scenario::Scenario;

/// The JSON Schema of scenario files (draft 2020-12).
///
/// It has every key, name and range of the format as far as it is supported; what hangs on several values at once,
/// such as a fault's target, is for [`Scenario::validate`] to judge.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<Scenario>();
    schema.insert("title".into(), json!("mesh-sim scenario"));
    schema.insert("description".into(), json!("A scenario of mesh-sim, version 1 of the format."));
    Nulls.transform(&mut schema);
    schema.to_value()
}

/// Takes out defaults and alternatives of `null`, which TOML has not.
#[derive(Debug)]
struct Nulls;

impl Transform for Nulls {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::Array(types)) = schema.get("type") {
            let kept: Vec<_> = types.iter().filter(|name| *name != "null").cloned().collect();
            if let [only] = kept.as_slice() {
                schema.insert("type".into(), only.clone());
            }
        }
        if let Some(Value::Array(choices)) = schema.get("anyOf") {
            let kept: Vec<_> = choices.iter().filter(|choice| **choice != json!({ "type": "null" })).cloned().collect();
            if let [Value::Object(only)] = kept.as_slice() {
                schema.remove("anyOf");
                for (key, value) in only {
                    schema.insert(key.clone(), value.clone());
                }
            }
        }
    }
}
