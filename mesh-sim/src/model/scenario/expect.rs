//! What must come out of a simulation.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A bound on a number of the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "ExpectationTable"))]
#[serde(try_from = "ExpectationTable", into = "ExpectationTable")]
#[non_exhaustive]
pub struct Expectation {
    /// The name or the label of the strategies whose runs it is about; without it all.
    pub strategy: Option<String>,
    /// A number of the result, dotted: `latency_ms.p99`, `servers.0.share`.
    pub metric: String,
    /// What it must be.
    pub bound: Bound,
}

/// What a number must be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// At least that.
    AtLeast(f64),
    /// At most that.
    AtMost(f64),
    /// From the first to the second, both included.
    Between(f64, f64),
}

impl Expectation {
    /// That the number `metric` of every run keeps `bound`.
    #[must_use]
    pub fn new(metric: impl Into<String>, bound: Bound) -> Self {
        Self { strategy: None, metric: metric.into(), bound }
    }

    /// Only of the strategies with this name or label.
    #[must_use]
    pub fn of(mut self, strategy: impl Into<String>) -> Self {
        self.strategy = Some(strategy.into());
        self
    }
}

impl Bound {
    /// Whether `value` keeps it; what is no number keeps none.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Between(least, most) => (least..=most).contains(&value),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::Between(least, most) => write!(f, "between {least} and {most}"),
        }
    }
}

/// An expectation as files spell it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("oneOf" = [{ "required": ["at_least"] }, { "required": ["at_most"] }, { "required": ["between"] }]))
)]
#[serde(deny_unknown_fields)]
struct ExpectationTable {
    /// The name or the label of the strategies whose runs it is about; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strategy: Option<String>,
    /// A number of the result, dotted: `latency_ms.p99`, `servers.0.share`.
    metric: String,
    /// It must be at least that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    /// It must be at most that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    /// It must be from the first to the second, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    between: Option<[f64; 2]>,
}

impl TryFrom<ExpectationTable> for Expectation {
    type Error = &'static str;

    fn try_from(table: ExpectationTable) -> Result<Self, Self::Error> {
        let bound = match (table.at_least, table.at_most, table.between) {
            (Some(least), None, None) => Bound::AtLeast(least),
            (None, Some(most), None) => Bound::AtMost(most),
            (None, None, Some([least, most])) => Bound::Between(least, most),
            _ => return Err("must have one of at_least, at_most and between"),
        };
        Ok(Self { strategy: table.strategy, metric: table.metric, bound })
    }
}

impl From<Expectation> for ExpectationTable {
    fn from(expectation: Expectation) -> Self {
        let Expectation { strategy, metric, bound } = expectation;
        let none = Self { strategy, metric, at_least: None, at_most: None, between: None };
        match bound {
            Bound::AtLeast(least) => Self { at_least: Some(least), ..none },
            Bound::AtMost(most) => Self { at_most: Some(most), ..none },
            Bound::Between(least, most) => Self { between: Some([least, most]), ..none },
        }
    }
}
