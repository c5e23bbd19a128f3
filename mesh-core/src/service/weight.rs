//! The numbers of an instance: its port and its weights.

use core::fmt;
use core::num::NonZeroU16;

use super::error::ConfigError;

/// A port that can be connected to: 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(NonZeroU16);

impl Port {
    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    fn read(number: i128) -> Result<Self, ConfigError> {
        let port = u16::try_from(number).ok().and_then(NonZeroU16::new);
        port.map(Self).ok_or_else(|| ConfigError::new("port", number, "must be 1 to 65535"))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A share of the traffic: 0 to 65535, relative to the weights of the others; 0 drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// No new traffic.
    pub const DRAINED: Self = Self(0);
    /// The weight of those that were given none.
    pub const ONE: Self = Self(1);

    /// The weight `number`; every 16-bit number is one.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether it takes no new traffic.
    #[must_use]
    pub const fn is_drained(self) -> bool {
        self.0 == 0
    }

    fn read(number: i128) -> Result<Self, ConfigError> {
        u16::try_from(number).map(Self).map_err(|_| ConfigError::new("weight", number, "must be 0 to 65535"))
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Parses a port or a weight from any integer that a caller or a file may hold.
macro_rules! read_from_integers {
    ($name:ident: $($integer:ty),*) => {
        $(impl TryFrom<$integer> for $name {
            type Error = ConfigError;

            fn try_from(number: $integer) -> Result<Self, ConfigError> {
                Self::read(i128::from(number))
            }
        })*

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u16(self.get())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = <i64 as serde::Deserialize>::deserialize(deserializer)?;
                Self::try_from(number).map_err(serde::de::Error::custom)
            }
        }
    };
}

read_from_integers!(Port: u16, u32, u64, i32, i64);
read_from_integers!(Weight: u16, u32, u64, i32, i64);

/// The weights of an instance in the two states in which it may take traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weights {
    /// While its checks pass.
    pub passing: Weight,
    /// While a check warns.
    pub warning: Weight,
}

impl Weights {
    /// `passing`, and 1 while a check warns; 0 when drained, because a warning must not undo a drain.
    #[must_use]
    pub fn of(passing: Weight) -> Self {
        Self { passing, warning: passing.min(Weight::ONE) }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self::of(Weight::ONE)
    }
}
