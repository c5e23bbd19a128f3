//! What the JSON Schema says where the types are another crate's.

use schemars::{Schema, SchemaGenerator, json_schema};

pub(super) fn strategies(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": ["string", "object"] } })
}
