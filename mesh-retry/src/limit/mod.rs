//! limit

pub mod algorithm;
mod claim;
mod concurrency;
mod config;
mod due;
mod histogram;
mod occupancy;
mod samples;
pub mod throttle;

pub use concurrency::{ConcurrencyLimit, End, Limited, Permit};
pub use config::{Aggregate, AlgorithmConfig, LimitConfig, SampleWindow};
