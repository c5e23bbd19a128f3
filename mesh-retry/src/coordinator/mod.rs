//! Coordinates the retries of all processes through state they share. Never waits for it: what a call asks is answered from
//! what the process holds, and the machines here say what is to be asked of the [store] meanwhile.

pub mod budget;
pub mod store;
