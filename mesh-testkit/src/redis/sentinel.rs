//! A master, its replica, and the sentinels that put the one in the place of the other.

use std::net::SocketAddr;

use super::builder::{RedisBuilder, Role, WATCHED};
use super::{RedisServer, Reply};
use crate::server::{READY_WITHIN, Tries, start_all};

/// A master and a replica, and sentinels that take the master for gone when it does not answer for 1 s.
///
/// One of them is enough to say so, and most of them to do something about it. They speak plain text among themselves.
#[derive(Debug)]
pub struct RedisSentinel {
    /// Those that keep data; the first one begins as the master.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub watchers: Vec<RedisServer>,
}

impl RedisSentinel {
    /// Starts two servers and three sentinels, and waits until these know all of them.
    ///
    /// # Panics
    /// Where Redis is not installed, or they do not become ready.
    pub async fn start() -> Self {
        Self::start_with(RedisServer::builder(), 3).await
    }

    /// As [`RedisSentinel::start`], with another number of sentinels and the servers with the settings of `builder`.
    ///
    /// The sentinels know the servers' passwords and have none themselves.
    ///
    /// # Panics
    /// Where Redis is not installed, or they do not become ready.
    pub async fn start_with(builder: RedisBuilder, sentinels: usize) -> Self {
        let servers = start_all(2, |ip, ips| {
            let role = match ips.first() {
                Some(master) if *master != ip => Role::Replica { of: *master },
                Some(_) | None => Role::Alone,
            };
            RedisServer::prepare(builder.clone().role(role), ip)
        });
        let servers = servers.await;
        let [master, replica] = servers.as_slice() else { panic!("two servers were asked for") };
        // A sentinel that sees the replica at once need not wait 10 s before it looks again.
        replica.wait_until_it_follows().await;
        let role = Role::Sentinel { of: master.ip(), quorum: 1 };
        let watchers = start_all(sentinels, |ip, _| RedisServer::prepare(builder.clone().role(role), ip)).await;
        let all = Self { servers, watchers };
        all.wait_until_all_are_known().await;
        all
    }

    async fn wait_until_all_are_known(&self) {
        let others = self.watchers.len().saturating_sub(1);
        for watcher in &self.watchers {
            let mut tries = Tries::within(READY_WITHIN);
            while !knows(watcher, others).await {
                if !tries.again().await {
                    watcher.fail("it does not find the others");
                }
            }
        }
    }

    /// What the sentinels call those that they watch.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        WATCHED
    }

    /// Where the sentinels listen.
    #[must_use]
    pub fn sentinels(&self) -> Vec<SocketAddr> {
        self.watchers.iter().map(RedisServer::address).collect()
    }

    /// Which of the servers is the master, once all sentinels that run say so and it does.
    ///
    /// # Panics
    /// Where they do not agree within 30 s.
    pub async fn master(&self) -> usize {
        self.wait_for_master(|_| true).await
    }

    /// Kills the master, and waits until the sentinels tell of another one.
    ///
    /// What the master was told last may be lost; who must not lose it waits with `WAIT`, over the same connection.
    ///
    /// # Panics
    /// Where they do not within 30 s.
    pub async fn failover(&mut self) -> usize {
        let old = self.master().await;
        if let Some(master) = self.servers.get_mut(old) {
            master.kill();
        }
        self.wait_for_master(|new| new != old).await
    }

    /// Starts a server again, and waits until it follows the master that took its place.
    ///
    /// # Panics
    /// Where it does not within 30 s.
    pub async fn bring_back(&mut self, server: usize) {
        let Some(server) = self.servers.get_mut(server) else { panic!("there is no server {server}") };
        server.start_again().await;
        server.wait_until_it_follows().await;
    }

    /// Lets the sentinels put the replica in the place of a master that is well, and waits until they tell of it and
    /// the old one follows the new, with its clients cut off and what they write refused.
    ///
    /// # Panics
    /// Where they do not within 30 s.
    pub async fn hand_over(&self) -> usize {
        let old = self.master().await;
        let mut tries = Tries::within(READY_WITHIN);
        // Refused while the replica is not yet known well enough.
        while self.watcher().ask(&["SENTINEL", "FAILOVER", WATCHED]).await.is_none() {
            if !tries.again().await {
                self.watcher().fail("it does not begin");
            }
        }
        let new = self.wait_for_master(|new| new != old).await;
        if let Some(old) = self.servers.get(old) {
            old.wait_until_it_follows().await;
        }
        new
    }

    async fn wait_for_master(&self, wanted: impl Fn(usize) -> bool) -> usize {
        let mut tries = Tries::within(READY_WITHIN);
        while tries.again().await {
            if let Some(master) = self.told().await
                && wanted(master)
            {
                return master;
            }
        }
        self.watcher().fail("the sentinels do not agree on a master")
    }

    /// The master that all sentinels tell of and that knows of it.
    async fn told(&self) -> Option<usize> {
        let mut told = None;
        for watcher in self.watchers.iter().filter(|watcher| watcher.pid().is_some()) {
            let address = watcher.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", WATCHED]).await?;
            let ip = address.items().first().and_then(Reply::text)?;
            let master = self.servers.iter().position(|server| server.ip().to_string() == ip)?;
            if *told.get_or_insert(master) != master {
                return None;
            }
        }
        let role = self.servers.get(told?)?.ask(&["ROLE"]).await?;
        told.filter(|_| role.items().first().and_then(Reply::text) == Some("master"))
    }

    fn watcher(&self) -> &RedisServer {
        self.watchers.first().unwrap_or_else(|| panic!("there are no sentinels"))
    }
}

/// Lets a sentinel look around more often than it would by itself.
///
/// The period of pings does more than its name says. One connects again to a server, as to a master that has just been
/// made, only so long after the last time: that must be less than what it waits for an answer, or it takes the new
/// master for gone. And it promotes a replica only on news of it from the last five periods, which it asks for every
/// second.
pub(super) async fn hasten(watcher: &RedisServer) {
    let periods = ["PING-PERIOD", "300", "INFO-PERIOD", "500", "PUBLISH-PERIOD", "200"];
    // Unknown before the seventh version, where all of it works as well most of the time.
    let _ = watcher.ask(&[&["SENTINEL", "DEBUG"], periods.as_slice()].concat()).await;
}

/// Whether it knows the replica and so many other sentinels.
async fn knows(watcher: &RedisServer, others: usize) -> bool {
    let master = watcher.ask(&["SENTINEL", "MASTER", WATCHED]).await;
    let number = |name: &str| usize::try_from(master.as_ref()?.field(name)?.integer()?).ok();
    number("num-slaves") == Some(1) && number("num-other-sentinels") == Some(others)
}
