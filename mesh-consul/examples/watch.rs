//! Follows a service and prints every change: `cargo run -p mesh-consul --example watch -- api`.
//!
//! The agent is the one that the `CONSUL_*` variables name, or that of this machine. Ends with ctrl-c.

use std::error::Error;

use mesh_consul::mesh_core::port::WatchEvent;
use mesh_consul::mesh_core::service::ServiceName;
use mesh_consul::{Consul, ConsulConfig, QueryOptions};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it sees")]
async fn main() -> Result<(), Box<dyn Error>> {
    let service: ServiceName = std::env::args().nth(1).as_deref().unwrap_or("consul").parse()?;

    // Opens no connection yet: an agent that is down now may be up in a moment.
    let consul = Consul::new(ConsulConfig::from_env()?)?;
    println!("following {service} at {}", consul.config().address);

    // What the token may not do would otherwise look like a service without instances.
    match consul.preflight(&[service.as_str()], &[]).await {
        Ok(access) if access.missing.is_empty() => {}
        Ok(access) => println!("the token lacks {}", access.missing.join(", ")),
        Err(error) => println!("no preflight: {error}"),
    }

    // The first event is the list as it is now, or why there is none.
    let mut watch = consul.watch(&service, &QueryOptions::default())?;
    loop {
        match watch.next().await {
            WatchEvent::Snapshot(list) => {
                println!("{} instances", list.snapshot.len());
                for entry in list.snapshot.iter() {
                    let instance = entry.instance();
                    println!("  {:<24} {:<22} {:?}", instance.id().as_str(), instance.authority(), entry.status());
                }
            }
            // Sent whenever Consul was heard and had nothing new: what was listed is not old.
            WatchEvent::Confirmed => {}
            // What was listed stays the best that is known. The watch goes on by itself.
            WatchEvent::Lost(error) => println!("lost: {error}"),
            other => println!("{other:?}"),
        }
    }
}
