//! Consistent hashing: a key stays with its instance while the instances change around it.
//!
//! All of these go by [`PickContext::hash_key`](crate::balance::PickContext::hash_key), and place a request that has
//! none at random. Where the owner of a key is excluded or does not match the request's route, each has an order of
//! its own in which the others follow; it reaches everyone who may serve.

mod bounded;
mod key;
mod maglev;
mod order;
mod rendezvous;
mod ring;

pub use bounded::{BoundedLoadConfig, HashStrategy};
pub use key::{hash_key, ketama_key};
pub use maglev::MaglevConfig;
pub use ring::{RingHashConfig, RingKind};

pub(in crate::balance) use bounded::BoundedLoad;
pub(in crate::balance) use maglev::Maglev;
pub(in crate::balance) use rendezvous::Rendezvous;
pub(in crate::balance) use ring::RingHash;
