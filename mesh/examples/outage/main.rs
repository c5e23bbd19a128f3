//! Calls flow while Consul dies, Redis dies, processes start with everything down, and both return.
//!
//! ```text
//! cargo run --release -p mesh --example outage -- --start-servers
//! ```
//!
//! Starts servers of its own (`scripts/install-servers` installs them). Prints a line a second: who is up, calls and
//! errors, and for each process where its list of instances came from and how old it is: `live` from Consul, `kept` from
//! before it died, from `Redis`, or from `disk`. Exits with 1 if a call failed, if a newcomer was not served from memory,
//! or if in the end anything is not as it was.

mod process;

use std::process::ExitCode;
use std::time::Duration;

use mesh::mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh::mesh_consul::{Consul, ConsulConfig, ConsulRegistry};
use mesh::{HealthCheck, ServiceConfig, ServiceMesh, ServiceMeshBuilder, Source};
use mesh_testkit::{Backend, ConsulServer, RedisServer};

use process::{Process, Sight};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BACKENDS: usize = 3;
const SERVICE: &str = "api";

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command says what it found")]
async fn main() -> Result<ExitCode, Failure> {
    if std::env::args().skip(1).collect::<Vec<_>>() != ["--start-servers"] {
        eprintln!("usage: outage --start-servers");
        return Ok(ExitCode::from(2));
    }
    let directory = tempfile::tempdir()?;
    let mut stage = Stage::set(directory.path().join("mesh.snapshot")).await?;
    println!(" s what happens          calls errors  first process  newcomers");

    stage.run(3, "all is well").await?;
    stage.consul.kill();
    stage.run(2, "Consul died").await?;
    stage.start("by Redis").await?;
    stage.run(3, "a process starts").await?;
    stage.redis.kill();
    stage.run(2, "Redis died as well").await?;
    stage.start("by disk").await?;
    stage.run(3, "another starts").await?;
    stage.redis.start_again().await;
    stage.run(3, "Redis is back, empty").await?;
    // A development agent forgets everything: whoever is registered has to register anew.
    stage.consul.start_again().await;
    stage.run(12, "Consul is back, empty").await?;

    let sights = stage.look().await;
    let (calls, errors) = stage.processes.iter().fold((0, 0), |sum, process| {
        let (calls, errors) = process.counts();
        (sum.0 + calls, sum.1 + errors)
    });
    for failure in stage.processes.iter().flat_map(Process::failures) {
        println!("failed: {failure}");
    }
    let firsts: Vec<_> = stage.processes.iter().filter_map(Process::first_source).collect();
    let remembered = firsts == [Source::Watch, Source::SecondTier, Source::Disk];
    let recovered = sights.iter().all(|sight| sight.source == Some(Source::Watch) && sight.instances == BACKENDS);
    println!("RESULT calls={calls} errors={errors} remembered={remembered} recovered={recovered}");
    let clean = stage.end().await;
    let held = errors == 0 && calls > 0 && remembered && recovered && clean;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The servers, the process that registers, and those that call.
struct Stage {
    consul: ConsulServer,
    redis: RedisServer,
    snapshot: std::path::PathBuf,
    registrar: ServiceMesh,
    processes: Vec<Process>,
    _backends: Vec<Backend>,
    second: u32,
}

impl Stage {
    async fn set(snapshot: std::path::PathBuf) -> Result<Self, Failure> {
        let (consul, redis) = (ConsulServer::start().await, RedisServer::start().await);
        let registrar = ServiceMesh::builder().registry(registry(&consul)?).build().await?;
        let mut backends = Vec::new();
        for index in 0..BACKENDS {
            let backend = Backend::start(&format!("backend {index}")).await;
            let second = Duration::from_secs(1);
            let check = HealthCheck::http("/health").interval(second).timeout(second);
            let config = ServiceConfig::builder(SERVICE, "127.0.0.1", backend.address().port()).check(check).build()?;
            registrar.register_service(config).await?;
            backends.push(backend);
        }
        let mut stage =
            Self { consul, redis, snapshot, registrar, processes: Vec::new(), _backends: backends, second: 0 };
        stage.start("by Consul").await?;
        Ok(stage)
    }

    /// Starts a process that calls, which shares the Redis, the file and the keys of the others.
    async fn start(&mut self, name: &'static str) -> Result<(), Failure> {
        let builder = self.builder()?;
        self.processes.push(Process::start(name, builder).await?);
        Ok(())
    }

    fn builder(&self) -> Result<ServiceMeshBuilder, Failure> {
        let keys = KeyRing::new(SealKey::new(1, &[7; SealKey::BYTES])?);
        let mut config = mesh::MeshConfig::default();
        config.memory.snapshot_interval = Duration::from_secs(1);
        Ok(ServiceMesh::builder()
            .config(config)
            .registry(registry(&self.consul)?)
            .redis(&self.redis.url())
            .seal(Sealer::with_keys(keys))
            .snapshot(&self.snapshot))
    }

    /// Lets `seconds` pass and tells what was seen in each.
    #[expect(clippy::print_stdout, reason = "a command says what it found")]
    async fn run(&mut self, seconds: u32, what: &str) -> Result<(), Failure> {
        for index in 0..seconds {
            let before = self.totals();
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.second += 1;
            let (calls, errors) = self.totals();
            let sights = self.look().await;
            let shown: Vec<String> = sights.iter().map(ToString::to_string).collect();
            let what = if index == 0 { what } else { "" };
            let (calls, errors) = (calls - before.0, errors - before.1);
            println!("{:>2} {what:<21} {calls:>5} {errors:>6}  {}", self.second, shown.join("   "));
        }
        Ok(())
    }

    fn totals(&self) -> (u64, u64) {
        self.processes.iter().map(Process::counts).fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    }

    async fn look(&self) -> Vec<Sight> {
        let mut sights = Vec::new();
        for process in &self.processes {
            sights.push(process.look().await);
        }
        sights
    }

    /// Ends everything in order, and says whether nothing was left.
    async fn end(self) -> bool {
        let mut clean = true;
        for process in self.processes {
            clean &= process.end().await;
        }
        clean & self.registrar.shutdown(Duration::from_secs(10)).await.is_clean()
    }
}

fn registry(consul: &ConsulServer) -> Result<ConsulRegistry, Failure> {
    Ok(ConsulRegistry::new(Consul::new(ConsulConfig::at(&consul.url())?)?))
}
