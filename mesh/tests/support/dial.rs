//! A network in memory: what answers on a port is what the test says.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use mesh::mesh_core::port::BoxFuture;
use mesh::mesh_core::service::Host;
use mesh::{Dial, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// Opens connections to what the script has listening. Clones share the script.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptedDial {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: BTreeMap<u16, Line>,
    dials: BTreeMap<u16, usize>,
    open: BTreeMap<u16, Arc<()>>,
    hanging: Arc<()>,
    hanging_max: usize,
}

/// What is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// An HTTP server that answers one request of each connection with this status.
    Status(u16),
    /// An HTTP server that answers every request with this status, and leaves it to the client to close.
    Keeps(u16),
    /// Nothing listens.
    Refused,
    /// Packets vanish.
    Hangs,
}

impl ScriptedDial {
    /// From now on this is behind `port`; before, a server that answers with 200.
    pub(crate) fn set(&self, port: u16, line: Line) {
        self.shared.lock().unwrap().lines.insert(port, line);
    }

    /// How often `port` was dialled.
    pub(crate) fn dials(&self, port: u16) -> usize {
        self.shared.lock().unwrap().dials.get(&port).copied().unwrap_or_default()
    }

    /// How many connections to a server on `port` neither side has closed.
    pub(crate) fn open(&self, port: u16) -> usize {
        self.shared.lock().unwrap().open.get(&port).map_or(0, |open| Arc::strong_count(open) - 1)
    }

    /// The most dials that hung at a time.
    pub(crate) fn hanging_max(&self) -> usize {
        self.shared.lock().unwrap().hanging_max
    }

    /// One more dial that hangs, for as long as this is held.
    fn hanging(&self) -> Arc<()> {
        let mut shared = self.shared.lock().unwrap();
        let hanging = Arc::clone(&shared.hanging);
        shared.hanging_max = shared.hanging_max.max(Arc::strong_count(&hanging) - 1);
        hanging
    }

    fn opened(&self, port: u16) -> Arc<()> {
        Arc::clone(self.shared.lock().unwrap().open.entry(port).or_default())
    }

    fn line(&self, port: u16) -> Line {
        *self.shared.lock().unwrap().dials.entry(port).or_default() += 1;
        self.behind(port)
    }

    fn behind(&self, port: u16) -> Line {
        self.shared.lock().unwrap().lines.get(&port).copied().unwrap_or(Line::Status(200))
    }
}

impl Dial for ScriptedDial {
    fn dial<'a>(&'a self, _: &'a Host, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            match self.line(port) {
                Line::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
                Line::Hangs => {
                    let _hanging = self.hanging();
                    std::future::pending().await
                }
                Line::Status(_) | Line::Keeps(_) => {
                    let (near, far) = tokio::io::duplex(4096);
                    tokio::spawn(serve(far, self.clone(), port, self.opened(port)));
                    Ok(Box::new(near) as Box<dyn Stream>)
                }
            }
        })
    }
}

/// Answers as the script has it by then, until it is to close; a client that goes away is its own affair.
async fn serve(mut stream: DuplexStream, script: ScriptedDial, port: u16, _open: Arc<()>) {
    let mut request = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        request.push(byte);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        let (status, end) = match script.behind(port) {
            Line::Status(status) => (status, "connection: close\r\n"),
            Line::Keeps(status) => (status, ""),
            // Those who are connected are served all the same.
            Line::Refused | Line::Hangs => (200, ""),
        };
        let answer = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 0\r\n{end}\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() || !end.is_empty() {
            return;
        }
    }
}
