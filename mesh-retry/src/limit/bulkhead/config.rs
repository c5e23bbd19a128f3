//! How many calls a bulkhead lets in at once, and who may wait, for how long and in which order; with presets.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::service::ConfigError;

use crate::limit::config::{check, limits};

/// How a [`Bulkhead`](super::Bulkhead) admits.
///
/// The default lets 25 in at once, which is resilience4j's, and lets another 25 wait in order, up to a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BulkheadConfig {
    /// How many calls may be inside at once: at most 16,777,215. Default 25.
    pub concurrent_max: NonZeroU32,
    /// How many may wait: at most 1,000,000; 0 lets nobody wait. Default 25.
    pub waiting_max: u32,
    /// Who has waited that long is shed: longer than zero, or "never" where the deadlines are to decide. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration_or_never"))]
    pub wait_max: Option<Duration>,
    /// Who is admitted next. Default first come, first served.
    pub order: Order,
    /// For how long there has to have been somebody waiting without interruption until there is an overload: at most 1 h.
    /// Default 100 ms, Facebook's (see [`BulkheadConfig::fail_at_scale`]).
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub overload_after: Duration,
    /// Who has waited that long in an overload is shed: longer than zero, or "never". Default never.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration_or_never"))]
    pub overload_wait_max: Option<Duration>,
}

/// Who is admitted next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Order {
    /// Who has waited longest.
    #[default]
    Fifo,
    /// Who has waited longest; in an overload, who came last, whose caller is most likely to be there still.
    AdaptiveLifo,
}

impl BulkheadConfig {
    /// The queue of Facebook's servers (Ben Maurer, "Fail at Scale", ACM Queue 13(8), 2015): waits of up to 100 ms, and of
    /// up to 5 ms once somebody has been waiting for 100 ms without interruption, when the newest is served first.
    #[must_use]
    pub const fn fail_at_scale(concurrent_max: NonZeroU32, waiting_max: u32) -> Self {
        Self {
            concurrent_max,
            waiting_max,
            wait_max: Some(Duration::from_millis(100)),
            order: Order::AdaptiveLifo,
            overload_after: Duration::from_millis(100),
            overload_wait_max: Some(Duration::from_millis(5)),
        }
    }

    /// resilience4j's `Bulkhead` with its defaults: 25 at once, and nobody waits.
    #[must_use]
    pub const fn resilience4j() -> Self {
        Self::without_queue(limits::TWENTY_FIVE)
    }

    /// Hystrix's isolation by semaphore with its default: 10 at once, and nobody waits.
    #[must_use]
    pub const fn hystrix() -> Self {
        Self::without_queue(limits::TEN)
    }

    /// Envoy's circuit breaker with its defaults: 1,024 requests at once and 1,024 pending, for as long as their deadlines
    /// let them.
    #[must_use]
    pub const fn envoy() -> Self {
        Self { concurrent_max: limits::ENVOY, waiting_max: limits::ENVOY.get(), wait_max: None, ..Self::hystrix() }
    }

    /// So many at once, and nobody waits.
    #[must_use]
    pub const fn without_queue(concurrent_max: NonZeroU32) -> Self {
        Self { concurrent_max, waiting_max: 0, ..Self::STANDARD }
    }

    const STANDARD: Self = Self {
        concurrent_max: limits::TWENTY_FIVE,
        waiting_max: limits::TWENTY_FIVE.get(),
        wait_max: Some(Duration::from_secs(1)),
        order: Order::Fifo,
        overload_after: Duration::from_millis(100),
        overload_wait_max: None,
    };

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let concurrent = self.concurrent_max;
        check(concurrent <= limits::HIGHEST, "concurrent_max", concurrent, "must be at most 16777215")?;
        check(self.waiting_max <= 1_000_000, "waiting_max", self.waiting_max, "must be at most 1000000")?;
        let after = self.overload_after;
        let is_short = after <= Duration::from_secs(3_600);
        check(is_short, "overload_after", format_args!("{after:?}"), "must be at most 1h")?;
        for (field, wait) in [("wait_max", self.wait_max), ("overload_wait_max", self.overload_wait_max)] {
            let waits = wait.is_none_or(|wait| !wait.is_zero());
            check(waits, field, "0s", "must be longer than zero, or never")?;
        }
        Ok(())
    }
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        Self::STANDARD
    }
}
