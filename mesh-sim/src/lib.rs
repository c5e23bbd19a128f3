#![doc = include_str!("../README.md")]

extern crate alloc;

pub mod model;
mod near;
pub mod reading;
pub mod truth;
