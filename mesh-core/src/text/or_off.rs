//! A block of configuration that can be "off": TOML has no null.

use core::fmt;
use core::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Writes the block, or "off" where there is none.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<T: Serialize, S: Serializer>(block: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match block {
        Some(block) => block.serialize(serializer),
        None => serializer.serialize_str(OFF),
    }
}

/// Reads a block, or "off".
///
/// # Errors
/// Those of `from`, and any other text.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    from.deserialize_any(OrOff(PhantomData))
}

struct OrOff<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrOff<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a block of settings or \"off\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        if text == OFF { Ok(None) } else { Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

const OFF: &str = "off";
