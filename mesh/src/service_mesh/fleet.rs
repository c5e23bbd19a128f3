//! What the mesh shares with the other processes of its fleet, and remembers of it.

use std::sync::Arc;

use mesh_cache::codec::Codec;
use mesh_cache::seal::Sealer;
use mesh_cache::second::SecondTier;
use mesh_cache::{Cache, CacheBuilder, Environment};
use mesh_core::recorder::Recorder;
use mesh_core::service::ServiceName;

use super::owned::Owned;
use crate::coordinator::{Coordination, Home, Parts};
use crate::memory::Memory;

#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) tier: Option<Arc<dyn SecondTier>>,
    pub(crate) sealer: Sealer,
    pub(crate) memory: Option<Arc<Memory>>,
    /// Where processes coordinate.
    pub(crate) home: Home,
    /// The budgets and slots for retries, and the votes, where the fleet shares them.
    pub(crate) coordination: Option<Coordination>,
}

impl Fleet {
    /// Begins a cache of somebody's own values, in the tier that is shared, under a name within that of the fleet.
    pub(super) fn cache<V: Send + Sync + 'static>(
        &self,
        (fleet, namespace): (&str, &str),
        codec: impl Codec<V> + 'static,
        environment: &Environment,
    ) -> CacheBuilder<V> {
        let builder = Cache::builder().environment(environment.clone()).seal(self.sealer.clone());
        match &self.tier {
            Some(tier) => builder.second_tier(format!("{fleet}/caches/{namespace}"), Arc::clone(tier), codec),
            None => builder,
        }
    }

    /// Takes part in what the fleet shares for the calls to `service`, where there is anything.
    pub(super) fn join(
        &self,
        service: &ServiceName,
        environment: &Environment,
        recorder: &Arc<dyn Recorder>,
        owned: &mut Owned,
    ) -> Parts {
        let Some(coordination) = &self.coordination else { return Parts::default() };
        let budget = coordination.join(service, environment, recorder).map(|(membership, driver)| {
            owned.spawn(driver.run());
            membership
        });
        let slots = coordination.slots(service, environment, recorder).map(|(slots, driver)| {
            owned.spawn(driver.run());
            slots
        });
        let votes = coordination.votes(service, environment, recorder).map(|(votes, voters)| {
            owned.spawn(voters.run());
            Arc::new(votes)
        });
        Parts { budget, slots, votes }
    }
}
