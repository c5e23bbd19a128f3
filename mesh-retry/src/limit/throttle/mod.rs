//! Decides whether a request is worth sending to a callee that does not accept all it is sent. Never makes anyone wait.
//!
//! Google's client-side throttling (Beyer et al., "Site Reliability Engineering", chapter "Handling Overload"): of the
//! requests of the last two minutes, a caller knows how many it wanted to make and how many were accepted. It refuses the
//! next itself with probability
//!
//! ```text
//! p = max(0, (requests - K · accepts) / (requests + 1))
//! ```
//!
//! so that a callee that can accept C is sent about min(R, K · C) of R. What is refused here counts as a request too.
//!
//! A request counts from when it is asked for, not from when it ended: where a callee hangs, none ends (go-zero counts
//! them when they end, and lets all through; its issue 5011). Such a caller knows nothing of those under way, and while
//! a process begins they are all there is: that is what
//! [`rejections_min`](ThrottleConfig::rejections_min) is for.

mod config;
mod counts;

use mesh_core::rng::Draws;
use mesh_core::time::Instant;
use thiserror::Error;

use super::End;
use counts::{Counts, Tally};

pub use config::ThrottleConfig;

/// The throttle of one callee, shared by all calls to it.
#[derive(Debug)]
pub struct AdaptiveThrottle {
    config: ThrottleConfig,
    counts: Counts,
}

/// What a throttle knows of the last window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThrottleLevel {
    /// Requests that were wanted, those refused here included, and those ignored not.
    pub requests: u32,
    /// Requests that the callee accepted.
    pub accepts: u32,
    /// Requests that it did not accept.
    pub rejections: u32,
    /// With what probability the next one is refused, in thousandths.
    pub probability_milli: u32,
}

/// That a request is not worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Throttled {
    /// The callee accepts few of those it is sent. The request was counted.
    #[error(
        "of {} requests {} were accepted, and {} in 1000 are not sent",
        level.requests, level.accepts, level.probability_milli
    )]
    FewAccepted {
        /// What was known.
        level: ThrottleLevel,
        /// When the oldest of it is forgotten. Each request has its own chance, so asking again may help before as well.
        retry_at: Instant,
    },
}

impl AdaptiveThrottle {
    /// A throttle that knows nothing yet.
    ///
    /// A configuration that breaks its rules is followed as far as it goes: see [`ThrottleConfig::validate`].
    #[must_use]
    pub fn new(config: ThrottleConfig) -> Self {
        Self { config, counts: Counts::over(config.window) }
    }

    /// Counts a request, and decides whether to send it. Its end is to be told with [`AdaptiveThrottle::ended`].
    ///
    /// # Errors
    /// It is not worth sending. It was counted, and has no end to be told.
    pub fn admit(&self, now: Instant, entropy: u64) -> Result<(), Throttled> {
        let odds = self.odds(self.counts.read(now));
        self.counts.add(now, Tally { requests: 1, ..Tally::default() });
        // Others make their draws of the same entropy.
        if odds.against > 0 && Draws::new(entropy ^ SALT).below(odds.of) < odds.against {
            return Err(Throttled::FewAccepted { level: odds.level, retry_at: self.counts.next_change(now) });
        }
        Ok(())
    }

    /// Tells how a request that was sent ended: one that is ignored does not count from here on.
    pub fn ended(&self, now: Instant, end: End) {
        let mut tally = Tally::default();
        match end {
            End::Success => tally.accepts = 1,
            End::Dropped => tally.rejections = 1,
            End::Ignored => tally.ignored = 1,
        }
        self.counts.add(now, tally);
    }

    /// What it knows of the window that ends at `now`.
    #[must_use]
    pub fn level(&self, now: Instant) -> ThrottleLevel {
        self.odds(self.counts.read(now)).level
    }

    fn odds(&self, tally: Tally) -> Odds {
        // One that was asked for before the window may be ignored within it.
        let requests = tally.requests.saturating_sub(tally.ignored);
        let of = 1_000 * (u64::from(requests) + 1);
        let accepted = u64::from(tally.accepts).saturating_mul(u64::from(self.config.multiplier_milli));
        let refused = (1_000 * u64::from(requests)).saturating_sub(accepted);
        let against = if tally.rejections >= self.config.rejections_min { refused } else { 0 };
        let level = ThrottleLevel {
            requests,
            accepts: tally.accepts,
            rejections: tally.rejections,
            probability_milli: (against * 1_000 / of) as u32,
        };
        Odds { against, of, level }
    }
}

impl Throttled {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FewAccepted { .. } => "throttled",
        }
    }

    /// When asking again may help more than now.
    #[must_use]
    pub const fn retry_at(&self) -> Option<Instant> {
        match self {
            Self::FewAccepted { retry_at, .. } => Some(*retry_at),
        }
    }
}

/// The chance that a request is refused, as a fraction.
struct Odds {
    against: u64,
    of: u64,
    level: ThrottleLevel,
}

const SALT: u64 = 0x5448_524F_5454_4C45;
