//! The task that drives one watch and tells all who share it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_core::machine::Machine as _;
use mesh_core::snapshot::Snapshot;
use mesh_core::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::hub::{HubShared, WatchKey};
use super::machine::{QueryId, WatchAnswer, WatchEffect, WatchInput, WatchMachine, WatchMode, WatchUpdate};
use crate::access::is_empty_list;
use crate::client::{Consul, read_listing};
use crate::error::ConsulError;
use crate::health::Vantage;
use crate::options::{Consistency, blocking};
use crate::request::Lane;
use crate::response::Answer;

/// What is known of a service by one watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct FeedState {
    /// The instances, once Consul answered.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// How often they changed.
    pub(crate) changes: u64,
    /// How often Consul was heard.
    pub(crate) heard: u64,
    /// How old what was heard last was already.
    pub(crate) age: Duration,
    /// Why Consul cannot be heard, and since when.
    pub(crate) lost: Option<(ConsulError, Instant)>,
}

/// The task of one watch.
pub(super) struct Follower {
    pub(super) consul: Consul,
    pub(super) key: WatchKey,
    pub(super) sender: watch::Sender<FeedState>,
    pub(super) shared: Arc<HubShared>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// The last list as it came, and as it was read: most returns repeat it.
    pub(super) last: Option<(Bytes, Arc<Snapshot>)>,
    /// How old the last answer was.
    pub(super) age: Duration,
}

impl Follower {
    /// Follows until nobody has listened for the whole linger.
    pub(super) async fn run(mut self) {
        let environment = self.consul.environment().clone();
        let clock = environment.clock;
        let mode = self.mode();
        let config = self.consul.config().watch.clone();
        let mut machine = WatchMachine::new(config, mode, environment.entropy.next_u64(), clock.now());
        let mut queries = JoinSet::new();
        let mut leave_at: Option<Instant> = None;
        loop {
            if let Some(WatchEffect::Query { op, block, strict, .. }) = machine.poll_effect() {
                // A query that is given up holds its connection at the agent, but nobody waits for it.
                queries.abort_all();
                let (consul, key) = (self.consul.clone(), self.key.clone());
                let was_empty = block.is_some() && self.last.as_ref().is_some_and(|(body, _)| is_empty_list(body));
                queries.spawn(async move {
                    let answer = ask(&consul, &key, block, strict).await;
                    (op, if was_empty { answer } else { with_access(&consul, &key, answer).await })
                });
            }
            while let Some(update) = machine.poll_event() {
                self.tell(clock.now(), update);
            }
            let due = machine.poll_timeout();
            tokio::select! {
                Some(done) = queries.join_next(), if !queries.is_empty() => {
                    if let Ok((op, answer)) = done {
                        let input = self.read(op, answer);
                        machine.handle_input(clock.now(), WatchInput::Mode(self.mode()));
                        machine.handle_input(clock.now(), input);
                    }
                }
                () = sleep_until(&*clock, due) => machine.handle_timeout(clock.now()),
                () = self.sender.closed(), if leave_at.is_none() => {
                    leave_at = Some(clock.now() + self.consul.config().linger);
                }
                () = sleep_until(&*clock, leave_at), if leave_at.is_some() => {
                    if self.shared.remove_idle(&self.key, &self.sender) {
                        return;
                    }
                    leave_at = None;
                }
            }
        }
    }

    /// Blocking while there is room among the agent's connections, and the service can be blocked on.
    fn mode(&mut self) -> WatchMode {
        if self.key.options.prepared_query {
            return WatchMode::Polling;
        }
        if self.permit.is_none() {
            self.permit = Semaphore::try_acquire_owned(Arc::clone(&self.shared.permits)).ok();
            if self.permit.is_none() {
                self.shared.warn_once(&self.key);
            }
        }
        if self.permit.is_some() { WatchMode::Blocking } else { WatchMode::Polling }
    }

    fn read(&mut self, op: QueryId, answer: Result<(Answer, Vantage), ConsulError>) -> WatchInput {
        let result = answer.and_then(|(answer, vantage)| {
            let meta = answer.meta.clone();
            let snapshot = match &self.last {
                Some((body, snapshot)) if *body == answer.body => Arc::clone(snapshot),
                Some(_) | None => read_listing(&self.key.service, &self.key.options, vantage, &answer)?.snapshot,
            };
            self.last = Some((answer.body, Arc::clone(&snapshot)));
            self.age = meta.staleness();
            Ok(WatchAnswer { index: meta.index, known_leader: meta.known_leader, last_contact: self.age, snapshot })
        });
        WatchInput::Answered { op, result }
    }

    fn tell(&self, now: Instant, update: WatchUpdate) {
        let service = &self.key.service;
        self.sender.send_modify(|state| match update {
            WatchUpdate::Changed(snapshot) => {
                tracing::debug!(%service, instances = snapshot.len(), "instances changed");
                state.snapshot = Some(snapshot);
                state.age = self.age;
                state.changes += 1;
                state.heard += 1;
                state.lost = None;
            }
            WatchUpdate::Confirmed => {
                state.age = self.age;
                state.heard += 1;
                state.lost = None;
            }
            WatchUpdate::Held => {
                tracing::warn!(%service, "Consul lists fewer instances, but knows no leader or is behind; not believed");
                state.heard += 1;
                state.lost = None;
            }
            WatchUpdate::Failed(error) => {
                tracing::debug!(%service, %error, "a query failed");
                let since = state.lost.as_ref().map_or(now, |(_, since)| *since);
                state.lost = Some((error, since));
            }
        });
    }
}

/// Sends one query of a watch.
async fn ask(
    consul: &Consul,
    key: &WatchKey,
    block: Option<(crate::index::Index, std::time::Duration)>,
    strict: bool,
) -> Result<(Answer, Vantage), ConsulError> {
    let WatchKey { service, options, datacenter } = key;
    consul.verify_supported(options).await?;
    let vantage = consul.vantage(datacenter.as_deref()).await?;
    let consistency = if strict { Consistency::Leader } else { options.consistency };
    let mut request = options.request(service.as_str(), datacenter.as_deref(), consistency).lane(Lane::Watch);
    // The machine gives up in time; this only bounds what a lost machine would leave behind.
    request = request.timeout(consul.config().watch.patience());
    if let Some((index, wait)) = block {
        request = blocking(request, index.get(), wait);
    }
    Ok((consul.send(&consul.scoped(request, options)).await?, vantage))
}

/// `answer`, unless it lists nothing because the token may not see it.
async fn with_access(
    consul: &Consul,
    key: &WatchKey,
    answer: Result<(Answer, Vantage), ConsulError>,
) -> Result<(Answer, Vantage), ConsulError> {
    let (answer, vantage) = answer?;
    if is_empty_list(&answer.body) {
        consul.verify_visible(key.service.as_str(), &answer.meta).await?;
    }
    Ok((answer, vantage))
}

pub(crate) async fn sleep_until(clock: &dyn mesh_core::port::Clock, due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep(due.since(clock.now())).await,
        None => std::future::pending().await,
    }
}
