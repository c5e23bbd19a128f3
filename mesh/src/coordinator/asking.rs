//! A command's way to the store and back.

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_retry::coordinator::StoreAnswer;
use mesh_retry::coordinator::store::{StoreCommand, StoreFailure};

/// Sends `command`, once, and says what came of it `within` the time that it is waited for: of what is late nobody knows.
pub(crate) async fn ask(store: Arc<dyn CoordinatorStore>, command: StoreCommand, within: Duration) -> StoreAnswer {
    tokio::time::timeout(within, store.apply(command)).await.unwrap_or(Err(StoreFailure::Unknown))
}
