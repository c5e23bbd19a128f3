//! The checks of one process, as its parts hold them.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mesh_core::health::own::{
    Aggregate, CheckName, CheckStatus, OwnCheck, OwnHealth, OwnHealthConfig, OwnState, Report,
};
use mesh_core::port::Clock;
use mesh_core::service::ConfigError;
use mesh_core::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::answer::{HealthAnswer, ProbeKind};
use super::error::{HealthCheckError, HealthReportError};
use super::run::{self, Probing};

/// How the service's own health is kept and told.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthConfig {
    /// The bounds of the checks.
    pub checks: OwnHealthConfig,
    /// Whether a degraded readiness is answered with 429, which Consul and this mesh read as a warning, and Kubernetes and
    /// most load balancers as a failure. Default no: it is answered with 200.
    pub degraded_is_429: bool,
    /// Whether answers repeat what the checks' reports said. Default no: it may be more than everybody is to read.
    pub show_notes: bool,
}

impl HealthConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The fields that break a rule, with their values.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.checks.validate()
    }
}

/// The service's own health: its checks, and what follows for liveness, readiness and startup. Cheap to clone; the clones
/// are one registry.
///
/// Every mesh has one, [`ServiceMesh::health`](crate::ServiceMesh::health), whose readiness is told to the registry for every
/// instance that the mesh registers, as soon as there is a check. Its tasks end with the mesh, whoever holds a clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mesh::own_health::{OwnCheck, ProbeKind, Probing, Report};
///
/// let mesh = mesh::ServiceMesh::builder().build().await?;
/// let health = mesh.health();
/// health.register(OwnCheck::readiness("db".parse()?), Probing::default(), || async { Report::Pass })?;
/// let orders = OwnCheck::readiness("orders".parse()?).depends_on("db".parse()?);
/// health.register_manual(vec![orders])?;
/// health.report(&"orders".parse()?, Report::fail("queue is full"))?;
/// assert_eq!(health.answer(ProbeKind::Readiness).status, 503);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HealthRegistry {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    me: Weak<Self>,
    config: HealthConfig,
    pub(super) clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// What was told last. Changed only by who holds `held`, so that nothing older is told later.
    told: watch::Sender<OwnState>,
    /// Tells the task that keeps the time that there may be less of it.
    moved: Arc<Notify>,
}

#[derive(Debug)]
struct Held {
    health: OwnHealth,
    tasks: JoinSet<()>,
    /// When it ended: no check is run from then on, so what was said by then stays as it is.
    ended: Option<Instant>,
}

impl HealthRegistry {
    /// An empty registry whose times are `clock`'s.
    #[must_use]
    pub fn new(config: HealthConfig, clock: Arc<dyn Clock>) -> Self {
        let held = Held { health: OwnHealth::new(config.checks.clone()), tasks: JoinSet::new(), ended: None };
        let shared = Arc::new_cyclic(|me| Shared {
            me: Weak::clone(me),
            config,
            clock,
            held: Mutex::new(held),
            told: watch::Sender::default(),
            moved: Arc::default(),
        });
        Self { shared }
    }

    /// Has `run` report on `check` from now on: at once, and then in the intervals of `probing`. One run at a time; one that
    /// takes longer than its timeout, or panics, counts as failed. What `check` depends on is registered before. A startup
    /// check is run until it has passed.
    ///
    /// What `run` holds lives until the mesh ends: a mesh of which it holds a clone ends with a shutdown only, and a registry
    /// made alone of which it holds one with [`HealthRegistry::end`].
    ///
    /// # Errors
    /// Why it is not registered; nothing changed then.
    pub fn register<F, Fut>(&self, check: OwnCheck, probing: Probing, run: F) -> Result<(), HealthCheckError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Report> + Send + 'static,
    {
        probing.validate(&check)?;
        let name = check.name.clone();
        let (me, run) = (Weak::clone(&self.shared.me), run::boxed(run));
        self.shared.add(vec![check], |tasks, runtime| {
            tasks.spawn_on(run::run(me, name, probing, run), runtime);
        })
    }

    /// Registers checks on which [`HealthRegistry::report`] reports: all of them, or none. They may depend on each other, in
    /// any order.
    ///
    /// # Errors
    /// Why they are not registered; nothing changed then.
    pub fn register_manual(&self, checks: Vec<OwnCheck>) -> Result<(), HealthCheckError> {
        self.shared.add(checks, |_, _| {})
    }

    /// Takes in what came of a check.
    ///
    /// # Errors
    /// Says that there is no such check, or none any more.
    pub fn report(&self, check: &CheckName, report: Report) -> Result<(), HealthReportError> {
        self.shared.report(check, report).map(drop)
    }

