//! A Redis that does what a test tells it, over connections in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(dead_code, reason = "each test file uses a part of it")]

mod fake;
pub(crate) mod run;
mod stream;

use std::sync::Arc;
use std::time::Duration;

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub(crate) use fake::{Connection, FakeDial, FakeRedis, Plan, bulk, push, slots};
use mesh_cache::redis::{LinkState, RedisClient, RedisConfig, RedisError, RedisLink, Script};
use mesh_cache::{Environment, TokioClock};
use mesh_core::port::Clock as _;
use redis::Value;

/// Measures time, virtual where that is paused.
pub(crate) struct Stopwatch(TokioClock);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(TokioClock::new())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.now().since(TokioClock::START)
    }
}

/// A link to `fake` by `config`.
pub(crate) fn link_to(fake: &Arc<FakeRedis>, config: RedisConfig, scripts: &[Script]) -> RedisLink {
    RedisLink::start(config, &dialling(fake), scripts).unwrap()
}

/// A client of `fake` by `config`.
pub(crate) fn client_to(fake: &Arc<FakeRedis>, config: RedisConfig) -> RedisClient {
    RedisClient::start(config, &dialling(fake), &[]).unwrap()
}

fn dialling(fake: &Arc<FakeRedis>) -> Environment {
    Environment { dial: Arc::new(FakeDial(Arc::clone(fake))), ..Environment::system() }
}

/// A configuration that follows keys beginning with `mesh:`.
pub(crate) fn tracking() -> RedisConfig {
    let mut config = RedisConfig::default();
    config.tracking_prefix = Some("mesh:".to_owned());
    config
}

/// Reads `key` within 50 ms.
pub(crate) async fn get(link: &RedisLink, key: &str) -> Result<Value, RedisError> {
    link.query(redis::cmd("GET").arg(key), Duration::from_millis(50)).await
}

/// Waits until `condition` holds, for at most ten seconds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits until the link serves calls, for at most `within`.
pub(crate) async fn ready_within(link: &RedisLink, within: Duration) -> u64 {
    match tokio::time::timeout(within, link.ready()).await {
        Ok(epoch) => epoch.unwrap().get(),
        Err(_) => panic!("not up within {within:?}: {:?} {:?}", link.state(), link.stats()),
    }
}

/// Why the link is down.
pub(crate) fn why(link: &RedisLink) -> &'static str {
    why_down(link.state())
}

/// Why calls are not served; "up" where they are.
pub(crate) fn why_down(state: LinkState) -> &'static str {
    match state {
        LinkState::Down { why, .. } => why.name(),
        LinkState::Up { .. } => "up",
        _ => "unknown",
    }
}

/// What a user of mesh must be allowed on one server of Redis 7.0.
pub(crate) const RIGHTS: &str = "resetkeys ~mesh:v1:* resetchannels -@all +hello +auth +ping +get +getrange +set +del +hset +hget \
    +hmget +pexpire +pttl +type +evalsha +script|load +client|tracking +client|id +time +zadd +zrem +zcard \
    +zremrangebyscore +strlen";
