//! The caches that are compared, as they come, and what is kept in them.
//!
//! Keys are strings of 23 bytes, values vectors of 64 bytes behind an `Arc`. Nothing expires in ours either: what is
//! measured is a hit, not a renewal.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mesh_cache::mesh_core::port::Clock;
use mesh_cache::mesh_core::time::{Instant, saturating_nanos};
use mesh_cache::{Cache, CacheConfig, Environment, Found, Key, Lifetimes};

pub(crate) type Value = Arc<Vec<u8>>;
pub(crate) type Mesh = Cache<Vec<u8>>;
pub(crate) type Moka = moka::sync::Cache<String, Value>;
pub(crate) type MokaFuture = moka::future::Cache<String, Value>;
pub(crate) type QuickCache = quick_cache::sync::Cache<String, Value>;
pub(crate) type Foyer = foyer_memory::Cache<String, Value>;

/// The keys of `numbers`: 23 bytes each, a hundred under one prefix.
pub(crate) fn keys(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    let key = |number| format!("{}instance-{:06}", prefix(number / PREFIX_KEYS), number % 1_000_000);
    numbers.into_iter().map(key).collect()
}

/// What the keys from a hundred times `number` on begin with.
pub(crate) fn prefix(number: usize) -> String {
    format!("svc/{:03}/", number % 1_000)
}

/// A value of its own.
pub(crate) fn value() -> Value {
    Arc::new(vec![7; 64])
}

pub(crate) fn mesh(capacity: usize) -> Mesh {
    let mut config = CacheConfig::default();
    config.entries_max = u32::try_from(capacity).ok().and_then(NonZeroU32::new).expect("above zero");
    config.lifetimes = Lifetimes::ttl(Duration::from_secs(86_400));
    let environment = Environment { clock: Arc::new(MachineClock::new()), ..Environment::system() };
    Cache::builder().config(config).environment(environment).build().expect("the numbers are valid")
}

/// Puts `value` into ours as its callers do, who have the text of a key.
pub(crate) fn insert(cache: &Mesh, key: &str, value: Value) {
    cache.insert(&Key::new(key).expect("a key"), Found::new(value));
}

pub(crate) fn moka(capacity: usize) -> Moka {
    Moka::new(capacity as u64)
}

pub(crate) fn quick_cache(capacity: usize) -> QuickCache {
    QuickCache::new(capacity)
}

pub(crate) fn foyer(capacity: usize) -> Foyer {
    foyer_memory::CacheBuilder::new(capacity).build()
}

/// The clock of ours as it is in a program: one of the peers switches tokio's `test-util` on for all that is built with
/// it, and tokio's clock costs more then.
#[derive(Debug)]
pub(crate) struct MachineClock(std::time::Instant);

impl MachineClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn new() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(saturating_nanos(self.0.elapsed()))
    }
}

/// What a future that has nothing to wait for comes to.
#[inline]
pub(crate) fn at_once<F: Future>(future: Pin<&mut F>) -> F::Output {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("there is nothing to wait for"),
    }
}

/// How many keys stand under one prefix.
pub(crate) const PREFIX_KEYS: usize = 100;
