//! Instances and configurations as tables of a file: the same keys as the builders have methods.
//!
//! ```toml
//! service = "api"
//! host = "127.0.0.1"
//! port = 8080
//! id = "api-1"                  # left out: name-host-port
//! tags = ["v1"]
//! weight = 3
//! zone = "a"
//! version = "1.2"
//! meta = { team = "blue" }
//! check = { path = "/ready", interval = "5s" }   # left out: /health; false: none
//! ```
//! Unknown keys are refused, because they are misspelt ones.

use alloc::collections::BTreeMap;
use core::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::HealthCheck;
use super::check_builder::HealthCheckBuilder;
use super::config::{ServiceConfig, ServiceConfigBuilder};
use super::host::Host;
use super::instance::{Instance, InstanceBuilder};
use super::name::{InstanceId, Scope, ServiceName, Zone};
use super::tag::Tag;
use super::version::Version;
use super::weight::{Port, Weight, Weights};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    service: ServiceName,
    host: Host,
    port: Port,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<InstanceId>,
    #[serde(default, skip_serializing_if = "is_local")]
    scope: Scope,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(default)]
    weight: Weight,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warning_weight: Option<Weight>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<Zone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

impl Table {
    fn of(instance: &Instance) -> Self {
        Self {
            service: instance.service().clone(),
            host: instance.host().clone(),
            port: instance.port,
            id: Some(instance.id().clone()),
            scope: instance.key().scope().clone(),
            tags: instance.tags().iter().cloned().collect(),
            weight: instance.weights().passing,
            warning_weight: Some(instance.weights().warning),
            zone: None,
            version: None,
            meta: instance.meta().iter().map(|(key, value)| (key.into(), value.into())).collect(),
            check: None,
        }
    }

    fn into_instance(self) -> InstanceBuilder {
        let mut weights = Weights::of(self.weight);
        weights.warning = self.warning_weight.unwrap_or(weights.warning);
        let mut instance = Instance::builder(self.service, self.host, self.port).scope(self.scope).weights(weights);
        if let Some(id) = self.id {
            instance = instance.id(id);
        }
        instance = self.meta.iter().fold(instance, |instance, (key, value)| instance.meta(key, value));
        instance = self.tags.into_iter().fold(instance, InstanceBuilder::tag);
        instance = self.zone.into_iter().fold(instance, InstanceBuilder::zone);
        self.version.into_iter().fold(instance, InstanceBuilder::version)
    }
}

fn is_local(scope: &Scope) -> bool {
    scope.as_str().is_empty()
}

/// An instance as a table; it has no key `check`.
impl Serialize for Instance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Table::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        if table.check.is_some() {
            return Err(de::Error::custom("check: is not allowed here: only what is registered has one"));
        }
        table.into_instance().build().map_err(de::Error::custom)
    }
}

/// A configuration as a table; `check` is left out for the check of `/health`, and `false` for none.
impl Serialize for ServiceConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let check = self.check().map_or(Check::Off, |check| Check::On(Box::new((**check).clone().into())));
        Table { check: Some(check), ..Table::of(self.instance()) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ServiceConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Table::deserialize(deserializer)?;
        let check = match table.check.take() {
            None => Some(HealthCheckBuilder::default()),
            Some(Check::On(check)) => Some(*check),
            Some(Check::Off) => None,
        };
        ServiceConfigBuilder::new(table.into_instance(), check).build().map_err(de::Error::custom)
    }
}

/// A check for any instance as a table; where it is aimed at another host, that must be allowed.
impl Serialize for HealthCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        HealthCheckBuilder::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HealthCheck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        HealthCheckBuilder::deserialize(deserializer)?.build_for_any().map_err(de::Error::custom)
    }
}

/// `true`, `false`, or a table. Not an untagged enum: its errors would not say what is wrong in the table.
enum Check {
    Off,
    On(Box<HealthCheckBuilder>),
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::On(check) => check.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Check {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckVisitor)
    }
}

struct CheckVisitor;

impl<'de> Visitor<'de> for CheckVisitor {
    type Value = Check;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("false or a table")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Check, E> {
        Ok(if on { Check::On(Box::default()) } else { Check::Off })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Check, A::Error> {
        HealthCheckBuilder::deserialize(MapAccessDeserializer::new(map)).map(Box::new).map(Check::On)
    }
}
