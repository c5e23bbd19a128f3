//! What the calls on a link and its supervisor share; the path that every call takes.
//!
//! A call costs one look at the current connection, one count up and down, and one timer. Only what went wrong is told
//! to the supervisor, and the first answer after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{PushInfo, Value};
use arc_swap::ArcSwap;
use mesh_core::port::Clock;
use mesh_core::time::Instant;
use tokio::sync::{Notify, mpsc};
use tokio::time::error::Elapsed;

use super::client::{LinkState, LinkStats};
use super::config::RedisConfig;
use super::error::RedisError;
use super::event::{Hub, Relay};
use super::link::{LinkCounters, LinkInput};
use super::push::{Keys, Push};
use super::reason::{DownReason, Epoch, Unfit};
use crate::env::Environment;

#[derive(Debug)]
pub(crate) struct Shared {
    view: ArcSwap<View>,
    changed: Notify,
    pub(crate) hub: Hub,
    signals: mpsc::Sender<LinkInput>,
    /// Whether a call timed out since the supervisor last heard of an answer.
    wary: AtomicBool,
    in_flight: AtomicUsize,
    in_flight_max: usize,
    clock: Arc<dyn Clock>,
    link: Mutex<LinkCounters>,
    invalidations: AtomicU64,
    odd_pushes: AtomicU64,
    foreign_pushes: AtomicU64,
    overloads: AtomicU64,
}

/// Whether calls are served, and by what.
#[derive(Debug)]
enum View {
    Up { epoch: Epoch, connection: MultiplexedConnection },
    Down { since: Instant, why: DownReason },
}

/// One call under way.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    shared: &'a Shared,
    epoch: Epoch,
    pub(crate) connection: MultiplexedConnection,
}

