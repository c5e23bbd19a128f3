//! How soon a registration at an agent is in a view, beside a bare blocking query that sees the same registrations.

use std::time::{Duration, Instant};

use mesh_consul::mesh_core::port::WatchEvent;
use mesh_consul::{Consul, ConsulConfig, QueryOptions};
use mesh_core::machine::{Machine as _, ServiceEffect, ServiceInput, ServiceMachine, ServiceMachineConfig};
use mesh_core::time::Instant as MeshInstant;
use mesh_testkit::ConsulServer;
use tokio::sync::mpsc;

use crate::{millis, quantile};

const CHANGES: usize = 100;
/// Longer than the two intervals by which a watch brakes.
const APART: Duration = Duration::from_millis(450);

pub(crate) async fn measure() {
    let server = ConsulServer::start().await;
    let (views, mut viewed) = mpsc::unbounded_channel();
    let (queries, mut queried) = mpsc::unbounded_channel();
    let follower = tokio::spawn(follow(server.url(), views));
    let bare = tokio::spawn(query(server.url(), queries));
    // Both have their first, empty list.
    viewed.recv().await.expect("a view");
    queried.recv().await.expect("an answer");

    let (mut mesh, mut floor) = (Vec::new(), Vec::new());
    for change in 1..=CHANGES {
        tokio::time::sleep(APART).await;
        let body = format!(r#"{{"Name":"web","ID":"web-{change}","Port":{change}}}"#);
        let began = now();
        let put = server.put("/v1/agent/service/register", &body);
        let (put, mine, theirs) = tokio::join!(put, sees(&mut viewed, change), sees(&mut queried, change));
        put.expect("registered");
        mesh.push(mine.duration_since(began));
        floor.push(theirs.duration_since(began));
    }
    follower.abort();
    bare.abort();
    mesh.sort_unstable();
    floor.sort_unstable();
    println!("\nchange to view, {CHANGES} registrations   p50       p99");
    for (subject, taken) in [("bare blocking query", &floor), ("mesh-consul to a view", &mesh)] {
        println!("  {subject:<30} {:>6.2} ms {:>6.2} ms", millis(quantile(taken, 50)), millis(quantile(taken, 99)));
    }
    let ratio = |percent| quantile(&mesh, percent).as_secs_f64() / quantile(&floor, percent).as_secs_f64();
    println!("  {:<30} {:>6.2} x  {:>6.2} x", "ratio", ratio(50), ratio(99));
}

/// When `change` instances were seen.
async fn sees(seen: &mut mpsc::UnboundedReceiver<(usize, Instant)>, change: usize) -> Instant {
    loop {
        let (instances, at) = seen.recv().await.expect("somebody looks");
        if instances >= change {
            return at;
        }
    }
}

/// The watch and the machine of a service, up to the view that picks read.
async fn follow(url: String, views: mpsc::UnboundedSender<(usize, Instant)>) {
    let consul = Consul::new(ConsulConfig::at(&url).expect("an address")).expect("a client");
    let mut watch = consul.watch(&"web".parse().expect("a name"), &QueryOptions::default()).expect("valid");
    let mut machine = ServiceMachine::new(ServiceMachineConfig::default(), 1);
    loop {
        if let WatchEvent::Snapshot(resolution) = watch.next().await {
            machine.handle_input(MeshInstant::ZERO, ServiceInput::Observed(resolution));
            while let Some(effect) = machine.poll_effect() {
                if let ServiceEffect::Publish(view) = effect {
                    let seen = (view.census().registered as usize, now());
                    if views.send(seen).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The least that could be done: ask, wait, read how many there are.
async fn query(url: String, answers: mpsc::UnboundedSender<(usize, Instant)>) {
    let client = reqwest::Client::new();
    let mut index = String::from("0");
    loop {
        let asked = format!("{url}/v1/health/service/web?stale&wait=55s&index={index}");
        let answer = client.get(asked).send().await.expect("an answer");
        if let Some(newer) = answer.headers().get("x-consul-index") {
            newer.to_str().expect("a number").clone_into(&mut index);
        }
        let body = answer.bytes().await.expect("a body");
        let list: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("a list");
        if answers.send((list.len(), now())).is_err() {
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}
