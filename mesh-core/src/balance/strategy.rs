//! Which policy balances, as configuration.

#[cfg(feature = "serde")]
mod text;

use alloc::sync::Arc;

use super::policy::{
    AdaptiveConfig, BoundedLoadConfig, LeastLoadedConfig, MaglevConfig, P2cConfig, PeakEwmaConfig, Policy,
    RingHashConfig, WeightedRoundRobinConfig,
};
use crate::service::{ConfigError, Problems};

/// The policy of a balancer and its parameters. The default is [`Strategy::P2cLeastLoaded`].
///
/// As text (feature `serde`) a name, `"p2c-least-loaded"`, or a table of one name and its parameters,
/// `{ p2c-least-loaded = { choices = 3 } }`. [`Strategy::Custom`] has no text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Strategy {
    /// Every instance in turn; weights do not count. For instances and requests that are all alike.
    RoundRobin,
    /// Every instance as often as its weight says, evenly spread; O(1). For unequal instances whose requests are alike.
    WeightedRoundRobin(WeightedRoundRobinConfig),
    /// Any instance alike; weights do not count. For comparison.
    Random,
    /// Any instance, as often as its weight says; O(1). Where many clients send little each.
    WeightedRandom,
    /// The least (load + 1) / weight of all, by weight while all are idle; O(n). For small services with expensive requests.
    LeastLoaded(LeastLoadedConfig),
    /// The less loaded of two drawn by weight; O(1). For nearly everything.
    P2cLeastLoaded(P2cConfig),
    /// The one of two with the lower latency × (requests in flight + 1) / weight; O(1). Where instances differ in speed, or fail fast.
    PeakEwma(PeakEwmaConfig),
    /// The instance that owns the key on a ring of points; O(1). For caches, and to agree with peers' rings.
    RingHash(RingHashConfig),
    /// The instance that owns the key in Maglev's table; O(1). For caches whose instances seldom change.
    Maglev(MaglevConfig),
    /// The instance that scores highest for the key; O(n). For small services, with the least movement there is.
    Rendezvous,
    /// One of the three above, where an instance above its share of the load passes keys on.
    BoundedLoad(BoundedLoadConfig),
    /// Changes between weighted round robin, two choices and least loaded, as the load asks for it.
    Adaptive(AdaptiveConfig),
    /// A policy of the user's own.
    Custom(Arc<dyn Policy>),
}

impl Strategy {
    /// Its name, in kebab-case.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin(_) => "weighted-round-robin",
            Self::Random => "random",
            Self::WeightedRandom => "weighted-random",
            Self::LeastLoaded(_) => "least-loaded",
            Self::P2cLeastLoaded(_) => "p2c-least-loaded",
            Self::PeakEwma(_) => "peak-ewma",
            Self::RingHash(_) => "ring-hash",
            Self::Maglev(_) => "maglev",
            Self::Rendezvous => "rendezvous",
            Self::BoundedLoad(_) => "bounded-load",
            Self::Adaptive(_) => "adaptive",
            Self::Custom(policy) => policy.name(),
        }
    }

    /// The built-in strategy called `name`, with its default parameters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::built_in().into_iter().find(|strategy| strategy.name() == name)
    }

    /// Every built-in strategy with its default parameters.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        vec![
            Self::RoundRobin,
            Self::WeightedRoundRobin(WeightedRoundRobinConfig::default()),
            Self::Random,
            Self::WeightedRandom,
            Self::LeastLoaded(LeastLoadedConfig::default()),
            Self::P2cLeastLoaded(P2cConfig::default()),
            Self::PeakEwma(PeakEwmaConfig::default()),
            Self::RingHash(RingHashConfig::default()),
            Self::Maglev(MaglevConfig::default()),
            Self::Rendezvous,
            Self::BoundedLoad(BoundedLoadConfig::default()),
            Self::Adaptive(AdaptiveConfig::default()),
        ]
    }

    /// Checks its parameters.
    ///
    /// # Errors
    /// Every parameter that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        match self {
            Self::P2cLeastLoaded(config) => {
                problems.require((2..=10).contains(&config.choices), "choices", config.choices, "must be 2 to 10");
            }
            Self::PeakEwma(config) => config.check(problems),
            Self::RingHash(config) => config.check(problems),
            Self::Maglev(config) => config.check(problems),
            Self::BoundedLoad(config) => config.check(problems),
            Self::Adaptive(config) => config.check(problems),
            Self::RoundRobin
            | Self::WeightedRoundRobin(_)
            | Self::Random
            | Self::WeightedRandom
            | Self::LeastLoaded(_)
            | Self::Rendezvous
            | Self::Custom(_) => {}
        }
    }
}

impl Default for Strategy {
    fn default() -> Self {
        Self::P2cLeastLoaded(P2cConfig::default())
    }
}

impl PartialEq for Strategy {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::RoundRobin, Self::RoundRobin)
            | (Self::Random, Self::Random)
            | (Self::WeightedRandom, Self::WeightedRandom)
            | (Self::Rendezvous, Self::Rendezvous) => true,
            (Self::WeightedRoundRobin(a), Self::WeightedRoundRobin(b)) => a == b,
            (Self::LeastLoaded(a), Self::LeastLoaded(b)) => a == b,
            (Self::P2cLeastLoaded(a), Self::P2cLeastLoaded(b)) => a == b,
            (Self::PeakEwma(a), Self::PeakEwma(b)) => a == b,
            (Self::RingHash(a), Self::RingHash(b)) => a == b,
            (Self::Maglev(a), Self::Maglev(b)) => a == b,
            (Self::BoundedLoad(a), Self::BoundedLoad(b)) => a == b,
            (Self::Adaptive(a), Self::Adaptive(b)) => a == b,
            (Self::Custom(a), Self::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
