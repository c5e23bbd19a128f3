//! Calls over real HTTP: statuses, `Retry-After`, connections that are refused, and the caller's own client.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh::mesh_core::service::CheckRunner;
use mesh::mesh_retry::classify::{class_of_status, parse_retry_after};
use mesh::{Attempt, CallPolicy, Class, HealthCheck, RetryPolicy, ServiceConfig, ServiceMesh};

use support::backend::Backend;
use support::{eventually, in_flight, ms, retries, secs};

type Reply = reqwest::Result<reqwest::Response>;

#[tokio::test]
async fn a_failing_status_is_retried_elsewhere() {
    let (mesh, backends) = world(2).await;
    backends[0].work_is(500);
    for _ in 0..20 {
        assert_eq!(call(&mesh, retries_at_once(3)).await.unwrap().status(), 200);
    }
    assert_eq!(backends[1].served(), 20);
    assert!(backends[0].served() > 0, "it was tried");
    assert_eq!(in_flight(&mesh, "api").await, 0);
}

#[tokio::test]
async fn a_status_that_is_permanent_is_handed_to_the_caller_at_once() {
    let (mesh, backends) = world(2).await;
    for backend in &backends {
        backend.work_is(404);
    }
    assert_eq!(call(&mesh, retries_at_once(3)).await.unwrap().status(), 404);
    assert_eq!(backends[0].served() + backends[1].served(), 1);
}

#[tokio::test]
async fn when_every_attempt_fails_the_last_response_is_the_callers() {
    let (mesh, backends) = world(1).await;
    backends[0].work_is(502);
    let response = call(&mesh, retries_at_once(3)).await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (502, "hello"));
    assert_eq!(backends[0].served(), 3);
}

#[tokio::test]
async fn a_retry_after_that_is_too_long_ends_the_call_with_the_response_that_said_so() {
    let (mesh, backends) = world(1).await;
    backends[0].work_is(503);
    backends[0].asks_for_a_pause_of(3600);
    let response = call(&mesh, retries_at_once(3)).await.unwrap();
    assert_eq!((response.status().as_u16(), backends[0].served()), (503, 1));
    assert_eq!(response.headers()["retry-after"], "3600");
}

#[tokio::test]
async fn a_refused_connection_is_retried_elsewhere() {
    let (mesh, mut backends) = world(2).await;
    backends[0].kill().await;
    for _ in 0..20 {
        assert_eq!(call(&mesh, retries_at_once(2)).await.unwrap().status(), 200);
    }
    backends[1].kill().await;
    let error = call(&mesh, retries_at_once(2)).await.unwrap_err();
    assert!(error.last().is_some_and(|last| last.is_connect()), "{error}");
    assert!(error.to_string().starts_with("given up after 2 attempts: all attempts"), "{error}");
}

#[tokio::test]
async fn an_instance_that_dies_in_the_middle_of_its_answer_is_an_error_like_another() {
    let (mesh, backends) = world(1).await;
    // Answers the head and half of the body that it announces, and closes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let liar = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        }
    });
    let config = ServiceConfig::builder("api", "127.0.0.1", port).without_check().build().unwrap();
    mesh.register_service(config).await.unwrap();
    eventually("it is found", async || mesh.get_healthy_services("api").await.unwrap().len() == 2).await;
    let (client, policy) = (reqwest::Client::new(), CallPolicy::new(retries_at_once(3)).unwrap());
    for _ in 0..10 {
        let reply = mesh.call("api", &policy, |instance| {
            let request = client.get(format!("http://{}/", instance.authority()));
            async move { request.send().await?.text().await }
        });
        assert_eq!(reply.await.unwrap(), "hello");
    }
    assert_eq!(backends[0].served(), 10);
    liar.abort();
}

async fn call(mesh: &ServiceMesh, retry: RetryPolicy) -> Result<reqwest::Response, mesh::CallError<reqwest::Error>> {
    let (client, policy) = (reqwest::Client::new(), CallPolicy::new(retry).unwrap().classify(class_of));
    let attempt = |instance: Attempt| client.get(format!("http://{}/", instance.authority())).send();
    mesh.call("api", &policy, attempt).await
}

fn class_of(reply: &Reply) -> Class {
    let Ok(response) = reply else { return Class::Transient };
    let announced = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    class_of_status(response.status().as_u16())
        .with_retry_after(announced.and_then(|value| parse_retry_after(value, None)))
}

/// A mesh and backends that are registered and found, whose checks come too seldom to interfere.
async fn world(backends: usize) -> (ServiceMesh, Vec<Backend>) {
    let mesh = ServiceMesh::builder().build().await.unwrap();
    let mut running = Vec::new();
    for _ in 0..backends {
        let backend = Backend::start().await;
        let check = HealthCheck::http("/health").run_by(CheckRunner::Mesh).interval(secs(3600));
        let config = ServiceConfig::builder("api", "127.0.0.1", backend.port()).check(check).build().unwrap();
        mesh.register_service(config).await.unwrap();
        running.push(backend);
    }
    eventually("all are found", async || mesh.get_healthy_services("api").await.unwrap().len() == backends).await;
    (mesh, running)
}

fn retries_at_once(attempts_max: u32) -> RetryPolicy {
    let mut retry = retries(attempts_max);
    (retry.backoff.base, retry.backoff.cap) = (ms(1), ms(1));
    retry
}
