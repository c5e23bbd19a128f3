//! What the mesh thinks of a service it calls, at one moment.

use std::sync::Arc;

use mesh_core::health::outlier::Standing;
use mesh_core::health::{Aggregate, History};
use mesh_core::machine::ServiceMachine;
use mesh_core::service::Instance;

/// What is thought of a service and each of its instances, all that is known taken together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceHealth {
    /// How many instances are in which state, and how the service as a whole is doing.
    pub aggregate: Aggregate,
    /// The instances, in the order of their keys.
    pub instances: Vec<InstanceHealth>,
}

/// What is thought of an instance, and has been.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InstanceHealth {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Its status, since when and why, and what went before.
    pub history: History,
    /// Whether it is out for how requests to it ended, and until when.
    pub standing: Standing,
}

impl ServiceHealth {
    /// As `machine` has it.
    pub(crate) fn of(machine: &ServiceMachine) -> Self {
        let instances = machine.snapshot().iter().filter_map(|entry| {
            let history = machine.history(entry.key())?.clone();
            let standing = machine.standing(entry.key());
            Some(InstanceHealth { instance: Arc::clone(entry.instance()), history, standing })
        });
        Self { aggregate: machine.aggregate(), instances: instances.collect() }
    }
}
