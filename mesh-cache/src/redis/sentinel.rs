//! Asks sentinels where the master is.
//!
//! Decides whom to ask first: the one that answered last, or the one after it that did not. It believes the first answer;
//! whoever connects then asks the server itself whether it is a master.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::Value;

use super::connect::{Connector, Failed};
use super::reason::ConnectFailure;
use super::url::Node;

/// The sentinels of one master.
#[derive(Debug)]
pub(crate) struct Sentinels {
    nodes: Vec<Node>,
    master: String,
    deadline: Duration,
    /// Where to begin.
    first: AtomicUsize,
}

impl Sentinels {
    pub(crate) const fn new(nodes: Vec<Node>, master: String, deadline: Duration) -> Self {
        Self { nodes, master, deadline, first: AtomicUsize::new(0) }
    }

    /// Where the master is, by the first sentinel that knows.
    pub(crate) async fn master(&self, connector: &Connector) -> Result<Node, Failed> {
        let first = self.first.load(Ordering::Relaxed);
        let mut last = "there is no sentinel".to_owned();
        for at in (first..).take(self.nodes.len()) {
            let Some(node) = self.nodes.get(at % self.nodes.len()) else { break };
            // An attempt that is given up meanwhile begins with the next one.
            self.first.store(at + 1, Ordering::Relaxed);
            match tokio::time::timeout(self.deadline, self.ask(connector, node)).await {
                Ok(Ok(master)) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(master);
                }
                Ok(Err(Failed { failure: ConnectFailure::PlainText, detail })) => {
                    return Err(Failed::new(ConnectFailure::PlainText, detail));
                }
                Ok(Err(Failed { failure, detail })) => last = format!("{node}: {failure}: {detail}"),
                Err(_) => last = format!("{node}: no answer"),
            }
            tracing::debug!(sentinel = %node, reason = last, "a sentinel does not help");
        }
        Err(Failed::new(ConnectFailure::NoMaster, last))
    }

    async fn ask(&self, connector: &Connector, node: &Node) -> Result<Node, Failed> {
        let mut cmd = ::redis::cmd("SENTINEL");
        cmd.arg("get-master-addr-by-name").arg(&self.master);
        let reply = connector.ask(node, connector.sentinel_identity(), &cmd).await?;
        address_of(&reply).ok_or_else(|| Failed::new(ConnectFailure::NoMaster, "it knows no such master"))
    }
}

/// The address in `[host, port]`.
pub(crate) fn address_of(reply: &Value) -> Option<Node> {
    let [host, port] = reply.as_sequence()? else { return None };
    Some(Node { host: text(host)?.parse().ok()?, port: text(port)?.parse().ok().filter(|port| *port > 0)? })
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    if let Value::BulkString(bytes) = value { std::str::from_utf8(bytes).ok() } else { None }
}
