//! Envoy's limit: how many extra attempts may be under way at once.

use mesh_core::time::Instant;

use super::config::{BudgetError, in_range};
use super::{Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};
use crate::sync::{AtomicU64, Ordering};

/// How many extra attempts [`ConcurrentRetries`] allows at once: `at_least`, or a share of all attempts where that is more.
///
/// The default is [`ConcurrentConfig::envoy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct ConcurrentConfig {
    /// How many are allowed whatever else is under way: 0 to 1,000,000. Default 3.
    pub at_least: u32,
    /// The share of the attempts under way that may be extra ones, in thousandths, rounded down to whole attempts: 0 to
    /// 1000. With 0, the default, `at_least` is all there is and first attempts are not counted.
    pub share_milli: u32,
}

impl ConcurrentConfig {
    /// Envoy's circuit breaker `max_retries`: three at once.
    #[must_use]
    pub const fn envoy() -> Self {
        Self { at_least: 3, share_milli: 0 }
    }

    /// Envoy's `retry_budget`: a fifth of the attempts under way, and three in any case.
    #[must_use]
    pub const fn envoy_budget() -> Self {
        Self { at_least: 3, share_milli: 200 }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub const fn validate(&self) -> Result<(), BudgetError> {
        if let Err(error) = in_range("at_least", self.at_least, 0, AT_LEAST_MAX) {
            return Err(error);
        }
        in_range("share_milli", self.share_milli, 0, WHOLE)
    }
}

impl Default for ConcurrentConfig {
    fn default() -> Self {
        Self::envoy()
    }
}

/// Counts the extra attempts under way, and the others where a share of them decides.
///
/// A grant counts from when it is given to when [`Budget::ended`] is told, the wait before the retry included, as in Envoy.
/// All attempts under way are those that were deposited or granted and have not ended; the one whose failure is to be
/// retried is over. The limit is never exceeded, whatever the interleaving (Envoy's counts may be for a moment).
#[derive(Debug)]
#[repr(align(128))]
pub struct ConcurrentRetries {
    /// See [`UnderWay`].
    under_way: AtomicU64,
    config: ConcurrentConfig,
}

/// What is under way: all attempts in the upper half, the extra ones among them in the lower.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    all: u32,
    extra: u32,
}

impl UnderWay {
    const fn of(word: u64) -> Self {
        Self { all: (word >> u32::BITS) as u32, extra: word as u32 }
    }

    const fn word(self) -> u64 {
        (self.all as u64) << u32::BITS | self.extra as u64
    }

    const fn plus(self, all: u32, extra: u32) -> Self {
        Self { all: self.all.saturating_add(all), extra: self.extra.saturating_add(extra) }
    }

    /// An end too many changes nothing.
    const fn minus(self, all: u32, extra: u32) -> Self {
        Self { all: self.all.saturating_sub(all), extra: self.extra.saturating_sub(extra) }
    }
}

impl ConcurrentRetries {
    /// Nothing under way. A configuration that breaks its rules is followed as far as it goes: see
    /// [`ConcurrentConfig::validate`].
    #[must_use]
    pub fn new(config: &ConcurrentConfig) -> Self {
        Self { under_way: AtomicU64::new(0), config: *config }
    }

    /// Whether all attempts have to be counted.
    const fn counts_all(&self) -> bool {
        self.config.share_milli > 0
    }

    fn limit(&self, all: u32) -> u32 {
        let share = u64::from(all) * u64::from(self.config.share_milli) / u64::from(WHOLE);
        u32::try_from(share).unwrap_or(u32::MAX).max(self.config.at_least)
    }

    #[inline]
    fn update(&self, next: impl Fn(UnderWay) -> Option<UnderWay>) -> Result<u64, u64> {
        let next = |word| next(UnderWay::of(word)).map(UnderWay::word);
        // The counts are all there is, and nothing else is published with them.
        self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
    }

    /// How many more the limit allows beside `under_way`, in thousandths.
    fn room_milli(&self, under_way: UnderWay) -> u32 {
        self.limit(under_way.all).saturating_sub(under_way.extra).saturating_mul(ATTEMPT_MILLI)
    }
}

impl Budget for ConcurrentRetries {
    #[inline]
    fn deposit(&self, _: Instant) {
        if self.counts_all() {
            // There is room for more than any process has under way.
            self.under_way.fetch_add(UnderWay { all: 1, extra: 0 }.word(), Ordering::Relaxed);
        }
    }

    #[inline]
    fn withdraw(&self, _: Instant, _: Extra) -> Answer {
        let one_more = |now: UnderWay| (now.extra < self.limit(now.all)).then(|| now.plus(1, 1));
        match self.update(one_more) {
            Ok(_) => Answer::Granted(Paid::new(1)),
            Err(word) => {
                let has = self.room_milli(UnderWay::of(word));
                Answer::Denied(Denial::new(BudgetKind::Concurrent, has, ATTEMPT_MILLI, None))
            }
        }
    }

    #[inline]
    fn ended(&self, _: Instant, _: End, paid: Option<Paid>) {
        if paid.is_some() {
            let _ = self.update(|under_way| Some(under_way.minus(1, 1)));
        } else if self.counts_all() {
            let _ = self.update(|under_way| Some(under_way.minus(1, 0)));
        }
    }

    fn level(&self, _: Instant) -> Level {
        let under_way = UnderWay::of(self.under_way.load(Ordering::Relaxed));
        let most = self.limit(under_way.all).saturating_mul(ATTEMPT_MILLI);
        Level::new(self.room_milli(under_way), Some(most))
    }
}

const ATTEMPT_MILLI: u32 = 1_000;
const AT_LEAST_MAX: u32 = 1_000_000;
/// All of a share, in thousandths.
const WHOLE: u32 = 1_000;
