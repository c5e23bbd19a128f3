//! The operations of a mesh that are carried out once, and the tasks that see to them.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use mesh_cache::codec::Codec;
use mesh_cache::coordinator_store::CoordinatorStore;

use super::ServiceMesh;
use super::inner::Inner;
use crate::operations::{OperationsBuilder, World};

impl ServiceMesh {
    /// Begins to put a kind of [operations](crate::operations) together that are carried out once, whoever of the fleet
    /// begins them. `name` is what keeps them from others of the fleet, and what measurements call them: 1 to 64 letters,
    /// digits, `-`, `_` and `.`. `codec` is for their results.
    ///
    /// They are kept in the store of [`ServiceMeshBuilder::redis`](crate::ServiceMeshBuilder::redis), whose user needs the
    /// rights of `RedisCoordinator` as well and which must evict nothing (`maxmemory-policy noeviction`), for an operation that
    /// is evicted is carried out again; or of [`ServiceMeshBuilder::coordinator`](crate::ServiceMeshBuilder::coordinator). The
    /// [namespace](crate::MemoryConfig::namespace) of the memory keeps fleets apart.
    pub fn operations<T: Send + Sync + 'static>(
        &self,
        name: &str,
        codec: impl Codec<T> + 'static,
    ) -> OperationsBuilder<T> {
        OperationsBuilder::new(name, codec, self.inner.world())
    }
}

impl Inner {
    fn world(&self) -> World {
        World {
            mesh: Weak::clone(&self.me),
            fleet: self.config.memory.namespace.clone(),
            home: self.fleet.home.clone(),
            sealer: self.fleet.sealer.clone(),
            environment: self.environment.clone(),
            recorder: Arc::clone(&self.recorder),
        }
    }

    /// Holds the store of a kind of operation for as long as the mesh lives and anybody has a weak reference to it.
    pub(crate) fn hold(&self, store: Arc<dyn CoordinatorStore>) {
        self.owned().hold(store);
    }

    /// Runs the task of one operation; says whether it does.
    pub(crate) fn operate(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut owned = self.owned();
        if self.stopped.load(Ordering::Relaxed) {
            return false;
        }
        let open = owned.operations.open();
        owned.spawn(async move {
            task.await;
            drop(open);
        });
        true
    }

    /// Whether no operation can be begun any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Operations that have not ended.
    pub(super) fn operations(&self) -> u64 {
        self.owned().operations.count()
    }
}
