//! Decides the course of one call: which attempts it makes, how long it waits between them, and when it stops.
//!
//! [`CallMachine`] is a [`Machine`](mesh_core::machine::Machine), made anew for each call. It never picks an
//! instance, sends anything, reads a clock or sleeps.
//!
//! - **Inputs** ([`CallInput`]): an instance was picked for an attempt, none was available, the attempt ended,
//!   the attempt took too long.
//! - **Effects** ([`CallEffect`]): make an attempt at an instance outside [`CallMachine::tried`]; cancel one.
//! - **Events** ([`CallEvent`]): succeeded, or gave up and why; exactly one, after which nothing follows.
//! - **Timers**: while an attempt is under way, the call's deadline; while waiting, the end of the backoff,
//!   which is always before the deadline. The timeout of one attempt is the driver's: it comes with the effect.
//! - **Bounds**: at most `attempts_max` attempts, one at a time; one effect and one event outstanding; the last
//!   eight instances remembered. Nothing is allocated.
//!
//! # How it decides
//!
//! A retry follows a transient or throttled end and an attempt timeout, never a permanent or final end, the call's
//! deadline or an empty choice of instances. It waits for a draw of the backoff, on top of the wait that the
//! callee announced, if any: callers who were all told the same wait do not come back all at once. A policy may have
//! another rule for announced waits ([`RetryAfter`](crate::policy::RetryAfter)). A retry
//! whose wait cannot end before the deadline is not waited for: the call gives up at once.

mod machine;
mod message;
mod reason;

pub use machine::CallMachine;
pub use message::{AttemptId, CallEffect, CallEvent, CallInput, Unavailable};
pub use reason::GiveUpReason;
