//! The retry quota of AWS SDKs (standard mode): retries spend it, and successes earn it back.

use mesh_core::time::Instant;

use super::config::{BudgetError, in_range};
use super::{After, Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};
use crate::sync::{AtomicU32, Ordering};

/// What an [`AwsStandard`] holds, and what retries cost; in AWS's units, of which a retry costs several.
///
/// The default is [`AwsConfig::aws_2024`], which SDKs use unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct AwsConfig {
    /// What there is at the start and at most: 1 to 1,000,000.
    pub capacity: u32,
    /// What a retry after a transient failure costs, and a hedge, which AWS does not know: 0 to 1,000,000.
    pub transient_cost: u32,
    /// What a retry after an attempt that took too long costs.
    pub timeout_cost: u32,
    /// What a retry costs where the callee asked for fewer attempts.
    pub throttle_cost: u32,
    /// What the success of a first attempt brings.
    pub success_reward: u32,
}

impl AwsConfig {
    /// The constants of retry specification 2.0: of 500, a retry costs 5 and one after a timeout 10; a first attempt that
    /// succeeds brings 1. (smithy-rs asks the price of a timeout for every transient failure.)
    #[must_use]
    pub const fn aws_2024() -> Self {
        Self { capacity: 500, transient_cost: 5, timeout_cost: 10, throttle_cost: 5, success_reward: 1 }
    }

    /// The constants of retry specification 2.1 (`AWS_NEW_RETRIES_2026`): of 500, a retry costs 14, and 5 after throttling,
    /// so that 35 and not 100 are left to who fails from the start.
    #[must_use]
    pub const fn aws_2026() -> Self {
        Self { capacity: 500, transient_cost: 14, timeout_cost: 14, throttle_cost: 5, success_reward: 1 }
    }

    const fn cost(&self, after: After) -> u32 {
        match after {
            After::Transient | After::Slow => self.transient_cost,
            After::TimedOut => self.timeout_cost,
            After::Throttled => self.throttle_cost,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub const fn validate(&self) -> Result<(), BudgetError> {
        if let Err(error) = in_range("capacity", self.capacity, 1, UNITS_MAX) {
            return Err(error);
        }
        if let Err(error) = in_range("transient_cost", self.transient_cost, 0, UNITS_MAX) {
            return Err(error);
        }
        if let Err(error) = in_range("timeout_cost", self.timeout_cost, 0, UNITS_MAX) {
            return Err(error);
        }
        if let Err(error) = in_range("throttle_cost", self.throttle_cost, 0, UNITS_MAX) {
            return Err(error);
        }
        in_range("success_reward", self.success_reward, 0, UNITS_MAX)
    }
}

impl Default for AwsConfig {
    fn default() -> Self {
        Self::aws_2024()
    }
}

/// A quota that retries spend: a retry that succeeds gets back what it cost, and a first attempt that succeeds brings a
/// little. Nothing comes with time.
///
/// What the retries before a successful one cost stays spent. One that was not made gets back what it cost, too. The quota never holds more than its capacity, whatever the
/// interleaving (smithy-rs reads, then adds, and may overfill its semaphore). Its level counts retries after transient
/// failures. A success that finds it full writes nothing.
#[derive(Debug)]
#[repr(align(128))]
pub struct AwsStandard {
    units: AtomicU32,
    config: AwsConfig,
}

impl AwsStandard {
    /// A full quota. A configuration that breaks its rules is followed as far as it goes: see [`AwsConfig::validate`].
    #[must_use]
    pub fn new(config: &AwsConfig) -> Self {
        Self { units: AtomicU32::new(config.capacity), config: *config }
    }
}

impl Budget for AwsStandard {
    /// First attempts bring nothing: their success does.
    #[inline]
    fn deposit(&self, _: Instant) {}

    #[inline]
    fn withdraw(&self, _: Instant, extra: Extra) -> Answer {
        let cost = self.config.cost(extra.after);
        let paid = self.units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |units| units.checked_sub(cost));
        match paid {
            Ok(_) => Answer::Granted(Paid::new(cost)),
            Err(units) => {
                Answer::Denied(Denial::new(BudgetKind::AwsStandard, retries_milli(units, cost), RETRY_MILLI, None))
            }
        }
    }

    #[inline]
    fn ended(&self, _: Instant, end: End, paid: Option<Paid>) {
        let earned = match end {
            End::Succeeded => paid.map_or(self.config.success_reward, Paid::units),
            End::NotMade => paid.map_or(0, Paid::units),
            End::Failed | End::Permanent | End::Cancelled => return,
        };
        let capacity = self.config.capacity;
        let more = |units: u32| Some(units.saturating_add(earned).min(capacity)).filter(|more| *more > units);
        let _ = self.units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn level(&self, _: Instant) -> Level {
        let cost = self.config.transient_cost;
        let units = self.units.load(Ordering::Relaxed);
        Level::new(retries_milli(units, cost), Some(retries_milli(self.config.capacity, cost)))
    }
}

/// How many thousandths of a retry that costs `cost` there are in `units`.
fn retries_milli(units: u32, cost: u32) -> u32 {
    let milli = u64::from(units) * u64::from(RETRY_MILLI);
    milli.checked_div(u64::from(cost)).and_then(|milli| u32::try_from(milli).ok()).unwrap_or(u32::MAX)
}

const RETRY_MILLI: u32 = 1_000;
const UNITS_MAX: u32 = 1_000_000;
