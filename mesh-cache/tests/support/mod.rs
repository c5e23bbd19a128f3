//! What the tests of the cache share: a world that repeats itself, and an origin that is told how to behave.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod origin;
pub(crate) mod shelf;
pub(crate) mod tiers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::mesh_core::port::{Clock, Entropy};
use mesh_cache::mesh_core::rng::mix;
use mesh_cache::mesh_core::time::Instant;
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_cache::second::SecondTier;
use mesh_cache::{Cache, CacheBuilder, CacheConfig, Environment, Key, Lifetimes, SystemWallClock, TcpDial, TokioClock};

/// Words that are the same in every run.
#[derive(Debug)]
pub(crate) struct Seeded(AtomicU64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for Seeded {
    fn next_u64(&self) -> u64 {
        mix(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A clock that is set by hand.
#[derive(Debug, Default)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// Tells how long ago it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    clock: TokioClock,
    began: Instant,
}

impl Default for Stopwatch {
    fn default() -> Self {
        let clock = TokioClock::new();
        Self { began: clock.now(), clock }
    }
}

impl Stopwatch {
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now().since(self.began)
    }
}

/// An environment in which nothing is left to chance, and whose clock begins now.
pub(crate) fn environment(seed: u64) -> Environment {
    environment_with(Arc::new(TokioClock::showing(Instant::ZERO)), seed)
}

pub(crate) fn environment_with(clock: Arc<dyn Clock>, seed: u64) -> Environment {
    Environment {
        clock,
        entropy: Arc::new(Seeded::new(seed)),
        dial: Arc::new(TcpDial::new()),
        wall: Arc::new(SystemWallClock),
    }
}

/// Fresh for 10 s, then stale for 20 s, then for another 40 s on error; absent for 3 s; no jitter.
pub(crate) fn lifetimes() -> Lifetimes {
    let mut lifetimes = Lifetimes::ttl(secs(10));
    lifetimes.stale = secs(20);
    lifetimes.stale_on_error = secs(40);
    lifetimes.absent = secs(3);
    lifetimes
}

/// Those lifetimes, and no renewal ahead of time.
pub(crate) fn config() -> CacheConfig {
    let mut config = CacheConfig::default();
    config.lifetimes = lifetimes();
    config.early_beta = 0.0;
    config
}

pub(crate) fn builder() -> CacheBuilder<u64> {
    Cache::builder().config(config()).environment(environment(1))
}

/// A cache in this process only.
pub(crate) fn cache() -> Cache<u64> {
    builder().build().unwrap()
}

pub(crate) fn cache_with(change: impl FnOnce(&mut CacheConfig)) -> Cache<u64> {
    let mut config = config();
    change(&mut config);
    builder().config(config).build().unwrap()
}

/// A cache that shares what it loads, sealed.
pub(crate) fn sharing(tier: impl SecondTier + 'static, environment: Environment) -> Cache<u64> {
    sharing_builder(tier, environment).build().unwrap()
}

pub(crate) fn sharing_builder(tier: impl SecondTier + 'static, environment: Environment) -> CacheBuilder<u64> {
    builder().environment(environment).second_tier("tests", tier, JsonCodec::new(1)).seal(sealer())
}

pub(crate) fn sealer() -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; SealKey::BYTES]).unwrap()))
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets every task that can go on do so; paused time stands still.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Lets paused time pass.
pub(crate) async fn pass(time: Duration) {
    settle().await;
    tokio::time::advance(time).await;
    settle().await;
}
