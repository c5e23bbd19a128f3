//! How fast everything goes: intervals of checks and sweeps, and for how long the example runs.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use mesh::mesh_core::machine::ServiceMachineConfig;
use mesh::mesh_core::service::{CheckRunner, HealthCheckBuilder};
use mesh::{HealthCheck, RetryPolicy, Strategy};

use crate::fleet::Illness;

/// How fast everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tempo {
    /// As one might run it.
    Usual,
    /// For those who wait.
    Fast,
}

impl Tempo {
    /// How long the example takes. The second fifth is when backends fall ill; they are well again after three fifths.
    pub(crate) const fn length(self) -> Duration {
        match self {
            Self::Usual => Duration::from_secs(30),
            Self::Fast => Duration::from_secs(5),
        }
    }

    const fn interval(self) -> Duration {
        match self {
            Self::Usual => Duration::from_millis(500),
            Self::Fast => Duration::from_millis(100),
        }
    }

    fn timeout(self) -> Duration {
        self.interval() / 2
    }

    fn sweep(self) -> Duration {
        self.length() / 15
    }

    /// A check every interval, three failures make an instance unhealthy, two successes healthy.
    pub(crate) fn check(self) -> HealthCheckBuilder {
        let check = HealthCheck::http("/health").run_by(CheckRunner::Mesh);
        let (rise, fall) = (NonZeroU32::MIN.saturating_add(1), NonZeroU32::MIN.saturating_add(FALL - 1));
        check.interval(self.interval()).timeout(self.timeout()).rise(rise).fall(fall)
    }

    /// The default preset at this speed.
    pub(crate) fn machine(self) -> ServiceMachineConfig {
        let mut config = ServiceMachineConfig::default();
        let few = NonZeroU64::MIN.saturating_add(19);
        // In turns: two choices would send those that fail hardly any requests, and it would take longer to find them.
        config.strategy = Strategy::RoundRobin;
        config.checks.stagger_max = self.interval();
        config.outlier.interval = self.sweep();
        config.outlier.ejection.base_time = self.length() / 5;
        config.outlier.ejection.jitter_max = self.length() / 50;
        config.slow_start.window = self.length() / 15;
        if let Some(detector) = &mut config.outlier.success_rate {
            detector.volume_min = few;
        }
        if let Some(detector) = &mut config.outlier.correlated {
            detector.volume_min = few;
        }
        if let Some(detector) = &mut config.outlier.latency {
            detector.volume_min = few;
        }
        config
    }

    /// One retry, at once, and no attempt longer than a check.
    pub(crate) fn retries(self) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        policy.attempt_timeout = Some(self.timeout());
        policy
    }

    /// How soon an illness has to be found: by checks within an interval (with its jitter of a tenth) and as many
    /// time-outs and intervals more as failures are counted; by what requests show within two sweeps.
    pub(crate) fn bound(self, illness: Illness) -> Duration {
        let (interval, sweep) = (self.interval() * 11 / 10, self.sweep());
        SLACK
            + match illness {
                Illness::Refuses => interval * FALL,
                Illness::Hangs => interval * FALL + self.timeout() * FALL,
                Illness::Errs | Illness::Slow => sweep * 2,
                Illness::Overloaded => interval,
            }
    }
}

/// How many failed checks in a row make an instance unhealthy.
const FALL: u32 = 3;
/// For looking on every 20 ms, and for a machine that is busy.
const SLACK: Duration = Duration::from_millis(150);
