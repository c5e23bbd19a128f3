//! Checks over TLS that the mesh itself runs, against real servers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod probe_world;
mod tls_world;

use std::time::Duration;

use mesh::probe::ProbeTls;
use mesh::{ProbeTlsConfig, TcpDial, TokioClock, probe};
use mesh_core::health::{Probe, ProbeFailure, ProbeReport, ProbeVerdict};
use mesh_core::service::{CheckRunner, HealthCheck, HealthCheckBuilder};
use mesh_core::time::Instant;
use probe_world::{InMemory, paused, probe_of, probe_to};
use rcgen::{CertificateParams, SanType, date_time_ymd};
use rustls::HandshakeKind;
use tls_world::{Authority, Manner, Shaken, TlsServer, client, dns, named, server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_server_of_the_authority_passes_and_hears_http_1() {
    let authority = Authority::new("ours");
    let server = TlsServer::start(Manner::http(&authority.local())).await;
    assert_eq!(ask(&authority.trusted(), &server, http()).await, PASSED);
    let shaken = Shaken { name: None, protocol: Some("http/1.1".to_owned()), kind: HandshakeKind::Full };
    assert_eq!(server.shaken(), [shaken], "an address is no name to be told");
    assert_eq!(server.asked(), [server.address.to_string()]);
    assert_eq!(ask(&authority.trusted(), &server, http().expect_body("well")).await, PASSED);
    assert_eq!(ask(&authority.trusted(), &server, http().expect_body("ill")).await, failed(ProbeFailure::Body));
    assert_eq!(ask(&authority.trusted(), &server, http().expect_status(204)).await, failed(ProbeFailure::Status(200)));
}

#[tokio::test]
async fn another_authority_is_not_trusted_unless_its_file_is_given() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = TlsServer::start(Manner::http(&theirs.local())).await;
    assert_eq!(ask(&ours.trusted(), &server, http()).await, TLS);
    assert_eq!(ask(&theirs.trusted(), &server, http()).await, PASSED);
    let pem = [ours.ca_file(), theirs.ca_file()].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    let mut both = ProbeTlsConfig::default();
    both.ca_file = Some(ours.file("both.pem", &pem));
    assert_eq!(ask(&both, &server, http()).await, PASSED, "a bundle has more than one");
    let mut besides = theirs.trusted();
    besides.system_roots = true;
    assert_eq!(ask(&besides, &server, http()).await, PASSED, "and the system's count besides");
    besides.ca_file = Some(ours.ca_file());
    assert_eq!(ask(&besides, &server, http()).await, TLS);
    // Where the system has no authority that is an error of its own.
    if let Ok(system) = ProbeTls::load(&ProbeTlsConfig::default()) {
        assert_eq!(ask_by(&system, &probe_of(server.address, http())).await.verdict, TLS);
    }
}

#[tokio::test]
async fn the_certificate_must_be_for_the_host_header_or_else_for_the_host_that_is_dialled() {
    let authority = Authority::new("ours");
    let named = authority.sign(&server([dns("api.example")]));
    let address_as_name = authority.sign(&server([dns("127.0.0.1")]));
    let another = authority.sign(&server([SanType::IpAddress([127, 0, 0, 2].into())]));
    let without = authority.sign(&named_only("127.0.0.1"));
    for (signed, host_header, verdict) in [
        (&named, Some("api.example"), PASSED),
        (&named, Some("www.example"), TLS),
        (&named, None, TLS),
        (&authority.local(), None, PASSED),
        (&authority.local(), Some("127.0.0.1"), PASSED),
        (&authority.local(), Some("api.example"), TLS),
        (&another, None, TLS),
        (&address_as_name, None, TLS),
        (&without, None, TLS),
    ] {
        let server = TlsServer::start(Manner::http(signed)).await;
        let check = host_header.into_iter().fold(http(), HealthCheckBuilder::host_header);
        assert_eq!(ask(&authority.trusted(), &server, check).await, verdict, "{host_header:?}");
        if verdict == PASSED {
            let name = host_header.filter(|name| !name.starts_with("127")).map(str::to_owned);
            assert_eq!(server.shaken()[0].name, name);
        }
    }
    // The name of the instance, where it has one.
    let server = TlsServer::start(Manner::http(&authority.sign(&server([dns("localhost")])))).await;
    let tls = ProbeTls::load(&authority.trusted()).unwrap();
    assert_eq!(ask_by(&tls, &probe_to("localhost", server.address.port(), http())).await.verdict, PASSED);
    assert_eq!(ask_by(&tls, &probe_of(server.address, http())).await.verdict, TLS);
}

