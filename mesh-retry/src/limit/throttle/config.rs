//! How much a caller asks of a callee that does not accept all.

use core::time::Duration;

use mesh_core::service::ConfigError;

use crate::limit::config::check;

/// How an [`AdaptiveThrottle`](super::AdaptiveThrottle) throttles.
///
/// The default is the one of Google's SRE book (chapter "Handling Overload": K = 2, two minutes) with a floor of
/// rejections, so that a burst of first requests is not taken for an overload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct ThrottleConfig {
    /// K: how many times what it accepts a callee is asked, in thousandths: 1,000 to 100,000. Less wastes less of the
    /// callee's time, and is slower to find out that it has recovered. Default 2,000, the book's.
    pub multiplier_milli: u32,
    /// How long requests count, to 1/24 of it: 24 ms to 10 min. Default 2 min, the book's.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub window: Duration,
    /// As long as fewer requests within the window were not accepted, nothing is throttled: those that have no answer yet
    /// would all count as refused when a process begins. Default 10, which is more than chance; the book has none, 0.
    pub rejections_min: u32,
}

impl ThrottleConfig {
    /// The book's, to the letter.
    #[must_use]
    pub const fn sre() -> Self {
        Self { multiplier_milli: 2_000, window: Duration::from_secs(120), rejections_min: 0 }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let multiplies = (1_000..=100_000).contains(&self.multiplier_milli);
        check(multiplies, "multiplier_milli", self.multiplier_milli, "must be 1000 to 100000")?;
        let window = self.window;
        let lasts = (Duration::from_millis(24)..=Duration::from_secs(600)).contains(&window);
        check(lasts, "window", format_args!("{window:?}"), "must be 24ms to 10min")
    }
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self { rejections_min: 10, ..Self::sre() }
    }
}
