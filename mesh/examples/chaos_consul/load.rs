//! Calls without end, and what became of them.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh::{Attempt, CallPolicy, Class, ServiceMesh};
use tokio::task::JoinHandle;

use crate::{Failure, SERVICE};

/// What all callers share.
pub(crate) struct Load {
    pub(crate) mesh: ServiceMesh,
    client: reqwest::Client,
    pub(crate) stop: AtomicBool,
    pub(crate) calls: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) stalest_millis: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    pub(crate) fn new(mesh: ServiceMesh) -> Self {
        Self {
            mesh,
            client: reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap_or_default(),
            stop: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stalest_millis: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// One call, so that the service is followed.
    pub(crate) async fn warm_up(&self) -> Result<(), Failure> {
        self.call().await.map_err(Into::into)
    }

    pub(crate) fn start(load: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let callers = (0..CALLERS).map(|_| tokio::spawn(Arc::clone(load).caller()));
        callers.chain([tokio::spawn(Arc::clone(load).observer())]).collect()
    }

    /// The first failures, as the callers saw them.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn caller(self: Arc<Self>) {
        while !self.stop.load(Ordering::Relaxed) {
            self.calls.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = self.call().await {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                if failures.len() < FAILURES_SHOWN {
                    failures.push(error);
                }
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Asks how old the list of instances is.
    async fn observer(self: Arc<Self>) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok(cached) = self.mesh.get_service_with_cache(SERVICE).await {
                let age = u64::try_from(cached.age.as_millis()).unwrap_or(u64::MAX);
                self.stalest_millis.fetch_max(age, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn call(&self) -> Result<(), String> {
        let policy = CallPolicy::default().classify(class_of);
        let reply = self.mesh.call(SERVICE, &policy, |attempt| get(self.client.clone(), attempt)).await;
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

/// How many TCP connections of this machine to the agent stand, by the kernel's table.
pub(crate) fn connections(agent: Ipv4Addr) -> usize {
    let [a, b, c, d] = agent.octets();
    let remote = format!("{:02X}{:02X}{:02X}{:02X}:{:04X}", d, c, b, a, 8500);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let established = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some(remote.as_str()) && fields.next() == Some("01")
    };
    table.lines().filter(established).count()
}

const CALLERS: usize = 16;
const PACE: Duration = Duration::from_millis(5);
const FAILURES_SHOWN: usize = 10;
/// A pool keeps what it needed a moment ago for half a minute.
pub(crate) const SPARE_CONNECTIONS: usize = 8;
