//! Stock zlib under the name of zlib-ng's bindings: see `Cargo.toml`.
#![no_std]

pub use libz_sys::*;
