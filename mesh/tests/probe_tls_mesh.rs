//! What a mesh does with checks over TLS: whom it is told to trust, connections that are used again, and what is kept
//! secret.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod probe_world;
mod tls_world;

use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::mesh_core::port::Registry as _;
use mesh::probe::ProbeTls;
use mesh::registry::{MemoryRegistry, StaticRegistry};
use mesh::{
    BuildError, HealthCheck, MeshConfig, ProbeTlsConfig, ServiceConfig, ServiceMesh, TcpDial, TokioClock, probe,
};
use mesh_core::health::{ProbeFailure, ProbeVerdict, Status};
use mesh_core::service::{CheckRunner, HealthCheckBuilder};
use probe_world::probe_of;
use tls_world::{Authority, Manner, TlsServer, client, dns, lines_of, server};
use tracing_subscriber::fmt::MakeWriter;

#[tokio::test]
async fn a_connection_is_used_again_for_as_long_as_the_check_asks_for_the_same_host() {
    let authority = Authority::new("ours");
    let names = ["a.example", "b.example"];
    let server = TlsServer::start(Manner::http(&authority.sign(&server(names.map(dns))))).await;
    let registry = MemoryRegistry::new();
    let mesh = ServiceMesh::builder().registry(registry.clone()).probe_tls(authority.trusted()).build().await.unwrap();
    for name in names {
        registry.register(&listed(&server, quick().host_header(name))).await.unwrap();
        mesh.get_healthy_services("api").await.unwrap();
        until(|| server.asked().iter().filter(|asked| *asked == name).count() >= 2).await;
    }
    let shaken = server.shaken().into_iter().map(|shaken| shaken.name.unwrap());
    assert_eq!(shaken.collect::<Vec<_>>(), names, "one connection each");
    let well = &mesh.service_health("api").await.unwrap().instances[0];
    assert_eq!(well.history.status(), Status::Healthy);
}

#[tokio::test]
async fn one_that_the_server_closed_is_replaced_and_no_check_fails_for_it() {
    let authority = Authority::new("ours");
    let server = TlsServer::start(Manner::http(&authority.local()).closing()).await;
    let registry = MemoryRegistry::new();
    let mesh = ServiceMesh::builder().registry(registry.clone()).probe_tls(authority.trusted()).build().await.unwrap();
    registry.register(&listed(&server, quick())).await.unwrap();
    assert!(mesh.get_healthy_services("api").await.is_ok());
    until(|| server.shaken().len() >= 3).await;
    let well = &mesh.service_health("api").await.unwrap().instances[0];
    assert_eq!((well.history.status(), server.asked().len() >= 2), (Status::Healthy, true));
}

#[tokio::test]
async fn the_checks_of_a_list_are_run_over_tls_and_who_is_not_to_be_trusted_is_out() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let trusted = TlsServer::start(Manner::grpc(&ours.local())).await;
    let strange = TlsServer::start(Manner::grpc(&theirs.local())).await;
    let entry = |server: &TlsServer| {
        let check = "{ kind = \"grpc\", tls = true, interval = \"1s\" }";
        let port = server.address.port();
        format!("[[instance]]\nservice = \"api\"\nhost = \"127.0.0.1\"\nport = {port}\ncheck = {check}\n")
    };
    let list = StaticRegistry::from_toml(&[entry(&trusted), entry(&strange)].concat()).unwrap();
    let config = format!("[probe_tls]\nca_file = \"{}\"\n", ours.ca_file().display());
    let config: MeshConfig = toml::from_str(&config).unwrap();
    let mesh = ServiceMesh::builder().registry(list).config(config).build().await.unwrap();
    let mut healthy = Vec::new();
    for _ in 0..TRIES {
        healthy = mesh.get_healthy_services("api").await.unwrap();
        if healthy.len() == 1 && !trusted.asked().is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(healthy.iter().map(|instance| instance.port()).collect::<Vec<_>>(), [trusted.address.port()]);
    assert!(!trusted.asked().is_empty() && strange.asked().is_empty());
}

