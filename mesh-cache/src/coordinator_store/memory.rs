//! The memory of this process as the store that its parts share.

use std::sync::{Arc, Mutex, PoisonError};

use mesh_core::port::{BoxFuture, Clock};
use mesh_retry::coordinator::store::{MemoryStore, StoreCommand, StoreFailure, StoreReply, StoreTime};

use super::CoordinatorStore;

/// A [`MemoryStore`] that tells the time by a clock: for one process, for tests, and as the rule that others are held to.
/// It never fails. Cloning it shares it.
///
/// It has room for 4,096 operations that are carried out once, and forgets none before its time
/// ([`OperationConfig::keep`](mesh_retry::coordinator::idempotency::OperationConfig::keep), a day unless it is set): who
/// begins one more is told that it is [full](mesh_retry::coordinator::store::Begun::Full). Where there are more, share a Redis
/// or keep them for less long.
#[derive(Clone, Debug)]
pub struct MemoryCoordinator {
    store: Arc<Mutex<MemoryStore>>,
    clock: Arc<dyn Clock>,
}

impl MemoryCoordinator {
    /// A store that knows of nothing, at the time of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { store: Arc::default(), clock }
    }
}

impl CoordinatorStore for MemoryCoordinator {
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        Box::pin(async move {
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            // Read under the lock, so that commands are carried out in the order of their times.
            let now = StoreTime::from_micros(self.clock.now().as_nanos() / 1_000);
            Ok(store.apply(now, &command))
        })
    }
}
