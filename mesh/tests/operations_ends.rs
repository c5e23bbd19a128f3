//! What is left of operations when a mesh ends, or when whoever is told of them panics, on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod operations_world;
mod support;

use std::sync::Arc;

use mesh::mesh_cache::codec::JsonCodec;
use mesh::mesh_cache::seal::Sealer;
use mesh::mesh_core::recorder::{Measurement, Recorder};
use mesh::operations::{Hold, OperationConfig, OperationEnd};
use mesh::{Begun, OperationError};

use operations_world::{Fleet, REQUEST};
use support::{secs, settle};

#[tokio::test(start_paused = true)]
async fn a_handle_that_outlives_its_mesh_keeps_no_connection() {
    for is_shut_down in [true, false] {
        let fleet = Fleet::new();
        let process = fleet.process().await;
        // Those that wait for answers equally long share what they speak to.
        let codec = || JsonCodec::new(1);
        let others: Vec<_> =
            (0..10).map(|_| process.mesh.operations::<String>("others", codec()).open().unwrap()).collect();
        process.claim("17").await.abandon().await;
        assert!(matches!(others[9].begin("17", REQUEST).await, Ok(Begun::Run(_))));
        if is_shut_down {
            assert!(process.mesh.shutdown(secs(5)).await.is_clean());
        }
        drop(process.mesh);
        settle().await;
        assert_eq!(process.link.holders(), 1, "shut down: {is_shut_down}");
        let refused = process.charges.begin("18", REQUEST).await;
        assert!(matches!(refused, Err(OperationError::ShutDown)), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_whoever_is_told_does_changes_nothing_of_how_an_operation_goes() {
    let fleet = Fleet::new();
    let process = |panics_at: &'static str| {
        let recorder: Arc<dyn Recorder> = Arc::new(Panics(panics_at));
        fleet.process_told(OperationConfig::default(), Sealer::open_hints(), JsonCodec::new(1), Some(recorder))
    };
    let ends = process("mesh.operation.duration").await;
    let claim = ends.claim("17").await;
    assert_eq!(claim.finish(&"receipt".to_owned()).await.unwrap(), OperationEnd::Kept);
    let begins = process("mesh.operation.begin.duration").await;
    assert_eq!(begins.told("17").await, "receipt");
    let claim = begins.claim("18").await;
    settle().await;
    assert_eq!(claim.ownership().hold(), Hold::Unattended, "and it is told that nobody renews the lease");
}

/// Panics when it is told of one metric.
#[derive(Debug)]
struct Panics(&'static str);

impl Recorder for Panics {
    fn record(&self, measurement: &Measurement<'_>) {
        assert_ne!(measurement.name(), self.0, "a recorder of somebody's own");
    }
}
