//! Checks that the process has code of its own for.

use std::fmt::{self, Debug, Formatter};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use mesh_core::health::{ProbeFailure, ProbeVerdict};
use mesh_core::port::BoxFuture;
use mesh_core::service::Instance;

/// Asks an instance how it is in a way of its own: a query to a database, a command of a protocol.
///
/// When it is asked, how long it may take, and how many answers in a row count, is for the
/// [check](mesh_core::service::HealthCheck::own) to say that it goes with, as with any other. One that takes longer is dropped and has failed; it must not block
/// its thread, for nothing can end it then.
pub trait CustomCheck: Send + Sync {
    /// Asks `instance`. A panic is [`ProbeFailure::Panicked`].
    fn check<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ProbeVerdict>;
}

/// The check of the process's own that a service has, if any.
#[derive(Clone, Default)]
pub(crate) struct OwnCheck(Option<Arc<dyn CustomCheck>>);

impl OwnCheck {
    pub(crate) fn new(check: impl CustomCheck + 'static) -> Self {
        Self(Some(Arc::new(check)))
    }

    /// Asks `instance`.
    pub(super) async fn ask(&self, instance: &Instance) -> Result<ProbeVerdict, ProbeFailure> {
        let Some(check) = &self.0 else { return Err(ProbeFailure::Unsupported) };
        let begun = catch_unwind(AssertUnwindSafe(|| check.check(instance)));
        let mut asked = begun.map_err(|_| ProbeFailure::Panicked)?;
        poll_fn(|context| {
            // What panicked is not polled again, and what it left half done is dropped with it.
            let polled = catch_unwind(AssertUnwindSafe(|| asked.as_mut().poll(context)));
            polled.map_or(Poll::Ready(Err(ProbeFailure::Panicked)), |polled| polled.map(Ok))
        })
        .await
    }
}

impl Debug for OwnCheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OwnCheck" } else { "none" })
    }
}
