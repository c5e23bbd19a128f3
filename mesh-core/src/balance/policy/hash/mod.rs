//! Consistent hashing: a key stays with its instance while the instances change around it.

mod bounded;
mod maglev;
mod rendezvous;
mod ring;

pub use bounded::{BoundedLoadConfig, HashStrategy};
pub use maglev::MaglevConfig;
pub use ring::{RingHashConfig, RingKind};

pub(in crate::balance) use bounded::BoundedLoad;
pub(in crate::balance) use maglev::Maglev;
pub(in crate::balance) use rendezvous::Rendezvous;
pub(in crate::balance) use ring::RingHash;
