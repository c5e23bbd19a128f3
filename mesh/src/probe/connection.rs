//! The connection that a question is asked over: TCP, with TLS on it where the check wants that.

use mesh_cache::Stream;
use mesh_core::health::ProbeFailure;
use mesh_core::service::Host;

use super::tls::Refusal;
use super::{Target, tcp};

/// What is to be spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connection on which nothing was said yet.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Stream>,
    /// Where it shows whether TLS was the reason if the connection breaks.
    pub(super) refusal: Refusal,
}

/// Opens a connection to `target`; over TLS where there is a host that the certificate must be for.
pub(super) async fn open(
    target: &Target<'_>,
    protocol: Protocol,
    certified: Option<&Host>,
) -> Result<Opened, ProbeFailure> {
    let Some(host) = certified else {
        return Ok(Opened { stream: tcp::open(target).await?, refusal: Refusal::none() });
    };
    let clients = target.tls.clients().await.map_err(|why| target.failed(ProbeFailure::Unsupported, &why))?;
    let spoken = clients.speak(host, protocol, tcp::open(target).await?).await;
    let (stream, refusal) = spoken.map_err(|error| target.failed(ProbeFailure::Tls, &error))?;
    Ok(Opened { stream, refusal })
}
