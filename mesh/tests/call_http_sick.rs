//! Calls over real HTTP to backends that hang, reset, answer slowly or name a time; and callers who leave in the middle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh::mesh_core::port::Clock as _;
use mesh::mesh_retry::classify::{class_of_status, parse_http_date, parse_retry_after};
use mesh::mesh_retry::hedge::HedgePolicy;
use mesh::{Attempt, CallError, CallPolicy, Class, RetryPolicy, ServiceConfig, ServiceMesh, TokioClock};
use mesh_testkit::backend::{Backend, Sickness};
use mesh_testkit::proxy::{Fault, FaultProxy};
use tokio::io::AsyncReadExt as _;

use support::{eventually, in_flight, ms, retries, secs};

#[tokio::test]
async fn a_connection_that_is_reset_is_tried_elsewhere() {
    let world = World::new().await;
    world.sick.set(Fault::Reset);
    for _ in 0..20 {
        assert_eq!(world.get(&at_once(2)).await.unwrap(), "well");
    }
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_tried_elsewhere() {
    let world = World::new().await;
    for fault in [Fault::ResetAfter(30), Fault::TruncateAfter(30)] {
        world.sick.set(fault);
        for _ in 0..10 {
            assert_eq!(world.get(&at_once(2)).await.unwrap(), "well", "{fault:?}");
        }
    }
}

#[tokio::test]
async fn one_that_hangs_is_given_up_when_its_attempt_has_taken_too_long() {
    let (world, silent) = World::with_silent().await;
    let mut retry = at_once(2);
    retry.attempt_timeout = Some(ms(60));
    for _ in 0..10 {
        assert_eq!(world.get(&retry).await.unwrap(), "well");
    }
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
    silent.is_left_alone().await;
}

#[tokio::test]
async fn a_body_that_comes_slowly_counts_for_its_attempt() {
    let world = World::new().await;
    world.sick.set(Fault::Latency(ms(400)));
    let mut retry = at_once(2);
    retry.attempt_timeout = Some(ms(80));
    for _ in 0..6 {
        assert_eq!(world.get(&retry).await.unwrap(), "well");
    }
}

#[tokio::test]
async fn a_copy_answers_for_one_that_hangs_and_nothing_of_it_is_left() {
    let (world, silent) = World::with_silent().await;
    for _ in 0..10 {
        assert_eq!(world.get(&hedged()).await.unwrap(), "well");
    }
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
    silent.is_left_alone().await;
}

#[tokio::test]
async fn a_deadline_ends_a_call_whose_copies_all_hang() {
    let world = World::new().await;
    world.sick.set(Fault::BlackHole);
    world.well.set(Sickness::Hang);
    let mut retry = hedged();
    retry.deadline = Some(ms(150));
    let error = world.get(&retry).await.unwrap_err();
    assert!(error.attempts() == 2 && error.to_string().contains("the deadline of 150ms has passed"), "{error}");
    assert_eq!(in_flight(&world.mesh, "api").await, 0);
}

#[tokio::test]
async fn a_caller_may_leave_in_the_middle_of_an_attempt_a_wait_or_a_copy() {
    let mut waits = retries(2);
    (waits.attempt_timeout, waits.backoff.base, waits.backoff.cap) = (Some(ms(20)), secs(60), secs(60));
    for (retry, made, open) in [(retries(2), 1, 1), (waits, 1, 0), (hedged(), 2, 2)] {
        let (silent, mesh) = (Silent::default(), mesh_without_budget().await);
        for _ in 0..2 {
            offer(&mesh, silent.one_more().await).await;
        }
        tokio::select! {
            reply = get(&mesh, &retry) => panic!("{reply:?}"),
            () = eventually("it is as far as that", async || silent.counts() == (made, open)) => {}
        }
        assert_eq!(in_flight(&mesh, "api").await, 0);
        silent.is_left_alone().await;
    }
}

#[tokio::test]
async fn a_retry_after_is_understood_in_both_forms() {
    for value in ["1", "Sun, 06 Nov 1994 08:49:38 GMT"] {
        let busy = busy_once(value).await;
        let mesh = ServiceMesh::builder().build().await.unwrap();
        offer(&mesh, busy).await;
        let clock = TokioClock::default();
        let began = clock.now();
        assert_eq!(get(&mesh, &at_once(2)).await.unwrap(), "well", "{value}");
        let took = clock.now().since(began);
        assert!(took >= secs(1), "{value}: {took:?}");
    }
}

/// Two backends of one service: one that is well, and one behind a proxy that can do harm.
struct World {
    mesh: ServiceMesh,
    well: Backend,
    sick: FaultProxy,
    _behind: Backend,
}

impl World {
    /// With the one that is well and the one behind the proxy.
    async fn new() -> Self {
        let world = Self::alone().await;
        offer(&world.mesh, world.sick.address()).await;
        world
    }

    /// With the one that is well, and one that never answers.
    async fn with_silent() -> (Self, Silent) {
        let (world, silent) = (Self::alone().await, Silent::default());
        offer(&world.mesh, silent.one_more().await).await;
        (world, silent)
    }

    async fn alone() -> Self {
        let (well, behind) = (Backend::start("well").await, Backend::start("well").await);
        let sick = FaultProxy::start(behind.address()).await;
        let mesh = mesh_without_budget().await;
        offer(&mesh, well.address()).await;
        Self { mesh, well, sick, _behind: behind }
    }

    async fn get(&self, retry: &RetryPolicy) -> Result<String, CallError<reqwest::Error>> {
        get(&self.mesh, retry).await
    }
}

/// A mesh that leaves nobody out and bounds retries by the policies alone.
async fn mesh_without_budget() -> ServiceMesh {
    let mut config = mesh::MeshConfig::default();
    config.service.outlier = mesh::mesh_core::health::outlier::OutlierConfig::off();
    config.calls.budget = None;
    ServiceMesh::builder().config(config).build().await.unwrap()
}

/// Servers that take requests and never answer, and the connections to them: all that were made, and those that the
/// callers have not closed.
#[derive(Default)]
struct Silent {
    made: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Silent {
    async fn one_more(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = (Arc::clone(&self.made), Arc::clone(&self.open));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts.1.fetch_add(1, Ordering::Relaxed);
                counts.0.fetch_add(1, Ordering::Relaxed);
                let open = Arc::clone(&counts.1);
                tokio::spawn(async move {
                    while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {}
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        address
    }

    fn counts(&self) -> (usize, usize) {
        (self.made.load(Ordering::Relaxed), self.open.load(Ordering::Relaxed))
    }

    /// Somebody came, and everybody has left.
    async fn is_left_alone(&self) {
        eventually("its connections are closed", async || self.open.load(Ordering::Relaxed) == 0).await;
        assert!(self.made.load(Ordering::Relaxed) > 0, "nobody came");
    }
}

async fn offer(mesh: &ServiceMesh, address: SocketAddr) {
    let config = ServiceConfig::builder("api", "127.0.0.1", address.port()).without_check().build().unwrap();
    mesh.register_service(config).await.unwrap();
    let port = address.port();
    let is_found = async || mesh.get_healthy_services("api").await.unwrap().iter().any(|one| one.port() == port);
    eventually("it is found", is_found).await;
}

/// Gets the body of `/`, over a connection of its own each time.
async fn get(mesh: &ServiceMesh, retry: &RetryPolicy) -> Result<String, CallError<reqwest::Error>> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let policy = CallPolicy::new(*retry).unwrap().classify(class_of);
    let attempt = |instance: Attempt| {
        let request = client.get(format!("http://{}/", instance.authority()));
        async move {
            let response = request.send().await?;
            let (status, announced) = (response.status().as_u16(), announced(&response));
            Ok((status, announced, response.text().await?))
        }
    };
    mesh.call("api", &policy, attempt).await.map(|(_, _, body)| body.trim().to_owned())
}

type Reply = (u16, Option<Duration>, String);

fn class_of(reply: &Result<Reply, reqwest::Error>) -> Class {
    match reply {
        Ok((status, announced, _)) => class_of_status(*status).with_retry_after(*announced),
        Err(_) => Class::Unreachable,
    }
}

/// The wait that an answer announces, by its own clock.
fn announced(response: &reqwest::Response) -> Option<Duration> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    parse_retry_after(header("retry-after")?, header("date").and_then(|date| parse_http_date(date, None)))
}

/// A server that is overloaded at its first request, asks to be left alone, and then answers.
async fn busy_once(retry_after: &'static str) -> SocketAddr {
    use tokio::io::AsyncWriteExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut answers = [
            format!("HTTP/1.1 503 Busy\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: {retry_after}\r\n"),
            "HTTP/1.1 200 OK\r\n".to_owned(),
        ]
        .into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(head) = answers.next() else { return };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ =
                stream.write_all(format!("{head}connection: close\r\ncontent-length: 4\r\n\r\nwell").as_bytes()).await;
        }
    });
    address
}

fn at_once(attempts_max: u32) -> RetryPolicy {
    let mut retry = retries(attempts_max);
    (retry.backoff.base, retry.backoff.cap) = (ms(1), ms(1));
    retry
}

/// One attempt, and a copy of it after 40 ms.
fn hedged() -> RetryPolicy {
    let mut retry = RetryPolicy::never();
    let mut hedge = HedgePolicy::after(ms(40));
    hedge.attempts_max = NonZeroU32::new(2).unwrap();
    retry.hedge = Some(hedge);
    retry
}
