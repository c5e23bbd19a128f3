//! A registry in memory that can be told to fail, hang, lie, lose what it holds and fall silent, and that keeps a
//! journal.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mesh::mesh_core::health::own::OwnStatus;
use mesh::mesh_core::port::{BoxFuture, Registry, RegistryError, Resolution, Watch, WatchEvent};
use mesh::mesh_core::registration::{Part, Standing};
use mesh::mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use mesh::registry::MemoryRegistry;
use mesh::{InstanceId, ServiceConfig, ServiceName};
use tokio::sync::watch;

/// The registry; clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptedRegistry {
    pub(crate) truth: MemoryRegistry,
    pub(crate) script: Arc<Script>,
}

/// How the registry behaves, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Script {
    register: Mutex<Answer>,
    report: Mutex<Answer>,
    deregister: Mutex<Answer>,
    inspect: Mutex<Answer>,
    resolve: Mutex<Answer>,
    hearing: watch::Sender<Hearing>,
    uncertain: AtomicBool,
    statuses: Mutex<BTreeMap<InstanceId, RegistryStatus>>,
    journal: Mutex<Vec<String>>,
    /// What instances said of their own health.
    words: Mutex<Vec<String>>,
    watches: AtomicUsize,
    under_way: AtomicUsize,
}

/// How an operation is answered.
#[derive(Clone, Debug, Default)]
pub(crate) enum Answer {
    /// It is done and acknowledged.
    #[default]
    Truly,
    /// It is acknowledged and not done.
    Emptily,
    /// It is not done, and says so.
    No(RegistryError),
    /// It is done, and says that it is not.
    DoneBut(RegistryError),
    /// The service is registered without its check, and it says so.
    WithoutCheck(RegistryError),
    /// It is never answered, nor done.
    Never,
}

/// How a watch behaves.
#[derive(Clone, Debug, Default)]
pub(crate) enum Hearing {
    /// It tells what the registry holds.
    #[default]
    Clear,
    /// It says nothing.
    Silent,
    /// It says that the registry is lost.
    Lost(RegistryError),
    /// It panics.
    Broken,
}

impl ScriptedRegistry {
    /// Puts an instance there without any mesh, as another process would.
    pub(crate) async fn put(&self, config: &ServiceConfig) {
        self.truth.register(config).await.unwrap();
    }

    /// Puts an instance there of whose health the registry's own checks say `status`.
    pub(crate) async fn put_as(&self, config: &ServiceConfig, status: RegistryStatus) {
        self.script.statuses.lock().unwrap().insert(config.id().clone(), status);
        // Taken away first, so that those who follow it hear of an entry that did not change otherwise.
        self.lose(config).await;
        self.put(config).await;
    }

    /// Loses an instance.
    pub(crate) async fn lose(&self, config: &ServiceConfig) {
        self.truth.deregister(config.service(), config.id(), Part::Service).await.unwrap();
    }

    /// The ids of what it holds of `service`, in order.
    pub(crate) async fn held(&self, service: &str) -> Vec<String> {
        let resolution = self.truth.resolve(&service.parse().unwrap()).await.unwrap();
        resolution.snapshot.iter().map(|entry| entry.instance().id().to_string()).collect()
    }

    /// What stands of `config`.
    pub(crate) async fn standing(&self, config: &ServiceConfig) -> Standing {
        self.truth.inspect(config).await.unwrap()
    }

    pub(crate) fn register_is(&self, answer: Answer) {
        *self.script.register.lock().unwrap() = answer;
    }

    pub(crate) fn report_is(&self, answer: Answer) {
        *self.script.report.lock().unwrap() = answer;
    }

    pub(crate) fn deregister_is(&self, answer: Answer) {
        *self.script.deregister.lock().unwrap() = answer;
    }

    pub(crate) fn inspect_is(&self, answer: Answer) {
        *self.script.inspect.lock().unwrap() = answer;
    }

    pub(crate) fn resolve_is(&self, answer: Answer) {
        *self.script.resolve.lock().unwrap() = answer;
    }

