//! A condition on instances.

use core::cmp::Ordering;
use core::fmt;

use semver::{Comparator, VersionReq};

use crate::service::{ConfigError, Instance, META_ZONE, Meta, Tag, Tags, Zone, escape};

/// A conjunction: an instance matches when it meets every condition.
///
/// In canonical form: the order of the calls, and conditions given twice, make no difference to equality,
/// order or hash, so that equal selectors share a [`RouteId`](super::RouteId). Conditions that contradict each
/// other are refused, because a selector that no instance can match is a mistake.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    with: Tags,
    without: Tags,
    meta: Meta,
    version: Option<Requirement>,
}

impl Selector {
    /// The selector without conditions, which every instance matches.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Asks for `tag`.
    ///
    /// # Errors
    /// When it is no tag, there are 64 already, or instances with it are asked to be left out.
    pub fn tag(mut self, tag: impl TryInto<Tag, Error: Into<ConfigError>>) -> Result<Self, ConfigError> {
        let tag = consistent(tag, &self.without)?;
        self.with.insert(tag)?;
        Ok(self)
    }

    /// Leaves out the instances that have `tag`.
    ///
    /// # Errors
    /// When it is no tag, there are 64 already, or it is asked for.
    pub fn without_tag(mut self, tag: impl TryInto<Tag, Error: Into<ConfigError>>) -> Result<Self, ConfigError> {
        let tag = consistent(tag, &self.with)?;
        self.without.insert(tag)?;
        Ok(self)
    }

    /// Asks for metadata in which `key` is `value`.
    ///
    /// # Errors
    /// When no metadata may hold that, there are 64 pairs already, or another value is asked for.
    pub fn meta(mut self, key: &str, value: &str) -> Result<Self, ConfigError> {
        if self.meta.get(key).is_some_and(|asked| asked != value) {
            return Err(ConfigError::new("selector meta", format!("{key}={value}"), "another value is asked for"));
        }
        self.meta.insert(key, value)?;
        Ok(self)
    }

    /// Asks for instances in `zone`, which is metadata.
    ///
    /// # Errors
    /// When it is no zone, or another one is asked for.
    pub fn zone(self, zone: impl TryInto<Zone, Error: Into<ConfigError>>) -> Result<Self, ConfigError> {
        let zone = zone.try_into().map_err(Into::into)?;
        self.meta(META_ZONE, zone.as_str())
    }

    /// Asks for a version that meets `requirement`, such as `>=1.2, <2`, in Cargo's syntax: `1.2` means `^1.2`,
    /// and a pre-release only meets a requirement that names one. Instances without a version do not meet any.
    ///
    /// # Errors
    /// When it is no requirement, or there are more than 32 comparisons in all.
    pub fn version(mut self, requirement: &str) -> Result<Self, ConfigError> {
        let refused = |rule| ConfigError::new("selector version", requirement, rule);
        let asked = VersionReq::parse(requirement).map_err(|_| refused("must be a requirement such as '>=1.2, <2'"))?;
        let earlier = self.version.take().map(|earlier| earlier.parsed.comparators).unwrap_or_default();
        let both = Requirement::of(earlier.into_iter().chain(asked.comparators).collect());
        if both.parsed.comparators.len() > COMPARISONS_MAX {
            return Err(refused("must be at most 32 comparisons"));
        }
        self.version = Some(both);
        Ok(self)
    }

    /// Whether `instance` meets every condition.
    #[must_use]
    pub fn matches(&self, instance: &Instance) -> bool {
        self.with.iter().all(|tag| instance.tags().contains(tag.as_str()))
            && !self.without.iter().any(|tag| instance.tags().contains(tag.as_str()))
            && self.meta.iter().all(|(key, value)| instance.meta().get(key) == Some(value))
            && self.version.as_ref().is_none_or(|requirement| requirement.holds(instance))
    }

    /// Whether there is no condition.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self == Self::any()
    }
}

/// The conditions, comma-separated: `tag=a,tag!=b,zone=c,version=^1.2`; `any` when there is none. Values of
/// metadata are escaped.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = self.with.iter().map(|tag| format!("tag={}", escape(tag.as_str())));
        let without = self.without.iter().map(|tag| format!("tag!={}", escape(tag.as_str())));
        let meta = self.meta.iter().map(|(key, value)| format!("meta.{key}={}", escape(value)));
        let version = self.version.iter().map(|requirement| format!("version={}", requirement.text));
        let conditions = with.chain(without).chain(meta).chain(version).collect::<Vec<_>>();
        if conditions.is_empty() { f.write_str("any") } else { f.write_str(&conditions.join(",")) }
    }
}

/// Comparisons in canonical order, each once. The text stands for them where they are ordered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Requirement {
    text: String,
    parsed: VersionReq,
}

impl Requirement {
    fn of(mut comparators: Vec<Comparator>) -> Self {
        comparators.sort_by_cached_key(Comparator::to_string);
        comparators.dedup();
        let parsed = VersionReq { comparators };
        Self { text: parsed.to_string(), parsed }
    }

    fn holds(&self, instance: &Instance) -> bool {
        instance.version().is_some_and(|version| self.parsed.matches(version.semver()))
    }
}

impl Ord for Requirement {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for Requirement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The tag that `given` parses to, unless `opposite` holds it.
fn consistent(given: impl TryInto<Tag, Error: Into<ConfigError>>, opposite: &Tags) -> Result<Tag, ConfigError> {
    let tag = given.try_into().map_err(Into::into)?;
    if opposite.contains(tag.as_str()) {
        return Err(ConfigError::new("selector tag", tag, "is both asked for and to be left out"));
    }
    Ok(tag)
}

/// As many comparisons as the `semver` crate reads from one text.
const COMPARISONS_MAX: usize = 32;
