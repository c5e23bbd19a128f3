//! What an agent is started with.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::ConsulServer;
use crate::ip;
use crate::server::{Serve as _, Tls};

/// A [`ConsulServer`] in the making.
#[derive(Clone, Debug)]
#[must_use = "nothing is started until start() is called"]
pub struct ConsulBuilder {
    pub(super) role: Role,
    pub(super) persistent: bool,
    pub(super) acl: bool,
    pub(super) tls: Option<Tls>,
    pub(super) datacenter: String,
    socket: Option<PathBuf>,
    settings: Vec<(String, Value)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Role {
    Dev,
    Server { expect: usize, join: Vec<Ipv4Addr> },
    Client { join: Vec<Ipv4Addr> },
}

impl Default for ConsulBuilder {
    fn default() -> Self {
        Self {
            role: Role::Dev,
            persistent: false,
            acl: false,
            tls: None,
            datacenter: "dc1".to_owned(),
            socket: None,
            settings: Vec::new(),
        }
    }
}

impl ConsulBuilder {
    /// Keeps registrations across restarts. The index of the dev agent begins anew all the same.
    pub const fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Denies by default; the token `root` may do everything.
    pub const fn acl(mut self) -> Self {
        self.acl = true;
        self
    }

    /// Speaks TLS on port 8501, beside plain text on 8500.
    pub const fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Takes no more connections from one address than this.
    pub fn connections_max(self, connections: u32) -> Self {
        self.setting("limits", json!({ "http_max_conns_per_client": connections }))
    }

    /// Says so soon that there is no leader, in place of 7 s.
    pub fn no_leader_after(self, hold: Duration) -> Self {
        let hold = format!("{}ms", hold.as_millis());
        self.setting("performance", json!({ "raft_multiplier": 1, "rpc_hold_timeout": hold }))
    }

    /// Listens on the Unix socket `path` besides.
    pub fn unix_socket(mut self, path: &Path) -> Self {
        self.socket = Some(path.to_owned());
        self
    }

    /// Sets a key of the agent's configuration.
    pub fn setting(mut self, key: &str, value: Value) -> Self {
        self.settings.push((key.to_owned(), value));
        self
    }

    pub(super) fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// Where Consul is not installed, with the command that does, or the agent does not become ready.
    pub async fn start(self) -> ConsulServer {
        ConsulServer::prepare(self, ip::next()).begin().await
    }

    /// The agent's configuration on `ip`, with its files in `directory`.
    pub(super) fn configuration(&self, node: &str, ip: Ipv4Addr, directory: &Path) -> Value {
        let (number, ip) = (u32::from(ip), ip.to_string());
        let data = directory.join("data");
        let mut config = json!({
            // The same after its data is gone: servers refuse a known name under another id.
            "node_id": format!("{number:08x}-0000-4000-8000-{number:012x}"), "node_name": node, "bind_addr": ip, "client_addr": ip, "datacenter": self.datacenter, "log_level": "INFO",
            "disable_update_check": true, "leave_on_terminate": false, "skip_leave_on_interrupt": true,
            "ports": { "http": 8500, "server": 8300, "serf_lan": 8301, "serf_wan": -1, "dns": -1, "grpc": -1 },
        });
        let mut set = |key: &str, value: Value| config[key] = value;
        let join = |join: &[Ipv4Addr]| json!(join.iter().map(ToString::to_string).collect::<Vec<_>>());
        match &self.role {
            Role::Dev if self.persistent => set("data_dir", json!(data)),
            Role::Dev => {}
            Role::Server { expect, join: others } => {
                set("server", json!(true));
                set("bootstrap_expect", json!(expect));
                set("retry_join", join(others));
                set("retry_interval", json!("500ms"));
                set("data_dir", json!(data));
                set("performance", json!({ "raft_multiplier": 1 }));
            }
            Role::Client { join: others } => {
                set("retry_join", join(others));
                set("retry_interval", json!("500ms"));
                set("data_dir", json!(data));
            }
        }
        if self.role != Role::Dev {
            let quick = json!({
                "gossip_interval": "50ms", "probe_interval": "100ms", "probe_timeout": "100ms", "suspicion_mult": 3,
            });
            set("gossip_lan", quick);
        }
        if self.acl {
            set("primary_datacenter", json!(self.datacenter));
            let tokens = json!({ "master": "root", "agent": "root" });
            set("acl", json!({ "enabled": true, "default_policy": "deny", "tokens": tokens }));
        }
        if let Some(tls) = self.tls {
            config["ports"]["https"] = json!(8501);
            config["ca_file"] = json!(directory.join("consul-agent-ca.pem"));
            config["cert_file"] = json!(directory.join(format!("{}-server-consul-0.pem", self.datacenter)));
            config["key_file"] = json!(directory.join(format!("{}-server-consul-0-key.pem", self.datacenter)));
            config["verify_incoming_https"] = json!(tls == Tls::Mutual);
        }
        if let Some(socket) = &self.socket {
            config["addresses"] = json!({ "http": format!("{ip} unix://{}", socket.display()) });
        }
        for (key, value) in &self.settings {
            config[key] = value.clone();
        }
        config
    }
}
