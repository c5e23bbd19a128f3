//! What a hundred watched services of fifty instances cost the process that follows them.

use std::time::Duration;

use mesh_consul::mesh_core::port::WatchEvent;
use mesh_consul::watch::ServiceWatch;
use mesh_consul::{Consul, ConsulConfig, QueryOptions};
use mesh_testkit::ConsulServer;

const SERVICES: usize = 100;
const INSTANCES: usize = 50;
const QUIET: Duration = Duration::from_secs(10);
const CHANGES: usize = 100;

pub(crate) async fn measure() {
    let server = ConsulServer::start().await;
    for service in 0..SERVICES {
        for instance in 0..INSTANCES {
            let body = format!(r#"{{"Name":"s{service}","ID":"s{service}-{instance}","Port":{}}}"#, instance + 1);
            server.put("/v1/agent/service/register", &body).await.expect("registered");
        }
    }
    let memory = resident();
    let mut config = ConsulConfig::at(&server.url()).expect("an address");
    config.watches_max = SERVICES.try_into().expect("above zero");
    let consul = Consul::new(config).expect("a client");
    let mut watches: Vec<ServiceWatch> = (0..SERVICES)
        .map(|service| {
            let name = format!("s{service}").parse().expect("a name");
            consul.watch(&name, &QueryOptions::default()).expect("valid")
        })
        .collect();
    let before = cpu();
    for watch in &mut watches {
        list(watch).await;
    }
    let first = cpu().saturating_sub(before);
    let grown = resident().saturating_sub(memory);
    let before = cpu();
    tokio::time::sleep(QUIET).await;
    let quiet = cpu().saturating_sub(before);
    let before = cpu();
    for change in 0..CHANGES {
        let service = change % SERVICES;
        let body = format!(r#"{{"Name":"s{service}","ID":"s{service}-0","Port":{}}}"#, 1_000 + change);
        server.put("/v1/agent/service/register", &body).await.expect("registered");
        list(&mut watches[service]).await;
    }
    let changes = cpu().saturating_sub(before);
    println!("\n{SERVICES} watched services of {INSTANCES} instances, this process alone");
    println!("  the first lists       {:>8.0} ms of CPU", crate::millis(first));
    println!("  memory for them       {:>8.1} MiB", grown as f64 / 1024.0);
    println!("  {:.0} s without a change {:>8.0} ms of CPU", QUIET.as_secs_f64(), crate::millis(quiet));
    println!(
        "  one change            {:>8.2} ms of CPU, its registration included",
        crate::millis(changes) / CHANGES as f64
    );
    println!("  watches               {:?} blocking and polled", consul.watches());
}

async fn list(watch: &mut ServiceWatch) {
    while !matches!(watch.next().await, WatchEvent::Snapshot(_)) {}
}

/// The CPU time of this process so far, by the kernel's count in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// The KiB of memory that this process has in RAM.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
