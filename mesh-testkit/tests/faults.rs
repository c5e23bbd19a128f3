//! Each fault of the proxy and each sickness of a backend, as a client meets it.

use std::time::Duration;

use http::Method;
use mesh_testkit::http::{Reply, send};
use mesh_testkit::{Backend, Fault, FaultProxy, Sickness};

#[tokio::test]
async fn a_proxy_without_a_fault_passes_everything_on() {
    let (backend, proxy) = world().await;
    assert_eq!(get(proxy.address()).await.expect("an answer").body, "b\n");
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn a_proxy_resets_and_truncates_and_swallows() {
    let (_backend, proxy) = world().await;
    for fault in [Fault::Reset, Fault::ResetAfter(20), Fault::TruncateAfter(20)] {
        proxy.set(fault);
        assert!(get(proxy.address()).await.is_err(), "{fault:?}");
    }
    proxy.set(Fault::BlackHole);
    assert!(within(proxy.address(), 100).await.is_none());
    proxy.set(Fault::None);
    assert_eq!(get(proxy.address()).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn latency_delays_the_answer_by_that_much() {
    let (_backend, proxy) = world().await;
    proxy.set(Fault::Latency(Duration::from_secs(30)));
    assert!(within(proxy.address(), 100).await.is_none());
    proxy.set(Fault::Latency(Duration::from_millis(1)));
    assert_eq!(get(proxy.address()).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn each_sickness_shows() {
    let mut backend = Backend::start("b").await;
    let address = backend.address();
    backend.set(Sickness::Status(503));
    assert_eq!(get(address).await.expect("an answer").status, 503);
    backend.set(Sickness::Break);
    assert!(get(address).await.is_err());
    backend.set(Sickness::Hang);
    assert!(within(address, 100).await.is_none());
    backend.set(Sickness::Slow(Duration::from_secs(30)));
    assert!(within(address, 100).await.is_none());
    backend.set(Sickness::Healthy);
    assert_eq!(get(address).await.expect("an answer").status, 200);
    backend.kill().await;
    assert!(get(address).await.is_err());
    backend.revive().await;
    assert_eq!(get(address).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn one_of_every_few_requests_fails() {
    let backend = Backend::start("b").await;
    backend.set(Sickness::FailsEvery(3));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get(backend.address()).await.expect("an answer").status);
    }
    assert_eq!(statuses, [200, 200, 503, 200, 200, 503]);
}

async fn world() -> (Backend, FaultProxy) {
    let backend = Backend::start("b").await;
    let proxy = FaultProxy::start(backend.address()).await;
    (backend, proxy)
}

async fn get(address: std::net::SocketAddr) -> std::io::Result<Reply> {
    send(address, Method::GET, "/health", &[], "").await
}

async fn within(address: std::net::SocketAddr, millis: u64) -> Option<std::io::Result<Reply>> {
    tokio::time::timeout(Duration::from_millis(millis), get(address)).await.ok()
}
