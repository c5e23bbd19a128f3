//! Carries an operation out once, as far as that can be had: its owner holds a lease at the store, and its result is told to
//! whoever begins it again.
//!
//! An [`OperationMachine`] is made for each call of an operation. It asks the store to begin, waits for somebody else who is
//! at it, renews the lease while its owner works, and tells the store how it ended.
//!
//! # What is promised
//! * While the store keeps its state, **at most one result is kept** for a key within [`OperationConfig::keep`], and
//!   [`Done`](OperationEvent::Done) tells that one. An owner that somebody took over from is refused by its
//!   [fence](super::store::Fence).
//! * An owner that is not heard of within its lease is taken over from, and whoever takes over is told that **the outcome
//!   is unknown** ([`Right::TakenOver`]). An owner that lives and was only slow is told so too
//!   ([`Lapsed`](OperationEvent::Lapsed), [`TakenAway`](OperationEvent::TakenAway)). Both may be at it at once then: no
//!   lease can rule that out. Where the operation's effect is on something that can compare numbers, give it the fence.
//! * Fences only rise, in a store that has lost its state as well as long as its clock goes on.
//! * What is not promised: that an operation is carried out at most once where the store forgets, or where
//!   [`StoreLost::RunAnyway`] is chosen.
//!
//! # Commands whose answers do not come
//! All of them are sent again, because all can be: begin bears the same owner's token and is answered as before, finish and
//! abandon bear the fence. A begin that is delayed until its owner has gone leaves an owner that is never heard of: the next
//! one waits for its lease and is told that the outcome is unknown, which is true of whatever else happened.
//!
//! # Inputs, effects, events, timers, bounds
//! Inputs are [`OperationInput`], effects are commands to [send](super::Sending), events are [`OperationEvent`]. Timers are the
//! answer's deadline, the next question, the renewal and the end of the lease, all on the process's own clock: the lease is
//! counted from when its command was sent, so it ends here before it ends at the store. One command is under way at most.

mod config;
mod machine;
mod message;

pub use config::{OperationConfig, StoreLost};
pub use machine::{Operation, OperationMachine};
pub use message::{OperationEnd, OperationEvent, OperationInput, OperationRefusal, Right};