    /// Every operation is answered so, and every watch is lost where that is a refusal.
    pub(crate) fn everything_is(&self, answer: &Answer) {
        for operation in [&self.script.register, &self.script.deregister, &self.script.inspect, &self.script.resolve] {
            *operation.lock().unwrap() = answer.clone();
        }
        self.watches_are(match answer {
            Answer::No(error) => Hearing::Lost(error.clone()),
            Answer::Never => Hearing::Silent,
            Answer::Truly | Answer::Emptily | Answer::DoneBut(_) | Answer::WithoutCheck(_) => Hearing::Clear,
        });
    }

    pub(crate) fn watches_are(&self, hearing: Hearing) {
        self.script.hearing.send_replace(hearing);
    }

    /// From now on its word is that of a registry behind a network, whose empty lists may be wrong.
    pub(crate) fn become_uncertain(&self) {
        self.script.uncertain.store(true, Ordering::Relaxed);
    }

    /// What it was asked to change, in order: `register api-1`, `deregister api-1`.
    pub(crate) fn journal(&self) -> Vec<String> {
        self.script.journal.lock().unwrap().clone()
    }

    /// What instances said of their own health, in order: `api-1 down db failed`.
    pub(crate) fn words(&self) -> Vec<String> {
        self.script.words.lock().unwrap().clone()
    }

    /// How many watches follow it.
    pub(crate) fn watches(&self) -> usize {
        self.script.watches.load(Ordering::Relaxed)
    }

    /// How many operations have not been answered, nor given up by who asked.
    pub(crate) fn under_way(&self) -> usize {
        self.script.under_way.load(Ordering::Relaxed)
    }

    fn note(&self, what: &str, id: &InstanceId) {
        self.script.journal.lock().unwrap().push(format!("{what} {id}"));
    }

    fn asked(&self, operation: &Mutex<Answer>) -> (Answer, UnderWay) {
        self.script.under_way.fetch_add(1, Ordering::Relaxed);
        (operation.lock().unwrap().clone(), UnderWay(Arc::clone(&self.script)))
    }
}

