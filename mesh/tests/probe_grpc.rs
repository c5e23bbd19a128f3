//! Probes by the gRPC health protocol, against a real server over HTTP/2 and against what is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod grpc_world;
mod probe_world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use grpc_world::{GrpcServer, Reply, message, serving};
use mesh::{TokioClock, probe};
use mesh_core::health::{ProbeFailure, ProbeReport, ProbeVerdict, ServingStatus};
use mesh_core::service::{CheckRunner, HealthCheck, HealthCheckBuilder};
use mesh_core::time::Instant;
use probe_world::{InMemory, Server, probe_of, probe_to, run};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_service_that_is_serving_passes_and_no_other_does() {
    for (status, verdict) in [
        (0, not(ServingStatus::Unknown)),
        (1, PASSED),
        (2, not(ServingStatus::NotServing)),
        (3, not(ServingStatus::ServiceUnknown)),
        (9, not(ServingStatus::Other(9))),
    ] {
        let reply = Reply::Ended(message(status), vec![("grpc-status", "0")]);
        assert_eq!(verdict_of(reply).await, verdict, "{status}");
    }
    assert_eq!(verdict_of(Reply::Ended(vec![0; 5], vec![("grpc-status", "0")])).await, not(ServingStatus::Unknown));
}

#[tokio::test]
async fn the_call_is_the_one_of_the_protocol() {
    for (check, body) in [(grpc(), &[0; 5][..]), (grpc().grpc_service("api.v1"), b"\0\0\0\0\x08\x0A\x06api.v1")] {
        let mut server = GrpcServer::replying(Reply::Ended(serving(), vec![("grpc-status", "0")])).await;
        assert_eq!(run(&probe_of(server.address, check)).await.verdict, PASSED);
        let asked = server.asked.recv().await.unwrap();
        assert_eq!(asked.method, "POST");
        assert_eq!(asked.uri.to_string(), format!("http://{}/grpc.health.v1.Health/Check", server.address));
        let header = |name: &str| asked.headers.get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            ["content-type", "te", "user-agent", "grpc-timeout"].map(header),
            ["application/grpc", "trailers", "mesh-probe", "10000m"]
        );
        assert_eq!(asked.body, body);
        server.ended().await;
    }
}

#[tokio::test]
async fn a_call_that_ends_with_a_code_fails_with_it_wherever_it_is() {
    for (text, code) in [("12", 12), ("5", 5), ("14", 14), ("99", 99)] {
        let failure = ProbeVerdict::Failed(ProbeFailure::GrpcStatus(code));
        let in_head = Reply::Head(200, vec![("grpc-status", text), ("grpc-message", "no")]);
        assert_eq!(verdict_of(in_head).await, failure);
        assert_eq!(
            verdict_of(Reply::Ended(serving(), vec![("grpc-status", text)])).await,
            failure,
            "though it says so"
        );
        assert_eq!(verdict_of(Reply::Ended(vec![], vec![("grpc-status", text)])).await, failure);
    }
}

#[tokio::test]
async fn an_http_status_that_is_not_200_fails_with_it() {
    for status in [302, 404, 415, 429, 503] {
        let failure = ProbeVerdict::Failed(ProbeFailure::Status(status));
        assert_eq!(verdict_of(Reply::Head(status, vec![("grpc-status", "0")])).await, failure);
    }
}

#[tokio::test]
async fn what_is_no_answer_of_the_protocol_is_broken() {
    let ended = |bytes: Vec<u8>| Reply::Ended(bytes, vec![("grpc-status", "0")]);
    for reply in [
        Reply::Ended(serving(), vec![]),
        Reply::Ended(serving(), vec![("grpc-status", "zero")]),
        Reply::Ended(serving(), vec![("grpc-status", "")]),
        Reply::Head(200, vec![]),
        Reply::Head(200, vec![("grpc-status", "0")]),
        Reply::Typed("text/html"),
        Reply::Typed("application/json"),
        ended(vec![]),
        ended(vec![0, 0, 0, 0, 2, 8]),
        ended([serving(), serving()].concat()),
        ended(vec![1, 0, 0, 0, 2, 8, 1]),
        ended([&[0, 0, 0, 16, 1][..], &[0x12; 4097]].concat()),
    ] {
        assert_eq!(verdict_of(reply.clone()).await, BROKEN, "{reply:?}");
    }
    assert_eq!(verdict_of(Reply::Typed("application/grpc")).await, PASSED);
}

