//! Strategies as text: a name, or a table of one name and its parameters.

use core::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Strategy;
use crate::balance::policy::{
    AdaptiveConfig, BoundedLoadConfig, LeastLoadedConfig, MaglevConfig, P2cConfig, PeakEwmaConfig, RingHashConfig,
    WeightedRoundRobinConfig,
};

/// A strategy with its parameters spelt out.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Table {
    RoundRobin(Nothing),
    WeightedRoundRobin(WeightedRoundRobinConfig),
    Random(Nothing),
    WeightedRandom(Nothing),
    LeastLoaded(LeastLoadedConfig),
    P2cLeastLoaded(P2cConfig),
    PeakEwma(PeakEwmaConfig),
    RingHash(RingHashConfig),
    Maglev(MaglevConfig),
    Rendezvous(Nothing),
    BoundedLoad(BoundedLoadConfig),
    Adaptive(AdaptiveConfig),
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
            Self::RoundRobin | Self::Random | Self::WeightedRandom | Self::Rendezvous => {
                serializer.serialize_str(self.name())
            }
            Self::WeightedRoundRobin(config) => Table::WeightedRoundRobin(config.clone()).serialize(serializer),
            Self::LeastLoaded(config) => Table::LeastLoaded(config.clone()).serialize(serializer),
            Self::P2cLeastLoaded(config) => Table::P2cLeastLoaded(config.clone()).serialize(serializer),
            Self::PeakEwma(config) => Table::PeakEwma(config.clone()).serialize(serializer),
            Self::RingHash(config) => Table::RingHash(config.clone()).serialize(serializer),
            Self::Maglev(config) => Table::Maglev(config.clone()).serialize(serializer),
            Self::BoundedLoad(config) => Table::BoundedLoad(config.clone()).serialize(serializer),
            Self::Adaptive(config) => Table::Adaptive(config.clone()).serialize(serializer),
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
            Table::WeightedRoundRobin(config) => Strategy::WeightedRoundRobin(config),
            Table::Random(_) => Strategy::Random,
            Table::WeightedRandom(_) => Strategy::WeightedRandom,
            Table::LeastLoaded(config) => Strategy::LeastLoaded(config),
            Table::P2cLeastLoaded(config) => Strategy::P2cLeastLoaded(config),
            Table::PeakEwma(config) => Strategy::PeakEwma(config),
            Table::RingHash(config) => Strategy::RingHash(config),
            Table::Maglev(config) => Strategy::Maglev(config),
            Table::Rendezvous(_) => Strategy::Rendezvous,
            Table::BoundedLoad(config) => Strategy::BoundedLoad(config),
            Table::Adaptive(config) => Strategy::Adaptive(config),
        })
    }
}
