//! The default, and the numbers of well-known breakers.

use core::num::NonZeroU32;
use core::time::Duration;

use super::config::{BreakerConfig, HalfOpen, OpenJitter, OpenTime, ProbeRule, WindowKind};

impl BreakerConfig {
    /// resilience4j's defaults (`CircuitBreakerConfig.java`): the last 100 calls, of which half failed or all took longer
    /// than 60 s, judged from the 100th on; open for 60 s; half-open for 10 calls, judged by the same rates from the
    /// `min(100, 10)`-th on, and for as long as it takes.
    ///
    /// Its calls that never end keep it half-open for ever; here their places are given to others after 60 s.
    #[must_use]
    pub const fn resilience4j() -> Self {
        Self {
            failures_in_row: 0,
            window: WindowKind::Count { calls: HUNDRED },
            calls_min: HUNDRED,
            failure_rate_milli: 500,
            slow_rate_milli: 1000,
            open: OpenTime::fixed(MINUTE),
            half_open: HalfOpen { probes: TEN, rule: ProbeRule::Rates, ..HalfOpen::ONE },
            ..Self::DEFAULT
        }
    }

    /// Hystrix's defaults (`HystrixCommandProperties.java`): half of the calls within 10 buckets of 1 s, of at least 20;
    /// open for 5 s; one probe.
    ///
    /// Hystrix judges a snapshot that is up to 0.5 s old, this the numbers of each call.
    #[must_use]
    pub const fn hystrix() -> Self {
        Self { failures_in_row: 0, open: OpenTime::fixed(FIVE_SECONDS), half_open: HalfOpen::ONE, ..Self::DEFAULT }
    }

    /// Polly 8's defaults (`CircuitBreakerStrategyOptions.cs`): a tenth of the calls within 30 s, of at least 100; open
    /// for 5 s; one probe.
    ///
    /// Polly judges when a call fails, this when any call ends: a success that is the hundredth call can open it too.
    #[must_use]
    pub const fn polly() -> Self {
        Self {
            failures_in_row: 0,
            window: WindowKind::Time { buckets: TEN, width: Duration::from_secs(3) },
            calls_min: HUNDRED,
            failure_rate_milli: 100,
            open: OpenTime::fixed(FIVE_SECONDS),
            half_open: HalfOpen::ONE,
            ..Self::DEFAULT
        }
    }

    /// Like Finagle's failure accrual and failsafe-rs: fewer than 80 % of the calls within 30 s succeeded, or 5 failed in a
    /// row; open for 10 to 300 s, doubling, the second half of it random; one probe.
    ///
    /// They weigh the calls of the window by their age and judge once it has passed; this counts them, judges from the
    /// fifth on, and opens at 80 % too.
    #[must_use]
    pub const fn finagle() -> Self {
        Self {
            failures_in_row: 5,
            window: WindowKind::Time { buckets: TEN, width: Duration::from_secs(3) },
            calls_min: FIVE,
            failure_rate_milli: 200,
            open: OpenTime::growing(Duration::from_secs(20), Duration::from_secs(300)),
            half_open: HalfOpen::ONE,
            ..Self::DEFAULT
        }
    }

    /// Opens after `failures` in a row and looks at nothing else; open for 0.5 to 1 s at first, doubling up to 30 to 60 s
    /// (the penalties of Linkerd's failure accrual are 1 to 60 s); one probe.
    #[must_use]
    pub const fn consecutive(failures: NonZeroU32) -> Self {
        Self {
            failures_in_row: failures.get(),
            failure_rate_milli: 0,
            open: OpenTime::growing(Duration::from_secs(1), MINUTE),
            half_open: HalfOpen::ONE,
            ..Self::DEFAULT
        }
    }

    const DEFAULT: Self = Self {
        failures_in_row: 20,
        window: WindowKind::Time { buckets: TEN, width: Duration::from_secs(1) },
        calls_min: NonZeroU32::new(20).unwrap(),
        failure_rate_milli: 500,
        slow_rate_milli: 0,
        slow_after: MINUTE,
        open: OpenTime::growing(FIVE_SECONDS, MINUTE),
        half_open: HalfOpen { probes: FIVE, rule: ProbeRule::Rates, ..HalfOpen::ONE },
    };
}

impl OpenTime {
    /// Always `time`.
    const fn fixed(time: Duration) -> Self {
        Self { base: time, max: time, growth_milli: 1000, jitter: OpenJitter::None }
    }

    /// Doubling from `base` to `max`, the second half of it random.
    const fn growing(base: Duration, max: Duration) -> Self {
        Self { base, max, growth_milli: 2000, jitter: OpenJitter::Equal }
    }
}

impl HalfOpen {
    const ONE: Self = Self { probes: NonZeroU32::MIN, rule: ProbeRule::NoneFails, wait_max: None, lost_after: MINUTE };
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for OpenTime {
    fn default() -> Self {
        BreakerConfig::DEFAULT.open
    }
}

impl Default for HalfOpen {
    fn default() -> Self {
        BreakerConfig::DEFAULT.half_open
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const FIVE_SECONDS: Duration = Duration::from_secs(5);
const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();
const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();
const HUNDRED: NonZeroU32 = NonZeroU32::new(100).unwrap();
