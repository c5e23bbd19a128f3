//! Random operations and faults against a real agent and a small model of it: at rest a watch sees what the model holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_consul::mesh_core::port::{Registry as _, WatchEvent};
use mesh_consul::mesh_core::registration::Part;
use mesh_consul::mesh_core::rng::Rng;
use mesh_consul::mesh_core::service::{HealthCheck, ServiceConfig};
use mesh_consul::mesh_core::snapshot::RegistryStatus::{self, Critical, Maintenance, Passing, Warning};
use mesh_consul::watch::ServiceWatch;
use mesh_consul::{ConsulRegistry, TtlStatus};
use mesh_testkit::ConsulServer;
use world::*;

const OPERATIONS: usize = 2_000;
/// How many operations there are between two looks at the watch.
const AT_REST_EVERY: usize = 50;
const IDS: u64 = 12;

#[tokio::test]
async fn two_thousand_operations_and_faults_leave_the_watch_and_the_model_equal() {
    let seed = 20_261_127;
    println!("replay: seed {seed} in mesh-consul/tests/real_model.rs");
    let mut server = ConsulServer::builder().persistent().start().await;
    let registry = registry(&server);
    let latest = follow(watch(&client(&server)));
    let mut rng = Rng::from_seed(seed);
    let mut model = Model::default();
    for number in 1..=OPERATIONS {
        let operation = model.step(&mut rng, &mut server, &registry).await;
        if number % AT_REST_EVERY == 0 {
            let wanted = model.seen();
            let mut latest = latest.clone();
            let equal = tokio::time::timeout(Duration::from_secs(30), latest.wait_for(|seen| *seen == wanted));
            let equal = equal.await.is_ok();
            assert!(
                equal,
                "seed {seed}, after operation {number}, {operation}: wanted {wanted:?}, the watch shows {:?}, the agent lists {:?}",
                *latest.borrow(),
                listed(&server).await
            );
        }
    }
}

/// What the watch shows now.
fn follow(mut watch: ServiceWatch) -> tokio::sync::watch::Receiver<Seen> {
    let (sender, latest) = tokio::sync::watch::channel(Seen::new());
    tokio::spawn(async move {
        loop {
            if let WatchEvent::Snapshot(list) = watch.next().await {
                let seen = list.snapshot.iter().map(|entry| (entry.instance().id().to_string(), entry.status()));
                sender.send_replace(seen.collect());
            }
        }
    });
    latest
}

/// What the agent holds.
#[derive(Debug, Default)]
struct Model {
    held: BTreeMap<String, Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    status: RegistryStatus,
    maintained: bool,
}

impl Model {
    /// Does one thing to the agent and to the model, and says what.
    async fn step(&mut self, rng: &mut Rng, server: &mut ConsulServer, registry: &ConsulRegistry) -> String {
        let id = format!("i{}", rng.below(IDS));
        match rng.below(100) {
            0..30 => {
                let weight = u16::try_from(rng.below(4)).expect("small");
                register(registry, &reporting_with(&id, weight)).await;
                // A status outlives a registration, and an operator's maintenance does; ours follows the weight.
                let status = self.held.get(&id).map_or(Passing, |held| held.status);
                self.held.insert(id.clone(), Held { status, maintained: weight == 0 });
                format!("register {id} with weight {weight}")
            }
            30..50 => {
                registry.deregister(&name("web"), &world::id(&id), Part::Service).await.expect("deregistered");
                self.held.remove(&id);
                format!("deregister {id}")
            }
            50..97 => {
                let (status, seen) = match rng.below(3) {
                    0 => (TtlStatus::Passing, Passing),
                    1 => (TtlStatus::Warning, Warning),
                    _ => (TtlStatus::Critical, Critical),
                };
                if registry.report(&world::id(&id), status, "")
                    && let Some(held) = self.held.get_mut(&id)
                {
                    held.status = seen;
                }
                format!("report {id} {status:?}")
            }
            97 => {
                server.freeze();
                tokio::time::sleep(Duration::from_millis(20)).await;
                server.thaw();
                "freeze".to_owned()
            }
            98 => {
                server.kill();
                server.start_again().await;
                // An agent that kept its registrations asks for news of each: the heartbeats bring them.
                "kill".to_owned()
            }
            _ => {
                server.stop().await;
                server.start_again().await;
                "restart".to_owned()
            }
        }
    }

    fn seen(&self) -> Seen {
        let status = |held: &Held| if held.maintained { Maintenance } else { held.status };
        self.held.iter().map(|(id, held)| (id.clone(), status(held))).collect()
    }
}

fn reporting_with(id: &str, weight: u16) -> ServiceConfig {
    let check = HealthCheck::ttl(Duration::from_secs(1));
    ServiceConfig::builder("web", "127.0.0.1", 80).id(id).weight(weight).check(check).build().expect("valid")
}

async fn listed(server: &ConsulServer) -> Seen {
    let listing = client(server).health(&name("web"), &Default::default()).await.expect("a list");
    listing.snapshot.iter().map(|entry| (entry.instance().id().to_string(), entry.status())).collect()
}
