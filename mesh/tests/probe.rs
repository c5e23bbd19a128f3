//! Probes against real sockets, and against connections in memory where time or every byte matters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod probe_world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh::{TcpDial, TokioClock, probe};
use mesh_core::health::{ProbeFailure, ProbeReport, ProbeVerdict};
use mesh_core::port::Clock as _;
use mesh_core::service::{CheckMethod, CheckRunner, HealthCheck};
use mesh_core::time::Instant;
use probe_world::{Answer, IN_MEMORY_BYTES, InMemory, Server, http, lines, paused, probe_of, probe_to, read_head, run};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PASSED: ProbeVerdict = ProbeVerdict::Passed;
const BROKEN: ProbeVerdict = ProbeVerdict::Failed(ProbeFailure::Broken);
const CONNECT: ProbeVerdict = ProbeVerdict::Failed(ProbeFailure::Connect);
const TIMED_OUT: ProbeVerdict = ProbeVerdict::Failed(ProbeFailure::TimedOut);

#[tokio::test]
async fn the_status_decides_as_with_consul() {
    for (status, verdict) in [
        (200, PASSED),
        (204, PASSED),
        (299, PASSED),
        (429, ProbeVerdict::Warned),
        (300, ProbeVerdict::Failed(ProbeFailure::Status(300))),
        (404, ProbeVerdict::Failed(ProbeFailure::Status(404))),
        (503, ProbeVerdict::Failed(ProbeFailure::Status(503))),
    ] {
        let answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\n\r\nok");
        let server = Server::answering(answer).await;
        assert_eq!(run(&server.probe(http())).await.verdict, verdict, "{status}");
    }
}

#[tokio::test]
async fn the_latency_is_the_time_until_the_head_of_the_answer() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let clock = TokioClock::showing(Instant::ZERO);
    let report = probe::run(&TcpDial::new(), &server.probe(http()), &clock).await;
    assert!(report.latency > Duration::ZERO && report.latency <= clock.now().since(Instant::ZERO), "{report:?}");
}

#[tokio::test]
async fn a_redirect_fails_and_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = elsewhere.local_addr().unwrap();
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{location}/\r\ncontent-length: 0\r\n\r\n");
    let server = Server::answering(answer).await;
    assert_eq!(run(&server.probe(http())).await.verdict, ProbeVerdict::Failed(ProbeFailure::Status(302)));
    // The next to connect there is this test itself.
    let own = TcpStream::connect(location).await.unwrap();
    let (_, first) = elsewhere.accept().await.unwrap();
    assert_eq!(first, own.local_addr().unwrap());
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_not_http_is_broken() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\u{0}\u{1}\u{2} garbage \r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        let server = Server::answering(answer).await;
        assert_eq!(run(&server.probe(http())).await.verdict, BROKEN, "{answer:?}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_broken_and_not_gathered() {
    for flood in ["x".repeat(1024), format!("x-more: {}\r\n", "y".repeat(1000))] {
        let mut server = Server::flooding("HTTP/1.1 200 OK\r\n", flood).await;
        assert_eq!(run(&server.probe(http())).await.verdict, BROKEN);
        server.ended().await;
    }
}

#[tokio::test]
async fn a_body_without_end_passes_and_is_cut_off() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n"] {
        let mut server = Server::flooding(head, "z".repeat(1024)).await;
        assert_eq!(run(&server.probe(http())).await.verdict, PASSED);
        server.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_4_kib_of_a_body_are_taken_from_the_connection() {
    let (dial, mut servers) = InMemory::accepting();
    let server = tokio::spawn(async move {
        let mut stream = servers.recv().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut written = 0;
        while written < 1024 * 1024 && stream.write_all(&[b'z'; 1024]).await.is_ok() {
            written += 1024;
        }
        written
    });
    let clock = TokioClock::showing(Instant::ZERO);
    assert_eq!(probe::run(&dial, &probe_to("10.0.0.7", 80, http()), &clock).await.verdict, PASSED);
    assert_eq!(clock.now(), Instant::ZERO);
    let buffers = IN_MEMORY_BYTES + 16 * 1024;
    assert!(server.await.unwrap() <= 4096 + buffers);
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    assert_eq!(run(&server.probe(http())).await.verdict, PASSED);
}

