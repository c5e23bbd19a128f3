//! The registries that live in the process: one in memory, one read from a list.
//!
//! Neither runs health checks. Their entries carry the checks that were registered, so that whoever discovers an
//! instance runs them in the registry's place, and their word on who is registered is certain.

mod memory;
mod static_list;

use mesh_core::registration::{PartState, Standing};
use mesh_core::service::{CheckKind, CheckRunner, HealthCheck, ServiceConfig};
use mesh_core::snapshot::{Entry, RegistryStatus};

use crate::probe::NEEDS_FEATURE;
pub use memory::{MemoryConfig, MemoryRegistry};
pub use static_list::{ListOrigin, ListPlace, StaticListError, StaticRegistry};

/// The entry of what was registered as `config`.
fn entry(config: &ServiceConfig) -> Entry {
    Entry::new(config.instance().clone(), RegistryStatus::Unknown, config.check().cloned())
}

/// What of `config` stands when `entry` does.
///
/// A check that the mesh runs is no part of a registration, so it counts as one of the entry's values.
fn standing(entry: Option<&Entry>, config: &ServiceConfig) -> Standing {
    let Some(entry) = entry else { return Standing::ABSENT };
    let (held, wanted) = (entry.check().map(AsRef::as_ref), config.check().map(AsRef::as_ref));
    let same_service = entry.instance() == config.instance() && run_by_mesh(held) == run_by_mesh(wanted);
    let check = match run_by_registry(held) {
        None => PartState::Absent,
        some if some == run_by_registry(wanted) => PartState::Matches,
        Some(_) => PartState::Differs,
    };
    Standing { service: if same_service { PartState::Matches } else { PartState::Differs }, check }
}

fn run_by_mesh(check: Option<&HealthCheck>) -> Option<&HealthCheck> {
    check.filter(|check| check.run_by() == CheckRunner::Mesh)
}

fn run_by_registry(check: Option<&HealthCheck>) -> Option<&HealthCheck> {
    check.filter(|check| check.run_by() == CheckRunner::Registry)
}

/// What is wrong with the check of `config` here: there is no agent, so one that only an agent can run never would be,
/// nor one over TLS by a mesh that speaks none; and whoever discovers the instance has not the code of somebody else's own check.
fn misplaced_check(config: &ServiceConfig) -> Option<String> {
    let kind = config.check()?.kind();
    if kind.tls() && !cfg!(feature = "probe-tls") {
        return Some(format!("check.tls: true is not allowed: {NEEDS_FEATURE}"));
    }
    let rule = match kind {
        CheckKind::Own => "is not allowed here: give it to the mesh that runs it",
        CheckKind::Ttl | CheckKind::Alias(_) => {
            "is not allowed: this registry has no agent, which TTL and alias checks need"
        }
        CheckKind::Http(_) | CheckKind::Tcp | CheckKind::Grpc(_) => return None,
    };
    Some(format!("check.kind: {} {rule}", kind.as_str()))
}
