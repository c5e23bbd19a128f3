//! Adaptive: weighted round robin while the load is low and even, two choices where it is high, least loaded where it
//! is uneven.
//!
//! Once an interval one of the picks looks at every candidate, O(n), and decides which policy serves from then on; all
//! others go straight to the policy in force. A threshold that was passed has to be undercut by the hysteresis before
//! its policy is left, and what is compared are the [signals] of several intervals, so that chance does not switch.
//!
//! [signals]: self::signals

mod signals;

use alloc::sync::Arc;
use core::any::Any;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use super::{Completion, Draw, LeastLoaded, LeastLoadedConfig, P2c, P2cConfig, Picker, WeightedRoundRobin};
use crate::balance::endpoint::Endpoint;
use crate::balance::view::Lineup;
use crate::service::Problems;
use crate::sync::{AtomicU8, AtomicU64, Ordering};
use crate::time::Instant;
use signals::{Signals, Watch};

/// The parameters of the adaptive strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct AdaptiveConfig {
    /// Above this variation of the load per weight, in percent of its mean, it turns to least loaded; 1 to 1,000.
    /// Default 30. It is the variation that weighted round robin would cause, less what chance alone makes.
    pub variation_percent: u32,
    /// Above this many requests in flight and held failures an instance, on average, it turns to two choices; at least
    /// 1. Default 100.
    pub connections: u32,
    /// How far below its threshold a signal has to fall before its policy is left again, in percent of the
    /// threshold: 0 to 100. Default 20.
    pub hysteresis_percent: u32,
    /// How often the signals are looked at; for at least this long a policy stays. More than 0; default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub interval: Duration,
    /// For how long after its end a failed attempt still adds one to the load compared. Default 1 s; 0 holds nothing.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub failure_hold: Duration,
}

impl AdaptiveConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        let Self { variation_percent, connections, hysteresis_percent, interval, failure_hold: _ } = self;
        let in_range = (1..=1_000).contains(variation_percent);
        problems.require(in_range, "variation_percent", variation_percent, "must be 1 to 1000");
        problems.require(*connections > 0, "connections", connections, "must be at least 1");
        problems.require(*hysteresis_percent <= 100, "hysteresis_percent", hysteresis_percent, "must be 0 to 100");
        problems.require(!interval.is_zero(), "interval", format_args!("{interval:?}"), "must be more than 0s");
    }
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { variation_percent: 30, connections: 100, hysteresis_percent: 20, interval: second, failure_hold: second }
    }
}

/// The three policies, ready to serve, and which of them does.
#[derive(Debug)]
pub(in crate::balance) struct Adaptive {
    config: AdaptiveConfig,
    round_robin: WeightedRoundRobin,
    two_choices: P2c,
    least_loaded: LeastLoaded,
    state: Arc<State>,
    /// Held by the one pick an interval that looks at the signals, and never waited for by any.
    watch: Mutex<Watch>,
}

/// What the pickers of one route share, one after the other.
#[derive(Debug, Default)]
struct State {
    mode: AtomicU8,
    /// When the signals are looked at next; 0 before the first pick.
    due: AtomicU64,
}

/// Which policy serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    RoundRobin,
    TwoChoices,
    LeastLoaded,
}

impl Adaptive {
    pub(super) fn build(config: &AdaptiveConfig, lineup: &Lineup<'_>, previous: Option<&dyn Picker>) -> Self {
        let previous = previous.and_then(|picker| (picker as &dyn Any).downcast_ref::<Self>());
        let turn = previous.map(|previous| &previous.round_robin as &dyn Picker);
        let known = previous.map(|previous| previous.watch.lock().unwrap_or_else(PoisonError::into_inner));
        Self {
            config: config.clone(),
            round_robin: WeightedRoundRobin::build(&super::WeightedRoundRobinConfig::default(), lineup, turn),
            two_choices: P2c::build(&P2cConfig { failure_hold: config.failure_hold, ..P2cConfig::default() }, lineup),
            least_loaded: LeastLoaded::build(&LeastLoadedConfig { failure_hold: config.failure_hold }, lineup),
            state: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.state)),
            watch: Mutex::new(Watch::over(lineup, known.as_deref())),
        }
    }

    fn mode(&self) -> Mode {
        match self.state.mode.load(Ordering::Relaxed) {
            1 => Mode::TwoChoices,
            2 => Mode::LeastLoaded,
            _ => Mode::RoundRobin,
        }
    }

    /// Looks at the signals, unless another pick does.
    #[cold]
    fn look(&self, now: Instant, due: u64, lineup: &Lineup<'_>) {
        let next = (now + self.config.interval).as_nanos();
        if self.state.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        // Held when another look takes longer than an interval, or a new picker takes over: this one is left out then.
        let Ok(mut watch) = self.watch.try_lock() else { return };
        let signals = watch.look(now, lineup);
        self.state.mode.store(self.decide(self.mode(), signals) as u8, Ordering::Relaxed);
    }

    /// The policy for `signals`, after `mode`.
    fn decide(&self, mode: Mode, signals: Signals) -> Mode {
        let config = &self.config;
        let stay = f64::from(100 - config.hysteresis_percent.min(100)) / 100.0;
        let threshold = |at: u32, is_in_force: bool| f64::from(at) * if is_in_force { stay } else { 1.0 };
        let is_uneven = signals.variation * 100.0 > threshold(config.variation_percent, mode == Mode::LeastLoaded);
        // Left then, least loaded would go and come for as long as the one hangs.
        if is_uneven || (signals.is_blind && mode == Mode::LeastLoaded) {
            Mode::LeastLoaded
        } else if signals.load > threshold(config.connections, mode == Mode::TwoChoices) {
            Mode::TwoChoices
        } else {
            Mode::RoundRobin
        }
    }
}

impl Picker for Adaptive {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let due = self.state.due.load(Ordering::Relaxed);
        if draw.now().as_nanos() >= due {
            self.look(draw.now(), due, &draw.lineup());
        }
        match self.mode() {
            Mode::RoundRobin => self.round_robin.pick(draw),
            Mode::TwoChoices => self.two_choices.pick(draw),
            Mode::LeastLoaded => self.least_loaded.pick(draw),
        }
    }

    /// Failures are held whichever policy serves, so that the next one knows of them.
    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        self.two_choices.finish(endpoint, completion);
    }

    fn learns_from_success(&self) -> bool {
        false
    }

    fn in_force(&self) -> Option<&'static str> {
        Some(match self.mode() {
            Mode::RoundRobin => "weighted-round-robin",
            Mode::TwoChoices => "p2c-least-loaded",
            Mode::LeastLoaded => "least-loaded",
        })
    }
}
