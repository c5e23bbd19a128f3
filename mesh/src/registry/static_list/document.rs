//! A list of instances as a TOML document.
//!
//! Decides at which place of the text a fault is reported: as close to the value as is known, and never further
//! off than the instance that it belongs to.

use mesh_core::service::ServiceConfig;
use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

/// What is wrong with a document, and the byte at which.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) problem: String,
}

impl Fault {
    /// What the parser says; where it does not say where, it is at `offset`.
    fn of(error: &Error, offset: usize) -> Self {
        let offset = error.span().map_or(offset, |span| span.start);
        Self { offset, problem: error.message().to_owned() }
    }
}

/// The instances that `text` lists, each with the byte at which it begins.
pub(super) fn instances(text: &str) -> Result<Vec<(usize, ServiceConfig)>, Fault> {
    let document = DeTable::parse(text).map_err(|error| Fault::of(&error, 0))?;
    let mut listed = Vec::new();
    for (key, value) in document.into_inner() {
        let offset = key.span().start;
        if key.get_ref() != "instance" {
            let problem = format!("unknown field `{}`, expected `instance`", key.get_ref());
            return Err(Fault { offset, problem });
        }
        let DeValue::Array(tables) = value.into_inner() else {
            return Err(Fault { offset, problem: "instance must be a list of tables [[instance]]".to_owned() });
        };
        for table in tables {
            listed.push(instance(table)?);
        }
    }
    Ok(listed)
}

fn instance(table: Spanned<DeValue<'_>>) -> Result<(usize, ServiceConfig), Fault> {
    let offset = table.span().start;
    let config = ServiceConfig::deserialize(ValueDeserializer::from(table));
    config.map(|config| (offset, config)).map_err(|error| Fault::of(&error, offset))
}
