//! Decides how many calls go on at once, and who waits for a place. Never makes anyone wait itself.
//!
//! A [`Bulkhead`] keeps one callee from taking all that a process has (Nygard, "Release It!"). Whoever finds room goes
//! in and out through [`Bulkhead::enter`] and [`Bulkhead::leave`], which are one exchange of one word each, without a
//! lock. Whoever does not asks the [`BulkheadMachine`], which its driver keeps behind a lock of its own.
//!
//! - **Inputs** ([`BulkheadInput`]): a call asks to go in; one has left whose place is awaited; one is given up.
//! - **Effects** ([`BulkheadEffect`]): admit a call, with how long it waited and the pass it has to give back; refuse it,
//!   with the reason.
//! - **Events**: none.
//! - **Timers**: the earliest deadline of those who wait, and when the oldest has waited too long.
//! - **Bounds**: at most `waiting_max` wait; an input leads to at most one effect for each of them and one more.
//!
//! # Who waits in vain
//!
//! A call that cannot be admitted before its deadline is refused at once: with k ahead of it, N inside and a smoothed
//! time inside of S, its turn comes in about (k + 1) · S / N. It is refused at its deadline where that was too hopeful,
//! and never admitted at its deadline or later. Who has waited for `wait_max` is shed. Where somebody has been waiting
//! without interruption for `overload_after`, there is a standing queue, which is no use to anyone: then
//! `overload_wait_max` is the limit, and [`Order::AdaptiveLifo`] serves whoever came last (Maurer, "Fail at Scale", 2015,
//! after CoDel, RFC 8289).
//!
//! # How nobody is forgotten
//!
//! Who goes in past the machine does so only if nobody waits; who leaves is told whether anybody does, by the same
//! exchange that gives the place back; and who begins to wait does so only if, at that moment, there is no room. So of
//! the last to leave and the first to wait, one knows of the other. The machine lets in whom there is room for at each
//! input, so that a leaver who tells it twice, or late, does no harm.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mesh_retry::limit::bulkhead::{
//!     Bulkhead, BulkheadConfig, BulkheadEffect, BulkheadInput, BulkheadMachine, EntrantId, Left,
//! };
//! use mesh_retry::{Instant, Machine};
//!
//! let mut config = BulkheadConfig::default();
//! config.concurrent_max = std::num::NonZeroU32::MIN;
//! let bulkhead = Arc::new(Bulkhead::new(config));
//! let mut queue = BulkheadMachine::new(Arc::clone(&bulkhead));
//!
//! let first = bulkhead.enter(Instant::ZERO)?;
//! assert!(bulkhead.enter(Instant::ZERO).is_err());
//! let second = EntrantId::from_number(2);
//! queue.handle_input(Instant::ZERO, BulkheadInput::Enter { id: second, deadline: None });
//! assert_eq!(queue.poll_effect(), None);
//!
//! let now = Instant::from_millis(20);
//! if bulkhead.leave(now, first) == Left::Awaited {
//!     queue.handle_input(now, BulkheadInput::Left);
//! }
//! let Some(BulkheadEffect::Admit { id, waited, pass }) = queue.poll_effect() else { unreachable!("there is room") };
//! assert_eq!((id, waited), (second, now.since(Instant::ZERO)));
//! assert_eq!(bulkhead.leave(now, pass), Left::Unawaited);
//! # Ok::<(), mesh_retry::limit::bulkhead::BulkheadFull>(())
//! ```

mod config;
mod gate;
mod machine;
mod message;
mod queue;
mod reason;

pub use config::{BulkheadConfig, Order};
pub use gate::{Bulkhead, Left, Pass};
pub use machine::BulkheadMachine;
pub use message::{BulkheadEffect, BulkheadInput, EntrantId};
pub use reason::{BulkheadFull, Refusal};