impl Shared {
    pub(crate) fn new(
        config: &RedisConfig,
        environment: &Environment,
        relay: Option<Arc<dyn Relay>>,
    ) -> (Self, mpsc::Receiver<LinkInput>) {
        let clock = Arc::clone(&environment.clock);
        let (signals, received) = mpsc::channel(SIGNALS_MAX);
        let view = View::Down { since: clock.now(), why: DownReason::Starting };
        let shared = Self {
            view: ArcSwap::from_pointee(view),
            changed: Notify::new(),
            hub: Hub::new(config.events_max.get(), relay),
            signals,
            wary: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            in_flight_max: config.in_flight_max.get(),
            clock,
            link: Mutex::default(),
            invalidations: AtomicU64::new(0),
            odd_pushes: AtomicU64::new(0),
            foreign_pushes: AtomicU64::new(0),
            overloads: AtomicU64::new(0),
        };
        (shared, received)
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn begin(&self) -> Result<Call<'_>, RedisError> {
        let view = self.view.load();
        let (epoch, connection) = match &**view {
            View::Up { epoch, connection } => (*epoch, connection),
            View::Down { why, .. } => return Err(RedisError::Down { why: *why }),
        };
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.in_flight_max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.overloads.fetch_add(1, Ordering::Relaxed);
            return Err(RedisError::Overloaded);
        }
        Ok(Call { shared: self, epoch, connection: connection.clone() })
    }

    pub(crate) fn state(&self) -> LinkState {
        match &**self.view.load() {
            View::Up { epoch, .. } => LinkState::Up { epoch: *epoch },
            View::Down { since, why } => LinkState::Down { since: *since, why: *why },
        }
    }

    pub(crate) async fn ready(&self) -> Result<Epoch, RedisError> {
        self.up_unless(|why| why == DownReason::Closed).await
    }

    pub(crate) async fn started(&self) -> Result<(), RedisError> {
        self.up_unless(|why| why != DownReason::Starting).await.map(drop)
    }

    /// Waits until calls are served, or are not for a reason that is not waited out.
    async fn up_unless(&self, ends: impl Fn(DownReason) -> bool) -> Result<Epoch, RedisError> {
        loop {
            let changed = self.changed.notified();
            match self.state() {
                LinkState::Up { epoch } => return Ok(epoch),
                LinkState::Down { why, .. } if ends(why) => return Err(RedisError::Down { why }),
                LinkState::Down { .. } => changed.await,
            }
        }
    }

    /// Lets calls in; readers are told before, so that none misses what is pushed after the first reply.
    pub(crate) fn open(&self, epoch: Epoch, connection: MultiplexedConnection) {
        self.hub.up(epoch);
        self.set(View::Up { epoch, connection });
    }

    /// Lets no more calls in.
    pub(crate) fn shut(&self, epoch: Epoch, why: DownReason) {
        self.set(View::Down { since: self.now(), why });
        self.hub.down(epoch);
    }

    /// Notes why there is still no connection.
    pub(crate) fn still_down(&self, why: DownReason) {
        let since = match &**self.view.load() {
            View::Down { since, .. } => *since,
            View::Up { .. } => self.now(),
        };
        self.set(View::Down { since, why });
    }

    /// Lets no call in any more, and tells readers that there is no more to come.
    pub(crate) fn close(&self) {
        if let LinkState::Up { epoch } = self.state() {
            self.shut(epoch, DownReason::Closed);
        }
        self.still_down(DownReason::Closed);
        self.hub.end();
    }

    fn set(&self, view: View) {
        self.view.store(Arc::new(view));
        self.changed.notify_waiters();
    }

    /// Takes in what the connection of `epoch` was pushed; called by whatever reads it, so in order with the replies.
    pub(crate) fn pushed(&self, epoch: Epoch, info: PushInfo) {
        let (counter, keys) = match Push::decode(info) {
            Push::Invalidated(keys) => (&self.invalidations, keys),
            Push::Odd => (&self.odd_pushes, Keys::All),
            Push::Foreign => {
                self.foreign_pushes.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.hub.invalidated(epoch, keys);
    }

    pub(crate) fn note(&self, counters: LinkCounters) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    pub(crate) fn stats(&self) -> LinkStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LinkStats {
            link: *self.link.lock().unwrap_or_else(PoisonError::into_inner),
            invalidations: read(&self.invalidations),
            odd_pushes: read(&self.odd_pushes),
            foreign_pushes: read(&self.foreign_pushes),
            overflows: self.hub.overflows(),
            overloads: read(&self.overloads),
        }
    }

    /// Tells the supervisor, which may be behind: what it then misses is one sign of many.
    fn signal(&self, input: LinkInput) -> bool {
        self.signals.try_send(input).is_ok()
    }
}

impl Call<'_> {
    /// What came of the call; tells the supervisor what it says of the connection.
    pub(crate) fn settle<T>(
        &self,
        outcome: Result<::redis::RedisResult<T>, Elapsed>,
        deadline: Duration,
    ) -> Result<T, RedisError> {
        match outcome {
            Ok(Ok(reply)) => {
                self.answered();
                Ok(reply)
            }
            Ok(Err(error)) => Err(self.judged(RedisError::of(&error))),
            Err(_) => {
                self.shared.wary.store(true, Ordering::Relaxed);
                let began = self.shared.now() - deadline;
                self.shared.signal(LinkInput::CallTimedOut { epoch: self.epoch, began, waited: deadline });
                Err(RedisError::Timeout(deadline))
            }
        }
    }

    /// The reply, or the error that it is or holds.
    pub(crate) fn checked(&self, reply: Value) -> Result<Value, RedisError> {
        RedisError::check(reply).map_err(|error| self.judged(error))
    }

    fn answered(&self) {
        if self.shared.wary.load(Ordering::Relaxed) {
            let told = self.shared.signal(LinkInput::CallAnswered { epoch: self.epoch });
            self.shared.wary.store(!told, Ordering::Relaxed);
        }
    }

    fn judged(&self, error: RedisError) -> RedisError {
        if let Some(unfit) = error.unfit() {
            if unfit == Unfit::Busy {
                self.shared.hub.down(self.epoch);
            }
            self.shared.signal(LinkInput::Unfit { epoch: self.epoch, unfit });
        }
        error
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many signs of calls the supervisor may be behind.
const SIGNALS_MAX: usize = 256;
