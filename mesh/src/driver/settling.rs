//! When the counts are told that threads hold back and then pick no more.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

/// The next time to settle the counts of a service; never where they are exact.
#[derive(Debug)]
pub(super) struct Settling(Option<Interval>);

impl Settling {
    /// For counts that are held back for `window`, every window, but no more often than [`PERIOD_MIN`].
    pub(super) fn every(window: Duration) -> Self {
        let interval = (!window.is_zero()).then(|| tokio::time::interval(window.max(PERIOD_MIN)));
        Self(interval.map(|mut interval| {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Waits until it is time. Cancelling it loses nothing.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => _ = interval.tick().await,
            None => core::future::pending().await,
        }
    }
}

/// It costs a look at every instance for each thread.
const PERIOD_MIN: Duration = Duration::from_millis(10);
