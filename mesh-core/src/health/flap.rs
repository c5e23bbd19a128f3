//! Whether an instance that keeps falling and returning is held out for a while.
//!
//! Decides how long a return waits. Never takes an instance out and never delays its fall: that is for those who see
//! it fail, at once.
//!
//! The method is the damping of flapping routes of RFC 2439 (BGP Route Flap Damping): each fall adds a penalty, which
//! decays exponentially; above one threshold the instance is held out, until the penalty has decayed to another, lower
//! one. A ceiling on the penalty bounds the time: however often it fell, it is held out for at most a set time after
//! its last fall.

use core::time::Duration;

use crate::service::{ConfigError, Problems};
use crate::time::{Instant, saturating_nanos};

/// How falls are punished. Penalties are points without a unit; only their ratios matter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct DampingConfig {
    /// Whether anything is held out at all. Default true.
    pub enabled: bool,
    /// What each fall adds. 1 to 1,000,000. Default 1000.
    pub penalty: u32,
    /// Above which penalty an instance is held out. At most 1,000,000. Default 2000: the third fall within a minute or
    /// so does it.
    pub suppress_above: u32,
    /// To which penalty it must decay before it may return. At least 1, and less than `suppress_above`. Default 750.
    pub reuse_at: u32,
    /// In what time a penalty halves. 1 ms to 1 h. Default 1 min: checks see a fall within seconds, and a deploy that
    /// went wrong for a moment is to be forgotten within minutes.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub half_life: Duration,
    /// For how long after its last fall an instance may be held out. At most 32 half-lives, and more than the time in
    /// which `suppress_above` decays to `reuse_at`, or nothing could ever be held out. Default 4 min.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub suppress_max: Duration,
}

impl DampingConfig {
    /// What routers do by default: a half-life of 15 min and at most 60 min out, with the same penalties (Juniper's
    /// `JUNOSe` command reference, `bgp dampening`).
    #[must_use]
    pub fn bgp() -> Self {
        Self { half_life: Duration::from_secs(900), suppress_max: Duration::from_secs(3600), ..Self::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Every field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        let (penalty, suppress, reuse) = (self.penalty, self.suppress_above, self.reuse_at);
        problems.require((1..=POINTS_MAX).contains(&penalty), "penalty", penalty, "must be 1 to 1000000");
        problems.require(suppress <= POINTS_MAX, "suppress_above", suppress, "must be at most 1000000");
        let between = (1..suppress).contains(&reuse);
        problems.require(between, "reuse_at", reuse, "must be at least 1 and less than suppress_above");
        let half_life = format_args!("{:?}", self.half_life).to_string();
        let sane = (HALF_LIFE_MIN..=HALF_LIFE_MAX).contains(&self.half_life);
        problems.require(sane, "half_life", half_life, "must be 1ms to 1h");
        if sane && between && suppress <= POINTS_MAX {
            let longest = format_args!("{:?}", self.suppress_max).to_string();
            let bounded = self.suppress_max <= self.half_life * HALF_LIVES_MAX;
            problems.require(bounded, "suppress_max", &longest, "must be at most 32 times half_life");
            let reachable = Damping::new(self).ceiling > f64::from(suppress);
            let rule = "must be longer than suppress_above takes to decay to reuse_at";
            problems.require(reachable, "suppress_max", &longest, rule);
        }
    }
}

impl Default for DampingConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            penalty: 1000,
            suppress_above: 2000,
            reuse_at: 750,
            half_life: Duration::from_secs(60),
            suppress_max: Duration::from_secs(240),
        }
    }
}

/// The rules of damping, which all instances share.
#[derive(Clone, Debug, PartialEq)]
pub struct Damping {
    enabled: bool,
    penalty: f64,
    suppress_above: f64,
    reuse_at: f64,
    /// In nanoseconds, more than 0.
    half_life: f64,
    suppress_max: Duration,
    /// What decays to `reuse_at` in `suppress_max`.
    ceiling: f64,
}

impl Damping {
    /// The rules of `config`, which should be valid; with one that is not, nothing worse happens than too much or too
    /// little damping.
    #[must_use]
    pub fn new(config: &DampingConfig) -> Self {
        let half_life = nanos(config.half_life).max(1.0);
        let reuse_at = f64::from(config.reuse_at.max(1));
        Self {
            enabled: config.enabled,
            penalty: f64::from(config.penalty),
            suppress_above: f64::from(config.suppress_above),
            reuse_at,
            half_life,
            suppress_max: config.suppress_max,
            ceiling: reuse_at * libm::exp2(nanos(config.suppress_max) / half_life),
        }
    }

    /// The most penalty there is: `reuse_at * 2^(suppress_max / half_life)`, as RFC 2439 has it (4.2).
    #[must_use]
    pub const fn ceiling(&self) -> f64 {
        self.ceiling
    }

    fn decayed(&self, penalty: f64, elapsed: Duration) -> f64 {
        penalty * libm::exp2(-nanos(elapsed) / self.half_life)
    }

    fn time_to_reuse(&self, penalty: f64) -> Duration {
        let lives = libm::log2(penalty / self.reuse_at).max(0.0);
        Duration::from_nanos(libm::ceil(lives * self.half_life) as u64).min(self.suppress_max)
    }
}

/// The falls of one instance: 32 bytes. Begins without any.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Damper {
    /// As it was at `at`.
    penalty: f64,
    at: Instant,
    /// The end of the last time it was held out.
    until: Option<Instant>,
}

impl Damper {
    /// Takes note of a fall at `now`; returns whether the instance is held out since, and was not before.
    ///
    /// To be told of every fall that a source sees, also while the instance is held out: only quiet lets a penalty
    /// decay. A drain or a maintenance is no fall.
    pub fn flap(&mut self, now: Instant, damping: &Damping) -> bool {
        let now = now.max(self.at);
        self.penalty = (self.penalty(now, damping) + damping.penalty).min(damping.ceiling);
        self.at = now;
        let was_damped = self.is_damped(now);
        let is_damped = damping.enabled && (was_damped || self.penalty > damping.suppress_above);
        if is_damped {
            self.until = Some(now + damping.time_to_reuse(self.penalty));
        }
        is_damped && !was_damped
    }

    /// Whether the instance is held out at `now`.
    #[must_use]
    pub fn is_damped(&self, now: Instant) -> bool {
        self.damped_until(now).is_some()
    }

    /// When the instance that is held out at `now` may return, if it does not fall again; none where it is not held
    /// out.
    #[must_use]
    pub fn damped_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// The penalty that is left at `now`; time before the last fall counts as its time.
    #[must_use]
    pub fn penalty(&self, now: Instant, damping: &Damping) -> f64 {
        damping.decayed(self.penalty, now.since(self.at))
    }
}

fn nanos(duration: Duration) -> f64 {
    saturating_nanos(duration) as f64
}

const POINTS_MAX: u32 = 1_000_000;
const HALF_LIFE_MIN: Duration = Duration::from_millis(1);
const HALF_LIFE_MAX: Duration = Duration::from_secs(3600);
const HALF_LIVES_MAX: u32 = 32;
