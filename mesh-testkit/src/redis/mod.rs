//! Real Redis servers, each with a loopback address of its own.

mod builder;
mod cluster;
mod resp;
mod sentinel;
mod tls;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use builder::RedisBuilder;
pub use cluster::RedisCluster;
pub use resp::{Connection, Reply};
pub use sentinel::RedisSentinel;
use tokio::net::{TcpStream, UnixStream};

use crate::process::installed;
use crate::server::{READY_WITHIN, Serve, Server, Tries};
use builder::Role;

/// A Redis server that runs, or was killed and can be started again on the same address.
#[derive(Debug)]
pub struct RedisServer {
    server: Server,
    builder: RedisBuilder,
}

impl RedisServer {
    /// Starts a server that anybody may use, and that forgets everything when it ends.
    ///
    /// # Panics
    /// Where Redis is not installed, with the command that does, or the server does not become ready.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Begins a server.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    pub(crate) fn prepare(builder: RedisBuilder, ip: Ipv4Addr) -> Self {
        let name = if matches!(builder.role, Role::Sentinel { .. }) { "sentinel" } else { "redis" };
        Self { server: Server::prepare(name, ip), builder }
    }

    /// Starts it, on the same address with what it kept, and does not wait.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn launch(&mut self) {
        self.spawn();
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn become_ready(&mut self) {
        self.wait_until_ready().await;
    }

    /// Starts it again on the same address with what it kept, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_again(&mut self) {
        self.launch();
        self.become_ready().await;
    }

    /// As [`RedisServer::start_again`], without what it kept.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_empty(&mut self) {
        self.kill();
        // One that was never started has no such directory.
        let _ = fs::remove_dir_all(self.data());
        self.start_again().await;
    }

    /// Remembers what it keeps now, for [`RedisServer::start_as_remembered`].
    ///
    /// # Errors
    /// Where that cannot be copied.
    pub fn remember(&self) -> io::Result<()> {
        let remembered = self.remembered();
        if remembered.exists() {
            fs::remove_dir_all(&remembered)?;
        }
        copy_all(&self.data(), &remembered)
    }

    /// As [`RedisServer::start_again`], with what it remembered in the place of what it kept: whatever it acknowledged
    /// since is lost.
    ///
    /// # Errors
    /// Where it remembered nothing.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_as_remembered(&mut self) -> io::Result<()> {
        self.kill();
        fs::remove_dir_all(self.data())?;
        fs::rename(self.remembered(), self.data())?;
        self.start_again().await;
        Ok(())
    }

    /// `redis://127.x.y.z:6379`, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// `rediss://127.x.y.z:6380`, where it speaks TLS.
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("rediss://{}", self.tls_address())
    }

    /// Where it takes plain text.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.ip(), self.port()))
    }

    /// Where it takes TLS.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        SocketAddr::from((self.ip(), builder::TLS_PORT))
    }

    /// The port for plain text: 6379, or 26379 for a sentinel.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.builder.role.port()
    }

    /// Its Unix socket, where it has one.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        self.directory().join(builder::SOCKET)
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory().join(tls::CA)
    }

    /// A client's certificate and key.
    #[must_use]
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        (self.directory().join(tls::CLIENT.0), self.directory().join(tls::CLIENT.1))
    }

    /// Connects as one who may do everything: over its Unix socket where it has one, else over TCP.
    ///
    /// # Errors
    /// Where it does not take the connection or the name.
    pub async fn connect(&self) -> io::Result<Connection> {
        let mut connection = if self.builder.unix_socket {
            Connection::over(UnixStream::connect(self.socket_path()).await?)
        } else {
            self.connect_unknown().await?
        };
        let known = match self.builder.role {
            Role::Alone | Role::Cluster | Role::Replica { .. } => self.builder.administrator(),
            Role::Sentinel { .. } => None,
        };
        if let Some((user, password)) = known {
            let words: Vec<&str> = ["AUTH"].into_iter().chain(user).chain([password]).collect();
            connection.command(&words).await?.accepted()?;
        }
        Ok(connection)
    }

    /// Connects over TCP as nobody in particular.
    ///
    /// # Errors
    /// Where it does not take the connection.
    pub async fn connect_unknown(&self) -> io::Result<Connection> {
        Ok(Connection::over(TcpStream::connect(self.address()).await?))
    }

    /// Does a command as one who may do everything, over a connection of its own, and waits for as long as that takes.
    ///
    /// # Errors
    /// Where there is no answer; a refusal is one.
    pub async fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        self.connect().await?.command(words).await
    }

    /// Closes the connections of all clients, and tells how many there were.
    ///
    /// # Errors
    /// Where there is no answer, or a refusal.
    pub async fn kill_clients(&self) -> io::Result<i64> {
        let reply = self.command(&["CLIENT", "KILL", "TYPE", "normal"]).await?.accepted()?;
        reply.integer().ok_or_else(|| io::Error::other(format!("no number: {reply:?}")))
    }

    /// Lets it do nothing for `duration`, and returns as soon as it no longer answers.
    ///
    /// Unlike one that is frozen it ends by itself.
    ///
    /// # Errors
    /// Where it refuses.
    pub async fn debug_sleep(&self, duration: Duration) -> io::Result<()> {
        let mut connection = self.connect().await?;
        connection.send(&["DEBUG", "SLEEP", &duration.as_secs_f64().to_string()]).await?;
        loop {
            // It may end before it is seen to have begun.
            tokio::select! {
                reply = connection.reply() => return reply?.accepted().map(drop),
                answered = tokio::time::timeout(SILENT_AFTER, self.command(&["PING"])) => match answered {
                    Ok(answer) => drop(answer?),
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    /// What it answers to a command soon, unless that is a refusal.
    async fn ask<W: AsRef<[u8]>>(&self, words: &[W]) -> Option<Reply> {
        let answer = tokio::time::timeout(ANSWERS_WITHIN, self.command(words)).await;
        answer.ok()?.ok()?.accepted().ok()
    }

    /// As [`RedisServer::ask`], where a test cannot go on without.
    async fn demand<W: AsRef<[u8]>>(&self, words: &[W]) -> Reply {
        let answer = tokio::time::timeout(READY_WITHIN, self.command(words)).await;
        let why = match answer.map(|answer| answer.and_then(Reply::accepted)) {
            Ok(Ok(reply)) => return reply,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {READY_WITHIN:?}"),
        };
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word.as_ref())).collect();
        // Some commands name thousands of slots.
        self.fail(&format!("{:.200}: {why}", words.join(" ")))
    }

    /// Waits until a replica has what its master has.
    async fn wait_until_it_follows(&self) {
        let mut tries = Tries::within(READY_WITHIN);
        while tries.again().await {
            let role = self.ask(&["ROLE"]).await;
            if role.is_some_and(|role| role.items().get(3).and_then(Reply::text) == Some("connected")) {
                return;
            }
        }
        self.fail("it follows no master")
    }

    fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    fn remembered(&self) -> PathBuf {
        self.directory().join("remembered")
    }

    /// Writes what it is started with; only once, since servers change their own configuration and keep that.
    fn configure(&self, file: &Path, program: &Path) -> io::Result<()> {
        let (directory, data) = (self.directory(), self.data());
        if self.builder.tls.is_some() && !self.ca_file().exists() {
            tls::write(directory, self.ip()).map_err(|error| io::Error::other(error.to_string()))?;
        }
        fs::create_dir_all(&data)?;
        if file.exists() {
            return Ok(());
        }
        if let Some(users) = self.builder.users() {
            fs::write(data.join(builder::ACL_FILE), users)?;
        }
        fs::write(file, self.builder.configuration(self.ip(), version(program)?, directory, &data))
    }
}

impl Serve for RedisServer {
    fn readdress(&mut self, ip: Ipv4Addr) {
        let builder = self.builder.clone();
        *self = Self::prepare(builder, ip);
    }

    fn spawn(&mut self) {
        self.kill();
        let program = installed("redis-server", "Redis", "REDIS_BIN");
        let file = self.data().join("redis.conf");
        self.configure(&file, &program).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut arguments = vec![file.display().to_string()];
        if matches!(self.builder.role, Role::Sentinel { .. }) {
            arguments.push("--sentinel".to_owned());
        }
        self.run(&program, &arguments);
    }

    async fn answers(&self) -> bool {
        // Where the address is taken, another server may answer until this one has seen it and ended.
        let Some(pid) = self.pid() else { return false };
        let info = self.ask(&["INFO", "server"]).await;
        let own = format!("process_id:{pid}");
        let answers = info.as_ref().and_then(Reply::text).is_some_and(|info| info.lines().any(|line| line == own))
            // One that still loads its data tells of itself already.
            && self.ask(&["PING"]).await.is_some();
        if answers && matches!(self.builder.role, Role::Sentinel { .. }) {
            sentinel::hasten(self).await;
        }
        answers
    }
}

impl Deref for RedisServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for RedisServer {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// The first number of the version that `program` says it has, as in `Redis server v=7.0.15 sha=…`.
fn version(program: &Path) -> io::Result<u32> {
    let output = Command::new(program).arg("--version").output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.split_once("v=").and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    version.ok_or_else(|| io::Error::other(format!("{} has no version: {said}", program.display())))
}

const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
const SILENT_AFTER: Duration = Duration::from_millis(20);

/// Copies the directory `from` with all that is in it to `to`.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() {
            copy_all(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_taken_is_left_to_who_has_it() {
        let first = RedisServer::start().await;
        let second = RedisServer::prepare(RedisServer::builder(), first.ip()).begin().await;
        assert_ne!(first.ip(), second.ip());
        assert_eq!(first.command(&["SET", "key", "1"]).await.expect("an answer").text(), Some("OK"));
        assert_eq!(second.command(&["GET", "key"]).await.expect("an answer"), Reply::Bulk(None));
    }
}
