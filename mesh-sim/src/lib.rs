#![doc = include_str!("../README.md")]

extern crate alloc;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
mod env;
pub mod model;
mod near;
pub mod reading;
pub mod report;
pub mod shipped;
pub mod truth;
