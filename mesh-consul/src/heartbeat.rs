//! Feeds one TTL check: a third of its time to live apart, one update at a time.
//!
//! Decides when to feed and when the registration is to be doubted. It never registers: whoever keeps the registration
//! hears of the doubt and looks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::agent::TtlStatus;
use crate::client::Consul;
use crate::error::ErrorClass;

/// What is reported, and what with it.
pub(crate) type Report = (TtlStatus, Arc<str>);

/// The feeding of one check.
pub(crate) struct Heartbeat {
    pub(crate) consul: Consul,
    pub(crate) check: String,
    pub(crate) ttl: Duration,
    pub(crate) reports: watch::Receiver<Report>,
    pub(crate) doubts: Arc<Notify>,
}

impl Heartbeat {
    /// Feeds until the task is aborted.
    pub(crate) async fn run(mut self) {
        let period = self.ttl / BEATS_PER_TTL;
        let within = (self.ttl / 2).min(BEAT_TIMEOUT_MAX);
        let clock = self.consul.environment().clock.clone();
        let mut failures = 0_u32;
        loop {
            let began = clock.now();
            let (status, note) = self.reports.borrow_and_update().clone();
            let rest = match self.consul.beat(&self.check, status, &note, within).await {
                Ok(()) => {
                    failures = 0;
                    period
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(check = %self.check, %error, failures, "a heartbeat failed");
                    if error.class() == ErrorClass::LostRegistration {
                        self.doubts.notify_one();
                    }
                    // Sooner than usual, or the check expires; not at once, or an agent in trouble gets more of it.
                    RETRY.saturating_mul(failures.min(8)).min(period)
                }
            };
            // Counted from the beginning of the update, so that a slow agent does not stretch the period.
            let rest = rest.saturating_sub(clock.now().since(began)).max(REST_MIN);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                changed = self.reports.changed() => if changed.is_err() { return },
            }
        }
    }
}

const BEATS_PER_TTL: u32 = 3;
const BEAT_TIMEOUT_MAX: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(250);
/// However slow the agent, updates do not follow each other without a pause.
const REST_MIN: Duration = Duration::from_millis(50);
