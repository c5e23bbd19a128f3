//! Whether an instance accepts connections. Sends nothing.

use mesh_core::health::ProbeFailure;

use super::Target;
use mesh_cache::Stream;

/// Opens a connection to `target` and closes it.
pub(super) async fn ask(target: &Target<'_>) -> Result<(), ProbeFailure> {
    open(target).await.map(drop)
}

/// Opens a connection to `target`.
pub(super) async fn open(target: &Target<'_>) -> Result<Box<dyn Stream>, ProbeFailure> {
    let opened = target.dial.dial(target.host, target.port).await;
    opened.map_err(|error| target.failed(ProbeFailure::Connect, &error))
}
