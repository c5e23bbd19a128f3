//! Consul as a registry of the mesh: translates between the port and the agent.
//!
//! It decides nothing that the registration keeper or discovery decides. What it adds is what only Consul needs:
//! maintenance that a re-registration would end is put back, heartbeats are fed, what a crashed predecessor left is
//! taken away, and a registration counts as seen only where others see it.

mod inspection;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_core::health::own::OwnStatus;
use mesh_core::port::{BoxFuture, Registry, RegistryError, Resolution, Watch};
use mesh_core::registration::{Part, Standing};
use mesh_core::service::{ConfigError, InstanceId, ServiceConfig, ServiceName};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::agent::body::{self, Registration};
use crate::agent::{Held, TtlStatus};
use crate::client::{ClientError, Consul, invalid};
use crate::config::ConsulConfig;
use crate::error::{Cause, ConsulError, ErrorClass};
use crate::heartbeat::{Heartbeat, Report};
use crate::options::QueryOptions;

/// Consul as the registry of a mesh. Cheap to clone; the clones are one registry.
#[derive(Clone, Debug)]
pub struct ConsulRegistry {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    consul: Consul,
    options: QueryOptions,
    overrides: BTreeMap<ServiceName, QueryOptions>,
    kept: Mutex<BTreeMap<InstanceId, Kept>>,
    /// Who waits for doubts, which may be before anything is registered.
    doubts: Mutex<BTreeMap<InstanceId, Arc<Notify>>>,
    /// The task that notices when the agent restarts.
    guard: Mutex<Option<AbortHandle>>,
}

/// What this process has registered under one id.
#[derive(Debug)]
struct Kept {
    service: ServiceName,
    /// The maintenance that is to stand after a registration that may have ended it.
    due: Option<String>,
    reports: watch::Sender<Report>,
    heartbeat: Option<AbortHandle>,
    registered: bool,
}

impl ConsulRegistry {
    /// The registry behind `consul`, asked with the default options.
    #[must_use]
    pub fn new(consul: Consul) -> Self {
        Self::made(consul, QueryOptions::default(), BTreeMap::new())
    }

    /// The registry that the `CONSUL_*` variables name: see [`ConsulConfig::from_vars`].
    ///
    /// # Errors
    /// Which variable, file or certificate is at fault.
    pub fn from_env() -> Result<Self, ClientError> {
        Ok(Self::new(Consul::new(ConsulConfig::from_env()?)?))
    }

    /// Asks for every service with `options`, but for those that have some of their own. Forgets nothing that is
    /// registered, so it is called before anything is.
    ///
    /// # Errors
    /// Which of the options breaks its rule.
    pub fn with_options(self, options: QueryOptions) -> Result<Self, ConfigError> {
        options.validate()?;
        let overrides = self.shared.overrides.clone();
        Ok(Self::made(self.shared.consul.clone(), options, overrides))
    }

    /// Asks for `service` with `options` of its own. Called before anything is registered.
    ///
    /// # Errors
    /// Which of the options breaks its rule.
    pub fn with_service(self, service: ServiceName, options: QueryOptions) -> Result<Self, ConfigError> {
        options.validate()?;
        let mut overrides = self.shared.overrides.clone();
        overrides.insert(service, options);
        let usual = self.shared.options.clone();
        Ok(Self::made(self.shared.consul.clone(), usual, overrides))
    }

    /// The client.
    #[must_use]
    pub fn consul(&self) -> &Consul {
        &self.shared.consul
    }

    /// Says how the instance `id` of this process is, through its TTL check. Sent at once and with every heartbeat until
    /// something else is said. False where this process has registered no such instance.
    pub fn report(&self, id: &InstanceId, status: TtlStatus, note: &str) -> bool {
        let kept = self.shared.kept();
        let Some(kept) = kept.get(id).filter(|kept| kept.registered) else { return false };
        kept.reports.send_replace((status, note.into()));
        true
    }