#[tokio::test]
async fn without_a_word_of_whom_to_trust_the_systems_authorities_are_asked_when_a_check_needs_them() {
    let server = TlsServer::start(Manner::http(&Authority::new("nobody's").local())).await;
    let registry = MemoryRegistry::new();
    let mesh = ServiceMesh::builder().registry(registry.clone()).build().await.unwrap();
    registry.register(&listed(&server, quick())).await.unwrap();
    assert!(mesh.get_healthy_services("api").await.is_ok());
    for _ in 0..TRIES {
        if mesh.get_healthy_services("api").await.is_err() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let sick = &mesh.service_health("api").await.unwrap().instances[0];
    assert_eq!((sick.history.status(), server.asked().len()), (Status::Unhealthy, 0));
}

/// The system's authorities are those of `SSL_CERT_FILE`, which only another process can be given.
#[tokio::test]
async fn authorities_that_cannot_be_read_are_read_when_they_can_be() {
    let systems = Authority::new("the system's");
    let server = TlsServer::start(Manner::http(&systems.local())).await;
    let run = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_process_without_authorities"])
        .env("SSL_CERT_FILE", systems.ca_file().with_file_name("late.pem"))
        .env_remove("SSL_CERT_DIR")
        .env("MESH_TEST_CA", systems.ca_file())
        .env("MESH_TEST_PORT", server.address.port().to_string())
        .output();
    let output = run.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!server.asked().is_empty());
}