#[tokio::test]
async fn a_certificate_that_ran_out_or_is_not_valid_yet_is_refused() {
    let authority = Authority::new("ours");
    for (from, to, verdict) in [(1975, 2020, TLS), (2400, 2500, TLS), (1975, 2500, PASSED)] {
        let mut params = local();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let server = TlsServer::start(Manner::http(&authority.sign(&params))).await;
        assert_eq!(ask(&authority.trusted(), &server, http()).await, verdict, "{from} to {to}");
    }
}

#[tokio::test]
async fn what_speaks_no_tls_and_what_hangs_up_is_a_failure_of_tls() {
    let tls = ProbeTls::load(&Authority::new("ours").trusted()).unwrap();
    for answer in ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n", ""] {
        for check in [http(), grpc()] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let probe = probe_of(listener.local_addr().unwrap(), check);
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_eq!(stream.read_u8().await.unwrap(), 22, "a handshake");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
            assert_eq!(ask_by(&tls, &probe).await.verdict, TLS, "{answer:?}");
            server.await.unwrap();
        }
    }
    let listener = TcpListener::bind("127.83.19.9:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(ask_by(&tls, &probe_of(gone, http())).await.verdict, failed(ProbeFailure::Connect));
}

#[test]
fn a_handshake_without_an_answer_ends_exactly_at_the_timeout() {
    let authority = Authority::new("ours");
    let tls = ProbeTls::load(&authority.trusted()).unwrap();
    for check in [http(), grpc()] {
        paused(async {
            let (dial, mut servers) = InMemory::accepting();
            let check = check.interval(Duration::from_secs(5)).timeout(Duration::from_secs(3));
            let clock = TokioClock::showing(Instant::ZERO);
            let report = probe::run_tls(&dial, &probe_to("10.0.0.7", 443, check), &clock, &tls).await;
            let verdict = failed(ProbeFailure::TimedOut);
            assert_eq!(report, ProbeReport { verdict, latency: Duration::from_secs(3) });
            let mut heard = Vec::new();
            servers.recv().await.unwrap().read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard[0], 22, "a handshake, and then the end");
        });
    }
}

#[tokio::test]
async fn a_server_that_knows_its_clients_wants_a_certificate_of_theirs() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for version in rustls::ALL_VERSIONS {
        for (is_grpc, check) in [(false, http as fn() -> HealthCheckBuilder), (true, grpc)] {
            let manner = if is_grpc { Manner::grpc(&ours.local()) } else { Manner::http(&ours.local()) };
            let server = TlsServer::start(manner.of(version).mutual(&ours)).await;
            let known = ours.showing(&ours.sign(&client()));
            assert_eq!(ask(&known, &server, check()).await, PASSED, "{version:?}, gRPC: {is_grpc}");
            assert_eq!(ask(&ours.trusted(), &server, check()).await, TLS, "{version:?}, gRPC: {is_grpc}");
            let foreign = ours.showing(&theirs.sign(&client()));
            assert_eq!(ask(&foreign, &server, check()).await, TLS, "{version:?}, gRPC: {is_grpc}");
            assert_eq!(server.asked().len(), 1, "and only the one that is known got to ask");
        }
    }
}

#[tokio::test]
async fn grpc_is_asked_over_http_2_that_both_agreed_on() {
    let authority = Authority::new("ours");
    let (local, tls) = (authority.local(), ProbeTls::load(&authority.trusted()).unwrap());
    let server = TlsServer::start(Manner::grpc(&local)).await;
    for _ in 0..2 {
        assert_eq!(ask_by(&tls, &probe_of(server.address, grpc())).await.verdict, PASSED);
    }
    // The second is no less a look at the certificate than the first.
    let shaken = Shaken { name: None, protocol: Some("h2".to_owned()), kind: HandshakeKind::Full };
    assert_eq!(server.shaken(), [shaken.clone(), shaken]);
    assert_eq!(server.asked()[0], format!("https://{}/grpc.health.v1.Health/Check", server.address));
    for protocols in [&[][..], &["http/1.1"], &["h2c"]] {
        let server = TlsServer::start(Manner::grpc(&local).agreeing_on(protocols)).await;
        assert_eq!(ask_by(&tls, &probe_of(server.address, grpc())).await.verdict, TLS, "{protocols:?}");
    }
    for (protocols, verdict) in [(&[][..], PASSED), (&["h2"], TLS)] {
        let server = TlsServer::start(Manner::http(&local).agreeing_on(protocols)).await;
        assert_eq!(ask_by(&tls, &probe_of(server.address, http())).await.verdict, verdict, "{protocols:?}");
    }
}

