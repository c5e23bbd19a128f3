//! Decides the course of one call: which attempts it makes, how long it waits between them, which of them it hedges, and
//! when it stops.
//!
//! [`CallMachine`] is a [`Machine`](mesh_core::machine::Machine), made anew for each call. It never picks an
//! instance, sends anything, reads a clock or sleeps.
//!
//! - **Inputs** ([`CallInput`]): an instance was picked for an attempt, none was available, the attempt ended,
//!   the attempt took too long.
//! - **Effects** ([`CallEffect`]): make an attempt at an instance outside [`CallMachine::tried`]; cancel one.
//! - **Events** ([`CallEvent`]): succeeded, or gave up and why; exactly one, after which no attempt follows. What is to be
//!   cancelled is asked for before it. [`CallMachine::take_decision`] tells what was decided on the way, and why not.
//! - **Timers**: while attempts are under way, the call's deadline and the time of the next copy; while waiting, the end
//!   of the backoff, which is always before the deadline. The timeout of one attempt is the driver's: it comes with the
//!   effect.
//! - **Bounds**: at most `attempts_max` attempts, and as many copies of each as the policy hedges; at most
//!   [`COPIES_MAX`](crate::hedge::COPIES_MAX) at a time; one event outstanding; the last eight instances remembered.
//!   Nothing is allocated.
//!
//! What calls share comes in by [`Terms`]: the budget that retries and hedges are paid from, and the gates that every
//! attempt passes. The machine tells them how each attempt ended exactly once, and gives back what a call that is dropped
//! had been granted.
//!
//! # How it decides
//!
//! A retry follows when every copy of an attempt has failed: in a transient or throttled end, without a connection, or in
//! an attempt timeout; never a permanent end, the call's deadline or an empty choice of instances. In this order:
//!
//! 1. An operation that may not be repeated is tried again only where it is certain that it was not carried out.
//! 2. The strategy ([`Terms::retry`]) says how long to wait, or why not. The policy's own waits for a draw of the backoff, on
//!    top of what the callee announced or a shut gate named, if any: callers who were all told the same wait do not come
//!    back all at once.
//! 3. A retry whose wait cannot end before the deadline is not waited for: the call gives up at once.
//! 4. The budget pays, or does not; one that has asked for more elsewhere is asked again when the wait is over, and only if
//!    it pays then is the retry decided ([`Decision::Deferred`], then [`Decision::Retry`]). A copy does not wait for that:
//!    it is not sent.
//! 5. What spreads retries ([`Terms::spread`]) may make the wait longer, as far as there is room before the deadline.
//! 6. Every gate lets the attempt pass when the wait is over, or the call gives up.
//!
//! An attempt for which there are instances, but none that may be asked for now ([`Unavailable::Shut`]), is not made and
//! counts for nothing. The call waits until one may be asked, as long as it would wait before a retry and as often as it
//! would be retried, and asks again; or gives up with that reason.
//!
//! A copy is sent when the ones before it take long, as the policy's [`HedgePolicy`](crate::hedge::HedgePolicy) says: paid
//! and let through like a retry, only to an instance that has none, and never of an operation that may not be repeated. A
//! failure brings the next copy forward (as in gRPC's proposal A6) unless a retry takes its place, and an overload puts it
//! off for as long as the callee wants to be left alone. The first success wins; a permanent failure ends all.

mod asking;
mod copies;
mod decided;
mod gate;
mod gates;
mod holding;
mod machine;
mod message;
mod reason;
mod retrying;
mod terms;

pub use gate::{AttemptEnd, Gate, Pass, Shut};
pub use machine::CallMachine;
pub use message::{
    AttemptId, AttemptKind, CallEffect, CallEvent, CallInput, CancelReason, Decision, Tally, Unavailable,
};
pub use reason::GiveUpReason;
pub use terms::{Failed, GATES_MAX, Terms};
