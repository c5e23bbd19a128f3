//! The list of a service's instances, as it is kept where others may read and write.

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::codec::{Codec, CodecError, JsonCodec};
use mesh_cache::seal::Limits;
use mesh_core::service::{HealthCheck, Instance, ServiceName};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use serde::{Deserialize, Serialize};

/// The instances of a service and what the registry said of their health.
///
/// What is read is parsed by the rules that hold for what a registry says: addresses that nothing may be aimed at are
/// refused with the whole list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    instances: Vec<Listed>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    instance: Instance,
    status: RegistryStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<HealthCheck>,
}

impl List {
    /// The list of `snapshot`; of too many instances the first count.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let listed = |entry: &Entry| Listed {
            instance: Instance::clone(entry.instance()),
            status: entry.status(),
            // What is remembered may be read by others. An instance without its check is picked without one.
            check: entry.check().filter(|check| !check.has_secrets()).map(|check| HealthCheck::clone(check)),
        };
        Self { instances: snapshot.iter().take(INSTANCES_MAX).map(listed).collect() }
    }

    /// The instances of `service` in it. Unless their `status_counts` still, nobody knows whether they are well; whoever
    /// was taken out of service stays so.
    pub(super) fn snapshot(&self, service: &ServiceName, status_counts: bool) -> Snapshot {
        let entry = |listed: &Listed| {
            let status = match listed.status {
                RegistryStatus::Maintenance => RegistryStatus::Maintenance,
                status if status_counts => status,
                RegistryStatus::Unknown
                | RegistryStatus::Passing
                | RegistryStatus::Warning
                | RegistryStatus::Critical => RegistryStatus::Unknown,
            };
            Entry::new(Arc::new(listed.instance.clone()), status, listed.check.clone().map(Arc::new))
        };
        // A list of another service has no business here.
        let ours = self.instances.iter().filter(|listed| listed.instance.service() == service);
        Snapshot::new(ours.map(entry).collect())
    }
}

impl List {
    /// What it weighs in memory, in bytes: as much as it says as JSON, and the parts that say it. One that is too long to
    /// be kept elsewhere is not kept here.
    pub(super) fn weight(&self) -> u64 {
        let said = ListCodec::new().encode(self).map_or(u64::MAX, |json| json.len() as u64);
        let parts = (self.instances.len() * size_of::<Listed>()) as u64;
        said.saturating_add(parts).saturating_add(size_of::<Self>() as u64)
    }
}

/// JSON of a bounded number of instances.
#[derive(Clone, Debug)]
pub(crate) struct ListCodec(JsonCodec);

impl ListCodec {
    pub(crate) const fn new() -> Self {
        let mut json = JsonCodec::new(SCHEMA);
        (json.bytes_max, json.elements_max) = (BYTES_MAX, ELEMENTS_MAX);
        Self(json)
    }
}

impl Codec<List> for ListCodec {
    fn encode(&self, list: &List) -> Result<Vec<u8>, CodecError> {
        self.0.encode(list)
    }

    fn decode(&self, bytes: &[u8]) -> Result<List, CodecError> {
        let list: List = self.0.decode(bytes)?;
        if list.instances.len() > INSTANCES_MAX {
            return Err(CodecError::Refused("more than 4096 instances"));
        }
        Ok(list)
    }

    fn schema(&self) -> u32 {
        SCHEMA
    }
}

/// What is read of a tier at most.
pub(super) fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.value_bytes_max, limits.age_max) = (BYTES_MAX, AGE_MAX);
    limits
}

pub(super) const SCHEMA: u32 = 1;
const INSTANCES_MAX: usize = 4_096;
/// 250 bytes an instance.
const BYTES_MAX: usize = 1024 * 1024;
/// 16 an instance: its fields, tags and metadata.
const ELEMENTS_MAX: usize = 65_536;
/// As long as Consul's agents keep theirs.
const AGE_MAX: Duration = Duration::from_secs(3 * 86_400);

#[cfg(test)]
mod tests {
    use mesh_core::service::ServiceConfig;

    use super::*;

    #[test]
    fn a_check_with_secrets_is_not_remembered_and_its_instance_is() {
        for (check, remembered) in [
            (HealthCheck::http("/").header("authorization", "hunter2"), false),
            (HealthCheck::http("/").host_header("api.example"), true),
        ] {
            let config = ServiceConfig::builder("api", "10.0.0.1", 80).check(check).build().unwrap();
            let check = config.check().cloned();
            let entry = Entry::new(Arc::clone(config.instance()), RegistryStatus::Unknown, check.clone());
            let list = List::of(&Snapshot::new(vec![entry]));
            assert!(!toml::to_string(&list).unwrap().contains("hunter2"));
            let recalled = list.snapshot(config.service(), true);
            let expected = if remembered { check } else { None };
            assert_eq!(recalled.iter().map(Entry::check).collect::<Vec<_>>(), [expected.as_ref()]);
        }
    }
}
