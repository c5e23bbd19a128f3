//! The tasks of a mesh, and the registrations they keep.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_core::service::InstanceId;
use tokio::task::{AbortHandle, JoinSet};

use crate::driver::Kept;
use crate::operations::OpenOperations;

/// What is only touched when something is added or taken away.
#[derive(Debug, Default)]
pub(super) struct Owned {
    pub(super) kept: BTreeMap<InstanceId, Kept>,
    /// The tasks of `kept`, to be ended when another of their id takes their place.
    pub(super) keepers: BTreeMap<InstanceId, AbortHandle>,
    pub(super) tasks: JoinSet<()>,
    /// Those of the tasks that see to an operation.
    pub(super) operations: OpenOperations,
    /// The stores of kinds of operation, which outlive neither the mesh nor the last handle.
    pub(super) stores: Vec<Arc<dyn CoordinatorStore>>,
}

impl Owned {
    /// Runs `task`, and lets go of those that have ended.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a task of the mesh panicked");
            }
        }
        self.tasks.spawn(task)
    }

    /// Holds `store`, and lets go of those that nobody has a weak reference to any more.
    pub(super) fn hold(&mut self, store: Arc<dyn CoordinatorStore>) {
        self.stores.retain(|held| Arc::weak_count(held) > 0 && !Arc::ptr_eq(held, &store));
        self.stores.push(store);
    }
}

/// Whether an instance may be registered.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is being registered.
    Begun(Kept),
    /// Once this one of the same id has ended: what takes it away would take the new one too.
    Later(Kept),
}
