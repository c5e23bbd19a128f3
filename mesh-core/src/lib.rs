//! Sans-IO decisions of a client-side service mesh.

extern crate alloc;

pub mod balance;
pub mod machine;
pub mod rng;
pub mod time;
pub mod timers;
