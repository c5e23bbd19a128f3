//! Real Consul agents, each with a loopback address of its own.

mod builder;
mod cluster;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use builder::ConsulBuilder;
pub use cluster::ConsulCluster;
use http::Method;

use crate::http::{Reply, send};
use crate::process::installed;
pub use crate::server::Tls;
use crate::server::{Serve, Server};
use builder::Role;

/// A Consul agent that runs, or was killed and can be started again on the same address.
#[derive(Debug)]
pub struct ConsulServer {
    server: Server,
    builder: ConsulBuilder,
    node: String,
}

impl ConsulServer {
    /// Starts an agent in development mode, which is its own server and forgets everything when it ends.
    ///
    /// # Panics
    /// Where Consul is not installed, with the command that does, or the agent does not become ready.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Begins an agent in development mode.
    pub fn builder() -> ConsulBuilder {
        ConsulBuilder::default()
    }

    pub(crate) fn prepare(builder: ConsulBuilder, ip: Ipv4Addr) -> Self {
        let node = format!("node-{}", ip.to_string().replace('.', "-"));
        Self { server: Server::prepare("consul", ip), builder, node }
    }

    /// Starts it, on the same address with what it kept, and does not wait.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn launch(&mut self) {
        self.spawn();
    }

    fn make_certificates(&self, program: &Path) {
        let datacenter = &self.builder.datacenter;
        let ip = format!("-additional-ipaddress={}", self.ip());
        for arguments in [
            vec!["tls", "ca", "create"],
            vec!["tls", "cert", "create", "-server", "-dc", datacenter, &ip],
            vec!["tls", "cert", "create", "-client", "-dc", datacenter],
        ] {
            let made = Command::new(program).args(&arguments).current_dir(self.directory()).output();
            match made {
                Ok(output) if output.status.success() => {}
                other => panic!("consul {} failed: {other:?}", arguments.join(" ")),
            }
        }
    }

    /// Whether it knows a leader and has its own node in the catalogue.
    pub async fn is_ready(&self) -> bool {
        let asked = tokio::time::timeout(Duration::from_secs(2), self.get("/v1/catalog/nodes"));
        let Ok(Ok(reply)) = asked.await else { return false };
        let leader = reply.headers.get("x-consul-knownleader").is_some_and(|known| known == "true");
        reply.status == 200 && leader && reply.body.contains(&self.node)
    }

    /// Waits until it knows a leader and has its own node in the catalogue.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn become_ready(&mut self) {
        self.wait_until_ready().await;
    }

    /// `http://127.x.y.z:8500`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `https://127.x.y.z:8501`, where it speaks TLS.
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://{}:8501", self.ip())
    }

    /// Where it takes plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.ip(), 8500))
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory().join("consul-agent-ca.pem")
    }

    /// A client's certificate and key.
    #[must_use]
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        let file = |ending| self.directory().join(format!("{}-client-consul-0{ending}.pem", self.builder.datacenter));
        (file(""), file("-key"))
    }

    /// Starts it again on the same address with what it kept, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_again(&mut self) {
        self.launch();
        self.become_ready().await;
    }

    /// As [`ConsulServer::start_again`], without what it kept.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_empty(&mut self) {
        self.kill();
        // An agent without data has no such directory.
        let _ = fs::remove_dir_all(self.directory().join("data"));
        self.launch();
        self.become_ready().await;
    }

    /// Reads `target` as one who may do everything.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn get(&self, target: &str) -> io::Result<Reply> {
        send(self.address(), Method::GET, target, self.headers(), "").await
    }

    /// Sends `body` to `target` as one who may do everything.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn put(&self, target: &str, body: &str) -> io::Result<Reply> {
        send(self.address(), Method::PUT, target, self.headers(), body).await
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        if self.builder.acl { &[("x-consul-token", "root")] } else { &[] }
    }
}

impl Serve for ConsulServer {
    fn readdress(&mut self, ip: Ipv4Addr) {
        let builder = self.builder.clone();
        *self = Self::prepare(builder, ip);
    }

    fn spawn(&mut self) {
        let program = installed("consul", "Consul", "CONSUL_BIN");
        if self.builder.tls.is_some() && !self.ca_file().exists() {
            self.make_certificates(&program);
        }
        let file = self.directory().join("agent.json");
        let config = self.builder.configuration(&self.node, self.ip(), self.directory());
        fs::write(&file, config.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut arguments = vec!["agent".to_owned()];
        if self.builder.role == Role::Dev {
            arguments.push("-dev".to_owned());
        }
        arguments.push("-config-file".to_owned());
        arguments.push(file.display().to_string());
        self.run(&program, &arguments);
    }

    async fn answers(&self) -> bool {
        self.is_ready().await
    }
}

impl Deref for ConsulServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for ConsulServer {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