    fn made(consul: Consul, options: QueryOptions, overrides: BTreeMap<ServiceName, QueryOptions>) -> Self {
        let shared = Shared {
            consul,
            options,
            overrides,
            kept: Mutex::default(),
            doubts: Mutex::default(),
            guard: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    fn options(&self, service: &ServiceName) -> &QueryOptions {
        self.overrides.get(service).unwrap_or(&self.options)
    }

    /// The first of what is registered, for the guard.
    pub(crate) fn first_registered(&self) -> Option<(Consul, InstanceId)> {
        let kept = self.kept();
        let first = kept.iter().find(|(_, kept)| kept.registered).map(|(id, _)| id.clone())?;
        Some((self.consul.for_task(), first))
    }

    /// Whoever keeps a registration is to look.
    pub(crate) fn doubt_all(&self) {
        let registered: Vec<InstanceId> = self.kept().keys().cloned().collect();
        for id in registered {
            self.doubts_of(&id).notify_one();
        }
    }

    /// Has a task notice when the agent restarts.
    fn guard(self: &Arc<Self>) {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.as_ref().is_none_or(AbortHandle::is_finished) {
            let seed = self.consul.environment().entropy.next_u64();
            *guard = Some(tokio::spawn(crate::guard::run(Arc::downgrade(self), seed)).abort_handle());
        }
    }

    async fn register(self: &Arc<Self>, config: &ServiceConfig) -> Result<(), ConsulError> {
        let owner = self.consul.config().owner.clone();
        let registration = Registration::of(config, owner.as_deref()).map_err(|error| invalid(REGISTER, &error))?;
        let said = self.kept().get(config.id()).map(|kept| kept.reports.borrow().0).unwrap_or_default();
        let registration = registration.saying(said);
        let body = registration.json();
        let body = body.map_err(|error| ConsulError::new(REGISTER, Cause::Invalid(error.to_string().into())))?;
        self.consul.verify_supported(&QueryOptions::default()).await?;
        let before = self.consul.held(config.id()).await?;
        let due = self.note(config, before.maintenance);
        if let Err(error) = self.consul.put_service(body).await {
            return Err(self.part_by_part(config, &registration, error).await);
        }
        if let Some(reason) = &due {
            self.consul.set_maintenance(config.id().as_str(), Some(reason)).await?;
        }
        self.settled(config);
        self.guard();
        if let Some(owner) = &owner {
            self.clear_ghosts(config, owner).await;
        }
        Ok(())
    }

    /// What a registration that was refused has changed all the same: 1.8.7 refuses a check of a service that stands, and
    /// has applied its new address.
    async fn part_by_part(&self, config: &ServiceConfig, wanted: &Registration<'_>, error: ConsulError) -> ConsulError {
        if error.class() != ErrorClass::BadRequest && error.status().is_none_or(|status| status < 500) {
            return error;
        }
        match self.consul.held(config.id()).await {
            Ok(Held { service: Some(found), checks, .. }) if wanted.matches(&found) => {
                let check = if checks.is_empty() { "no check stands" } else { "the check that stands may be another" };
                let reason = format!("the service stands as it was to, and {check}; {error}");
                ConsulError::new(REGISTER, Cause::Partial(reason.into())).caused_by(error)
            }
            // What cannot be looked at is nothing to make a claim about.
            Ok(_) | Err(_) => error,
        }
    }

    /// Notes which maintenance must stand after the registration, and returns its reason.
    ///
    /// An operator's stays; ours follows the weight. Noted before anything is sent, because a caller may give up half-way
    /// and the agent has forgotten it by then.
    fn note(&self, config: &ServiceConfig, stands: Option<String>) -> Option<String> {
        let mut all = self.kept();
        let kept = all.entry(config.id().clone()).or_insert_with(|| Kept::of(config.service()));
        let earlier = kept.due.take().or(stands);
        let drained = config.instance().weights().passing.is_drained();
        kept.due = match earlier {
            Some(reason) if reason != DRAINED => Some(reason),
            Some(_) | None => drained.then(|| DRAINED.to_owned()),
        };
        kept.service = config.service().clone();
        kept.due.clone()
    }

    /// Notes what an instance says of itself, also of one that is about to be registered.
    fn say(&self, service: &ServiceName, instance: &InstanceId, status: TtlStatus, note: &str) {
        let mut all = self.kept();
        let kept = all.entry(instance.clone()).or_insert_with(|| Kept::of(service));
        kept.reports.send_if_modified(|report| {
            let changed = report.0 != status || &*report.1 != note;
            if changed {
                *report = (status, note.into());
            }
            changed
        });
    }

    /// The registration went through: its heartbeats begin, with the new time to live.
    fn settled(&self, config: &ServiceConfig) {
        let mut all = self.kept();
        let Some(kept) = all.get_mut(config.id()) else { return };
        kept.due = None;
        kept.registered = true;
        kept.end_heartbeat();
        let ttl = config.check().and_then(|check| body::ttl(check));
        kept.heartbeat = ttl.map(|ttl| {
            let heartbeat = Heartbeat {
                consul: self.consul.for_task(),
                check: check_id(config.id()),
                ttl,
                reports: kept.reports.subscribe(),
                doubts: self.doubts_of(config.id()),
            };
            tokio::spawn(heartbeat.run()).abort_handle()
        });
    }

    /// Takes away what an earlier process of the same owner left of the service: never what this one has registered, and
    /// never what bears no owner's tag or another's.
    async fn clear_ghosts(&self, config: &ServiceConfig, owner: &str) {
        let ghosts = match self.consul.owned(config.service().as_str(), owner).await {
            Ok(ids) => ids,
            Err(error) => return tracing::warn!(%error, "what a predecessor left could not be looked for"),
        };
        for ghost in ghosts {
            let mine = ghost.parse::<InstanceId>().is_ok_and(|id| self.kept().contains_key(&id));
            if mine {
                continue;
            }
            match self.consul.remove_service(&ghost).await {
                Ok(()) => tracing::info!(service = %config.service(), ghost, "took away what a predecessor left"),
                Err(error) => tracing::warn!(service = %config.service(), ghost, %error, "a predecessor's entry stays"),
            }
        }
    }

    async fn deregister(&self, instance: &InstanceId, part: Part) -> Result<(), ConsulError> {
        match part {
            Part::Service => {
                // Fed no more from now on, and not forgotten before it is gone: a ghost-hunt must not take it for one.
                if let Some(kept) = self.kept().get_mut(instance) {
                    kept.end_heartbeat();
                }
                self.consul.remove_service(instance.as_str()).await?;
                self.kept().remove(instance);
                self.doubts.lock().unwrap_or_else(PoisonError::into_inner).remove(instance);
                Ok(())
            }
            Part::Check => self.consul.remove_check(&check_id(instance)).await,
        }
    }

    fn doubts_of(&self, instance: &InstanceId) -> Arc<Notify> {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doubts.entry(instance.clone()).or_default())
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn of(service: &ServiceName) -> Self {
        Self {
            service: service.clone(),
            due: None,
            reports: watch::Sender::new((TtlStatus::Passing, "".into())),
            heartbeat: None,
            registered: false,
        }
    }

    fn end_heartbeat(&mut self) {
        if let Some(heartbeat) = self.heartbeat.take() {
            heartbeat.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for kept in self.kept().values_mut() {
            kept.end_heartbeat();
        }
        if let Some(guard) = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take() {
            guard.abort();
        }
    }
}

impl Registry for ConsulRegistry {
    fn register<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async move { self.shared.register(config).await.map_err(Into::into) })
    }

    fn deregister<'a>(
        &'a self,
        _service: &'a ServiceName,
        instance: &'a InstanceId,
        part: Part,
    ) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async move { self.shared.deregister(instance, part).await.map_err(Into::into) })
    }

    fn inspect<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<Standing, RegistryError>> {
        Box::pin(async move { self.shared.inspect(config).await.map_err(Into::into) })
    }

    fn resolve<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Resolution, RegistryError>> {
        Box::pin(async move {
            let listing = self.shared.consul.health(service, self.shared.options(service)).await?;
            let known = !listing.snapshot.is_empty();
            Ok(Resolution::heard(listing.snapshot, known).aged(listing.age))
        })
    }

    /// By what is asked for, datacenters that are named included, and a hash of the token: who may see less must not be told
    /// what others see. The agent's own datacenter has no name here, since it cannot be asked while the agent is away.
    fn identity(&self, service: &ServiceName) -> String {
        self.shared.consul.identity(self.shared.options(service))
    }

    fn watch(&self, service: &ServiceName) -> Box<dyn Watch> {
        let options = self.shared.options(service);
        Box::new(crate::watch::ServiceWatch::new(self.shared.consul.clone(), service, options))
    }

    /// Through the TTL check, if the instance has one: at once and with every heartbeat. Said before the registration, the
    /// check is fed with it from the first heartbeat on.
    fn report_health<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        status: OwnStatus,
        note: &'a str,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        self.shared.say(service, instance, status.into(), note);
        let fed = self.shared.kept().get(instance).is_some_and(|kept| kept.heartbeat.is_some());
        Box::pin(std::future::ready(Ok(fed)))
    }

    fn doubts<'a>(&'a self, instance: &'a InstanceId) -> BoxFuture<'a, ()> {
        let doubts = self.shared.doubts_of(instance);
        Box::pin(async move { doubts.notified().await })
    }

    fn runs_checks(&self) -> bool {
        true
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: Vec<String> = self.kept().iter().map(|(id, kept)| format!("{} {id}", kept.service)).collect();
        f.debug_struct("Shared").field("consul", &self.consul).field("kept", &kept).finish_non_exhaustive()
    }
}

/// What the agent calls the one check of a service.
fn check_id(instance: &InstanceId) -> String {
    format!("service:{instance}")
}

const REGISTER: &str = "register service";
/// Why an instance of weight 0 is in maintenance: Consul takes no passing weight of 0.
const DRAINED: &str = "mesh: weight 0";
