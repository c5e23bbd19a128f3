//! The world that probes are tried in: scripted servers on real sockets, and connections in memory.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh::{Dial, Stream, TcpDial, TokioClock, probe};
use mesh_core::health::{Probe, ProbeReport};
use mesh_core::machine::{Machine as _, ServiceEffect, ServiceInput, ServiceMachine, ServiceMachineConfig};
use mesh_core::port::{BoxFuture, Resolution};
use mesh_core::service::{CheckRunner, HealthCheck, HealthCheckBuilder, Host, Instance};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use mesh_core::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A real server for one connection, on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heard: mpsc::UnboundedReceiver<()>,
    connection: JoinHandle<String>,
}

pub(crate) enum Answer {
    /// Reads and never answers.
    Nothing,
    /// Answers the request and closes.
    Text(String),
    /// Answers the request and leaves closing to the client.
    Keep(String),
    /// Answers with the first and then without end with the second.
    Flood(String, String),
}

impl Server {
    pub(crate) async fn silent() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), Answer::Nothing)
    }

    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), Answer::Text(answer.into()))
    }

    pub(crate) async fn flooding(head: &str, flood: String) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), Answer::Flood(head.to_owned(), flood))
    }

    pub(crate) fn on(listener: TcpListener, answer: Answer) -> Self {
        let address = listener.local_addr().unwrap();
        let (hears, heard) = mpsc::unbounded_channel();
        let connection = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = if matches!(answer, Answer::Nothing) { String::new() } else { read_head(&mut stream).await };
            match answer {
                Answer::Text(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                Answer::Flood(head, flood) => {
                    stream.write_all(head.as_bytes()).await.unwrap();
                    while stream.write_all(flood.as_bytes()).await.is_ok() {}
                }
                Answer::Keep(text) => {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
                }
                Answer::Nothing => {
                    let mut bytes = [0; 1024];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        sent.push_str(&String::from_utf8_lossy(&bytes[..read]));
                        let _ = hears.send(());
                    }
                }
            }
            sent
        });
        Self { address, heard, connection }
    }

    pub(crate) fn probe(&self, check: HealthCheckBuilder) -> Probe {
        probe_of(self.address, check)
    }

    /// Waits for the first bytes of a request.
    pub(crate) async fn heard_from(&mut self) {
        self.heard.recv().await.unwrap();
    }

    /// Waits until the connection has ended; what the client sent.
    pub(crate) async fn ended(&mut self) -> String {
        tokio::time::timeout(PATIENCE, &mut self.connection).await.expect("the connection is still open").unwrap()
    }
}

/// Connections in memory, so that paused time runs on when nothing happens.
#[derive(Debug)]
pub(crate) struct InMemory {
    pub(crate) dialled: AtomicUsize,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Accept(mpsc::UnboundedSender<DuplexStream>),
    Refuse,
    Hang,
}

impl InMemory {
    pub(crate) fn accepting() -> (Self, mpsc::UnboundedReceiver<DuplexStream>) {
        let (accept, servers) = mpsc::unbounded_channel();
        (Self::that(Then::Accept(accept)), servers)
    }

    pub(crate) fn refusing() -> Self {
        Self::that(Then::Refuse)
    }

    pub(crate) fn hanging() -> Self {
        Self::that(Then::Hang)
    }

    fn that(then: Then) -> Self {
        Self { dialled: AtomicUsize::new(0), then }
    }
}

impl Dial for InMemory {
    fn dial<'a>(&'a self, _: &'a Host, _: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match &self.then {
                Then::Accept(accept) => {
                    let (client, server) = tokio::io::duplex(IN_MEMORY_BYTES);
                    accept.send(server).unwrap();
                    Ok(Box::new(client) as Box<dyn Stream>)
                }
                Then::Refuse => Err(io::ErrorKind::ConnectionRefused.into()),
                Then::Hang => std::future::pending().await,
            }
        })
    }
}

pub(crate) async fn run(probe: &Probe) -> ProbeReport {
    probe::run(&TcpDial::new(), probe, &TokioClock::new()).await
}

/// An HTTP check that waits for as long as a test may take.
pub(crate) fn http() -> HealthCheckBuilder {
    HealthCheck::http("/health").run_by(CheckRunner::Mesh)
}

pub(crate) fn probe_of(address: SocketAddr, check: HealthCheckBuilder) -> Probe {
    probe_to(&address.ip().to_string(), address.port(), check)
}

/// The probe that a service's machine asks for when it finds this one instance.
pub(crate) fn probe_to(host: &str, port: u16, check: HealthCheckBuilder) -> Probe {
    let instance = Arc::new(Instance::builder("api", host, port).build().unwrap());
    let mut config = ServiceMachineConfig::default();
    config.check = Some(check.build_for_any().unwrap());
    let mut machine = ServiceMachine::new(config, 1);
    let entry = Entry::new(instance, RegistryStatus::Unknown, None);
    let found = Resolution::certain(Arc::new(Snapshot::new(vec![entry])), true);
    machine.handle_input(Instant::ZERO, ServiceInput::Observed(found));
    machine.handle_timeout(machine.poll_timeout().unwrap());
    let mut effects = std::iter::from_fn(|| machine.poll_effect());
    effects.find_map(|effect| if let ServiceEffect::Probe(probe) = effect { Some(probe) } else { None }).unwrap()
}

/// A request up to the empty line that ends its head.
pub(crate) async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

pub(crate) fn lines(request: &str) -> Vec<String> {
    request.split("\r\n").map(str::to_owned).collect()
}

/// Runs `future` in a world whose time passes only when nothing else happens.
pub(crate) fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

const PATIENCE: Duration = Duration::from_secs(30);
/// What a connection in memory holds that nobody has read.
pub(crate) const IN_MEMORY_BYTES: usize = 8 * 1024;
