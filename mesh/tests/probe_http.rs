//! What an HTTP check expects of an answer, against real sockets, and against connections in memory where time or every
//! byte matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod probe_world;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::{TokioClock, probe};
use mesh_core::health::{ProbeFailure, ProbeReport, ProbeVerdict};
use mesh_core::port::Clock as _;
use mesh_core::service::{CheckMethod, HealthCheckBuilder};
use mesh_core::time::Instant;
use probe_world::{IN_MEMORY_BYTES, InMemory, Server, http, lines, paused, probe_of, probe_to, read_head, run};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn the_headers_of_a_check_are_sent_each_in_a_line_of_its_own() {
    let mut server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let check = http().header("Authorization", "Bearer a:b;c=\"d e\"").header("x-empty", "").header("user-agent", "me");
    assert_eq!(run(&server.probe(check)).await.verdict, PASSED);
    let sent = lines(&server.ended().await);
    let host = format!("host: {}", server.address);
    let own = [host.as_str(), "user-agent: me"];
    let given = ["authorization: Bearer a:b;c=\"d e\"", "x-empty: "];
    assert_eq!(sent, [&["GET /health HTTP/1.1"][..], &own, &given, &["", ""]].concat());
}

#[tokio::test]
async fn statuses_that_are_expected_pass_and_others_fail() {
    let check = || http().expect_status(204).expect_status(300..=399).expect_status(503);
    for (status, verdict) in [
        (200, failed(ProbeFailure::Status(200))),
        (204, PASSED),
        (302, PASSED),
        (503, PASSED),
        (429, ProbeVerdict::Warned),
        (500, failed(ProbeFailure::Status(500))),
    ] {
        let server = Server::answering(format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(run(&server.probe(check())).await.verdict, verdict, "{status}");
    }
    let busy = Server::answering("HTTP/1.1 429 Busy\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(run(&busy.probe(http().expect_status(429))).await.verdict, PASSED);
}

#[tokio::test]
async fn a_redirect_that_is_expected_is_not_followed_either() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = elsewhere.local_addr().unwrap();
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} Away\r\nlocation: http://{location}/\r\ncontent-length: 0\r\n\r\n");
        let server = Server::answering(answer.clone()).await;
        assert_eq!(run(&server.probe(http().expect_status(300..=399))).await.verdict, PASSED);
        let server = Server::answering(answer).await;
        assert_eq!(run(&server.probe(http())).await.verdict, failed(ProbeFailure::Status(status)));
    }
    // The next to connect there is this test itself.
    let own = TcpStream::connect(location).await.unwrap();
    assert_eq!(elsewhere.accept().await.unwrap().1, own.local_addr().unwrap());
}

#[tokio::test]
async fn a_body_passes_where_the_part_is_in_it() {
    let check = || http().expect_body("\"UP\"");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nx\"\r\n3\r\nUP\"\r\n0\r\n\r\n";
    for (answer, verdict) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"status\": \"UP\"}\n", PASSED),
        ("HTTP/1.1 200 OK\r\n\r\n\"UP\"", PASSED),
        (chunked, PASSED),
        ("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"status\":\"DOWN\"}\n", failed(ProbeFailure::Body)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", failed(ProbeFailure::Body)),
        ("HTTP/1.1 204 No Content\r\n\r\n", failed(ProbeFailure::Body)),
        ("HTTP/1.1 200 OK\r\n\r\n\"UP", failed(ProbeFailure::Body)),
        // It breaks off, but after what was looked for.
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n\"UP\"", PASSED),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n\"U", failed(ProbeFailure::Broken)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\"UP\"", failed(ProbeFailure::Broken)),
        // The status is worse news than the body, and a 429 is no good answer that could have one.
        ("HTTP/1.1 503 Down\r\ncontent-length: 4\r\n\r\n\"UP\"", failed(ProbeFailure::Status(503))),
        ("HTTP/1.1 429 Busy\r\ncontent-length: 4\r\n\r\nbusy", ProbeVerdict::Warned),
    ] {
        let server = Server::answering(answer).await;
        assert_eq!(run(&server.probe(check())).await.verdict, verdict, "{answer}");
    }
}

#[tokio::test]
async fn only_the_first_4_kib_of_a_body_are_looked_through() {
    for (before, verdict) in
        [(4096 - 3, PASSED), (4096 - 2, failed(ProbeFailure::Body)), (4096, failed(ProbeFailure::Body))]
    {
        let answer = format!("HTTP/1.1 200 OK\r\n\r\n{}all{}", "x".repeat(before), "y".repeat(1000));
        let server = Server::answering(answer).await;
        assert_eq!(run(&server.probe(http().expect_body("all"))).await.verdict, verdict, "after {before} bytes");
    }
}

