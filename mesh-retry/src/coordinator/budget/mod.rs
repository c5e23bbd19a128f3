//! One budget for the retries of a whole fleet.
//!
//! Budgets of processes do not add up to one of the fleet: what each holds at the start and gains with time, all hold and
//! gain. Here the bucket is in a [store](super::store), and processes hold leases of few tokens for a second at most.
//!
//! [`FleetBudget`] is what calls meet: a [`Budget`](crate::budget::Budget), shared by all threads, that never waits. A first
//! attempt is one addition, and a retry for which there is a token one swap of a word. [`FleetMachine`] speaks with the store,
//! in *settlements*: it tells the first attempts, gives back what was not spent and asks for what is wanted, as much as lasts
//! for half a second. What the store denies is not asked for again for about as long as time takes to bring it, or longer where
//! many compete: 50 ms at least, a second at most. A driver carries its commands to the store and the replies back, and hands it [`FleetInput::Woken`] when the
//! budget calls its [`Wake`].
//!
//! | state | who answers a retry |
//! |---|---|
//! | [`NoAssignment`](FleetState::NoAssignment) | the local share; where it has nothing the call is to ask again at the end of its wait |
//! | [`Leased`](FleetState::Leased) | the lease; where it has nothing, so; within the time of a denial it is denied |
//! | [`Expired`](FleetState::Expired) | the lease, of which nothing was left when the store failed: what comes back before its end pays, and all others are to ask again |
//! | [`LocalFallback`](FleetState::LocalFallback) | the local share: what [`Fallback`] says |
//!
//! A lease pays as long as it has tokens and time, whatever the store does. When nothing is left of it, three failures in a row
//! lead to `LocalFallback`, or a second ([`expired_for`](FleetBudgetConfig::expired_for)) without an answer: for a process that
//! has no token when the store goes that is a fifth of a second where it refuses, and a second and a half where it is silent.
//! From `NoAssignment` it takes three failures. As soon as the store answers, the lease does.
//!
//! # The bound
//!
//! In every window of time, however long, whatever the network, the processes and the store's clock do, the fleet is granted
//! no more retries and hedges, less those that are given back in the window because their attempts were not made, than the
//! sum of
//! - `ratio` times its first attempts, in the window and within the two seconds before it, or as much longer as a command was
//!   on its way to the store,
//! - `per_second` times as long as the window lasts by the store's clock, where each movement ahead counts and none back does,
//! - `burst`, and another for each time that the store lost its state, or a part of it, in the window,
//! - the tokens that are with processes, or on their way to them or back, when it begins: at most
//!   [`lease_max`](FleetBudgetConfig::lease_max) each, those that did not reach the store yet, and those that were given back
//!   to a lease besides,
//! - for each process that goes by its share in the window, and each that is started, what the share may hold, and
//!   `per_second` times as long as the window lasts for it, each divided by the number of processes that it last heard of,
//!   or [is taken to be one of](FleetBudgetConfig::processes_assumed) before it has heard; a share holds one retry at least, since it could never pay any otherwise. (With [`Fallback::Pessimistic`] it is nothing,
//!   with [`Fallback::Optimistic`] it is not divided.) Time is credited to a share every half second, every five where no
//!   call was made for a minute, and so the window is longer by that for it.
//!
//! Why? A retry is paid with a token or by a share, and a share is a bucket that pays what it held and what came in: what it
//! holds outlives outages, and first attempts that are told to it are not told to the store. So tokens remain. Each pays one
//! retry and was granted by the store, in the window or before; those of before are the outstanding ones. The store grants
//! what its bucket has, which is `burst` at most when the window begins, and at most that once more after each loss, and what
//! comes in:
//! - Time, by the store's own clock, once: the bucket remembers up to when.
//! - First attempts, once each. A process tells how many it has made since it began and how many of these it has told before,
//!   and the store credits what it has not credited yet. A settlement of which nobody knows whether it was carried out counts
//!   as told, and so a store that has lost its latest state credits nothing again; one that has lost all of it credits
//!   nothing to whom it does not know. Attempts that were not told within two seconds never are.
//! - Tokens that come back. Each was granted and not spent, so that what the fleet can spend is the same before and after. They
//!   are sent once, whether the settlement is carried out or not, and the store takes no more than the process may hold.
//!
//! An attempt that was paid for and not made (a breaker refused it, there was no instance) gives back what it was paid with:
//! to the share where that paid, up to what it may hold, and to the lease while the one that paid has not ended. A call that
//! is dropped in its wait knows no later time than that at which it paid: what it paid with comes back to that lease, or to
//! one that it was prolonged to without a break, and to none that began after its end. Neither
//! makes a retry more than there was: it takes one from those that were granted and adds the same one, or less, to what
//! processes hold, and so what is left of the bound in any window that began before is the same as without the pair. A token
//! that comes back is one that the store granted and that nobody spent, it ends with its lease like those beside it, and once
//! its lease has ended it is spent for nothing, or goes back to the store where nothing has come in its lease's place yet. Its
//! store may have been told that it was spent, and does not take it back then.
//!
//! A settlement is carried out once by any one state: its number is greater than those before, or it changes nothing. A
//! command must not be carried out by one state and again by another that takes its place after a loss, so whoever carries
//! them must not send them twice. Where two states take themselves for the one, each grants what it has: the bound counts one
//! of them as lost, and time in both.
//!
//! The other way round nothing is lost where nothing fails: each token that a process hears of is spent or comes back, but
//! for one that the store was told was spent and that an attempt that was not made has given back since: that one is spent by
//! another attempt, or lost at the end of the lease. Each first attempt is told.

mod config;
mod demand;
mod fleet;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod machine;
mod message;
mod settling;
mod share;
#[cfg(feature = "suites")]
pub mod suite;
mod told;
mod word;

pub use super::wake::Wake;
pub use config::{Fallback, FleetBudgetConfig};
pub use fleet::FleetBudget;
pub use machine::FleetMachine;
pub use message::{FleetAnswers, FleetChange, FleetEffect, FleetEvent, FleetInput, FleetState};
