//! Opens connections: what the probes of a mesh and the connection to Redis talk through.
//!
//! Decides in which order the addresses of a name are tried and which are never connected to. Waits without
//! a limit of its own: whoever dials drops the future when patience ends.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mesh_core::port::BoxFuture;
use mesh_core::service::{Host, is_forbidden_target};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection: bytes in both directions. Dropping it closes it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Opens connections; the seam at which a simulated network replaces the real one.
pub trait Dial: Debug + Send + Sync {
    /// Connects to `port` of `host`. Dropping the future gives up and leaves no connection behind.
    ///
    /// # Errors
    /// Why there is no connection: the name does not resolve, nothing listens, the address is forbidden.
    fn dial<'a>(&'a self, host: &'a Host, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;

    /// Connects to the Unix socket at `path` of this machine. Unsupported unless an implementation says otherwise.
    ///
    /// # Errors
    /// Why there is no connection.
    fn dial_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let reason = format!("there is no way to {}", path.display());
        Box::pin(async move { Err(io::Error::new(io::ErrorKind::Unsupported, reason)) })
    }
}

/// Plain TCP without Nagle's delay; TLS is for whoever dials to speak.
///
/// The kernel gives a connection up whose other end has vanished: one that is idle after half a minute, and one that
/// was closed here with bytes still on their way after half a minute as well, in place of a quarter of an hour.
/// The addresses of a DNS name are tried one after the other in the order in which the system's resolver gives
/// them (RFC 6724's preferences), so one that swallows packets keeps those behind it from being tried for as
/// long as the caller waits. Addresses that
/// [nothing may be aimed at](is_forbidden_target) are never connected to, whatever name stands for them.
/// A look-up that is given up ends on tokio's blocking pool, unheard.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDial;

impl TcpDial {
    /// The system's TCP.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Dial for TcpDial {
    fn dial<'a>(&'a self, host: &'a Host, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            match host.ip() {
                Some(ip) => connect([SocketAddr::new(ip, port)]).await,
                None => connect(tokio::net::lookup_host((host.as_str(), port)).await?).await,
            }
        })
    }

    #[cfg(unix)]
    fn dial_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move { Ok(Box::new(tokio::net::UnixStream::connect(path).await?) as Box<dyn Stream>) })
    }
}

/// The first connection that any of `addresses` accepts, or the error of the last one tried.
async fn connect(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<Box<dyn Stream>> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match connect_to(address).await {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    if is_forbidden_target(address.ip()) {
        let rule = "nothing may be aimed at a link-local or metadata address";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, rule));
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    give_up_the_vanished(&stream);
    Ok(stream)
}

/// Has the kernel end the connection where the other end is gone. A system that cannot does without.
fn give_up_the_vanished(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
}

/// How long a connection is idle before the kernel asks whether the other end is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// How long it waits between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long bytes may go unacknowledged (RFC 5482), questions included.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_addresses_of_a_name_are_tried_until_one_accepts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listening = listener.local_addr().unwrap();
        let forbidden = "169.254.169.254:80".parse().unwrap();
        assert!(connect([forbidden, listening]).await.is_ok());
    }

    #[tokio::test]
    async fn a_forbidden_address_is_never_connected_to() {
        let disguised = "[::ffff:169.254.169.254]:80".parse().unwrap();
        let refused = connect([disguised]).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn the_kernel_gives_up_a_connection_whose_other_end_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect_to(listener.local_addr().unwrap()).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_an_error() {
        assert_eq!(connect([]).await.err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
