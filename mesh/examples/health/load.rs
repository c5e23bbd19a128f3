//! Calls at a steady pace, and who got them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh::{Attempt, CallPolicy, Class, ServiceMesh};
use tokio::task::JoinSet;

use crate::Failure;
use crate::tempo::Tempo;

/// Calls under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

struct Shared {
    mesh: ServiceMesh,
    client: reqwest::Client,
    tempo: Tempo,
    stops: AtomicBool,
    calls: AtomicU64,
    errors: AtomicU64,
    /// Attempts by port since the last look.
    attempts: Mutex<BTreeMap<u16, u64>>,
}

impl Load {
    pub(crate) fn start(mesh: ServiceMesh, tempo: Tempo) -> Result<Self, Failure> {
        let shared = Shared {
            mesh,
            client: reqwest::Client::builder().build()?,
            tempo,
            stops: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            attempts: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(Arc::clone(&shared).call_on());
        }
        Ok(Self { shared, callers })
    }

    /// How many attempts each port got since this was asked last.
    pub(crate) fn take_shares(&self) -> BTreeMap<u16, u64> {
        std::mem::take(&mut *self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many calls there were, and how many of them failed.
    pub(crate) async fn stop(mut self) -> (u64, u64) {
        self.shared.stops.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
        (self.shared.calls.load(Ordering::Relaxed), self.shared.errors.load(Ordering::Relaxed))
    }
}

impl Shared {
    async fn call_on(self: Arc<Self>) {
        let Ok(policy) = CallPolicy::new(self.tempo.retries()) else { return };
        let policy = policy.classify(class_of);
        while !self.stops.load(Ordering::Relaxed) {
            let reply = self.mesh.call("api", &policy, |attempt| self.get(attempt)).await;
            self.calls.fetch_add(1, Ordering::Relaxed);
            let is_good = reply.is_ok_and(|response| response.status().is_success());
            self.errors.fetch_add(u64::from(!is_good), Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn get(&self, attempt: Attempt) -> impl Future<Output = reqwest::Result<reqwest::Response>> + use<> {
        *self.attempts.lock().unwrap_or_else(PoisonError::into_inner).entry(attempt.port()).or_default() += 1;
        let request = self.client.get(format!("http://{}/work", attempt.authority()));
        request.send()
    }
}

/// What a reply means: the statuses as mesh-retry reads them, and no connection where there was no answer.
fn class_of(reply: &reqwest::Result<reqwest::Response>) -> Class {
    match reply {
        Ok(response) => mesh::mesh_retry::classify::class_of_status(response.status().as_u16()),
        Err(_) => Class::Unreachable,
    }
}

const CALLERS: usize = 16;
const PAUSE: Duration = Duration::from_millis(8);
