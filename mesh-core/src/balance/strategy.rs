//! Which policy balances, as configuration.

use alloc::sync::Arc;

use super::policy::{LeastLoadedConfig, P2cConfig, Policy};

/// The policy of a balancer and its parameters. The default is [`Strategy::P2cLeastLoaded`].
///
/// As text (feature `serde`) a name, `"p2c-least-loaded"`, or a table of one name and its parameters,
/// `{ p2c-least-loaded = { choices = 3 } }`. [`Strategy::Custom`] has no text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Strategy {
    /// Every instance in turn; weights do not count. For instances and requests that are all alike.
    RoundRobin,
    /// Any instance alike; weights do not count. For comparison.
    Random,
    /// The least (load + 1) / weight of all; O(n). For small services with expensive requests.
    LeastLoaded(LeastLoadedConfig),
    /// The less loaded of two drawn by weight; O(1). For nearly everything.
    P2cLeastLoaded(P2cConfig),
    /// A policy of the user's own.
    Custom(Arc<dyn Policy>),
}

impl Strategy {
    /// Its name, in kebab-case.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastLoaded(_) => "least-loaded",
            Self::P2cLeastLoaded(_) => "p2c-least-loaded",
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
            Self::Random,
            Self::LeastLoaded(LeastLoadedConfig::default()),
            Self::P2cLeastLoaded(P2cConfig::default()),
        ]
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
            (Self::RoundRobin, Self::RoundRobin) | (Self::Random, Self::Random) => true,
            (Self::LeastLoaded(a), Self::LeastLoaded(b)) => a == b,
            (Self::P2cLeastLoaded(a), Self::P2cLeastLoaded(b)) => a == b,
            (Self::Custom(a), Self::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

#[cfg(feature = "serde")]
mod text {
    use core::fmt;

    use serde::de::value::MapAccessDeserializer;
    use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{LeastLoadedConfig, P2cConfig, Strategy};

    /// A strategy with its parameters spelt out.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Table {
        RoundRobin(Nothing),
        Random(Nothing),
        LeastLoaded(LeastLoadedConfig),
        P2cLeastLoaded(P2cConfig),
    }

    /// The parameters of a strategy that has none.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    impl<'de> Deserialize<'de> for Strategy {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(StrategyVisitor)
        }
    }

    impl Serialize for Strategy {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::RoundRobin | Self::Random => serializer.serialize_str(self.name()),
                Self::LeastLoaded(config) => Table::LeastLoaded(config.clone()).serialize(serializer),
                Self::P2cLeastLoaded(config) => Table::P2cLeastLoaded(config.clone()).serialize(serializer),
                Self::Custom(_) => Err(serde::ser::Error::custom("a custom strategy has no text")),
            }
        }
    }

    struct StrategyVisitor;

    impl<'de> Visitor<'de> for StrategyVisitor {
        type Value = Strategy;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a strategy, or a table of one name and its parameters")
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Strategy, E> {
            Strategy::from_name(name).ok_or_else(|| {
                let known = Strategy::built_in();
                let known: Vec<&str> = known.iter().map(Strategy::name).collect();
                E::custom(format_args!(
                    "unknown strategy `{}`, expected one of {}",
                    crate::service::escape(name),
                    known.join(", ")
                ))
            })
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strategy, A::Error> {
            let table = Table::deserialize(MapAccessDeserializer::new(&mut map))?;
            if map.next_key::<IgnoredAny>()?.is_some() {
                return Err(A::Error::custom("a strategy is a table of one name and its parameters"));
            }
            Ok(match table {
                Table::RoundRobin(_) => Strategy::RoundRobin,
                Table::Random(_) => Strategy::Random,
                Table::LeastLoaded(config) => Strategy::LeastLoaded(config),
                Table::P2cLeastLoaded(config) => Strategy::P2cLeastLoaded(config),
            })
        }
    }
}
