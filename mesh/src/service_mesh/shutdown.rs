//! The orderly end: no longer ready, out of the registry, requests finished, tasks stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::service::InstanceId;
use mesh_core::time::Instant;
use tokio::task::JoinSet;

use super::ServiceMesh;
use crate::driver::Kept;
use crate::error::DeregisterError;

/// How a shutdown went.
#[derive(Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The instances that were registered, and what became of each.
    pub deregistered: Vec<(InstanceId, Result<(), DeregisterError>)>,
    /// Requests that were still in flight when the grace ended.
    pub in_flight_left: u64,
    /// [Operations](crate::operations) that had not ended when the grace did: whoever begins them next takes over after their
    /// leases. Those are counted as well that only waited for somebody else's end; nobody takes over from them.
    pub operations_left: u64,
}

impl ShutdownReport {
    /// Whether nothing was left: every instance out of the registry, every request and every operation ended.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.in_flight_left == 0
            && self.operations_left == 0
            && self.deregistered.iter().all(|(_, result)| result.is_ok())
    }
}

impl ServiceMesh {
    /// Ends the mesh in order, within `grace`: it is no longer ready, and its [health](ServiceMesh::health) says so; its instances leave the registry, requests
    /// in flight and [operations](crate::operations) end, what it holds of the fleet's retries goes back, and its tasks stop. Calls are accepted until the last step, because requests being served
    /// may need them; afterwards every question is answered with `ShutDown`.
    ///
    /// Last, what is remembered is written to the [snapshot](crate::MemoryConfig::snapshot), if there is one. A disk that is
    /// too slow for what is left of the grace is not waited for: the write goes on behind, and until it has ended, or if
    /// the process ends before it, the file is the one of up to [`snapshot_interval`](crate::MemoryConfig::snapshot_interval)
    /// ago.
    ///
    /// Calling it again, or from several places, is harmless.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        let deadline = self.inner.now() + grace;
        let deregistered = self.deregister_all(deadline).await;
        self.ended(deadline).await;
        // What does not go back in time is lost to the fleet, and nothing else.
        let _ = tokio::time::timeout(deadline.since(self.inner.now()), self.inner.leave_fleet()).await;
        // What has begun meanwhile has its time as well.
        self.ended(deadline).await;
        let (in_flight_left, operations_left) = (self.inner.in_flight(), self.inner.operations());
        let mut tasks = self.inner.stop();
        while tasks.join_next().await.is_some() {}
        if let Some(memory) = self.inner.memory() {
            memory.close(deadline.since(self.inner.now())).await;
        }
        ShutdownReport { deregistered, in_flight_left, operations_left }
    }

    /// Waits until no request is in flight and no operation under way, until `deadline` at the latest.
    async fn ended(&self, deadline: Instant) {
        while (self.inner.in_flight() > 0 || self.inner.operations() > 0) && self.inner.now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Takes every instance out of the registry until `deadline`, and says in the order of their ids what became
    /// of each.
    async fn deregister_all(&self, deadline: Instant) -> Vec<(InstanceId, Result<(), DeregisterError>)> {
        let kept = self.inner.become_unready();
        let unconfirmed = |kept: &Kept| {
            let instance = kept.config.id().clone();
            (instance.clone(), Err(DeregisterError::Unconfirmed { instance, source: None }))
        };
        let mut fates: BTreeMap<_, _> = kept.iter().map(unconfirmed).collect();
        let mut departures = JoinSet::new();
        for kept in kept {
            departures.spawn(async move { (kept.config.id().clone(), kept.deregister().await) });
        }
        let departed = async {
            while let Some(departure) = departures.join_next().await {
                // One that panicked stays unconfirmed.
                fates.extend(departure);
            }
        };
        // What did not end in time stays unconfirmed.
        let _ = tokio::time::timeout(deadline.since(self.inner.now()), departed).await;
        fates.into_iter().collect()
    }
}

/// Requests end on their own and tell nobody that the last one did, so that each costs no more than it must.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
