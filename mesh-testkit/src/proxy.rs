//! A TCP proxy in this process that delays, resets, truncates and swallows.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does to what passes through it. It counts at once, for connections that stand as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Every piece of an answer comes this much later.
    Latency(Duration),
    /// Connections are reset as soon as they are made, and those that stand.
    Reset,
    /// An answer is reset after so many bytes of it.
    ResetAfter(usize),
    /// An answer ends after so many bytes of it, as if that were all.
    TruncateAfter(usize),
    /// Connections are taken and nothing is ever answered.
    BlackHole,
}

/// A proxy on a port of its own; ends with the value, and its connections with it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Passes on to `target` whatever comes.
    ///
    /// # Panics
    /// Where no port can be had.
    pub async fn start(target: SocketAddr) -> Self {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = bound.unwrap_or_else(|error| panic!("no port for a proxy: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let fault = watch::Sender::new(Fault::None);
        let connections = Arc::<AtomicUsize>::default();
        let task = tokio::spawn(accept(listener, target, fault.clone(), Arc::clone(&connections)));
        Self { address, fault, connections, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does `fault` from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many connections stand.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, fault: watch::Sender<Fault>, count: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (faults, count) = (fault.subscribe(), Arc::clone(&count));
        connections.spawn(async move {
            count.fetch_add(1, Ordering::Relaxed);
            // A connection that breaks is what a proxy like this is for.
            let _ = relay(stream, target, faults).await;
            count.fetch_sub(1, Ordering::Relaxed);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(client: TcpStream, target: SocketAddr, mut faults: watch::Receiver<Fault>) -> io::Result<()> {
    let fault = *faults.borrow_and_update();
    if fault == Fault::Reset {
        return client.set_zero_linger();
    }
    if fault == Fault::BlackHole {
        faults.wait_for(|fault| *fault != Fault::BlackHole).await.map_err(io::Error::other)?;
        // Whoever waited is not answered any more, as after a firewall's rule was lifted.
        return client.set_zero_linger();
    }
    let server = TcpStream::connect(target).await?;
    // Else small pieces wait for acknowledgements, up to 40 ms, which no fault asked for.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let ended = {
        let upward = copy_up(from_client, to_server);
        let downward = copy_down(from_server, &mut to_client, faults);
        tokio::select! {
            result = upward => result.map(|()| Ended::Closed),
            result = downward => result,
        }
    };
    match ended {
        Ok(Ended::Reset) | Err(_) => to_client.as_ref().set_zero_linger(),
        Ok(Ended::Closed) => Ok(()),
    }
}

enum Ended {
    Closed,
    Reset,
}

async fn copy_up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await?;
    // The client has said all it has to say, and may still wait for the answer.
    std::future::pending().await
}

async fn copy_down(
    mut from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
) -> io::Result<Ended> {
    let mut piece = vec![0; 16 * 1024];
    let mut passed = 0_usize;
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read?,
            changed = faults.changed() => {
                changed.map_err(io::Error::other)?;
                // What was counted was another fault's; a reset is for those that stand.
                passed = 0;
                if *faults.borrow() == Fault::Reset {
                    return Ok(Ended::Reset);
                }
                continue;
            }
        };
        if read == 0 {
            return Ok(Ended::Closed);
        }
        let fault = *faults.borrow();
        let bytes = piece.get(..read).unwrap_or_default();
        let room = |most: usize| bytes.get(..read.min(most.saturating_sub(passed))).unwrap_or_default();
        match fault {
            Fault::None => to.write_all(bytes).await?,
            Fault::Latency(delay) => {
                tokio::time::sleep(delay).await;
                to.write_all(bytes).await?;
            }
            Fault::Reset => return Ok(Ended::Reset),
            Fault::ResetAfter(most) | Fault::TruncateAfter(most) if passed + read >= most => {
                to.write_all(room(most)).await?;
                to.flush().await?;
                return Ok(if matches!(fault, Fault::ResetAfter(_)) { Ended::Reset } else { Ended::Closed });
            }
            Fault::ResetAfter(_) | Fault::TruncateAfter(_) => to.write_all(bytes).await?,
            Fault::BlackHole => {}
        }
        passed = passed.saturating_add(read);
    }
}
