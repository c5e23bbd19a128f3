//! The tracing recorder: every measurement is an event with the metric's name, and nobody pays who does not listen.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use mesh::mesh_cache::codec::JsonCodec;
use mesh::mesh_cache::coordinator_store::MemoryCoordinator;
use mesh::operations::Failed;
use mesh::{CallPolicy, ServiceConfig, ServiceMesh, TokioClock, TracingRecorder};
use tracing_subscriber::fmt::MakeWriter;

#[tokio::test]
async fn a_call_leaves_its_measurements_in_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    let _guard = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());

    let store = MemoryCoordinator::new(Arc::new(TokioClock::new()));
    let mesh = ServiceMesh::builder().recorder(TracingRecorder).coordinator(store).build().await.unwrap();
    let config = ServiceConfig::builder("api", "127.0.0.1", 8080).without_check().build().unwrap();
    let me = mesh.register_service(config).await.unwrap();
    let reply = mesh.call("api", &CallPolicy::default(), |_| async { Ok::<_, std::io::Error>(7) }).await;
    assert_eq!(reply.unwrap(), 7);
    mesh.call("nobody", &CallPolicy::default(), |_| async { Ok::<_, std::io::Error>(7) }).await.unwrap_err();
    let charges = mesh.operations("charges", JsonCodec::new(1)).open().unwrap();
    charges.run("17", "", async |_| Ok::<_, Failed<&str>>(7)).await.unwrap();
    me.deregister().await.unwrap();

    let text = log.text();
    for expected in [
        "mesh.client.call.duration",
        "mesh.client.attempt.duration",
        "outcome=\"success\"",
        "mesh.lb.refusals",
        "reason=\"unknown-service\"",
        "mesh.lb.endpoints",
        "mesh.discovery.updates",
        "mesh.registration.events",
        "metric=\"mesh.operation.begin.duration\" operation=\"charges\" result=\"first\"",
        "metric=\"mesh.operation.duration\" operation=\"charges\" result=\"kept\"",
        "mesh.registration.deregistration.duration",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
