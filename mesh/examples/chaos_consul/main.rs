//! A mesh under load on three Consul servers and a client agent that die, freeze and restart at random.
//!
//! `scripts/chaos-consul --minutes 3` runs it. No call may fail while a backend lives, which one always does; at the end
//! every registration stands, and watches and connections are as many as at the beginning. Exits with 1 otherwise.

mod faults;
mod load;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh::mesh_consul::{Consul, ConsulConfig, ConsulRegistry};
use mesh::mesh_core::rng::Rng;
use mesh::{HealthCheck, ServiceConfig, ServiceMesh};
use mesh_testkit::{Backend, ChaosOptions, ConsulCluster};

use faults::Chaos;
use load::Load;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BACKENDS: usize = 4;
const SERVICE: &str = "api";
const USAGE: &str = "usage: chaos_consul [--minutes N] [--seed N]";

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command says what it found")]
async fn main() -> Result<ExitCode, Failure> {
    let Some(ChaosOptions { minutes, seed }) = ChaosOptions::parse(std::env::args().skip(1), 3) else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    println!("chaos on Consul for {minutes} minutes, seed {seed}");

    let cluster = ConsulCluster::start().await;
    let consul = Consul::new(ConsulConfig::at(&cluster.client.url())?)?;
    let registrar = ServiceMesh::builder().registry(ConsulRegistry::new(consul.clone())).build().await?;
    let caller = ServiceMesh::builder().registry(ConsulRegistry::new(consul.clone())).build().await?;

    let mut backends = Vec::new();
    for index in 0..BACKENDS {
        let backend = Backend::start(&format!("backend {index}")).await;
        registrar.register_service(config(backend.address().port())?).await?;
        backends.push(backend);
    }

    let load = Arc::new(Load::new(caller));
    load.warm_up().await?;
    let before = (consul.watches(), load::connections(cluster.client.ip()));
    let callers = Load::start(&load);

    let mut chaos = Chaos {
        cluster,
        backends,
        registrar,
        random: Rng::from_seed(seed),
        load: Arc::clone(&load),
        faults: 0,
        operations: 0,
    };
    chaos.run(Duration::from_secs(minutes * 60)).await?;
    let whole = chaos.settle(BACKENDS).await;

    load.stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await?;
    }
    let after = (consul.watches(), load::connections(chaos.cluster.client.ip()));
    let (calls, failed) = (load.calls.load(Ordering::Relaxed), load.failed.load(Ordering::Relaxed));
    let stalest = Duration::from_millis(load.stalest_millis.load(Ordering::Relaxed));
    let same = before.0 == after.0 && after.1 <= before.1 + load::SPARE_CONNECTIONS;
    println!("operations {}   faults {}   calls {calls}   failed calls {failed}", chaos.operations, chaos.faults);
    println!("longest staleness {:.1} s", stalest.as_secs_f64());
    println!("blocking watches {} then {}   polled {} then {}", before.0.0, after.0.0, before.0.1, after.0.1);
    println!("connections to the agent {} then {}", before.1, after.1);
    println!("every registration stands: {}", if whole { "yes" } else { "NO" });
    for failure in load.failures() {
        println!("failed: {failure}");
    }
    println!("RESULT faults={} calls={calls} failed={failed} seed={seed} whole={whole} leaks={}", chaos.faults, !same);

    load.mesh.shutdown(Duration::from_secs(1)).await;
    let clean = chaos.registrar.shutdown(Duration::from_secs(10)).await.is_clean();
    let held = failed == 0 && whole && same && clean && chaos.faults > 0 && calls > 0;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn config(port: u16) -> Result<ServiceConfig, Failure> {
    let second = Duration::from_secs(1);
    let check = HealthCheck::http("/health").interval(second).timeout(second);
    Ok(ServiceConfig::builder(SERVICE, "127.0.0.1", port).check(check).build()?)
}