#[tokio::test]
async fn what_breaks_after_the_handshake_is_not_the_fault_of_tls() {
    let authority = Authority::new("ours");
    let confused = TlsServer::start(Manner::grpc(&authority.local()).agreeing_on(&["http/1.1"])).await;
    assert_eq!(ask(&authority.trusted(), &confused, http()).await, failed(ProbeFailure::Broken));
    let confused = TlsServer::start(Manner::http(&authority.local()).agreeing_on(&["h2"])).await;
    assert_eq!(ask(&authority.trusted(), &confused, grpc()).await, failed(ProbeFailure::Broken));
}

/// The system's authorities are those of `SSL_CERT_FILE`, which only another process can be given.
#[tokio::test]
async fn the_systems_authorities_count_without_a_file_or_where_they_are_to_count_besides() {
    let (ours, systems) = (Authority::new("ours"), Authority::new("the system's"));
    let server = TlsServer::start(Manner::http(&systems.local())).await;
    let run = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_another_process"])
        .env("SSL_CERT_FILE", systems.ca_file())
        .env("MESH_TEST_CA", ours.ca_file())
        .env("MESH_TEST_PORT", server.address.port().to_string())
        .output();
    let output = run.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn in_another_process() {
    // Only the test above has a server for it.
    let (Some(ca), Some(port)) = (std::env::var_os("MESH_TEST_CA"), std::env::var_os("MESH_TEST_PORT")) else { return };
    let port = port.into_string().unwrap().parse().unwrap();
    let mut config = ProbeTlsConfig::default();
    for (ca_file, system_roots, verdict) in
        [(None, false, PASSED), (Some(ca.clone()), false, TLS), (Some(ca.clone()), true, PASSED)]
    {
        (config.ca_file, config.system_roots) = (ca_file.map(Into::into), system_roots);
        let tls = ProbeTls::load(&config).unwrap();
        assert_eq!(ask_by(&tls, &probe_to("127.0.0.1", port, http())).await.verdict, verdict, "{config:?}");
    }
}

#[tokio::test]
async fn any_certificate_is_accepted_where_that_was_asked_for_but_not_without_its_key() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let mut any = ProbeTlsConfig::default();
    any.dangerously_accept_any_certificate = true;
    let mut expired = server([dns("www.example")]);
    expired.not_after = date_time_ymd(2020, 1, 1);
    for version in rustls::ALL_VERSIONS {
        let shown = theirs.sign(&expired);
        let server = TlsServer::start(Manner::http(&shown).of(version)).await;
        assert_eq!(ask(&any, &server, http()).await, PASSED, "{version:?}");
        assert_eq!(ask(&ours.trusted(), &server, http()).await, TLS);
        let impostor = TlsServer::start(Manner::impostor(&shown, &ours.local()).of(version)).await;
        assert_eq!(ask(&any, &impostor, http()).await, TLS, "{version:?}");
    }
}

#[tokio::test]
async fn tls_and_none_do_not_take_each_other_for_themselves() {
    let authority = Authority::new("ours");
    let server = TlsServer::start(Manner::http(&authority.local())).await;
    assert_eq!(ask(&authority.trusted(), &server, http().tls(false)).await, failed(ProbeFailure::Broken));
    let server = TlsServer::start(Manner::grpc(&authority.local())).await;
    assert_eq!(ask(&authority.trusted(), &server, grpc().tls(false)).await, failed(ProbeFailure::Broken));
    // Whoever was given no TLS asks nobody without it.
    let probe = probe_of(server.address, grpc());
    assert_eq!(probe_world::run(&probe).await.verdict, failed(ProbeFailure::Unsupported));
    assert_eq!(ask_by(&ProbeTls::default(), &probe).await.verdict, failed(ProbeFailure::Unsupported));
}

async fn ask(config: &ProbeTlsConfig, server: &TlsServer, check: HealthCheckBuilder) -> ProbeVerdict {
    ask_by(&ProbeTls::load(config).unwrap(), &probe_of(server.address, check)).await.verdict
}

async fn ask_by(tls: &ProbeTls, probe: &Probe) -> ProbeReport {
    probe::run_tls(&TcpDial::new(), probe, &TokioClock::new(), tls).await
}

fn http() -> HealthCheckBuilder {
    probe_world::http().tls(true)
}

fn grpc() -> HealthCheckBuilder {
    HealthCheck::grpc().run_by(CheckRunner::Mesh).tls(true)
}

fn local() -> CertificateParams {
    server([SanType::IpAddress([127, 0, 0, 1].into())])
}

/// As before names had a place of their own (RFC 2818, section 3.1).
fn named_only(name: &str) -> CertificateParams {
    let mut params = server([]);
    params.distinguished_name = named(name).distinguished_name;
    params
}

fn failed(failure: ProbeFailure) -> ProbeVerdict {
    ProbeVerdict::Failed(failure)
}

const PASSED: ProbeVerdict = ProbeVerdict::Passed;
const TLS: ProbeVerdict = ProbeVerdict::Failed(ProbeFailure::Tls);
