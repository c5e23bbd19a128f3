//! How a kind of operation is put together.

use std::fmt;
use std::sync::{Arc, Weak};

use mesh_cache::Environment;
use mesh_cache::codec::Codec;
use mesh_cache::seal::Sealer;
use mesh_core::recorder::Recorder;
use mesh_core::service::ConfigError;
use mesh_retry::coordinator::idempotency::OperationConfig;

use super::handle::{Operations, Shared};
use super::results::Results;
use crate::coordinator::{Home, NEEDS_A_STORE};
use crate::service_mesh::Inner;

/// Puts a kind of operation together.
#[must_use = "nothing can be begun until open() is called"]
pub struct OperationsBuilder<T> {
    name: String,
    codec: Box<dyn Codec<T>>,
    config: OperationConfig,
    world: World,
}

/// What a kind of operation has of its mesh.
pub(crate) struct World {
    pub(crate) mesh: Weak<Inner>,
    /// The name of the fleet.
    pub(crate) fleet: String,
    pub(crate) home: Home,
    pub(crate) sealer: Sealer,
    pub(crate) environment: Environment,
    pub(crate) recorder: Arc<dyn Recorder>,
}

impl<T: Send + Sync + 'static> OperationsBuilder<T> {
    pub(crate) fn new(name: &str, codec: impl Codec<T> + 'static, world: World) -> Self {
        Self { name: name.to_owned(), codec: Box::new(codec), config: OperationConfig::default(), world }
    }

    /// Sets every number at once. All processes should have the same.
    pub const fn config(mut self, config: OperationConfig) -> Self {
        self.config = config;
        self
    }

    /// Opens it. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// The name that is none, the number that breaks its rule; that the mesh has no store.
    pub fn open(self) -> Result<Operations<T>, ConfigError> {
        let Self { name, codec, config, world } = self;
        let World { mesh, fleet, home, sealer, environment, recorder } = world;
        if !is_name(&name) {
            return Err(ConfigError::new("operations.name", name, "must be 1 to 64 letters, digits, '-', '_' and '.'"));
        }
        config.validate()?;
        let store = home.store(config.reply_within)?;
        let store = store.ok_or_else(|| ConfigError::new("operations", &name, NEEDS_A_STORE))?;
        // Not the handles hold it but the mesh: a handle that is kept for longer must keep no connection.
        let weak = Arc::downgrade(&store);
        if let Some(mesh) = mesh.upgrade() {
            mesh.hold(store);
        }
        let nonces = sealer.nonces(&environment.entropy);
        let results = Results::new(codec, sealer, nonces);
        let name = name.into();
        Ok(Operations::new(Shared { name, fleet, config, results, store: weak, environment, recorder, mesh }))
    }
}

impl<T> fmt::Debug for OperationsBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, config, .. } = self;
        f.debug_struct("OperationsBuilder").field("name", name).field("config", config).finish_non_exhaustive()
    }
}

/// It is a value of measurements' attributes.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}
