//! Runs one check again and again, and notices what expires.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mesh_core::health::own::{CheckName, OwnCheck, Report};
use mesh_core::port::BoxFuture;
use mesh_core::service::ConfigError;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::registry::Shared;
use crate::driver::sleep_until;

/// When a check is run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probing {
    /// From the beginning of one run to that of the next. A run that takes longer delays the next. Default 5 s.
    pub interval: Duration,
    /// How long one run may take before it counts as failed. At most the interval. Default 2 s.
    pub timeout: Duration,
}

impl Default for Probing {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), timeout: Duration::from_secs(2) }
    }
}

impl Probing {
    /// A run every `interval`, which may take `timeout`.
    #[must_use]
    pub const fn every(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout }
    }

    /// Checks the numbers against each other and against those of `check`.
    pub(super) fn validate(&self, check: &OwnCheck) -> Result<(), ConfigError> {
        let Self { interval, timeout } = *self;
        let refused = |field, value: Duration, rule: String| Err(ConfigError::new(field, format!("{value:?}"), rule));
        if interval.is_zero() {
            return refused("interval", interval, "must be longer than zero".into());
        }
        if timeout.is_zero() || timeout > interval {
            return refused(
                "timeout",
                timeout,
                format!("must be longer than zero and at most interval = {interval:?}"),
            );
        }
        match check.valid_for {
            // A report comes at the end of a run, so two of them may be as far apart as this.
            Some(valid_for) if valid_for <= interval.saturating_add(timeout) => {
                let rule = format!("must be longer than interval + timeout = {interval:?} + {timeout:?}");
                refused("valid_for", valid_for, rule)
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A check as the task runs it.
pub(super) type Run = Arc<dyn Fn() -> BoxFuture<'static, Report> + Send + Sync>;

pub(super) fn boxed<F, Fut>(check: F) -> Run
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Report> + Send + 'static,
{
    Arc::new(move || Box::pin(check()))
}

/// Runs `check` until the registry is gone or has ended, or a startup check has passed.
pub(super) async fn run(shared: Weak<Shared>, name: CheckName, probing: Probing, check: Run) {
    let mut runs = JoinSet::new();
    loop {
        let Some(clock) = shared.upgrade().map(|shared| Arc::clone(&shared.clock)) else { return };
        let began = clock.now();
        let check = Arc::clone(&check);
        // In a task of its own, so that its panic is only its own.
        runs.spawn(async move { check().await });
        let report = match tokio::time::timeout(probing.timeout, runs.join_next()).await {
            Ok(Some(Ok(report))) => report,
            Ok(Some(Err(_)) | None) => Report::fail("panicked"),
            Err(_) => Report::fail("timed out"),
        };
        let Some(again) = shared.upgrade().map(|shared| shared.report(&name, report)) else { return };
        if !matches!(again, Ok(true)) {
            return;
        }
        runs.abort_all();
        // One that does not yield is not given a second one beside it; its report goes stale instead.
        while runs.join_next().await.is_some() {}
        sleep_until(&*clock, Some(began + probing.interval)).await;
    }
}

/// Has the answers told anew when something expires.
pub(super) async fn keep_time(shared: Weak<Shared>, moved: Arc<Notify>) {
    loop {
        let Some((clock, due)) = shared.upgrade().map(|shared| (Arc::clone(&shared.clock), shared.look())) else {
            return;
        };
        tokio::select! {
            () = sleep_until(&*clock, due) => {}
            () = moved.notified() => {}
        }
    }
}
