//! A small HTTP backend that can be killed and brought back.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A server on a port of its own, which it keeps across its deaths.
pub(crate) struct Backend {
    index: usize,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Backend {
    /// Starts on a free port.
    pub(crate) async fn start(index: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { index, address, server: tokio::spawn(serve(listener, index)) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the port and every connection, in the middle of whatever they were doing.
    pub(crate) async fn kill(&mut self) {
        self.server.abort();
        // Cancelled is what it is meant to be.
        let _ = (&mut self.server).await;
    }

    /// Comes back on the same port.
    pub(crate) async fn revive(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.server = tokio::spawn(serve(listener, self.index));
        Ok(())
    }
}

async fn serve(listener: TcpListener, index: usize) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let answer = service_fn(move |_: Request<Incoming>| async move {
            Ok::<_, Infallible>(Response::new(format!("hello from backend {index}\n")))
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        connections.spawn(async move {
            // A connection that a client cut short is the client's affair.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}