#[tokio::test]
async fn nothing_listening_is_a_failure_to_connect() {
    // An address of this test's own, so that nobody else takes the port in between.
    let listener = TcpListener::bind("127.83.19.7:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(run(&probe_of(gone, http())).await.verdict, CONNECT);
    assert_eq!(run(&probe_of(gone, HealthCheck::tcp())).await.verdict, CONNECT);
}

#[tokio::test]
async fn a_silent_server_times_out() {
    // The kernel accepts for it; it never reads.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = http().interval(Duration::from_millis(50)).timeout(Duration::from_millis(50));
    let report = run(&probe_of(listener.local_addr().unwrap(), check)).await;
    assert_eq!(report.verdict, TIMED_OUT);
    assert!(report.latency >= Duration::from_millis(50), "{report:?}");
}

#[tokio::test]
async fn a_connection_is_all_that_a_tcp_check_wants() {
    let mut server = Server::silent().await;
    assert_eq!(run(&server.probe(HealthCheck::tcp())).await.verdict, PASSED);
    assert_eq!(server.ended().await, "", "a TCP check sends nothing");
}

#[tokio::test]
async fn a_name_is_resolved_before_it_is_dialled() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let probe = probe_to("localhost", server.address.port(), http());
    assert_eq!(run(&probe).await.verdict, PASSED);
}