#[test]
fn what_was_looked_through_counts_for_what_is_read_before_the_connection_is_closed() {
    paused(async {
        let (dial, mut servers) = InMemory::accepting();
        let server = tokio::spawn(async move {
            let mut stream = servers.recv().await.unwrap();
            read_head(&mut stream).await;
            let begun = format!("HTTP/1.1 200 OK\r\ncontent-length: 8000\r\n\r\nall{}", "x".repeat(3500));
            stream.write_all(begun.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write_all(&[b'y'; 1000]).await.unwrap();
            stream.read(&mut [0; 1]).await.unwrap()
        });
        let (clock, probe) = (TokioClock::showing(Instant::ZERO), probe_to("10.0.0.7", 80, http().expect_body("all")));
        assert_eq!(probe::run(&dial, &probe, &clock).await.verdict, PASSED);
        assert_eq!(clock.now(), Instant::from_millis(1), "nobody waits for more than 4 KiB");
        assert_eq!(server.await.unwrap(), 0);
    });
}

#[tokio::test]
async fn a_degraded_instance_says_so_in_a_header_whatever_its_value() {
    let check = || http().degraded_header("X-Degraded");
    for (header, verdict) in [
        ("x-degraded: true\r\n", ProbeVerdict::Warned),
        ("X-DEGRADED: \r\n", ProbeVerdict::Warned),
        ("x-degraded-not: true\r\n", PASSED),
        ("", PASSED),
    ] {
        let answer = |status: u16| format!("HTTP/1.1 {status} Whatever\r\n{header}content-length: 2\r\n\r\nok");
        let server = Server::answering(answer(200)).await;
        assert_eq!(run(&server.probe(check())).await.verdict, verdict, "{header}");
        let server = Server::answering(answer(200)).await;
        assert_eq!(run(&server.probe(http())).await.verdict, PASSED, "nobody asked for it");
        let server = Server::answering(answer(200)).await;
        assert_eq!(run(&server.probe(check().expect_body("ok"))).await.verdict, verdict);
        let server = Server::answering(answer(200)).await;
        assert_eq!(run(&server.probe(check().expect_body("no"))).await.verdict, failed(ProbeFailure::Body));
        let server = Server::answering(answer(500)).await;
        assert_eq!(run(&server.probe(check())).await.verdict, failed(ProbeFailure::Status(500)));
    }
    let server = Server::answering("HTTP/1.1 200 OK\r\nx-degraded: 1\r\n\r\n").await;
    assert_eq!(run(&server.probe(check().method(CheckMethod::Head))).await.verdict, ProbeVerdict::Warned);
}

/// A gigabyte is announced, and sent for as long as anybody takes it.
#[tokio::test(start_paused = true)]
async fn of_a_gigabyte_no_more_than_4_kib_are_taken_and_no_time_is_lost() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    for (check, verdict) in [(http(), PASSED), (http().expect_body("never"), failed(ProbeFailure::Body))] {
        let (dial, mut servers) = InMemory::accepting();
        let server = tokio::spawn(async move {
            let mut stream = servers.recv().await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut written = 0;
            while written < 1 << 30 && stream.write_all(&[b'z'; 1024]).await.is_ok() {
                written += 1024;
            }
            written
        });
        let clock = TokioClock::showing(Instant::ZERO);
        assert_eq!(probe::run(&dial, &probe_to("10.0.0.7", 80, check), &clock).await.verdict, verdict);
        assert_eq!(clock.now(), Instant::ZERO);
        assert!(server.await.unwrap() <= 4096 + IN_MEMORY_BYTES + 16 * 1024);
    }
}

