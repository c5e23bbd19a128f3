//! What goes wrong, one thing after the other, and how it is put right again.

use std::sync::Arc;
use std::time::Duration;

use mesh::TokioClock;
use mesh::mesh_core::port::Clock as _;
use mesh::mesh_core::rng::Rng;
use mesh::{RegisterError, ServiceMesh};
use mesh_testkit::{Backend, ConsulCluster};

use crate::load::Load;
use crate::{Failure, SERVICE, config};

/// The world, and the dice.
pub(crate) struct Chaos {
    pub(crate) cluster: ConsulCluster,
    pub(crate) backends: Vec<Backend>,
    pub(crate) registrar: ServiceMesh,
    pub(crate) random: Rng,
    pub(crate) load: Arc<Load>,
    pub(crate) faults: usize,
    pub(crate) operations: usize,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    LeaderKilled,
    LeaderFrozen,
    FollowerKilled,
    QuorumLost,
    AgentKilled,
    AgentRestarted,
    AgentEmptied,
    AgentFrozen,
    BackendKilled,
}

const TROUBLES: [Trouble; 9] = [
    Trouble::LeaderKilled,
    Trouble::LeaderFrozen,
    Trouble::FollowerKilled,
    Trouble::QuorumLost,
    Trouble::AgentKilled,
    Trouble::AgentRestarted,
    Trouble::AgentEmptied,
    Trouble::AgentFrozen,
    Trouble::BackendKilled,
];

impl Chaos {
    /// Makes trouble for `time`, every kind once before any comes again.
    #[expect(clippy::print_stdout, reason = "whoever waits sees what happens")]
    pub(crate) async fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let clock = TokioClock::new();
        let start = clock.now();
        let mut left = Vec::new();
        while clock.now().since(start) < time {
            if left.is_empty() {
                left = TROUBLES.to_vec();
            }
            let trouble = left.swap_remove(self.below(left.len()));
            let began = clock.now();
            println!("{:>6.1} s  {trouble:?}", began.since(start).as_secs_f64());
            self.faults += 1;
            self.trouble(trouble).await?;
            self.operate().await?;
            self.pause(500, 2_000).await;
        }
        Ok(())
    }

    async fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        match trouble {
            Trouble::LeaderKilled | Trouble::FollowerKilled => {
                let leader = self.cluster.leader().await;
                let step = 1 + self.below(2);
                let victim = if matches!(trouble, Trouble::LeaderKilled) { leader } else { (leader + step) % 3 };
                self.cluster.servers[victim].kill();
                self.pause(1_000, 4_000).await;
                self.cluster.servers[victim].start_again().await;
            }
            Trouble::LeaderFrozen => {
                let leader = self.cluster.leader().await;
                self.cluster.servers[leader].freeze();
                self.pause(1_000, 5_000).await;
                self.cluster.servers[leader].thaw();
            }
            Trouble::QuorumLost => {
                let kept = self.below(3);
                let lost: Vec<usize> = (0..3).filter(|server| *server != kept).collect();
                for server in &lost {
                    self.cluster.servers[*server].kill();
                }
                self.pause(1_000, 4_000).await;
                // One alone does not become ready: there is a quorum with both of them only.
                for server in &lost {
                    self.cluster.servers[*server].launch();
                }
                for server in &lost {
                    self.cluster.servers[*server].become_ready().await;
                }
            }
            Trouble::AgentKilled => {
                self.cluster.client.kill();
                self.pause(200, 3_000).await;
                self.cluster.client.start_again().await;
            }
            Trouble::AgentRestarted => {
                self.cluster.client.stop().await;
                self.cluster.client.start_again().await;
            }
            Trouble::AgentEmptied => {
                self.cluster.client.kill();
                self.cluster.client.start_empty().await;
            }
            Trouble::AgentFrozen => {
                self.cluster.client.freeze();
                self.pause(500, 4_000).await;
                self.cluster.client.thaw();
            }
            Trouble::BackendKilled => {
                let victim = self.below(self.backends.len());
                self.backends[victim].kill().await;
                self.pause(1_000, 3_000).await;
                self.backends[victim].revive().await;
            }
        }
        Ok(())
    }

    /// One more backend comes and goes, in whatever state Consul is.
    async fn operate(&mut self) -> Result<(), Failure> {
        let guest = Backend::start("guest").await;
        self.operations += 1;
        match self.registrar.register_service(config(guest.address().port())?).await {
            Ok(registration) => {
                self.pause(100, 500).await;
                self.operations += 1;
                // Where it cannot be confirmed the guest's death shows by its check.
                let _ = registration.deregister().await;
            }
            // In the middle of an election a registration may be given up.
            Err(RegisterError::Failed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits until the registry shows every backend well again; false where it does not.
    pub(crate) async fn settle(&self, backends: usize) -> bool {
        let settled = tokio::time::timeout(Duration::from_secs(90), async {
            loop {
                let listed = self.load.mesh.get_healthy_services(SERVICE).await;
                let ours = |port: u16| self.backends.iter().any(|backend| backend.address().port() == port);
                let fine = listed.is_ok_and(|all| all.len() == backends && all.iter().all(|one| ours(one.port())));
                let fresh = self.load.mesh.get_service_with_cache(SERVICE).await;
                if fine && fresh.is_ok_and(|cached| cached.age < Duration::from_secs(60)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        settled.await.is_ok()
    }

    async fn pause(&mut self, least: u64, most: u64) {
        let millis = least + self.random.below(most - least);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap_or(0)
    }
}
