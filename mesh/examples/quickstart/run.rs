//! Calls at a steady concurrency while a backend is killed and comes back; no caller may notice.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh::mesh_core::health::SlowStartConfig;
use mesh::mesh_core::port::Clock;
use mesh::mesh_core::service::HealthCheckBuilder;
use mesh::{Attempt, CallPolicy, Class, Instance, MeshConfig, ServiceConfig, ServiceMesh, TokioClock};

use crate::backend::Backend;
use crate::tally::Tally;

pub(crate) const BACKENDS: usize = 4;
pub(crate) const CALLS: usize = 20_000;
const CONCURRENCY: usize = 32;
/// The backend that is killed and comes back.
const VICTIM: usize = 2;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The defaults, but that a backend which comes back has its whole share at once: ten seconds to warm up would be the rest of
/// the run.
pub(crate) fn config() -> MeshConfig {
    let mut config = MeshConfig::default();
    config.service.slow_start = SlowStartConfig::off();
    config
}

/// Registers four backends checked by `check`, calls them through `mesh` with a rest of `pace` after each call, and
/// prints what the callers saw. Fails when one noticed that a backend died a third of the way in, or when that backend
/// got no traffic back.
pub(crate) async fn drive(mesh: ServiceMesh, check: HealthCheckBuilder, pace: Duration) -> Result<ExitCode, Failure> {
    let mut backends = Vec::new();
    for index in 0..BACKENDS {
        let backend = Backend::start(index).await?;
        let config = ServiceConfig::builder("api", "127.0.0.1", backend.port()).check(check.clone()).build()?;
        mesh.register_service(config).await?;
        backends.push(backend);
    }

    let run = Arc::new(Run {
        mesh,
        client: reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?,
        clock: TokioClock::new(),
        ports: backends.iter().map(Backend::port).collect(),
        next: AtomicUsize::new(0),
        pace,
    });
    let started = run.clock.now();
    let callers: Vec<_> = (0..CONCURRENCY).map(|_| tokio::spawn(Arc::clone(&run).caller())).collect();

    run.reached(CALLS / 3).await;
    backends[VICTIM].kill().await;
    run.reached(CALLS * 2 / 3).await;
    backends[VICTIM].revive().await?;

    let mut tally = Tally::default();
    for caller in callers {
        tally.merge(caller.await?);
    }
    let elapsed = run.clock.now().since(started);
    let shutdown = run.mesh.shutdown(Duration::from_secs(5)).await;
    let held = tally.report(elapsed, VICTIM, shutdown.is_clean());
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all callers share.
struct Run {
    mesh: ServiceMesh,
    client: reqwest::Client,
    clock: TokioClock,
    ports: Vec<u16>,
    next: AtomicUsize,
    pace: Duration,
}

impl Run {
    /// Makes calls, one after the other, until all are made.
    async fn caller(self: Arc<Self>) -> Tally {
        let policy = CallPolicy::default().classify(class_of);
        let mut tally = Tally::default();
        loop {
            let call = self.next.fetch_add(1, Ordering::Relaxed);
            if call >= CALLS {
                return tally;
            }
            let third = (call * 3 / CALLS).min(2);
            let began = self.clock.now();
            let mut attempts = Vec::new();
            let reply = self.mesh.call("api", &policy, |attempt| {
                attempts.push(self.index_of(&attempt));
                get(self.client.clone(), attempt)
            });
            let reply = reply.await;
            let good = reply.as_ref().is_ok_and(|response| response.status().is_success());
            tally.count(third, self.clock.now().since(began), &attempts, good);
            if !self.pace.is_zero() {
                tokio::time::sleep(self.pace).await;
            }
        }
    }

    /// Waits until `calls` calls were begun.
    async fn reached(&self, calls: usize) {
        while self.next.load(Ordering::Relaxed) < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn index_of(&self, instance: &Instance) -> usize {
        self.ports.iter().position(|port| *port == instance.port()).unwrap_or_default()
    }
}

async fn get(client: reqwest::Client, attempt: Attempt) -> reqwest::Result<reqwest::Response> {
    client.get(format!("http://{}/hello", attempt.authority())).send().await
}

/// What a reply means: the statuses as mesh-retry reads them, and no connection where there was no reply.
fn class_of(reply: &reqwest::Result<reqwest::Response>) -> Class {
    match reply {
        Ok(response) => mesh::mesh_retry::classify::class_of_status(response.status().as_u16()),
        Err(_) => Class::Unreachable,
    }
}
