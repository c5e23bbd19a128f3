//! Drives the keeper of one registration: carries its operations to the registry, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_core::health::own::OwnState;
use mesh_core::machine::Machine as _;
use mesh_core::port::{Registry, RegistryError};
use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::registration::{
    Failure, RegistrationEffect, RegistrationError, RegistrationEvent, RegistrationInput, RegistrationKeeper,
    UpdateError,
};
use mesh_core::service::{InstanceId, ServiceConfig, ServiceName};
use mesh_core::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::sleep_until;
use crate::own_health;
use mesh_cache::Environment;

/// A registration that a task keeps, as its owners hold it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) config: Arc<ServiceConfig>,
    pub(crate) state: watch::Receiver<KeptState>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// How many orders to take the instance away are waiting or being carried out.
    pub(crate) leaving: Arc<AtomicUsize>,
}

/// What became of a registration so far.
#[derive(Clone, Debug, Default)]
pub(crate) enum KeptState {
    /// The registry has not shown it yet.
    #[default]
    Pending,
    /// The registry shows it, or did when it could last be asked.
    Registered,
    /// The registry did not take it.
    Failed(Arc<Failure>),
    /// It is being taken away.
    Leaving,
    /// It was taken away, and whether the registry confirmed that.
    Deregistered { confirmed: bool, error: Option<RegistryError> },
}

impl KeptState {
    /// Whether nothing of it stands and nothing will be done about it any more.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.certain && failure.stands.is_empty(),
            Self::Deregistered { confirmed, .. } => *confirmed,
            Self::Pending | Self::Registered | Self::Leaving => false,
        }
    }

    /// Whether nothing is being done about it until it is ordered to go: it failed, or may not be gone.
    pub(crate) const fn is_resting(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Deregistered { .. })
    }
}

/// What a registration's owner orders.
#[derive(Debug)]
pub(crate) enum Order {
    Update(Arc<ServiceConfig>, oneshot::Sender<UpdateReply>),
    /// Answered when the state says what becomes of this order, and no longer what became of an earlier one.
    Deregister(oneshot::Sender<()>),
}

/// How an update ended.
pub(crate) type UpdateReply = Result<(), UpdateFailure>;

/// Why an update does not stand.
#[derive(Debug)]
pub(crate) enum UpdateFailure {
    Refused(UpdateError),
    Failed { error: RegistrationError, restored: bool },
}

/// The task of one registration.
#[derive(Debug)]
pub(crate) struct RegistrationDriver {
    keeper: RegistrationKeeper,
    registry: Arc<dyn Registry>,
    environment: Environment,
    recorder: Arc<dyn Recorder>,
    config: Arc<ServiceConfig>,
    state: watch::Sender<KeptState>,
    orders: mpsc::Receiver<Order>,
    leaving: Arc<AtomicUsize>,
    /// Those of `leaving` that are being carried out.
    departures: usize,
    operations: JoinSet<RegistrationInput>,
    updating: Option<oneshot::Sender<UpdateReply>>,
    leaving_since: Option<Instant>,
    /// What the service says of its own health.
    health: watch::Receiver<OwnState>,
    /// How long the keeper waits for an operation.
    timeout: Duration,
    /// Told when the registry shows the instance, or does again.
    shown: Arc<Notify>,
}

impl RegistrationDriver {
    pub(crate) fn new(
        keeper: RegistrationKeeper,
        registry: Arc<dyn Registry>,
        environment: Environment,
        recorder: Arc<dyn Recorder>,
        health: watch::Receiver<OwnState>,
        timeout: Duration,
    ) -> (Self, Kept) {
        let config = Arc::clone(keeper.service());
        let (state, receiver) = watch::channel(KeptState::default());
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let leaving = Arc::<AtomicUsize>::default();
        let kept = Kept { config: Arc::clone(&config), state: receiver, orders: sender, leaving: Arc::clone(&leaving) };
        let driver = Self {
            keeper,
            registry,
            environment,
            recorder,
            config,
            state,
            orders,
            leaving,
            departures: 0,
            operations: JoinSet::new(),
            updating: None,
            leaving_since: None,
            health,
            timeout,
            shown: Arc::default(),
        };
        (driver, kept)
    }