#[tokio::test]
async fn of_a_gigabyte_over_tcp_only_what_sockets_hold_is_ever_sent() {
    for check in [http(), http().expect_body("never")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await.unwrap();
            let (mut written, chunk) = (0_usize, vec![b'z'; 64 * 1024]);
            while written < 1 << 30 && stream.write_all(&chunk).await.is_ok() {
                written += chunk.len();
            }
            written
        });
        let report = run(&probe_of(address, check)).await;
        assert!(report.latency < Duration::from_secs(5), "{report:?}");
        let written = tokio::time::timeout(Duration::from_secs(30), server).await.expect("it was hung up on").unwrap();
        assert!(written < 64 << 20, "{written} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_never_comes_times_out_and_one_that_comes_late_still_counts() {
    for (after, verdict, latency) in [(2_999, PASSED, 0), (3_001, failed(ProbeFailure::TimedOut), 3_000)] {
        let (dial, mut servers) = InMemory::accepting();
        let check = http().interval(Duration::from_secs(5)).timeout(Duration::from_secs(3)).expect_body("all well");
        let server = tokio::spawn(async move {
            let mut stream = servers.recv().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nall ").await.unwrap();
            tokio::time::sleep(Duration::from_millis(after)).await;
            // Whoever gave up has hung up.
            let _ = stream.write_all(b"well").await;
            let mut sent = String::new();
            stream.read_to_string(&mut sent).await.unwrap();
        });
        let clock = TokioClock::showing(Instant::ZERO);
        let report = probe::run(&dial, &probe_to("10.0.0.7", 80, check), &clock).await;
        assert_eq!(report, ProbeReport { verdict, latency: Duration::from_millis(latency) });
        assert!(clock.now() <= Instant::from_millis(3_000));
        server.await.unwrap();
    }
}

/// What a check keeps secret is in none of the events that failing probes log.
#[tokio::test]
async fn the_value_of_a_header_is_never_logged() {
    let logged = Arc::<Mutex<Vec<u8>>>::default();
    let into = Arc::clone(&logged);
    let writer = move || Heard(Arc::clone(&into));
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(writer).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let check = || http().header("authorization", "hunter2");
    for answer in ["garbage\r\n\r\n", "HTTP/1.1 401 No\r\nwww-authenticate: x\r\n\r\n"] {
        let server = Server::answering(answer).await;
        assert!(matches!(run(&server.probe(check())).await.verdict, ProbeVerdict::Failed(_)));
    }
    let dial = InMemory::refusing();
    probe::run(&dial, &probe_to("10.0.0.7", 80, check()), &TokioClock::showing(Instant::ZERO)).await;
    assert_eq!(dial.dialled.load(Ordering::Relaxed), 1);
    let logged = String::from_utf8(logged.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("probe failed") && !logged.contains("hunter2"), "{logged}");
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_header_can_add_a_line_to_the_request(name in "[!-~]{1,12}", value in "[ -~\r\n\t\0\u{7f}é]{0,30}") {
        let check = http().header(&*format!("x{name}"), &*value);
        let Ok(check) = check.build_for_any().map(HealthCheckBuilder::from) else { return Ok(()) };
        let sent = paused(async {
            let (dial, mut servers) = InMemory::accepting();
            let probe = probe_to("10.0.0.7", 80, check);
            let server = async {
                let mut stream = servers.recv().await.unwrap();
                let sent = read_head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                sent
            };
            let clock = TokioClock::showing(Instant::ZERO);
            tokio::join!(probe::run(&dial, &probe, &clock), server).1
        });
        let header = format!("x{}: {value}", name.to_ascii_lowercase());
        let own = ["GET /health HTTP/1.1", "host: 10.0.0.7:80", "user-agent: mesh-probe"];
        prop_assert_eq!(lines(&sent), [&own[..], &[&*header, "", ""]].concat());
    }

    /// However the bytes are cut into packets, a part is found exactly where it is within the first 4 KiB.
    #[test]
    fn a_part_is_found_however_it_is_cut(before in 3_900_usize..4_200, cuts in prop::collection::vec(1..5_000_usize, 0..6)) {
        let body = [&vec![b'a'; before][..], b"aabab", &[b'b'; 300]].concat();
        let verdict = paused(async {
            let (dial, mut servers) = InMemory::accepting();
            let probe = probe_to("10.0.0.7", 80, http().expect_body("aabab"));
            let server = async {
                let mut stream = servers.recv().await.unwrap();
                read_head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut rest = &body[..];
                for cut in cuts {
                    let (now, later) = rest.split_at(cut.min(rest.len()));
                    // The probe may have heard enough.
                    let _ = stream.write_all(now).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    rest = later;
                }
                let _ = stream.write_all(rest).await;
            };
            let clock = TokioClock::showing(Instant::ZERO);
            tokio::join!(probe::run(&dial, &probe, &clock), server).0.verdict
        });
        let found = before + 5 <= 4096;
        prop_assert_eq!(verdict, if found { PASSED } else { failed(ProbeFailure::Body) });
    }
}

/// What is logged goes here.
struct Heard(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn failed(failure: ProbeFailure) -> ProbeVerdict {
    ProbeVerdict::Failed(failure)
}

const PASSED: ProbeVerdict = ProbeVerdict::Passed;
