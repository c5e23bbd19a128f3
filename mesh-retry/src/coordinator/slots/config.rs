//! How many slots there are, and how the numbers for them are got.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::service::ConfigError;

use super::super::check::{number, time};

/// The slots of one service's retries: the same for all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct SlotsConfig {
    /// How many there are: at most 1,000. Default 10.
    pub slots: NonZeroU32,
    /// How long one lasts: 1 ms to 10 s. Default 100 ms.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub width: Duration,
    /// How long after its first use a block of numbers is replaced: 10 ms to 1 min. A process asks the store no more often
    /// as long as its blocks suffice. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub refill_after: Duration,
    /// How many numbers a block has at most, at least `slots` + 1. Default 1,001.
    pub block_max: u32,
    /// How long the answer of the store is waited for: 1 ms to 10 s. Default 500 ms.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub reply_within: Duration,
}

impl Default for SlotsConfig {
    fn default() -> Self {
        Self {
            slots: NonZeroU32::MIN.saturating_add(9),
            width: Duration::from_millis(100),
            refill_after: Duration::from_secs(1),
            block_max: 1001,
            reply_within: Duration::from_millis(500),
        }
    }
}

impl SlotsConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { slots, width, refill_after, block_max, reply_within } = *self;
        number("slots", slots.get(), slots.get() <= SLOTS_MAX, "must be at most 1000")?;
        time("width", width, MILLI <= width && width <= SECOND * 10, "must be 1ms to 10s")?;
        let fits = MILLI * 10 <= refill_after && refill_after <= SECOND * 60;
        time("refill_after", refill_after, fits, "must be 10ms to 1m")?;
        let fits = slots.get() < block_max && block_max <= BLOCK_MAX;
        number("block_max", block_max, fits, "must be more than slots, and at most 1000000")?;
        let fits = MILLI <= reply_within && reply_within <= SECOND * 10;
        time("reply_within", reply_within, fits, "must be 1ms to 10s")
    }

    /// How many numbers a block is to have that suffices for `demand` retries: a multiple of the slots, and one.
    pub(super) fn block(&self, demand: u32) -> u32 {
        let slots = self.slots.get();
        let most = (self.block_max.saturating_sub(1) / slots).max(1);
        demand.div_ceil(slots).clamp(1, most).saturating_mul(slots).saturating_add(1)
    }
}

const SLOTS_MAX: u32 = 1000;
const BLOCK_MAX: u32 = 1_000_000;
const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