#[tokio::test]
async fn an_instance_on_ipv6_is_probed_with_a_host_in_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let mut server = Server::on(listener, Answer::Text("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()));
    assert_eq!(run(&server.probe(http())).await.verdict, PASSED);
    let host = format!("host: [::1]:{}", server.address.port());
    assert!(lines(&server.ended().await).contains(&host));
}

#[tokio::test]
async fn the_request_is_the_one_that_was_configured() {
    let cases = [
        (HealthCheck::http("/ready?deep=1&x=%20"), "GET /ready?deep=1&x=%20 HTTP/1.1", None),
        (HealthCheck::http("//evil.example/x"), "GET //evil.example/x HTTP/1.1", None),
        (http().method(CheckMethod::Head), "HEAD /health HTTP/1.1", None),
        (http().host_header("api.internal"), "GET /health HTTP/1.1", Some("host: api.internal")),
        (http().host_header("::1"), "GET /health HTTP/1.1", Some("host: [::1]")),
    ];
    for (check, request_line, host) in cases {
        let mut server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(run(&server.probe(check.run_by(CheckRunner::Mesh))).await.verdict, PASSED);
        let sent = lines(&server.ended().await);
        let own_host = format!("host: {}", server.address);
        let wanted = [request_line, host.unwrap_or(&own_host), "user-agent: mesh-probe", "", ""];
        assert_eq!(sent, wanted);
    }
}

#[tokio::test]
async fn a_server_that_keeps_connections_alive_sees_this_one_close() {
    let answer = Answer::Keep("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = Server::on(listener, answer);
    assert_eq!(run(&server.probe(http())).await.verdict, PASSED);
    server.ended().await;
}

#[tokio::test]
async fn a_probe_that_is_dropped_leaves_no_connection_behind() {
    let mut server = Server::silent().await;
    let probe = server.probe(http());
    let mut running = Box::pin(run(&probe));
    tokio::select! {
        report = &mut running => panic!("nobody answered, yet {report:?}"),
        () = server.heard_from() => {}
    }
    drop(running);
    assert!(server.ended().await.starts_with("GET /health HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_forbidden_host_is_never_dialled() {
    let dial = InMemory::refusing();
    for host in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "metadata.google.internal"] {
        let probe = probe_to(host, 80, HealthCheck::tcp());
        assert_eq!(probe::run(&dial, &probe, &TokioClock::showing(Instant::ZERO)).await.verdict, CONNECT, "{host}");
    }
    assert_eq!(dial.dialled.load(Ordering::Relaxed), 0);
    let allowed = probe_to("10.0.0.7", 80, HealthCheck::tcp());
    assert_eq!(probe::run(&dial, &allowed, &TokioClock::showing(Instant::ZERO)).await.verdict, CONNECT);
    assert_eq!(dial.dialled.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_exactly_at_the_timeout() {
    let (dial, _servers) = InMemory::accepting();
    for dial in [dial, InMemory::hanging()] {
        let check = http().interval(Duration::from_secs(5)).timeout(Duration::from_secs(3));
        let report = probe::run(&dial, &probe_to("10.0.0.7", 80, check), &TokioClock::showing(Instant::ZERO)).await;
        assert_eq!(report, ProbeReport { verdict: TIMED_OUT, latency: Duration::from_secs(3) });
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_keeps_the_report_back_for_a_moment_only() {
    for (timeout, waits) in [(3000, 100), (100, 50)] {
        let (dial, mut servers) = InMemory::accepting();
        let check = http().interval(Duration::from_secs(5)).timeout(Duration::from_millis(timeout));
        let probe = probe_to("10.0.0.7", 80, check);
        let clock = TokioClock::showing(Instant::ZERO);
        let server = tokio::spawn(async move {
            let mut stream = servers.recv().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
            let mut sent = String::new();
            stream.read_to_string(&mut sent).await.unwrap();
        });
        let report = probe::run(&dial, &probe, &clock).await;
        assert_eq!(report, ProbeReport { verdict: PASSED, latency: Duration::ZERO });
        assert_eq!(clock.now(), Instant::from_millis(waits));
        server.await.unwrap();
    }
}

proptest! {
    #![proptest_config(same_every_time())]

    #[test]
    fn no_path_can_add_a_line_to_the_request(path in "/[A-Za-z0-9._~!$&'()*+,;=:@/?-]{0,40}(%[0-9a-fA-F]{2}){0,3}") {
        let sent = paused(async {
            let (dial, mut servers) = InMemory::accepting();
            let probe = probe_to("10.0.0.7", 80, HealthCheck::http(&*path).run_by(CheckRunner::Mesh));
            let server = async {
                let mut stream = servers.recv().await.unwrap();
                let sent = read_head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                sent
            };
            let clock = TokioClock::showing(Instant::ZERO);
            tokio::join!(probe::run(&dial, &probe, &clock), server).1
        });
        let request_line = format!("GET {path} HTTP/1.1");
        let wanted = [&*request_line, "host: 10.0.0.7:80", "user-agent: mesh-probe", "", ""];
        prop_assert_eq!(lines(&sent), wanted);
    }

    #[test]
    fn whatever_comes_back_the_probe_ends_and_passes_only_what_says_so(
        head in "(HTTP/1\\.[01] )?[0-9]{0,4}( OK)?(\r\n|\r|\n)?",
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let answer = [head.as_bytes(), &rest].concat();
        let report = paused(async {
            let (dial, mut servers) = InMemory::accepting();
            let probe = probe_to("10.0.0.7", 80, http());
            let server = async {
                let mut stream = servers.recv().await.unwrap();
                // The probe may have hung up already.
                let _ = stream.write_all(&answer).await;
            };
            let clock = TokioClock::showing(Instant::ZERO);
            tokio::join!(probe::run(&dial, &probe, &clock), server).0
        });
        if report.verdict == PASSED {
            prop_assert!(answer.starts_with(b"HTTP/1.1 2") || answer.starts_with(b"HTTP/1.0 2"));
        }
    }
}

fn same_every_time() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() }
}
