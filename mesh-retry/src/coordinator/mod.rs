//! Coordinates the retries of all processes through state they share. Never waits for it: what a call asks is answered from
//! what the process holds, and the machines here say what is to be asked of the [store] meanwhile.

pub mod budget;
mod check;
mod exchange;
pub mod idempotency;
pub mod skew;
pub mod slots;
pub mod store;
pub mod votes;
mod wake;

pub use exchange::{SendId, Sending, StoreAnswer};
pub use wake::Wake;
