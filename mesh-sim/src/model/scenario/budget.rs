//! What the clients' retries and hedges are paid from.

use mesh_retry::budget::TokenBucketConfig;
use serde::{Deserialize, Serialize};

/// A token bucket for retries and hedges: it starts full, and each of them costs 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryBudget {
    /// What each first attempt brings, 0 to 1000, in thousandths at the finest.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1_000.0)))]
    pub ratio: f64,
    /// What a second brings, 0 to 500000.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 500_000.0)))]
    pub per_second: f64,
    /// What it holds at the start and at most, 1 to 1000000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1.0, max = 1_000_000.0)))]
    pub burst: f64,
    /// Whose it is.
    pub scope: BudgetScope,
}

/// Whose a budget is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BudgetScope {
    /// Each client has one.
    #[default]
    Client,
    /// All clients share one, through the coordinator and the store.
    Fleet,
}

impl RetryBudget {
    /// The production value of the limits. What is out of range is cut off: validation has refused it.
    #[must_use]
    pub fn to_config(&self) -> TokenBucketConfig {
        let mut config = TokenBucketConfig::default();
        config.ratio_milli = milli(self.ratio);
        config.per_second_milli = milli(self.per_second);
        config.burst_milli = milli(self.burst);
        config
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        let TokenBucketConfig { ratio_milli, per_second_milli, burst_milli, .. } = TokenBucketConfig::default();
        let number = |milli: u32| f64::from(milli) / 1e3;
        Self {
            ratio: number(ratio_milli),
            per_second: number(per_second_milli),
            burst: number(burst_milli),
            scope: BudgetScope::Client,
        }
    }
}

fn milli(number: f64) -> u32 {
    (number * 1e3).round() as u32
}