impl Registry for ScriptedRegistry {
    fn register<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async move {
            let (answer, _under_way) = self.asked(&self.script.register);
            self.note("register", config.id());
            match answer {
                Answer::Truly => self.truth.register(config).await,
                Answer::Emptily => Ok(()),
                Answer::No(error) => Err(error),
                Answer::DoneBut(error) => self.truth.register(config).await.and(Err(error)),
                Answer::WithoutCheck(error) => {
                    self.truth.register(config).await?;
                    self.truth.deregister(config.service(), config.id(), Part::Check).await.and(Err(error))
                }
                Answer::Never => std::future::pending().await,
            }
        })
    }

    fn deregister<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        part: Part,
    ) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async move {
            let (answer, _under_way) = self.asked(&self.script.deregister);
            self.note("deregister", instance);
            match answer {
                Answer::Truly => self.truth.deregister(service, instance, part).await,
                Answer::Emptily => Ok(()),
                Answer::No(error) => Err(error),
                Answer::DoneBut(error) | Answer::WithoutCheck(error) => {
                    self.truth.deregister(service, instance, part).await.and(Err(error))
                }
                Answer::Never => std::future::pending().await,
            }
        })
    }

    fn inspect<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<Standing, RegistryError>> {
        Box::pin(async move {
            let (answer, _under_way) = self.asked(&self.script.inspect);
            match answer {
                Answer::Truly | Answer::Emptily => self.truth.inspect(config).await,
                Answer::No(error) | Answer::DoneBut(error) | Answer::WithoutCheck(error) => Err(error),
                Answer::Never => std::future::pending().await,
            }
        })
    }

    fn resolve<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Resolution, RegistryError>> {
        Box::pin(async move {
            let (answer, _under_way) = self.asked(&self.script.resolve);
            match answer {
                Answer::Truly | Answer::Emptily => {
                    self.truth.resolve(service).await.map(|resolution| self.script.judged(resolution))
                }
                Answer::No(error) | Answer::DoneBut(error) | Answer::WithoutCheck(error) => Err(error),
                Answer::Never => std::future::pending().await,
            }
        })
    }

    fn watch(&self, service: &ServiceName) -> Box<dyn Watch> {
        self.script.watches.fetch_add(1, Ordering::Relaxed);
        let (script, hearing) = (Arc::clone(&self.script), self.script.hearing.subscribe());
        Box::new(ScriptedWatch { truth: self.truth.watch(service), script, hearing, lost: false })
    }

    fn report_health<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        status: OwnStatus,
        note: &'a str,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(async move {
            let word = format!("{instance} {} {note}", status.name());
            self.script.words.lock().unwrap().push(word.trim_end().to_owned());
            let answer = self.script.report.lock().unwrap().clone();
            match answer {
                Answer::Truly => self.truth.report_health(service, instance, status, note).await,
                Answer::Emptily => Ok(true),
                Answer::No(error) | Answer::DoneBut(error) | Answer::WithoutCheck(error) => Err(error),
                Answer::Never => std::future::pending().await,
            }
        })
    }

    fn runs_checks(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct ScriptedWatch {
    truth: Box<dyn Watch>,
    script: Arc<Script>,
    hearing: watch::Receiver<Hearing>,
    lost: bool,
}

impl Script {
    /// The resolution with what the registry says of each instance's health, and of how sure it is.
    fn judged(&self, resolution: Resolution) -> Resolution {
        let statuses = self.statuses.lock().unwrap();
        let judged = |entry: &Entry| {
            let status = statuses.get(entry.instance().id()).copied().unwrap_or_else(|| entry.status());
            Entry::new(Arc::clone(entry.instance()), status, entry.check().cloned())
        };
        let snapshot = Arc::new(Snapshot::new(resolution.snapshot.iter().map(judged).collect()));
        if self.uncertain.load(Ordering::Relaxed) {
            Resolution::heard(snapshot, resolution.known)
        } else {
            Resolution::certain(snapshot, resolution.known)
        }
    }

    fn heard(&self, event: WatchEvent) -> WatchEvent {
        match event {
            WatchEvent::Snapshot(resolution) => WatchEvent::Snapshot(self.judged(resolution)),
            WatchEvent::Confirmed | WatchEvent::Lost(_) | _ => event,
        }
    }
}

impl Watch for ScriptedWatch {
    fn next(&mut self) -> BoxFuture<'_, WatchEvent> {
        Box::pin(async move {
            loop {
                let hearing = self.hearing.borrow_and_update().clone();
                match hearing {
                    Hearing::Clear if self.lost => {
                        self.lost = false;
                        return WatchEvent::Confirmed;
                    }
                    Hearing::Clear => tokio::select! {
                        event = self.truth.next() => return self.script.heard(event),
                        _ = self.hearing.changed() => {}
                    },
                    Hearing::Lost(error) if !self.lost => {
                        self.lost = true;
                        return WatchEvent::Lost(error);
                    }
                    Hearing::Lost(_) | Hearing::Silent => _ = self.hearing.changed().await,
                    Hearing::Broken => panic!("a watch that is broken, as the test wants it"),
                }
            }
        })
    }
}

impl Drop for ScriptedWatch {
    fn drop(&mut self) {
        self.script.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

struct UnderWay(Arc<Script>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A registry that cannot be reached.
pub(crate) fn unreachable() -> RegistryError {
    RegistryError::Unreachable { source: None }
}

/// A registry that answers with an error of its own, perhaps after it has done what it was asked.
pub(crate) fn unavailable() -> RegistryError {
    RegistryError::Unavailable { reason: "no leader".into(), source: None }
}

/// A registry that refuses for good.
pub(crate) fn refused() -> RegistryError {
    RegistryError::Refused { reason: "bad check".into(), source: None }
}

/// A registry that does not let the caller do it.
pub(crate) fn denied() -> RegistryError {
    RegistryError::AccessDenied { reason: "token lacks service:write".into() }
}