#[tokio::test]
async fn in_a_process_without_authorities() {
    // Only the test above has a server for it.
    let (Some(ca), Some(port)) = (std::env::var_os("MESH_TEST_CA"), std::env::var_os("MESH_TEST_PORT")) else { return };
    let late = std::env::var_os("SSL_CERT_FILE").unwrap();
    let port: u16 = port.into_string().unwrap().parse().unwrap();
    let logs = Logs::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    let _listening = tracing::subscriber::set_default(subscriber.with_writer(logs.clone()).finish());
    let registry = MemoryRegistry::new();
    let mesh = ServiceMesh::builder().registry(registry.clone()).build().await.unwrap();
    let check = quick().rise(NonZeroU32::MIN);
    let config = ServiceConfig::builder("api", "127.0.0.1", port).check(check).build().unwrap();
    registry.register(&config).await.unwrap();
    mesh.get_healthy_services("api").await.unwrap();
    for (status, comes_then) in [(Status::Unhealthy, true), (Status::Healthy, false)] {
        let mut is = Status::Unknown;
        for _ in 0..TRIES {
            is = mesh.service_health("api").await.unwrap().instances[0].history.status();
            if is == status {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        assert_eq!(is, status, "{}", logs.text());
        if comes_then {
            std::fs::copy(&ca, &late).unwrap();
        }
    }
    assert!(logs.text().contains("late.pem"), "{}", logs.text());
}

#[tokio::test]
async fn what_cannot_be_meant_or_read_is_refused_by_field_and_file() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.showing(&ours.sign(&client()));
    let (cert, key) = (good.cert_file.clone().unwrap(), good.key_file.clone().unwrap());
    let foreign = theirs.file("key.pem", &theirs.sign(&client()).key.serialize_pem());
    let (garbage, absent) = (ours.file("garbage.pem", "no PEM"), ours.ca_file().with_file_name("absent.pem"));
    let changed = |change: &dyn Fn(&mut ProbeTlsConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    assert!(ProbeTls::load(&good).is_ok());
    for (config, field, file) in [
        (changed(&|config| config.key_file = None), "probe_tls.key_file", None),
        (changed(&|config| config.cert_file = None), "probe_tls.cert_file", None),
        (changed(&|config| config.key_file = Some(foreign.clone())), "probe_tls.key_file", Some(&foreign)),
        (changed(&|config| config.key_file = Some(cert.clone())), "probe_tls.key_file", Some(&cert)),
        (changed(&|config| config.cert_file = Some(key.clone())), "probe_tls.cert_file", Some(&key)),
        (changed(&|config| config.cert_file = Some(garbage.clone())), "probe_tls.cert_file", Some(&garbage)),
        (changed(&|config| config.ca_file = Some(garbage.clone())), "probe_tls.ca_file", Some(&garbage)),
        (changed(&|config| config.ca_file = Some(absent.clone())), "probe_tls.ca_file", Some(&absent)),
        (changed(&|config| config.dangerously_accept_any_certificate = true), DANGER, None),
        (
            changed(&|config| {
                (config.ca_file, config.system_roots) = (None, true);
                config.dangerously_accept_any_certificate = true;
            }),
            DANGER,
            None,
        ),
    ] {
        let error = ProbeTls::load(&config).unwrap_err();
        assert_eq!(error.problems()[0].field(), field, "{error}");
        assert!(file.is_none_or(|file| error.to_string().contains(&file.display().to_string())), "{error}");
        let BuildError::Config(refused) = ServiceMesh::builder().probe_tls(config).build().await.unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(refused, error);
    }
    assert!(toml::from_str::<MeshConfig>("[probe_tls]\nverify = false\n").is_err());
}

#[tokio::test]
async fn keys_are_in_no_debug_output_log_or_error_and_the_reason_is_in_the_log_alone() {
    let logs = Logs::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    let _listening = tracing::subscriber::set_default(subscriber.with_writer(logs.clone()).finish());
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let config = ours.showing(&ours.sign(&client()));
    let tls = ProbeTls::load(&config).unwrap();
    let builder = ServiceMesh::builder().probe_tls(config.clone());
    let mut shown = format!("{config:?}{tls:?}{builder:?}{:?}", builder_of(&config).build().await.unwrap());
    let strange = TlsServer::start(Manner::http(&theirs.local())).await;
    let known = TlsServer::start(Manner::http(&ours.local()).mutual(&ours)).await;
    for (server, verdict) in [(&strange, ProbeVerdict::Failed(ProbeFailure::Tls)), (&known, ProbeVerdict::Passed)] {
        let probe = probe_of(server.address, check());
        let report = probe::run_tls(&TcpDial::new(), &probe, &TokioClock::new(), &tls).await;
        assert_eq!(report.verdict, verdict);
        shown += &format!("{report:?}");
    }
    let key = config.key_file.as_ref().unwrap();
    for broken in [lines_of(key).concat(), std::fs::read_to_string(key).unwrap().replace("-----END", "-----SEND")] {
        let mut config = config.clone();
        config.key_file = Some(ours.file("broken.pem", &broken));
        let error = ProbeTls::load(&config).unwrap_err();
        shown += &format!("{error} {error:?} {:?}", BuildError::from(error.clone()));
    }
    assert!(!shown.contains("UnknownIssuer") && logs.text().contains("UnknownIssuer"), "{}", logs.text());
    let all = shown + &logs.text();
    for line in lines_of(key) {
        assert!(!line.is_empty() && !all.contains(&line), "{line}");
    }
    assert!(!all.contains("any certificate"));
    let mut any = ProbeTlsConfig::default();
    any.dangerously_accept_any_certificate = true;
    assert!(ProbeTls::load(&any).is_ok() && logs.text().contains("WARN") && logs.text().contains("any certificate"));
}

fn builder_of(config: &ProbeTlsConfig) -> mesh::ServiceMeshBuilder {
    ServiceMesh::builder().probe_tls(config.clone())
}

fn check() -> HealthCheckBuilder {
    HealthCheck::http("/health").tls(true).run_by(CheckRunner::Mesh)
}

/// Often, and with time enough for a handshake on a machine that is busy.
fn quick() -> HealthCheckBuilder {
    check().interval(Duration::from_millis(500))
}

fn listed(server: &TlsServer, check: HealthCheckBuilder) -> ServiceConfig {
    ServiceConfig::builder("api", "127.0.0.1", server.address.port()).check(check).build().unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..TRIES {
        if is_so() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("not so after {:?}", PAUSE * TRIES);
}

/// Everything that was logged on this thread.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const DANGER: &str = "probe_tls.dangerously_accept_any_certificate";
const PAUSE: Duration = Duration::from_millis(10);
const TRIES: u32 = 3000;
