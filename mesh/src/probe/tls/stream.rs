//! A stream over TLS that keeps whether TLS was what broke it.
//!
//! A server of TLS 1.3 looks at a client's certificate when the client takes the handshake to be over, so that its
//! refusal comes in the place of an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use mesh_cache::Stream;
use mesh_core::health::ProbeFailure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

/// Whether TLS was what broke a connection.
#[derive(Clone, Debug)]
pub(in crate::probe) struct Refusal(Option<Arc<AtomicBool>>);

impl Refusal {
    /// That of a connection without TLS.
    pub(in crate::probe) const fn none() -> Self {
        Self(None)
    }

    /// That of a connection over TLS, on which nothing broke yet.
    pub(super) fn watching() -> Self {
        Self(Some(Arc::default()))
    }

    /// What it means that the connection broke.
    pub(in crate::probe) fn failure(&self) -> ProbeFailure {
        let by_tls = self.0.as_ref().is_some_and(|told| told.load(Ordering::Relaxed));
        if by_tls { ProbeFailure::Tls } else { ProbeFailure::Broken }
    }

    /// Keeps that `polled` was an error of TLS, if it was.
    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let (Some(told), Poll::Ready(Err(error))) = (&self.0, &polled)
            && error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>())
        {
            told.store(true, Ordering::Relaxed);
        }
        polled
    }
}

/// Bytes over TLS.
pub(super) struct Secured {
    stream: TlsStream<Box<dyn Stream>>,
    refusal: Refusal,
}

impl Secured {
    /// Has `refusal` keep what becomes of `stream`.
    pub(super) const fn new(stream: TlsStream<Box<dyn Stream>>, refusal: Refusal) -> Self {
        Self { stream, refusal }
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        self.refusal.note(polled)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.refusal.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.refusal.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.refusal.note(polled)
    }
}
