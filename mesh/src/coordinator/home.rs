//! Where the state is that processes share to coordinate.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "redis")]
use mesh_cache::Environment;
use mesh_cache::coordinator_store::CoordinatorStore;
#[cfg(feature = "redis")]
use mesh_cache::coordinator_store::RedisCoordinator;
#[cfg(feature = "redis")]
use mesh_cache::redis::RedisClient;
use mesh_core::service::ConfigError;

/// The store of a mesh, if it has one.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    Nowhere,
    Store(Arc<dyn CoordinatorStore>),
    /// Reached over a connection that there is, with keys that begin with a prefix.
    #[cfg(feature = "redis")]
    Redis(RedisClient, String, Environment),
}

impl Home {
    /// The store, for somebody who waits for an answer no longer than `longest`: it is then that a connection counts as
    /// suspect. None where there is none.
    #[cfg_attr(
        not(feature = "redis"),
        expect(unused_variables, reason = "whoever brings a store has times of his own")
    )]
    pub(crate) fn store(&self, longest: Duration) -> Result<Option<Arc<dyn CoordinatorStore>>, ConfigError> {
        match self {
            Self::Nowhere => Ok(None),
            Self::Store(store) => Ok(Some(Arc::clone(store))),
            #[cfg(feature = "redis")]
            Self::Redis(client, prefix, environment) => {
                let store = RedisCoordinator::over(client.clone(), prefix, longest, environment)?;
                Ok(Some(Arc::new(store)))
            }
        }
    }
}
