#![doc = include_str!("../README.md")]

extern crate alloc;

pub mod balance;
pub mod discovery;
pub mod health;
pub mod machine;
pub mod port;
pub mod recorder;
pub mod registration;
pub mod rng;
pub mod route;
pub mod service;
pub mod snapshot;
mod sync;
#[cfg(feature = "serde")]
pub mod text;
pub mod time;
pub mod timers;
