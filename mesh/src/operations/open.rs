//! How many operations go on, for a shutdown that waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The operations of a mesh that have not ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenOperations(Arc<AtomicU64>);

/// Counts one until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenOperation(Arc<AtomicU64>);

impl OpenOperations {
    /// One more.
    pub(crate) fn open(&self) -> OpenOperation {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenOperation(Arc::clone(&self.0))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for OpenOperation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
