//! One process of the fleet: a mesh under calls of which half of all attempts fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesh::mesh_cache::redis::RedisConfig;
use mesh::mesh_core::health::outlier::OutlierConfig;
use mesh::mesh_core::rng::Rng;
use mesh::mesh_retry::coordinator::budget::FleetBudgetConfig;
use mesh::{CallPolicy, MeshConfig, ServiceConfig, ServiceMesh, TokioClock};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::books::{Books, RECONNECT_MAX};

/// A process, its callers and its books.
pub(crate) struct Process {
    pub(crate) books: Arc<Books>,
    mesh: ServiceMesh,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

/// How a fleet is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Of each process.
    pub(crate) callers: usize,
    /// How long a caller rests after a call, on average.
    pub(crate) rest: Duration,
}

/// One caller of a process.
struct Caller {
    mesh: ServiceMesh,
    books: Arc<Books>,
    stop: Arc<AtomicBool>,
    rest: Duration,
    rng: Rng,
}

impl Process {
    /// Starts it, with a connection of its own to the Redis at `url`.
    pub(crate) async fn start(
        url: &str,
        budget: &FleetBudgetConfig,
        load: Load,
        clock: TokioClock,
        rng: &mut Rng,
    ) -> Result<Self, Failure> {
        let books = Arc::new(Books::new(budget, clock));
        let mut config = MeshConfig::default();
        config.calls.fleet = Some(*budget);
        // The one instance is to stay, however its requests end.
        config.service.outlier = OutlierConfig::off();
        let mut redis = RedisConfig::at(url)?;
        redis.link.retry_max = RECONNECT_MAX;
        let builder = ServiceMesh::builder().config(config).recorder(Arc::clone(&books)).redis_config(redis);
        let mesh = builder.build().await?;
        mesh.register_service(ServiceConfig::builder(SERVICE, "127.0.0.1", 9).without_check().build()?).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let caller = |_| Caller {
            mesh: mesh.clone(),
            books: Arc::clone(&books),
            stop: Arc::clone(&stop),
            rest: load.rest,
            rng: rng.fork(),
        };
        let callers = (0..load.callers).map(caller).map(|caller| tokio::spawn(caller.run())).collect();
        Ok(Self { books, mesh, stop, callers })
    }

    /// Lets the callers make no more calls.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until every call has ended, so that nothing is counted any more.
    pub(crate) async fn stopped(&mut self) -> Result<(), Failure> {
        for caller in self.callers.drain(..) {
            caller.await?;
        }
        Ok(())
    }

    /// Ends it, and says whether in order.
    pub(crate) async fn end(self) -> bool {
        self.mesh.shutdown(Duration::from_secs(5)).await.is_clean()
    }
}

impl Caller {
    async fn run(mut self) {
        let policy = CallPolicy::default();
        while !self.stop.load(Ordering::Relaxed) {
            let Self { mesh, books, rng, .. } = &mut self;
            // What becomes of the call is the caller's; here what it costs is looked at.
            let _ = mesh
                .call(SERVICE, &policy, |attempt| {
                    books.attempt(attempt.kind());
                    let (takes, fails) = (rng.up_to(TAKES_MAX), rng.below(2) == 0);
                    async move {
                        tokio::time::sleep(takes).await;
                        if fails { Err("failed") } else { Ok(()) }
                    }
                })
                .await;
            let rest = self.rest / 2 + self.rng.up_to(self.rest);
            tokio::time::sleep(rest).await;
        }
    }
}

const SERVICE: &str = "api";
const TAKES_MAX: Duration = Duration::from_millis(5);
