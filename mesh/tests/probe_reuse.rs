//! Checks over HTTP use the connection that the last one left, and notice nothing where its server closed it meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh::mesh_core::recorder::{Measurement, Recorder};
use mesh::mesh_core::service::CheckRunner;
use mesh::{HealthCheck, ServiceConfig, ServiceMesh};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn checks_share_one_connection() {
    let server = Server::start(usize::MAX, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let (_mesh, failures) = checked(&server, 2).await;
    server.answered(7).await;
    assert_eq!(server.connections(), 1);
    assert_eq!(failures.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_without_a_failed_check() {
    for reply in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".as_slice(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ] {
        let server = Server::start(3, reply).await;
        let (_mesh, failures) = checked(&server, 2).await;
        server.answered(7).await;
        assert!(server.connections() >= 3, "{}", server.connections());
        assert_eq!(failures.0.load(Ordering::Relaxed), 0, "{}", String::from_utf8_lossy(reply));
    }
}

#[tokio::test]
async fn a_body_beyond_what_is_read_costs_its_connection() {
    let mut reply = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec();
    reply.resize(reply.len() + 100_000, b'x');
    let server = Server::start(usize::MAX, &reply).await;
    let (_mesh, failures) = checked(&server, 2).await;
    server.answered(5).await;
    assert!(server.connections() >= 4);
    assert_eq!(failures.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_check_whose_first_failure_counts_has_a_connection_of_its_own() {
    let server = Server::start(usize::MAX, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let (_mesh, failures) = checked(&server, 1).await;
    // Looked at from before the first answer until after the last.
    for count in 1..=3 {
        server.answered(count).await;
        server.closed().await;
        assert!(server.connections() >= count);
    }
    assert_eq!((server.open_max(), failures.0.load(Ordering::Relaxed)), (1, 0));
}

/// A server that closes a connection after so many answers, without a word.
struct Server {
    port: u16,
    counts: Arc<Counts>,
}

/// What a server saw.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    answers: AtomicUsize,
    open: AtomicUsize,
    open_max: AtomicUsize,
}

impl Server {
    async fn start(answers_max: usize, reply: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::<Counts>::default();
        let (counted, reply) = (Arc::clone(&counts), reply.to_vec());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::Relaxed);
                counted.open_max.fetch_max(counted.open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                let (reply, counted) = (reply.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    // How the client leaves is no matter of the tests.
                    let _ = serve(stream, answers_max, reply, &counted).await;
                    counted.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, counts }
    }

    fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// The most connections that were open at a time.
    fn open_max(&self) -> usize {
        self.counts.open_max.load(Ordering::Relaxed)
    }

    /// Waits for so many answers.
    async fn answered(&self, count: usize) {
        until("answers", || self.counts.answers.load(Ordering::Relaxed) >= count).await;
    }

    /// Waits until no connection is open.
    async fn closed(&self) {
        until("no connection", || self.counts.open.load(Ordering::Relaxed) == 0).await;
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let met = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(met.await.is_ok(), "{what}");
}

async fn serve(mut stream: TcpStream, answers_max: usize, reply: Vec<u8>, counts: &Counts) -> std::io::Result<()> {
    let (mut seen, mut answers) = (Vec::new(), 0);
    while answers < answers_max {
        if stream.read_buf(&mut seen).await? == 0 {
            return Ok(());
        }
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            answers += 1;
            let _ = stream.write_all(&reply).await;
            counts.answers.fetch_add(1, Ordering::Relaxed);
            if !reply.windows(8).any(|part| part == b"HTTP/1.1") || reply.windows(5).any(|part| part == b"close") {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How many checks failed.
#[derive(Clone, Debug, Default)]
struct Failures(Arc<AtomicUsize>);

impl Recorder for Failures {
    fn record(&self, measurement: &Measurement<'_>) {
        if let Measurement::HealthChecked { passed: false, .. } = measurement {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A mesh that checks `server` every 400 ms, and takes so many failures for illness; and how many checks failed.
async fn checked(server: &Server, fall: u32) -> (ServiceMesh, Failures) {
    let failures = Failures::default();
    let mesh = ServiceMesh::builder().recorder(failures.clone()).build().await.unwrap();
    let check = HealthCheck::http("/health").run_by(CheckRunner::Mesh).interval(Duration::from_millis(400));
    let check = check.rise(NonZeroU32::MIN).fall(NonZeroU32::new(fall).unwrap()).timeout(Duration::from_millis(400));
    let config = ServiceConfig::builder("api", "127.0.0.1", server.port).check(check).build().unwrap();
    mesh.register_service(config).await.unwrap();
    mesh.get_healthy_services("api").await.unwrap();
    (mesh, failures)
}
