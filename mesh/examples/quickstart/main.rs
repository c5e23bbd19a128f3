//! The main job on the embedded default: register, find, balance, check, retry.
//!
//! Four HTTP backends in this process, 20,000 calls at a concurrency of 32. A third of the way in one backend is
//! killed, at two thirds it comes back; no caller may notice. Exits with 1 when one did.

mod backend;
mod run;
mod tally;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use mesh::mesh_core::service::CheckRunner;
use mesh::{HealthCheck, ServiceMesh};

/// Short, because the whole run takes a second: services in earnest are checked every few seconds.
const CHECK_INTERVAL: Duration = Duration::from_millis(25);

#[tokio::main]
async fn main() -> Result<ExitCode, run::Failure> {
    let mesh = ServiceMesh::builder().config(run::config()).build().await?;
    let check = HealthCheck::http("/health").run_by(CheckRunner::Mesh);
    let check = check.interval(CHECK_INTERVAL).timeout(CHECK_INTERVAL).rise(NonZeroU32::MIN);
    run::drive(mesh, check, Duration::ZERO).await
}
