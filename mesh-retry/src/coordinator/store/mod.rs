//! What processes share: commands out, replies in, as data. Decides nothing but in [`MemoryStore`], which carries the
//! commands out for one process or a simulation; mesh-cache carries the same commands to Redis.
//!
//! Every command is carried out by the store as a whole or not at all, at one moment of the store's own clock
//! ([`StoreTime`]): no caller's clock is ever believed. A command whose reply does not come may have been carried out, or
//! may be yet: its sender takes it as [unknown](StoreFailure::Unknown). No settlement is ever sent twice; what is sent again
//! is what may be carried out twice, which each command says of itself.
//!
//! All numbers that come from a store are checked by whoever reads them: another process may have written them.

mod command;
mod key;
mod memory;
mod reply;

pub use command::{
    Abandon, Begin, Finish, PROCESS_COUNTS_FOR, PROCESS_KEPT_FOR, Probe, RESULT_BYTES_MAX, ReleaseProbe, Renew, Settle,
    StoreCommand, TakeSlots, Vote,
};
pub use key::{Fence, Fingerprint, OwnerToken, ProcessId, StateKey};
pub use memory::MemoryStore;
pub use reply::{
    Abandoned, Begun, Finished, Probed, Renewed, Settled, Settlement, Slots, StoreFailure, StoreReply, StoreTime, Voted,
};
