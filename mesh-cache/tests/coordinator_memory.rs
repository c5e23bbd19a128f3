//! What processes share, in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_suite;

use std::sync::Arc;

use coordinator_suite::conforms;
use mesh_cache::TokioClock;
use mesh_cache::coordinator_store::MemoryCoordinator;

#[tokio::test]
async fn the_memory_does_what_every_store_must() {
    conforms(Arc::new(MemoryCoordinator::new(Arc::new(TokioClock::new())))).await;
}

#[tokio::test(start_paused = true)]
async fn the_memory_does_so_while_time_is_paused() {
    conforms(Arc::new(MemoryCoordinator::new(Arc::new(TokioClock::new())))).await;
}
