//! Any of the budgets, as a configuration chooses it.

use core::time::Duration;
use std::sync::Arc;

use thiserror::Error;

use super::aws::{AwsConfig, AwsStandard};
use super::concurrent::{ConcurrentConfig, ConcurrentRetries};
use super::grpc::{GrpcThrottle, GrpcThrottleConfig};
use super::token_bucket::{TokenBucket, TokenBucketConfig};
use super::window::{WindowBudget, WindowConfig};
use super::{Budget, BudgetKind};

/// Which budget, with its numbers. The default is the mesh's own [`TokenBucketConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum BudgetConfig {
    /// A share of the first attempts and a trickle with time.
    TokenBucket(TokenBucketConfig),
    /// Finagle's and tower's sliding window.
    Window(WindowConfig),
    /// gRPC's throttle.
    GrpcThrottle(GrpcThrottleConfig),
    /// The quota of AWS SDKs.
    AwsStandard(AwsConfig),
    /// Envoy's limit of what is under way at once.
    Concurrent(ConcurrentConfig),
}

impl BudgetConfig {
    /// A budget with these numbers, full, to be shared by all calls to a service.
    #[must_use]
    pub fn build(&self) -> Arc<dyn Budget> {
        match self {
            Self::TokenBucket(config) => Arc::new(TokenBucket::new(config)),
            Self::Window(config) => Arc::new(WindowBudget::new(config)),
            Self::GrpcThrottle(config) => Arc::new(GrpcThrottle::new(config)),
            Self::AwsStandard(config) => Arc::new(AwsStandard::new(config)),
            Self::Concurrent(config) => Arc::new(ConcurrentRetries::new(config)),
        }
    }

    /// Which kind of budget it is.
    #[must_use]
    pub const fn kind(&self) -> BudgetKind {
        match self {
            Self::TokenBucket(_) => BudgetKind::TokenBucket,
            Self::Window(_) => BudgetKind::Window,
            Self::GrpcThrottle(_) => BudgetKind::GrpcThrottle,
            Self::AwsStandard(_) => BudgetKind::AwsStandard,
            Self::Concurrent(_) => BudgetKind::Concurrent,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub const fn validate(&self) -> Result<(), BudgetError> {
        match self {
            Self::TokenBucket(config) => config.validate(),
            Self::Window(config) => config.validate(),
            Self::GrpcThrottle(config) => config.validate(),
            Self::AwsStandard(config) => config.validate(),
            Self::Concurrent(config) => config.validate(),
        }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self::TokenBucket(TokenBucketConfig::default())
    }
}

/// What is wrong with the configuration of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// A number is too small or too large.
    #[error("{field}: {value} is not allowed: must be {min} to {max}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The configured value.
        value: u32,
        /// The least that is allowed.
        min: u32,
        /// The most that is allowed.
        max: u32,
    },
    /// A window is too short or too long.
    #[error("ttl: {ttl:?} is not allowed: must be 1s to 60s")]
    Ttl {
        /// The configured length.
        ttl: Duration,
    },
}

/// Refuses a `value` of `field` outside `min` to `max`.
pub(super) const fn in_range(field: &'static str, value: u32, min: u32, max: u32) -> Result<(), BudgetError> {
    if value < min || value > max { Err(BudgetError::OutOfRange { field, value, min, max }) } else { Ok(()) }
}
