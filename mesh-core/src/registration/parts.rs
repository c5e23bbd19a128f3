//! Names the parts that a registration consists of and what a registry holds of them.
//!
//! It never asks a registry anything: a [`Standing`] is what somebody else found there.

use core::fmt;

use crate::service::{CheckRunner, ServiceConfig};

/// One part of a registration, which a registry may hold without the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The entry by which the instance is found.
    Service,
    /// The health check that the registry runs, or hands to those who run it in its place.
    Check,
}

impl Part {
    /// Every part, in the order in which they are taken away: an entry that lost its check first would pass
    /// for healthy until it went too.
    pub const ALL: [Self; 2] = [Self::Service, Self::Check];

    /// The name of the part, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Check => "check",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Service => 1,
            Self::Check => 2,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of [`Part`]s; shown as `service, check`, or `nothing`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parts(u8);

impl Parts {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// Every part.
    pub const ALL: Self = Self(Part::Service.bit() | Part::Check.bit());

    /// The parts that registering `config` creates.
    ///
    /// A check that the mesh runs is never sent to the registry and therefore no part.
    #[must_use]
    pub fn of(config: &ServiceConfig) -> Self {
        match config.check() {
            Some(check) if check.run_by() == CheckRunner::Registry => Self::ALL,
            Some(_) | None => Part::Service.into(),
        }
    }

    /// Whether `part` is in the set.
    #[must_use]
    pub const fn contains(self, part: Part) -> bool {
        self.0 & part.bit() != 0
    }

    /// This set and `others`.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// This set less `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether no part is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The parts in the set, in the order of [`Part::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.contains(*part))
    }
}

impl From<Part> for Parts {
    fn from(part: Part) -> Self {
        Self(part.bit())
    }
}

impl FromIterator<Part> for Parts {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        parts.into_iter().fold(Self::NONE, |set, part| set.with(part.into()))
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (i, part) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(part.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a registry holds of one part, compared with the configuration that was asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PartState {
    /// It holds nothing.
    #[default]
    Absent,
    /// It holds what the configuration says.
    Matches,
    /// It holds something else, or something where the configuration wants nothing.
    Differs,
}

/// What a registry holds of one instance now, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The entry by which the instance is found.
    pub service: PartState,
    /// The health check that the registry keeps for it.
    pub check: PartState,
}

impl Standing {
    /// Nothing stands.
    pub const ABSENT: Self = Self { service: PartState::Absent, check: PartState::Absent };

    /// What the registry holds of `part`.
    #[must_use]
    pub const fn of(self, part: Part) -> PartState {
        match part {
            Part::Service => self.service,
            Part::Check => self.check,
        }
    }

    /// The parts that stand, whether they match or differ.
    #[must_use]
    pub fn stands(self) -> Parts {
        self.parts_where(|state| state != PartState::Absent)
    }

    /// The parts that are not as they should be when exactly `wanted` is wanted: absent or different ones,
    /// and those that stand though nobody wants them.
    #[must_use]
    pub fn wrong(self, wanted: Parts) -> Parts {
        let matching = self.parts_where(|state| state == PartState::Matches);
        wanted.without(matching).with(self.surplus(wanted))
    }

    /// The parts that stand though only `wanted` is wanted.
    #[must_use]
    pub fn surplus(self, wanted: Parts) -> Parts {
        self.stands().without(wanted)
    }

    fn parts_where(self, holds: impl Fn(PartState) -> bool) -> Parts {
        Part::ALL.into_iter().filter(|part| holds(self.of(*part))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_parts_reads_as_a_list() {
        assert_eq!(Parts::NONE.to_string(), "nothing");
        assert_eq!(Parts::from(Part::Check).to_string(), "check");
        assert_eq!(Parts::ALL.to_string(), "service, check");
    }

    #[test]
    fn wrong_parts_are_the_missing_the_different_and_the_unwanted() {
        let only_service = Parts::from(Part::Service);
        let good = Standing { service: PartState::Matches, check: PartState::Matches };
        assert_eq!(good.wrong(Parts::ALL), Parts::NONE);
        assert_eq!(good.wrong(only_service), Part::Check.into());
        let bad_check = Standing { check: PartState::Differs, ..good };
        assert_eq!(bad_check.wrong(Parts::ALL), Part::Check.into());
        assert_eq!(Standing::ABSENT.wrong(Parts::ALL), Parts::ALL);
        assert_eq!(Standing::ABSENT.wrong(only_service), only_service);
    }
}
