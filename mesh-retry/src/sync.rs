//! The atomics of what threads share. Where interleavings are explored (`scripts/loom`) loom's stand in for them.

#[cfg(not(mesh_loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(mesh_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
