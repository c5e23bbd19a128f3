//! The quickstart with Consul as its registry: the agent runs the checks, and every process sees the same instances.
//!
//! ```text
//! cargo run --release -p mesh --example consul -- --consul http://127.0.0.1:8500
//! cargo run --release -p mesh --example consul -- --start-servers
//! ```
//!
//! Without an argument the `CONSUL_*` variables say where Consul is. `--start-servers` starts an agent of its own, for
//! which Consul must be installed (`scripts/install-servers`).

#[path = "../quickstart/backend.rs"]
mod backend;
#[path = "../quickstart/run.rs"]
mod run;
#[path = "../quickstart/tally.rs"]
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use mesh::mesh_consul::{Consul, ConsulConfig, ConsulRegistry};
use mesh::{HealthCheck, ServiceMesh};
use mesh_testkit::ConsulServer;

/// An agent checks once a second at most: the calls are paced so that a third of them takes four.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(20);

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command says how it is used")]
async fn main() -> Result<ExitCode, run::Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut server = None;
    let config = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => ConsulConfig::from_env()?,
        ["--consul", url] => ConsulConfig::at(url)?,
        ["--start-servers"] => ConsulConfig::at(&server.insert(ConsulServer::start().await).url())?,
        _ => {
            eprintln!("usage: consul [--consul URL | --start-servers]");
            return Ok(ExitCode::from(2));
        }
    };

    let registry = ConsulRegistry::new(Consul::new(config)?);
    let mesh = ServiceMesh::builder().config(run::config()).registry(registry).build().await?;
    let check = HealthCheck::http("/health").interval(CHECK_INTERVAL).timeout(CHECK_INTERVAL);
    run::drive(mesh, check, PACE).await
}
