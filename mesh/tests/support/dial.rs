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
}

/// What is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// An HTTP server that answers everything with this status.
    Status(u16),
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

    fn line(&self, port: u16) -> Line {
        let mut shared = self.shared.lock().unwrap();
        *shared.dials.entry(port).or_default() += 1;
        shared.lines.get(&port).copied().unwrap_or(Line::Status(200))
    }
}

impl Dial for ScriptedDial {
    fn dial<'a>(&'a self, _: &'a Host, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            match self.line(port) {
                Line::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
                Line::Hangs => std::future::pending().await,
                Line::Status(status) => {
                    let (near, far) = tokio::io::duplex(4096);
                    tokio::spawn(serve(far, status));
                    Ok(Box::new(near) as Box<dyn Stream>)
                }
            }
        })
    }
}

/// Answers one request; a client that goes away is its own affair.
async fn serve(mut stream: DuplexStream, status: u16) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let answer = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}