    /// Drives the keeper until the instance is deregistered or was never registered.
    pub(crate) async fn run(mut self) {
        let (registry, config) = (Arc::clone(&self.registry), Arc::clone(&self.config));
        // Listened to anew with each verification: a registry that doubts without end would spin otherwise.
        let mut doubts = Some(registry.doubts(config.id()));
        let shown = Arc::clone(&self.shown);
        let feed = own_health::feed(Arc::clone(&registry), Arc::clone(&config), self.health.clone(), shown);
        // Part of this task, so that nothing is said of an instance once it is being taken away.
        let mut feed = Some(Box::pin(feed));
        while !self.carry_out() {
            let due = self.keeper.poll_timeout();
            tokio::select! {
                () = async { if let Some(doubts) = &mut doubts { doubts.await } }, if doubts.is_some() => {
                    doubts = None;
                    self.keeper.handle_input(self.environment.clock.now(), RegistrationInput::Doubted);
                }
                () = async { if let Some(feed) = &mut feed { feed.await } }, if feed.is_some() => feed = None,
                order = self.orders.recv() => match order {
                    Some(order) => {
                        self.obey(order);
                        feed = feed.take().filter(|_| self.leaving_since.is_none());
                    }
                    None => return,
                },
                Some(done) = self.operations.join_next(), if !self.operations.is_empty() => match done {
                    Ok(input) => {
                        self.keeper.handle_input(self.environment.clock.now(), input);
                        doubts.get_or_insert_with(|| registry.doubts(config.id()));
                    }
                    Err(error) if error.is_cancelled() => {}
                    // The keeper takes an operation without an answer for one whose outcome is unknown.
                    Err(error) => tracing::error!(%error, "an operation of the registry panicked"),
                },
                () = sleep_until(&*self.environment.clock, due) => {
                    self.keeper.handle_timeout(self.environment.clock.now());
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.environment.clock.now();
        match order {
            Order::Update(config, reply) => match self.keeper.update(now, config) {
                Ok(()) => self.updating = Some(reply),
                // Who asked may have gone meanwhile.
                Err(error) => _ = reply.send(Err(UpdateFailure::Refused(error))),
            },
            Order::Deregister(accepted) => {
                self.leaving_since.get_or_insert(now);
                self.departures += 1;
                self.state.send_replace(KeptState::Leaving);
                self.keeper.deregister(now);
                let _ = accepted.send(());
            }
        }
    }

    /// Does what the keeper asks for and passes on what it reports; true when there is nothing left to keep.
    fn carry_out(&mut self) -> bool {
        while let Some(effect) = self.keeper.poll_effect() {
            // The keeper waits for one answer at a time: what it no longer waits for need not go on.
            self.operations.abort_all();
            let (registry, health, timeout) = (Arc::clone(&self.registry), self.health.clone(), self.timeout);
            let begins = matches!(*self.state.borrow(), KeptState::Pending);
            self.operations.spawn(async move { operate(&*registry, effect, health, begins, timeout).await });
        }
        let mut over = false;
        while let Some(event) = self.keeper.poll_event() {
            over |= self.report(event);
        }
        over
    }

    /// Tells the owners of an event; true when it was the last one.
    fn report(&mut self, event: RegistrationEvent) -> bool {
        let (service, instance) = (self.config.service(), self.config.id());
        self.recorder.record(&Measurement::Registration { service, event: event.as_str() });
        log(service, instance, &event);
        match event {
            RegistrationEvent::Registered { .. } => {
                self.state.send_replace(KeptState::Registered);
                self.shown.notify_one();
            }
            RegistrationEvent::Restored { .. } => self.shown.notify_one(),
            RegistrationEvent::Updated => {
                self.shown.notify_one();
                self.answer_update(Ok(()));
            }
            RegistrationEvent::UpdateFailed { error, restored, .. } => {
                self.shown.notify_one();
                self.answer_update(Err(UpdateFailure::Failed { error, restored }));
            }
            RegistrationEvent::Failed(failure) => return self.rest(KeptState::Failed(Arc::new(failure))),
            RegistrationEvent::Deregistered { confirmed, error } => {
                let since = self.leaving_since.take();
                let elapsed = since.map(|since| self.environment.clock.now().since(since)).unwrap_or_default();
                self.recorder.record(&Measurement::Deregistration { service, confirmed, elapsed });
                return self.rest(KeptState::Deregistered { confirmed, error });
            }
            RegistrationEvent::Retrying { .. }
            | RegistrationEvent::Lost { .. }
            | RegistrationEvent::Unconfirmed { .. }
            | RegistrationEvent::Confirmed
            | _ => {}
        }
        false
    }

    /// Tells how it ended; true when nothing is left. What may still stand can be taken away by a later order.
    fn rest(&mut self, state: KeptState) -> bool {
        let gone = state.is_gone();
        self.updating = None;
        // Only those that ended: a newer order may be waiting already.
        self.leaving.fetch_sub(std::mem::take(&mut self.departures), Ordering::Relaxed);
        self.state.send_replace(state);
        gone
    }

    fn answer_update(&mut self, reply: UpdateReply) {
        if let Some(waiting) = self.updating.take() {
            // Who asked may have gone meanwhile.
            let _ = waiting.send(reply);
        }
    }
}

/// Logs what became of a registration: the expected at INFO, a routine look at DEBUG, trouble at WARN.
fn log(service: &ServiceName, instance: &InstanceId, event: &RegistrationEvent) {
    let name = event.as_str();
    match event {
        RegistrationEvent::Registered { .. }
        | RegistrationEvent::Updated
        | RegistrationEvent::Restored { .. }
        | RegistrationEvent::Deregistered { confirmed: true, .. } => {
            tracing::info!(%service, %instance, event = name, "registration");
        }
        RegistrationEvent::Confirmed => tracing::debug!(%service, %instance, event = name, "registration"),
        RegistrationEvent::Retrying { .. }
        | RegistrationEvent::Failed(_)
        | RegistrationEvent::Lost { .. }
        | RegistrationEvent::Unconfirmed { .. }
        | RegistrationEvent::UpdateFailed { .. }
        | RegistrationEvent::Deregistered { .. }
        | _ => tracing::warn!(%service, %instance, event = name, detail = ?event, "registration"),
    }
}

/// Carries one operation to the registry and returns its answer.
async fn operate(
    registry: &dyn Registry,
    effect: RegistrationEffect,
    mut health: watch::Receiver<OwnState>,
    begins: bool,
    timeout: Duration,
) -> RegistrationInput {
    match effect {
        RegistrationEffect::Register { op, config } => {
            let result = own_health::register(registry, &config, &mut health, begins, timeout).await;
            RegistrationInput::Registered { op, result }
        }
        RegistrationEffect::Inspect { op, config } => {
            RegistrationInput::Inspected { op, result: registry.inspect(&config).await }
        }
        RegistrationEffect::Deregister { op, service, instance, part } => {
            let result = registry.deregister(&service, &instance, part).await;
            RegistrationInput::Deregistered { op, result }
        }
    }
}

const ORDERS_MAX: usize = 8;
