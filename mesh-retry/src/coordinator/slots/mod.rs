//! Spreads retries of all processes over numbered slots of time, where jitter alone would have some of them meet.
//!
//! A retry waits for `slot * width`, and for a random part of `width` on top. Slots are numbers of a counter that all
//! processes share, modulo how many slots there are, so that whoever comes next gets the next slot. Nobody waits for the
//! counter: a process takes [blocks](SlotsMachine) of numbers ahead, and [`RetrySlots::take`] is one atomic operation on the
//! block at hand. Without a block it waits for a random part of all the slots' time: full jitter, as without a store.
//!
//! # How even it is
//! Every block has a multiple of the number of slots and one more, so that blocks taken one after another begin in slots one
//! after another: of `k` processes whose blocks are new, as many as there are slots retry in different slots, and no slot
//! gets more than one more than another. Within a block numbers are used in steps that have no divisor in common with the
//! number of slots, so that two processes with several retries each do not follow each other through the slots, and a block
//! that is used up has used all of them evenly. A block is replaced soon after its first number was used, so that those who
//! failed together have blocks next to each other when they fail again.
//!
//! What a counter cannot give: where processes have used different shares of blocks of different age, their slots meet as
//! often as random ones.

mod config;
mod hot;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod machine;
mod terms;

pub use config::SlotsConfig;
pub use hot::RetrySlots;
pub use machine::{SlotsEvent, SlotsInput, SlotsMachine};
pub use terms::Slotted;
