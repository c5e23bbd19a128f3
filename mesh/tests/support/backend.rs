//! A small HTTP server on a port of its own, whose answers can be set and which can be killed and brought back.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mesh::mesh_core::service::CheckRunner;
use mesh::{HealthCheck, ServiceConfig};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::ms;

/// The server; it keeps its port across its deaths.
pub(crate) struct Backend {
    address: SocketAddr,
    manner: Arc<Manner>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Manner {
    health: AtomicU16,
    work: AtomicU16,
    retry_after: AtomicU16,
    served: AtomicUsize,
}

impl Backend {
    /// Starts on a free port, healthy and willing.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Manner {
            health: AtomicU16::new(200),
            work: AtomicU16::new(200),
            retry_after: AtomicU16::new(0),
            served: AtomicUsize::new(0),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&manner)));
        Self { address, manner, server }
    }

    /// Its registration in `service`, with a check every quarter of a second that the mesh runs: often enough for
    /// a test to wait for, seldom enough for a busy machine to answer in time.
    pub(crate) fn config(&self, service: &str) -> ServiceConfig {
        let check = HealthCheck::http("/health").run_by(CheckRunner::Mesh).interval(ms(250));
        let check = check.fall(TWO).rise(NonZeroU32::MIN);
        ServiceConfig::builder(service, "127.0.0.1", self.port()).check(check).build().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `/health` answers with `status` from now on.
    pub(crate) fn health_is(&self, status: u16) {
        self.manner.health.store(status, Ordering::Relaxed);
    }

    /// Everything else answers with `status` from now on.
    pub(crate) fn work_is(&self, status: u16) {
        self.manner.work.store(status, Ordering::Relaxed);
    }

    /// What is answered with 503 asks to be left alone for so long.
    pub(crate) fn asks_for_a_pause_of(&self, seconds: u16) {
        self.manner.retry_after.store(seconds, Ordering::Relaxed);
    }

    /// How many requests it has answered, checks not counted.
    pub(crate) fn served(&self) -> usize {
        self.manner.served.load(Ordering::Relaxed)
    }

    /// Closes the port and every connection.
    pub(crate) async fn kill(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Comes back on the same port.
    pub(crate) async fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.server = tokio::spawn(serve(listener, Arc::clone(&self.manner)));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, manner: Arc<Manner>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let manner = Arc::clone(&manner);
        let answer = service_fn(move |request: Request<Incoming>| {
            let response = manner.answer(request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        connections.spawn(async move {
            // A connection that a client cut short is the client's affair.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Manner {
    fn answer(&self, path: &str) -> Response<String> {
        if path == "/health" {
            let status = self.health.load(Ordering::Relaxed);
            return Response::builder().status(status).body(String::new()).unwrap();
        }
        self.served.fetch_add(1, Ordering::Relaxed);
        let (status, retry_after) = (self.work.load(Ordering::Relaxed), self.retry_after.load(Ordering::Relaxed));
        let mut response = Response::builder().status(status);
        if status == 503 && retry_after > 0 {
            response = response.header("retry-after", retry_after);
        }
        response.body("hello".to_owned()).unwrap()
    }
}

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();
