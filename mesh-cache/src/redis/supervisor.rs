//! Keeps a link: drives its machine, and does what it asks for.

use std::pin::Pin;
use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use mesh_core::machine::Machine as _;
use mesh_core::port::{BoxFuture, Clock};
use tokio::sync::mpsc;

use super::connect::{Connector, Driver, Failed, Ready};
use super::error::RedisError;
use super::link::{LinkEffect, LinkInput, LinkMachine, LinkUpdate};
use super::reason::{Epoch, Unfit};
use super::shared::Shared;
use crate::env::Environment;

/// The one task of a link. Whoever drops its future ends the connection.
pub(crate) struct Supervisor {
    machine: LinkMachine,
    connector: Arc<Connector>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    signals: mpsc::Receiver<LinkInput>,
    stopped: mpsc::Receiver<()>,
    attempt: Option<BoxFuture<'static, (Epoch, Result<Ready, Failed>)>>,
    ping: Option<BoxFuture<'static, Answers>>,
    live: Option<Live>,
}

/// The connection that serves calls, or is about to.
struct Live {
    epoch: Epoch,
    connection: MultiplexedConnection,
    driver: Driver,
}

/// What a PING came to: whether it was answered, and what that says.
type Answers = (LinkInput, Option<LinkInput>);

impl Supervisor {
    pub(crate) fn new(
        connector: Connector,
        environment: &Environment,
        shared: Arc<Shared>,
        signals: mpsc::Receiver<LinkInput>,
        stopped: mpsc::Receiver<()>,
    ) -> Self {
        let clock = Arc::clone(&environment.clock);
        let seed = environment.entropy.next_u64();
        let machine = LinkMachine::new(connector.config().link.clone(), seed, clock.now());
        let connector = Arc::new(connector);
        Self { machine, connector, clock, shared, signals, stopped, attempt: None, ping: None, live: None }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.carry_out();
            let due = self.machine.poll_timeout().map(|due| due.since(self.clock.now()));
            // In the order in which they are asked: what was answered in time counts, even where the task is late, and no
            // flood of signs keeps a timer waiting.
            let inputs = tokio::select! {
                biased;
                _ = self.stopped.recv() => break,
                (epoch, outcome) = ready(&mut self.attempt) => (self.connected(epoch, outcome), None),
                answers = ready(&mut self.ping) => {
                    self.heed(&answers);
                    answers
                }
                () = tokio::time::sleep(due.unwrap_or(FOREVER)) => {
                    self.machine.handle_timeout(self.clock.now());
                    continue;
                }
                epoch = ended(&mut self.live) => (LinkInput::Closed { epoch }, None),
                Some(signal) = self.signals.recv() => (signal, None),
            };
            for input in [Some(inputs.0), inputs.1].into_iter().flatten() {
                self.machine.handle_input(self.clock.now(), input);
            }
        }
        self.shared.close();
        if let Some(Live { driver, .. }) = self.live.take() {
            driver.shut().await;
        }
    }

    /// What is to be told of an attempt that has come to its end.
    fn connected(&mut self, attempt: Epoch, outcome: Result<Ready, Failed>) -> LinkInput {
        match outcome {
            Ok(Ready { connection, driver }) => {
                self.live = Some(Live { epoch: attempt, connection, driver });
                LinkInput::Connected { attempt }
            }
            Err(Failed { failure, detail }) => {
                tracing::debug!(attempt = attempt.get(), reason = failure.name(), detail, "no connection to Redis");
                LinkInput::ConnectFailed { attempt, failure }
            }
        }
    }

    /// Does all that the machine asks for, and tells all that it reports.
    fn carry_out(&mut self) {
        // Calls fail before the connection is closed, so that none is sent into it.
        while let Some(update) = self.machine.poll_event() {
            self.tell(update);
        }
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                LinkEffect::Connect { attempt } => self.connect(attempt),
                LinkEffect::Cancel { .. } => self.attempt = None,
                LinkEffect::Ping { ping } => self.ping = self.live.as_ref().map(|live| send_ping(live, ping)),
                LinkEffect::Abandon { .. } => {
                    self.ping = None;
                    self.live = None;
                }
            }
        }
        self.shared.note(self.machine.counters());
    }

    /// Lets nobody believe that changes are told by a server that is busy with a script. It acknowledges what it did before,
    /// answers every PING, and tells of no change until the script has ended (measured on Redis 7.0.15).
    fn heed(&self, (answer, illness): &Answers) {
        let Some(Live { epoch, .. }) = &self.live else { return };
        match illness {
            Some(LinkInput::Unfit { unfit: Unfit::Busy, .. }) => self.shared.hub.down(*epoch),
            None if matches!(answer, LinkInput::Pong { .. }) => self.shared.hub.resume(*epoch),
            None | Some(_) => {}
        }
    }

    fn connect(&mut self, attempt: Epoch) {
        let (connector, shared) = (Arc::clone(&self.connector), Arc::clone(&self.shared));
        self.attempt = Some(Box::pin(async move { (attempt, connector.connect(attempt, &shared).await) }));
    }

    fn tell(&self, update: LinkUpdate) {
        let server = &self.connector.config().url;
        match update {
            LinkUpdate::Up { epoch } => {
                let Some(live) = self.live.as_ref().filter(|live| live.epoch == epoch) else { return };
                self.shared.open(epoch, live.connection.clone());
                tracing::info!(%server, epoch = epoch.get(), "connected to Redis");
            }
            LinkUpdate::Down { epoch, why } => {
                self.shared.shut(epoch, why);
                tracing::warn!(%server, epoch = epoch.get(), reason = why.name(), "lost the connection to Redis");
            }
            LinkUpdate::StillDown { why } => self.shared.still_down(why),
        }
    }
}

impl Drop for Supervisor {
    /// Also where a dial panicked: nobody waits for a link that nobody keeps.
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Sends a PING on `live`; any answer will do, and one that names an illness is passed on.
fn send_ping(live: &Live, ping: super::link::PingId) -> BoxFuture<'static, Answers> {
    let (epoch, mut connection) = (live.epoch, live.connection.clone());
    Box::pin(async move {
        let error = match connection.send_packed_command(&::redis::cmd("PING")).await {
            Ok(reply) => RedisError::check(reply).err(),
            Err(error) => Some(RedisError::of(&error)),
        };
        match error {
            Some(RedisError::Disconnected) => (LinkInput::Missed { ping }, None),
            error => {
                let unfit = error.and_then(|error| error.unfit());
                (LinkInput::Pong { ping }, unfit.map(|unfit| LinkInput::Unfit { epoch, unfit }))
            }
        }
    })
}

/// What `future` comes to, once; pending where there is none. Cancel-safe.
async fn ready<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(pending) = future else { return std::future::pending().await };
    let value = Pin::new(pending).await;
    *future = None;
    value
}

/// Waits until the connection has ended by itself. Cancel-safe.
async fn ended(live: &mut Option<Live>) -> Epoch {
    let Some(live) = live else { return std::future::pending().await };
    live.driver.ended().await;
    live.epoch
}

/// As good as never.
const FOREVER: std::time::Duration = std::time::Duration::from_secs(60 * 60);
