//! gRPC's throttle: closes when failures outnumber successes by too much, and opens when that has passed.

use mesh_core::time::Instant;

use super::config::{BudgetError, in_range};
use super::{Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};
use crate::sync::{AtomicU32, Ordering};

/// How a [`GrpcThrottle`] counts; the names are those of gRPC's service configuration (proposal A6, `retryThrottling`),
/// the defaults the numbers of its example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct GrpcThrottleConfig {
    /// How many tokens there are at the start and at most: 1 to 1000. Default 10.
    pub max_tokens: u32,
    /// What a success brings, in thousandths of a token (gRPC heeds three decimals): 1 to 1,000,000. Default 100.
    pub token_ratio_milli: u32,
}

impl GrpcThrottleConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub const fn validate(&self) -> Result<(), BudgetError> {
        if let Err(error) = in_range("max_tokens", self.max_tokens, 1, TOKENS_MAX) {
            return Err(error);
        }
        in_range("token_ratio_milli", self.token_ratio_milli, 1, RATIO_MAX)
    }
}

impl Default for GrpcThrottleConfig {
    fn default() -> Self {
        Self { max_tokens: 10, token_ratio_milli: 100 }
    }
}

/// Tokens from none to a maximum: a failure takes one, a success brings a part of one, and there are retries and hedges
/// only while there are more than half (gRPC proposal A6, "Throttling Retry Attempts and Hedged RPCs").
///
/// A retry costs nothing: its failure does. Of ends only [`End::Succeeded`] and [`End::Failed`] count, so that callers who
/// ask for what is not there close nothing. It stays open as long as failures are no more than ratio / (1 + ratio) of all
/// attempts: 9.09 % of them with the defaults.
///
/// Its level is how many failures in a row it takes until it closes. A success that finds it full writes nothing.
#[derive(Debug)]
#[repr(align(128))]
pub struct GrpcThrottle {
    /// In thousandths of a token.
    tokens: AtomicU32,
    max: u32,
    ratio: u32,
}

impl GrpcThrottle {
    /// A throttle with all its tokens. A configuration that breaks its rules is followed as far as it goes: see
    /// [`GrpcThrottleConfig::validate`].
    #[must_use]
    pub fn new(config: &GrpcThrottleConfig) -> Self {
        let max = config.max_tokens.saturating_mul(TOKEN);
        Self { tokens: AtomicU32::new(max), max, ratio: config.token_ratio_milli }
    }

    /// The most tokens with which it is closed.
    const fn threshold(&self) -> u32 {
        self.max / 2
    }

    #[inline]
    fn change(&self, next: impl Fn(u32) -> u32) {
        // A word that would stay as it is, is not written.
        let changed = |tokens| Some(next(tokens)).filter(|next| *next != tokens);
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }
}

impl Budget for GrpcThrottle {
    /// First attempts bring nothing: their ends do.
    #[inline]
    fn deposit(&self, _: Instant) {}

    #[inline]
    fn withdraw(&self, _: Instant, _: Extra) -> Answer {
        let tokens = self.tokens.load(Ordering::Relaxed);
        if tokens > self.threshold() {
            return Answer::Granted(Paid::new(0));
        }
        // Successes bring it back, and nobody knows when those come.
        Answer::Denied(Denial::new(BudgetKind::GrpcThrottle, tokens, self.threshold() + 1, None))
    }

    #[inline]
    fn ended(&self, _: Instant, end: End, _: Option<Paid>) {
        match end {
            End::Succeeded => self.change(|tokens| tokens.saturating_add(self.ratio).min(self.max)),
            End::Failed => self.change(|tokens| tokens.saturating_sub(TOKEN)),
            End::Permanent | End::Cancelled | End::NotMade => {}
        }
    }

    fn level(&self, _: Instant) -> Level {
        let until_closed = |tokens: u32| tokens.saturating_sub(self.threshold()).div_ceil(TOKEN).saturating_mul(TOKEN);
        Level::new(until_closed(self.tokens.load(Ordering::Relaxed)), Some(until_closed(self.max)))
    }
}

const TOKEN: u32 = 1_000;
const TOKENS_MAX: u32 = 1_000;
const RATIO_MAX: u32 = 1_000_000;
