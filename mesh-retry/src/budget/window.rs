//! The sliding window of Finagle's `RetryBudget` and tower's `TpsBudget`: what was deposited within the last seconds may be
//! withdrawn, and a reserve beside it.

mod slots;

use core::time::Duration;

use mesh_core::time::{Instant, saturating_nanos};

use self::slots::{Counted, SLOTS, Seen, Slots};
use super::accrual::Accrual;
use super::config::{BudgetError, in_range};
use super::{Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};

/// How a [`WindowBudget`] counts. The default is Finagle's and tower's: a fifth of the calls of the last ten seconds, and
/// ten retries a second whatever there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct WindowConfig {
    /// How long a first attempt counts: 1 s to 60 s. Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub ttl: Duration,
    /// How many retries a second are allowed beside: 0 to 100,000. The reserve is as many for each whole second of `ttl`,
    /// all of which may be spent at once. Default 10. A fleet has it once for every process.
    pub per_second: u32,
    /// What a first attempt brings, in thousandths of a retry: 0 to 1,000,000. Default 200.
    pub ratio_milli: u32,
    /// Whose arithmetic.
    pub rule: WindowRule,
}

/// How a share of first attempts becomes what a retry costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum WindowRule {
    /// A first attempt deposits 1000 and a retry withdraws 1000 / share, rounded down: of 0.3, 3333.
    #[default]
    Finagle,
    /// Up to a share of 1 a first attempt deposits 1 and a retry withdraws 1 / share, rounded down: of 0.3, 3, so that a
    /// third may be retried, and of 0.7, 1, so that all may. (tower divides in single precision, which may come out one
    /// lower still where the share is below a hundredth.)
    Tower,
}

impl WindowConfig {
    /// What a first attempt deposits, and what a retry withdraws. Where nothing is deposited a retry costs 1 of the reserve.
    const fn amounts(&self) -> (i64, i64) {
        let ratio = self.ratio_milli as i64;
        if ratio == 0 {
            return (0, 1);
        }
        match self.rule {
            WindowRule::Tower if ratio <= 1_000 => (1, 1_000 / ratio),
            WindowRule::Tower | WindowRule::Finagle => (1_000, at_least_one(1_000_000 / ratio)),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub const fn validate(&self) -> Result<(), BudgetError> {
        let nanos = self.ttl.as_nanos();
        if nanos < TTL_MIN.as_nanos() || nanos > TTL_MAX.as_nanos() {
            return Err(BudgetError::Ttl { ttl: self.ttl });
        }
        if let Err(error) = in_range("per_second", self.per_second, 0, PER_SECOND_MAX) {
            return Err(error);
        }
        in_range("ratio_milli", self.ratio_milli, 0, RATIO_MAX)
    }
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), per_second: 10, ratio_milli: 200, rule: WindowRule::Finagle }
    }
}

/// Deposits of the last `ttl` and a reserve, less the withdrawals of that time.
///
/// Time is cut into slots of a tenth of `ttl` since the owner's epoch. The slot of the moment and the ten before it count,
/// so that a deposit and a withdrawal count for `ttl` at least and for a tenth more at most. Whatever the interleaving of
/// threads, a grant is covered by what counts: withdrawals are ordered by one word. A time that goes back is taken for the
/// latest that anybody's deposit or withdrawal was told of.
///
/// A deposit writes the word of its slot; a withdrawal reads all of them.
#[derive(Debug)]
#[repr(align(128))]
pub struct WindowBudget {
    slots: Slots,
    clock: Accrual,
    deposit: i64,
    withdrawal: i64,
    reserve: i64,
}

impl WindowBudget {
    /// A budget of which only the reserve is there yet. A configuration that breaks its rules is followed as far as it goes:
    /// see [`WindowConfig::validate`].
    #[must_use]
    pub fn new(config: &WindowConfig) -> Self {
        let ttl = config.ttl.clamp(TTL_MIN, TTL_MAX);
        let (deposit, withdrawal) = config.amounts();
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let reserve = i64::from(config.per_second).saturating_mul(seconds).saturating_mul(withdrawal);
        let clock = Accrual::new(1, saturating_nanos(ttl) / (SLOTS - 1));
        Self { slots: Slots::new(), clock, deposit, withdrawal, reserve }
    }

    /// What is left of what counts.
    fn balance(&self, counted: Counted) -> i64 {
        let amount = |count: u64, each: i64| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(each);
        let all = self.reserve.saturating_add(amount(counted.deposits, self.deposit));
        all.saturating_sub(amount(counted.withdrawals, self.withdrawal))
    }

    #[cold]
    fn denial(&self, seen: &Seen) -> Denial {
        // What counts changes where the slot does, if nobody deposits or withdraws; after all of them the reserve is left.
        let enough = |slot: &u64| self.balance(seen.counted_in(*slot)) >= self.withdrawal;
        let slot = (seen.latest + 1..=seen.latest + SLOTS).find(enough);
        let retry_at = slot.and_then(|slot| self.clock.reaches(slot));
        Denial::new(BudgetKind::Window, self.milli(self.balance(seen.counted())), 1_000, retry_at)
    }

    /// `amount` as thousandths of a retry.
    fn milli(&self, amount: i64) -> u32 {
        let milli = amount.max(0).saturating_mul(1_000) / self.withdrawal;
        u32::try_from(milli).unwrap_or(u32::MAX)
    }
}

impl Budget for WindowBudget {
    fn deposit(&self, now: Instant) {
        if self.deposit > 0 {
            self.slots.deposit(self.clock.brought(now).floor);
        }
    }

    fn withdraw(&self, now: Instant, _: Extra) -> Answer {
        let slot = self.clock.brought(now).floor;
        match self.slots.withdraw(slot, |counted| self.balance(counted) >= self.withdrawal) {
            None => Answer::Granted(Paid::new(u32::try_from(self.withdrawal).unwrap_or(u32::MAX))),
            Some(seen) => Answer::Denied(self.denial(&seen)),
        }
    }

    /// Gives nothing back, not even for what was not made: what was withdrawn counts for as long as what was deposited, and
    /// neither Finagle nor tower takes a withdrawal back. It would have to be taken out of the slot that it was counted in,
    /// which may be over by then and another's.
    fn ended(&self, _: Instant, _: End, _: Option<Paid>) {}

    fn level(&self, now: Instant) -> Level {
        let seen = self.slots.seen(self.clock.brought(now).floor);
        Level::new(self.milli(self.balance(seen.counted())), None)
    }
}

const fn at_least_one(amount: i64) -> i64 {
    if amount < 1 { 1 } else { amount }
}

const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_secs(60);
const PER_SECOND_MAX: u32 = 100_000;
const RATIO_MAX: u32 = 1_000_000;
