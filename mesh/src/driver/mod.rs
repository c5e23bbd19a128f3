//! The tasks that carry out what the machines ask for.
//!
//! A driver decides nothing: it fetches effects, does them, and hands back what came of it. One task drives one
//! machine; it ends when it is aborted or told to.

mod registration;
mod remembering;
mod service;
mod settling;
mod telling;

use std::time::Duration;

use mesh_core::port::Clock;
use mesh_core::time::Instant;

pub(crate) use registration::{Kept, KeptState, Order, RegistrationDriver, UpdateFailure};
pub(crate) use service::ServiceDriver;

/// Sleeps until `due` by `clock`; for ever, without one.
pub(crate) async fn sleep_until(clock: &dyn Clock, due: Option<Instant>) {
    match due {
        Some(due) => {
            let left = due.since(clock.now());
            // The runtime's timer ticks in milliseconds and rounds up: nothing comes due early.
            if left > Duration::ZERO {
                tokio::time::sleep(left).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        None => std::future::pending().await,
    }
}
