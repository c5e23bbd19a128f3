//! One process of the fleet: a mesh under calls, with a cache of its own beside it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mesh::mesh_cache::codec::JsonCodec;
use mesh::mesh_cache::{Cache, Found, Key};
use mesh::{Attempt, CallPolicy, Class, ServiceMesh, ServiceMeshBuilder, Source};
use tokio::task::JoinHandle;

use crate::{Failure, SERVICE};

/// A process, its callers and what became of their calls.
pub(crate) struct Process {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

struct Shared {
    name: &'static str,
    mesh: ServiceMesh,
    client: reqwest::Client,
    prices: Cache<u32>,
    bread: Key,
    stop: AtomicBool,
    calls: AtomicU64,
    errors: AtomicU64,
    failures: Mutex<Vec<String>>,
    /// Where its first list of instances came from.
    first: OnceLock<Source>,
}

/// What a process knows of the service.
pub(crate) struct Sight {
    pub(crate) source: Option<Source>,
    pub(crate) instances: usize,
    age: Duration,
}

impl Process {
    pub(crate) async fn start(name: &'static str, builder: ServiceMeshBuilder) -> Result<Self, Failure> {
        let mesh = builder.build().await?;
        let shared = Arc::new(Shared {
            name,
            prices: mesh.cache("prices", JsonCodec::new(1)).build()?,
            bread: Key::new("bread")?,
            mesh,
            client: reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?,
            stop: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            failures: Mutex::default(),
            first: OnceLock::new(),
        });
        let callers = (0..CALLERS).map(|_| tokio::spawn(Arc::clone(&shared).caller())).collect();
        Ok(Self { shared, callers })
    }

    /// Calls and errors so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.shared.calls.load(Ordering::Relaxed), self.shared.errors.load(Ordering::Relaxed))
    }

    /// The first failures, as the callers saw them.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn first_source(&self) -> Option<Source> {
        self.shared.first.get().copied()
    }

    pub(crate) async fn look(&self) -> Sight {
        match self.shared.mesh.get_service_with_cache(SERVICE).await {
            Ok(found) => Sight { source: Some(found.source), instances: found.instances.len(), age: found.age },
            Err(_) => Sight { source: None, instances: 0, age: Duration::ZERO },
        }
    }

    pub(crate) async fn end(self) -> bool {
        self.shared.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            // One that panicked shows in what it did not count.
            let _ = caller.await;
        }
        self.shared.prices.shut_down().await;
        self.shared.mesh.shutdown(Duration::from_secs(5)).await.is_clean()
    }
}

impl Shared {
    async fn caller(self: Arc<Self>) {
        while !self.stop.load(Ordering::Relaxed) {
            let outcome = self.call().await;
            self.calls.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = outcome {
                self.errors.fetch_add(1, Ordering::Relaxed);
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                if failures.len() < FAILURES_SHOWN {
                    failures.push(format!("{}: {error}", self.name));
                }
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Reads a cached value and calls the service.
    async fn call(&self) -> Result<(), String> {
        let load = || async { Ok::<_, std::convert::Infallible>(Found::new(3_u32)) };
        let price = self.prices.get_or_load(&self.bread, load).await.map_err(|error| error.to_string())?;
        price.value.ok_or("no price")?;
        let policy = CallPolicy::default().classify(class_of);
        let reply = self.mesh.call(SERVICE, &policy, |attempt| get(self.client.clone(), attempt)).await;
        if self.first.get().is_none()
            && let Ok(found) = self.mesh.get_service_with_cache(SERVICE).await
        {
            let _ = self.first.set(found.source);
        }
        match reply {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("status {}", response.status())),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn get(client: reqwest::Client, attempt: Attempt) -> reqwest::Result<reqwest::Response> {
    client.get(format!("http://{}/", attempt.authority())).send().await
}

fn class_of(reply: &reqwest::Result<reqwest::Response>) -> Class {
    match reply {
        Ok(response) => mesh::mesh_retry::classify::class_of_status(response.status().as_u16()),
        Err(_) => Class::Unreachable,
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Some(Source::Watch) => "live",
            Some(Source::LastKnownGood) => "kept",
            Some(Source::SecondTier) => "Redis",
            Some(Source::Disk) => "disk",
            Some(_) => "other",
            None => "NONE!",
        };
        write!(f, "{source:<5} {:>4.1} s", self.age.as_secs_f64())
    }
}

const CALLERS: usize = 8;
const PACE: Duration = Duration::from_millis(5);
const FAILURES_SHOWN: usize = 5;
