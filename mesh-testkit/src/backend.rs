//! A small HTTP backend that can fall ill in one way at a time.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What is wrong with a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sickness {
    /// Nothing: it answers 200.
    #[default]
    Healthy,
    /// It answers with this status.
    Status(u16),
    /// It answers this much later.
    Slow(Duration),
    /// It takes requests and never answers.
    Hang,
    /// It breaks the connection off in the place of an answer.
    Break,
    /// Of every so many requests the last is answered with 503.
    FailsEvery(u64),
    /// As `FailsEvery`, and answers `/health` with 200 all the same.
    FailsEveryButChecks(u64),
    /// As `Slow`, and answers `/health` at once all the same.
    SlowButChecks(Duration),
}

/// An HTTP server on a port of its own, which it keeps across its deaths.
#[derive(Debug)]
pub struct Backend {
    name: String,
    address: SocketAddr,
    sickness: watch::Sender<Sickness>,
    requests: Arc<AtomicU64>,
    server: Option<JoinHandle<()>>,
}

impl Backend {
    /// Starts one called `name`, which is what its answers say.
    ///
    /// # Panics
    /// Where no port can be had.
    pub async fn start(name: &str) -> Self {
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let mut backend = Self {
            name: name.to_owned(),
            address,
            sickness: watch::Sender::default(),
            requests: Arc::default(),
            server: None,
        };
        backend.serve(listener);
        backend
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Falls ill, or well again.
    pub fn set(&self, sickness: Sickness) {
        self.sickness.send_replace(sickness);
    }

    /// How many requests came so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Closes the port and every connection.
    pub async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Cancelled is what it is meant to be.
            let _ = server.await;
        }
    }

    /// Comes back on the same port.
    ///
    /// # Panics
    /// Where somebody else has taken it.
    pub async fn revive(&mut self) {
        self.kill().await;
        let listener = bind(self.address).await;
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let (name, sickness, requests) = (self.name.clone(), self.sickness.subscribe(), Arc::clone(&self.requests));
        self.server = Some(tokio::spawn(serve(listener, name, sickness, requests)));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).await.unwrap_or_else(|error| panic!("{address}: {error}"))
}

async fn serve(listener: TcpListener, name: String, sickness: watch::Receiver<Sickness>, requests: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (name, sickness, requests) = (name.clone(), sickness.clone(), Arc::clone(&requests));
        let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let is_check = request.uri().path() == CHECK;
            let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
            let (name, sickness) = (name.clone(), *sickness.borrow());
            async move { answer(&name, sickness.towards(is_check), number).await }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        connections.spawn(async move {
            // A connection that was cut short is what the other side or the sickness wanted.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Sickness {
    /// How it shows in the answer to a request, or to a check.
    const fn towards(self, is_check: bool) -> Self {
        match self {
            Self::FailsEveryButChecks(_) | Self::SlowButChecks(_) if is_check => Self::Healthy,
            Self::FailsEveryButChecks(every) => Self::FailsEvery(every),
            Self::SlowButChecks(delay) => Self::Slow(delay),
            Self::Healthy | Self::Status(_) | Self::Slow(_) | Self::Hang | Self::Break | Self::FailsEvery(_) => self,
        }
    }
}

/// An error ends the connection without an answer.
async fn answer(name: &str, sickness: Sickness, number: u64) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let status = match sickness {
        Sickness::Healthy => 200,
        Sickness::Status(status) => status,
        Sickness::Slow(delay) | Sickness::SlowButChecks(delay) => {
            tokio::time::sleep(delay).await;
            200
        }
        Sickness::Hang => match std::future::pending::<Infallible>().await {},
        Sickness::Break => return Err(std::io::Error::other("sick")),
        Sickness::FailsEvery(every) | Sickness::FailsEveryButChecks(every) => {
            if every > 0 && number.is_multiple_of(every) { 503 } else { 200 }
        }
    };
    let body = Full::new(Bytes::from(format!("{name}\n")));
    Response::builder().status(status).body(body).map_err(std::io::Error::other)
}

/// Where checks ask.
const CHECK: &str = "/health";
