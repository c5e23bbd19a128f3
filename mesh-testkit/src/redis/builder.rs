//! What a server is started with.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::Path;

use super::{RedisServer, tls};
use crate::ip;
use crate::server::{Serve as _, Tls};

/// A [`RedisServer`] in the making.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is started until start() is called"]
pub struct RedisBuilder {
    pub(super) role: Role,
    pub(super) tls: Option<Tls>,
    pub(super) unix_socket: bool,
    password: Option<String>,
    rules: Vec<String>,
    settings: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Alone,
    Cluster,
    Replica {
        of: Ipv4Addr,
    },
    Sentinel {
        of: Ipv4Addr,
        quorum: usize,
    },
}

impl RedisBuilder {
    /// Wants `password` of everybody.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Knows the users of `rules`, each a line of an ACL file, such as `user mesh on >secret ~mesh:* -@all +get`.
    ///
    /// Who names no user may do everything as before, unless a rule for `default` says otherwise.
    pub fn acl(mut self, rules: &[&str]) -> Self {
        self.rules.extend(rules.iter().map(|rule| (*rule).to_owned()));
        self
    }

    /// Speaks TLS on port 6380, beside plain text on 6379.
    pub const fn tls(mut self) -> Self {
        self.tls = Some(Tls::Server);
        self
    }

    /// As [`RedisBuilder::tls`], and wants a certificate of the client.
    pub const fn mutual_tls(mut self) -> Self {
        self.tls = Some(Tls::Mutual);
        self
    }

    /// Listens on a Unix socket besides.
    pub const fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Holds no more than `bytes`, and does what `policy` says with what is more, such as `noeviction`.
    pub fn max_memory(self, bytes: u64, policy: &str) -> Self {
        self.setting("maxmemory", &bytes.to_string()).setting("maxmemory-policy", policy)
    }

    /// Keeps its data when it is started again.
    pub fn append_only(self) -> Self {
        self.setting("appendonly", "yes")
    }

    /// Sets a key of `redis.conf` to `value`, written as it stands there.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(super) const fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// Where Redis is not installed, with the command that does, or the server does not become ready.
    pub async fn start(self) -> RedisServer {
        RedisServer::prepare(self, ip::next()).begin().await
    }

    /// The name, where it has one, and the password of one who may do everything.
    pub(super) fn administrator(&self) -> Option<(Option<&str>, &str)> {
        if self.rules.is_empty() {
            return self.password.as_deref().map(|password| (None, password));
        }
        Some((Some(ADMINISTRATOR), ADMINISTRATOR))
    }

    /// The server's configuration on `ip`, with its data in `data` and its certificates in `directory`.
    pub(super) fn configuration(&self, ip: Ipv4Addr, version: u32, directory: &Path, data: &Path) -> String {
        let mut lines = Lines::default();
        lines.add("bind", ip);
        // Others would see 127.0.0.1, which is nobody's address here.
        lines.add("bind-source-addr", ip);
        lines.add("dir", quoted(&data.display().to_string()));
        lines.add("daemonize", "no");
        lines.add("protected-mode", "no");
        lines.add("port", self.role.port());
        match self.role {
            Role::Alone => {}
            Role::Cluster => {
                lines.add("cluster-enabled", "yes");
                lines.add("cluster-config-file", "nodes.conf");
                lines.add("cluster-announce-ip", ip);
                lines.add("cluster-node-timeout", 2000);
            }
            Role::Replica { of } => lines.add("replicaof", format_args!("{of} {PORT}")),
            Role::Sentinel { of, quorum } => {
                self.watch(&mut lines, ip, of, quorum);
                return lines.0;
            }
        }
        self.serve(&mut lines, ip, version, directory, data);
        lines.0
    }

    /// What those have who keep data.
    fn serve(&self, lines: &mut Lines, ip: Ipv4Addr, version: u32, directory: &Path, data: &Path) {
        lines.add("save", "\"\"");
        lines.add("replica-announce-ip", ip);
        lines.add("repl-diskless-sync-delay", 0);
        if version >= 7 {
            lines.add("enable-debug-command", "yes");
        }
        if let Some((user, password)) = self.administrator() {
            lines.add("masterauth", quoted(password));
            if let Some(user) = user {
                lines.add("masteruser", user);
            }
        }
        if !self.rules.is_empty() {
            lines.add("aclfile", quoted(&data.join(ACL_FILE).display().to_string()));
        } else if let Some(password) = &self.password {
            lines.add("requirepass", quoted(password));
        }
        if let Some(tls) = self.tls {
            let file = |name: &str| quoted(&directory.join(name).display().to_string());
            lines.add("tls-port", TLS_PORT);
            lines.add("tls-ca-cert-file", file(tls::CA));
            lines.add("tls-cert-file", file(tls::SERVER.0));
            lines.add("tls-key-file", file(tls::SERVER.1));
            lines.add("tls-auth-clients", if tls == Tls::Mutual { "yes" } else { "no" });
        }
        if self.unix_socket {
            lines.add("unixsocket", quoted(&directory.join(SOCKET).display().to_string()));
        }
        for (key, value) in &self.settings {
            lines.add(key, value);
        }
    }

    /// What a sentinel of the server on `of` has.
    fn watch(&self, lines: &mut Lines, ip: Ipv4Addr, of: Ipv4Addr, quorum: usize) {
        lines.add("sentinel monitor", format_args!("{WATCHED} {of} {PORT} {quorum}"));
        lines.add("sentinel announce-ip", ip);
        lines.add("sentinel announce-port", SENTINEL_PORT);
        lines.add("sentinel down-after-milliseconds", format_args!("{WATCHED} 1000"));
        // A vote that nobody won is held again after twice this time.
        lines.add("sentinel failover-timeout", format_args!("{WATCHED} 2000"));
        if let Some((user, password)) = self.administrator() {
            lines.add("sentinel auth-pass", format_args!("{WATCHED} {}", quoted(password)));
            if let Some(user) = user {
                lines.add("sentinel auth-user", format_args!("{WATCHED} {user}"));
            }
        }
    }

    /// The users of its ACL file, where it has one.
    pub(super) fn users(&self) -> Option<String> {
        if self.rules.is_empty() {
            return None;
        }
        let mut lines = format!("user {ADMINISTRATOR} on >{ADMINISTRATOR} ~* &* +@all\n");
        if !self.rules.iter().any(|rule| rule.split_whitespace().nth(1) == Some("default")) {
            let secret = self.password.as_ref().map_or_else(|| "nopass".to_owned(), |password| format!(">{password}"));
            lines.push_str(&format!("user default on {secret} ~* &* +@all\n"));
        }
        for rule in &self.rules {
            lines.push_str(rule);
            lines.push('\n');
        }
        Some(lines)
    }
}

impl Role {
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Alone | Self::Cluster | Self::Replica { .. } => PORT,
            Self::Sentinel { .. } => SENTINEL_PORT,
        }
    }
}

/// The lines of a configuration.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, key: &str, value: impl Display) {
        self.0.push_str(&format!("{key} {value}\n"));
    }
}

/// `text` as one word of `redis.conf`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(super) const PORT: u16 = 6379;
pub(super) const TLS_PORT: u16 = 6380;
pub(super) const SENTINEL_PORT: u16 = 26379;
pub(super) const SOCKET: &str = "redis.sock";
pub(super) const ACL_FILE: &str = "users.acl";
/// What the sentinels call those that they watch.
pub(super) const WATCHED: &str = "mesh";
const ADMINISTRATOR: &str = "mesh-testkit";
