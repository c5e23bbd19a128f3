//! A service that answers as a test says, and what its callers did.

use std::sync::Mutex;
use std::time::Duration;

use mesh::mesh_core::port::Clock as _;
use mesh::mesh_core::time::Instant;
use mesh::{Attempt, CallError, CallPolicy, RetryPolicy, ServiceMesh, TokioClock};

use super::{Lab, number_of};

/// What an attempt gives.
pub(crate) type Reply = Result<&'static str, &'static str>;

/// A mesh and the attempts that were made through it.
pub(crate) struct World {
    pub(crate) mesh: ServiceMesh,
    clock: TokioClock,
    attempts: Mutex<Vec<(u16, Instant)>>,
}

impl World {
    pub(crate) async fn new(lab: &Lab, instances: u16) -> Self {
        Self::of(lab, lab.mesh_with(instances).await)
    }

    pub(crate) fn of(lab: &Lab, mesh: ServiceMesh) -> Self {
        Self { mesh, clock: lab.clock, attempts: Mutex::default() }
    }

    /// Calls `api`: `respond` says of an instance and the number of the attempt how long it takes and how it ends.
    pub(crate) async fn call<C: mesh::mesh_retry::classify::Classify<&'static str, &'static str>>(
        &self,
        policy: CallPolicy<C>,
        respond: impl Fn(u16, usize) -> (Duration, Reply),
    ) -> Result<&'static str, CallError<&'static str>> {
        let attempt = |instance: Attempt| {
            let number = number_of(&instance);
            let count = {
                let mut attempts = self.attempts.lock().unwrap();
                attempts.push((number, self.clock.now()));
                attempts.len()
            };
            let (takes, reply) = respond(number, count);
            async move {
                tokio::time::sleep(takes).await;
                reply
            }
        };
        self.mesh.call("api", &policy, attempt).await
    }

    /// The numbers of the instances that were tried, in order.
    pub(crate) fn instances(&self) -> Vec<u16> {
        self.attempts.lock().unwrap().iter().map(|(number, _)| *number).collect()
    }

    /// When each attempt began.
    pub(crate) fn times(&self) -> Vec<Instant> {
        self.attempts.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }
}

pub(crate) fn policy(retry: RetryPolicy) -> CallPolicy {
    CallPolicy::new(retry).unwrap()
}

pub(crate) const FOREVER: Duration = Duration::from_secs(1_000_000);