    /// From now on readiness is down, whatever the checks say. The first step of a shutdown of the mesh.
    pub fn begin_drain(&self) {
        let mut held = self.shared.held();
        held.health.begin_drain();
        self.shared.tell(&held);
    }

    /// The answers as they change, beginning with what they are. The channel closes with the last handle.
    ///
    /// What is borrowed from it is let go before this registry is asked anything: a report waits for it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<OwnState> {
        self.shared.told.subscribe()
    }

    /// The three answers now.
    #[must_use]
    pub fn state(&self) -> OwnState {
        let held = self.shared.held();
        held.health.state(self.shared.now(&held))
    }

    /// Whether the process works at all, now.
    #[must_use]
    pub fn liveness(&self) -> Aggregate {
        self.state().liveness
    }

    /// Whether the process should be given requests, now.
    #[must_use]
    pub fn readiness(&self) -> Aggregate {
        self.state().readiness
    }

    /// Whether the process has begun its work, now.
    #[must_use]
    pub fn startup(&self) -> Aggregate {
        self.state().startup
    }

    /// What is thought of a check now; none where there is no such check.
    #[must_use]
    pub fn status(&self, check: &CheckName) -> Option<CheckStatus> {
        let held = self.shared.held();
        held.health.status(self.shared.now(&held), check)
    }

    /// The answer to a probe over HTTP, now.
    #[must_use]
    pub fn answer(&self, probe: ProbeKind) -> HealthAnswer {
        let state = self.state();
        let aggregate = match probe {
            ProbeKind::Liveness => &state.liveness,
            ProbeKind::Readiness => &state.readiness,
            ProbeKind::Startup => &state.startup,
        };
        let HealthConfig { degraded_is_429, show_notes, .. } = self.shared.config;
        HealthAnswer::new(probe, aggregate, degraded_is_429, show_notes)
    }

    /// The checks, those depended upon last: the order in which to stop what they stand for.
    #[must_use]
    pub fn drain_order(&self) -> Vec<CheckName> {
        self.shared.held().health.drain_order()
    }

    /// Ends its tasks, and takes no more checks and reports: it is not ready from now on, and liveness stays what it is.
    /// Ending it again changes nothing.
    ///
    /// The end of a mesh does it to the mesh's own. One made alone ends with its last handle too, but not where a check
    /// holds one: with this, what the checks hold is let go.
    pub fn end(&self) {
        let mut held = self.shared.held();
        held.ended.get_or_insert(self.shared.clock.now());
        held.tasks.abort_all();
        held.health.begin_drain();
        self.shared.tell(&held);
    }
}

impl Shared {
    fn add(
        &self,
        checks: Vec<OwnCheck>,
        spawn: impl FnOnce(&mut JoinSet<()>, &Handle),
    ) -> Result<(), HealthCheckError> {
        let runtime = Handle::try_current().map_err(|_| HealthCheckError::NoRuntime)?;
        let mut held = self.held();
        if held.ended.is_some() {
            return Err(HealthCheckError::ShutDown);
        }
        held.health.register_all(self.clock.now(), checks)?;
        while held.tasks.try_join_next().is_some() {}
        if held.tasks.is_empty() {
            held.tasks.spawn_on(run::keep_time(Weak::clone(&self.me), Arc::clone(&self.moved)), &runtime);
        }
        spawn(&mut held.tasks, &runtime);
        self.tell(&held);
        Ok(())
    }

    /// Takes in a report; returns whether another one is wanted.
    pub(super) fn report(&self, name: &CheckName, report: Report) -> Result<bool, HealthReportError> {
        let mut held = self.held();
        if held.ended.is_some() {
            return Err(HealthReportError::ShutDown);
        }
        held.health.report(self.clock.now(), name, report)?;
        self.tell(&held);
        Ok(!held.health.has_started(name))
    }

    /// Tells what follows from the time that passed; returns when to look again.
    pub(super) fn look(&self) -> Option<Instant> {
        let held = self.held();
        let now = self.publish(&held);
        held.health.next_transition_at(now)
    }

    fn tell(&self, held: &Held) {
        self.publish(held);
        self.moved.notify_one();
    }

    fn publish(&self, held: &Held) -> Instant {
        let now = self.now(held);
        let state = held.health.state(now);
        self.told.send_if_modified(|told| {
            let changed = *told != state;
            *told = state;
            changed
        });
        now
    }

    fn now(&self, held: &Held) -> Instant {
        held.ended.unwrap_or_else(|| self.clock.now())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that holds the lock can leave it half-changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HealthRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthRegistry").field("state", &self.state()).finish_non_exhaustive()
    }
}
