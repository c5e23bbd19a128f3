//! How a cache is put together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mesh_core::rng::Rng;
use mesh_core::service::ConfigError;
use tokio::sync::Semaphore;

use super::flight::Flights;
use super::quarantine::Quarantine;
use super::stats::Counters;
use super::untold::{Untold, tell_again};
use super::{Cache, ENTRY_BYTES, Inner, Tasks, Tiered, Weigher, hearing, weight};
use crate::codec::Codec;
use crate::config::CacheConfig;
use crate::early::Early;
use crate::entry::Epoch;
use crate::env::Environment;
use crate::failure::Failures;
use crate::key::{Key, Mark};
use crate::lifetimes::Lifetimes;
use crate::local::{Caps, Local};
use crate::seal::{Limits, Sealer};
use crate::second::SecondTier;

/// Puts a [`Cache`] together.
#[must_use = "nothing is built until build() is called"]
pub struct CacheBuilder<V> {
    config: CacheConfig,
    environment: Environment,
    weigh: Option<Weigher<V>>,
    second: Option<Second<V>>,
    sealer: Sealer,
    limits: Limits,
    trusts_hints: bool,
}

struct Second<V> {
    namespace: String,
    tier: Arc<dyn SecondTier>,
    codec: Arc<dyn Codec<V>>,
}

impl<V> Default for CacheBuilder<V> {
    fn default() -> Self {
        Self {
            config: CacheConfig::default(),
            environment: Environment::default(),
            weigh: None,
            second: None,
            sealer: Sealer::open_hints(),
            limits: Limits::default(),
            trusts_hints: false,
        }
    }
}

impl<V: Send + Sync + 'static> CacheBuilder<V> {
    /// Sets every number at once.
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets how long entries are fresh, stale and kept.
    pub fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.config.lifetimes = lifetimes;
        self
    }

    /// Sets the clock and the entropy.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets what a value weighs towards [`CacheConfig::bytes_max`], in bytes, what it owns elsewhere included. It is asked
    /// once for each value that is kept.
    ///
    /// Left out, text and bytes (`String`, `Vec<u8>`, either as a `Box` or an `Arc`, and `Vec<String>`) weigh what they
    /// are, and other values their own size: what those own elsewhere, as a map or a vector in a field does, is not
    /// counted, and `bytes_max` does not bound it.
    pub fn weigh(mut self, weigh: impl Fn(&Key, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigh = Some(Box::new(weigh));
        self
    }

    /// Sets what other processes share with this one. `namespace` tells caches of one tier apart: values of another
    /// cannot be taken for those of this one.
    pub fn second_tier(
        mut self,
        namespace: impl Into<String>,
        tier: impl SecondTier + 'static,
        codec: impl Codec<V> + 'static,
    ) -> Self {
        self.second = Some(Second { namespace: namespace.into(), tier: Arc::new(tier), codec: Arc::new(codec) });
        self
    }

    /// Sets the keys that values of the second tier are sealed with. Without, they are hints: served when the origin
    /// fails, and believed no further.
    pub fn seal(mut self, sealer: Sealer) -> Self {
        self.sealer = sealer;
        self
    }

    /// Sets what is not read from the second tier.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Believes what is in the second tier without a seal. Whoever can write there decides then what this process
    /// serves.
    pub const fn trust_unsealed(mut self) -> Self {
        self.trusts_hints = true;
        self
    }

    /// Builds the cache. With a second tier, it has to be called on the runtime that its tasks are to run on.
    ///
    /// # Errors
    /// Names the number that breaks its rule.
    pub fn build(self) -> Result<Cache<V>, ConfigError> {
        self.config.validate()?;
        let mut rng = Rng::from_seed(self.environment.entropy.next_u64());
        let config = &self.config;
        let caps = Caps {
            entries_max: config.entries_max.get() as usize,
            bytes_max: config.bytes_max.get(),
            weight_min: ENTRY_BYTES,
        };
        // Without others there is nothing to miss.
        let heard = if self.second.is_some() { Epoch::DEAF } else { Epoch(1) };
        let failures_max = config.failures_max.get() as usize;
        let nonces = self.sealer.nonces(&self.environment.entropy);
        let (sealer, limits, trusts_hints) = (self.sealer, self.limits, self.trusts_hints);
        let entry_bytes_max = limits.envelope_bytes_max();
        let tiered = self.second.map(|Second { namespace, tier, codec }| Tiered {
            tier: tier.join(entry_bytes_max).unwrap_or(tier),
            codec,
            sealer,
            nonces,
            limits,
            space: Mark::of_namespace(&namespace),
            namespace,
            trusts_hints,
            quarantine: Quarantine::new(config.tier_quarantine),
        });
        let inner = Inner {
            local: Local::new(caps, config.lifetimes.clone(), heard, rng.next_u64()),
            flights: Flights::new(Failures::new(config.failure_backoff, failures_max, rng.fork())),
            turns: Semaphore::new(config.loads_max.get() as usize),
            early: Early { beta: config.early_beta },
            random: AtomicU64::new(rng.next_u64()),
            weigh: self.weigh.unwrap_or_else(|| Box::new(|_, value| weight::of(value))),
            config: self.config,
            environment: self.environment,
            tiered,
            untold: Untold::default(),
            counters: Counters::default(),
        };
        let cache = Cache { inner: Arc::new(inner), tasks: Arc::new(Tasks::default()) };
        if let Some(tiered) = &cache.inner.tiered {
            let listener = tiered.tier.listen();
            cache.tasks.spawn(hearing::hear(Arc::clone(&cache.inner), tiered.space, listener));
            cache.tasks.spawn(tell_again(Arc::clone(&cache.inner)));
        }
        Ok(cache)
    }
}

impl<V> fmt::Debug for CacheBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