#[tokio::test]
async fn a_field_of_a_later_version_may_fill_4_kib_and_no_more() {
    for (filling, verdict) in [(4086_usize, PASSED), (4087, BROKEN)] {
        // A field of bytes: its key, its length in two bytes, and so many of them.
        let field = [&[0x12, (filling & 0x7F) as u8 | 0x80, (filling >> 7) as u8][..], &vec![7; filling]].concat();
        let message = [&[8, 1][..], &field].concat();
        let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
        assert_eq!(framed.len(), filling + 10);
        let reply = Reply::Ended(framed, vec![("grpc-status", "0")]);
        assert_eq!(verdict_of(reply).await, verdict, "{filling}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_broken_and_hung_up_on() {
    let mut server = GrpcServer::replying(Reply::Flood).await;
    assert_eq!(run(&probe_of(server.address, grpc())).await.verdict, BROKEN);
    server.ended().await;
    // A window of 8 KiB and what the server's own buffers hold.
    let flooded = server.flooded.load(Ordering::Relaxed);
    assert!(flooded < 1024, "{flooded} KiB");
}

#[tokio::test]
async fn a_server_that_never_answers_times_out_and_is_hung_up_on() {
    let mut server = GrpcServer::replying(Reply::Silence).await;
    let check = grpc().interval(Duration::from_millis(100)).timeout(Duration::from_millis(100));
    let report = run(&probe_of(server.address, check)).await;
    assert_eq!(report.verdict, ProbeVerdict::Failed(ProbeFailure::TimedOut));
    assert!(report.latency >= Duration::from_millis(100), "{report:?}");
    server.ended().await;
}

#[tokio::test]
async fn a_probe_that_is_dropped_leaves_no_connection_behind() {
    let mut server = GrpcServer::replying(Reply::Silence).await;
    let probe = probe_of(server.address, grpc());
    let mut running = Box::pin(run(&probe));
    tokio::select! {
        report = &mut running => panic!("nobody answered, yet {report:?}"),
        asked = server.asked.recv() => assert!(asked.is_some()),
    }
    drop(running);
    server.ended().await;
}

#[tokio::test]
async fn what_speaks_no_http2_is_broken() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n", "", "\0\0\0\x04\0\0\0\0\0"] {
        let server = Server::answering(answer).await;
        assert_eq!(run(&probe_of(server.address, grpc())).await.verdict, BROKEN, "{answer:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_a_failure_to_connect_and_what_was_not_given_is_not_dialled_for() {
    let listener = TcpListener::bind("127.83.19.8:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(run(&probe_of(gone, grpc())).await.verdict, ProbeVerdict::Failed(ProbeFailure::Connect));
    for check in [HealthCheck::grpc().tls(true), HealthCheck::http("/").tls(true), HealthCheck::own()] {
        let dial = InMemory::refusing();
        let report = probe::run(&dial, &probe_to("10.0.0.7", 80, check), &TokioClock::showing(Instant::ZERO)).await;
        assert_eq!(report.verdict, ProbeVerdict::Failed(ProbeFailure::Unsupported));
        assert_eq!(dial.dialled.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_exactly_at_the_timeout() {
    let (dial, _servers) = InMemory::accepting();
    for dial in [dial, InMemory::hanging()] {
        let check = grpc().interval(Duration::from_secs(5)).timeout(Duration::from_secs(3));
        let report = probe::run(&dial, &probe_to("10.0.0.7", 80, check), &TokioClock::showing(Instant::ZERO)).await;
        let verdict = ProbeVerdict::Failed(ProbeFailure::TimedOut);
        assert_eq!(report, ProbeReport { verdict, latency: Duration::from_secs(3) });
    }
}

#[tokio::test]
async fn an_accepted_connection_that_says_nothing_is_closed_by_the_probe() {
    let mut server = Server::silent().await;
    let check = grpc().interval(Duration::from_millis(100)).timeout(Duration::from_millis(100));
    let report = run(&probe_of(server.address, check)).await;
    assert_eq!(report.verdict, ProbeVerdict::Failed(ProbeFailure::TimedOut));
    server.ended().await;
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_back_the_probe_ends_and_never_passes(
        frames in prop::collection::vec((0..12_u8, any::<u8>(), 0..3_u8, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        rest in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let report = probe_world::paused(async {
            let (dial, mut servers) = InMemory::accepting();
            let probe = probe_to("10.0.0.7", 80, grpc());
            let server = async {
                let mut stream = servers.recv().await.unwrap();
                // Settings first, or nothing else is looked at.
                let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
                for (kind, flags, id, payload) in frames {
                    bytes.extend([0, 0, payload.len() as u8, kind, flags, 0, 0, 0, id]);
                    bytes.extend(payload);
                }
                bytes.extend(rest);
                // The probe may have hung up already.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.read(&mut [0; 1024]).await;
            };
            let clock = TokioClock::showing(Instant::ZERO);
            tokio::join!(probe::run(&dial, &probe, &clock), server).0
        });
        prop_assert!(matches!(report.verdict, ProbeVerdict::Failed(_)), "{report:?}");
        prop_assert!(report.latency <= Duration::from_secs(10));
    }
}

async fn verdict_of(reply: Reply) -> ProbeVerdict {
    let server = GrpcServer::replying(reply).await;
    run(&probe_of(server.address, grpc())).await.verdict
}

fn grpc() -> HealthCheckBuilder {
    HealthCheck::grpc().run_by(CheckRunner::Mesh)
}

fn not(status: ServingStatus) -> ProbeVerdict {
    ProbeVerdict::Failed(ProbeFailure::NotServing(status))
}

const PASSED: ProbeVerdict = ProbeVerdict::Passed;
const BROKEN: ProbeVerdict = ProbeVerdict::Failed(ProbeFailure::Broken);
