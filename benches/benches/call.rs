//! What the mesh adds to a caller's own future: a call that needs no retry, and a lease, beside the future alone.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use mesh::mesh_core::port::Clock;
use mesh::{CallPolicy, Instance, Outcome, ServiceConfig, ServiceMesh, TokioClock};
use tokio::runtime::Runtime;

/// A fleet that is not small and not large.
const INSTANCES: u16 = 10;

async fn fleet() -> ServiceMesh {
    let mesh = ServiceMesh::builder().build().await.expect("the defaults are valid");
    for port in 0..INSTANCES {
        let config = ServiceConfig::builder("api", "127.0.0.1", 8000 + port).without_check().build();
        mesh.register_service(config.expect("valid")).await.expect("the registry is in this process");
    }
    mesh
}

/// The caller's own work: as good as nothing, so that what is left is the mesh's.
async fn work(instance: impl AsRef<Instance>) -> std::io::Result<u16> {
    Ok(black_box(instance.as_ref().port()))
}

/// The time that `count` runs of `once` take, without the runtime's own start and end.
async fn timed<F: Future>(count: u64, mut once: impl FnMut() -> F) -> Duration {
    let clock = TokioClock::new();
    let started = clock.now();
    for _ in 0..count {
        black_box(once().await);
    }
    clock.now().since(started)
}

fn main() {
    let runtime = Runtime::new().expect("a runtime starts");
    let mesh = runtime.block_on(fleet());
    let instance = runtime.block_on(mesh.get_service("api")).expect("ten are registered");
    let policy = CallPolicy::default();
    let criterion = Criterion::default().sample_size(30);
    let criterion = criterion.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let mut criterion = criterion.configure_from_args();
    let mut group = criterion.benchmark_group("call");
    group.bench_function("floor/future", |bencher| {
        bencher.iter_custom(|count| runtime.block_on(timed(count, || work(Arc::clone(&instance)))));
    });
    group.bench_function("mesh/call", |bencher| {
        bencher.iter_custom(|count| runtime.block_on(timed(count, || mesh.call("api", &policy, work))));
    });
    group.bench_function("mesh/lease", |bencher| {
        let lease = || async {
            let lease = mesh.get_service_instance("api").await.expect("ten are registered");
            mesh.release_service_instance(lease, Outcome::Success);
        };
        bencher.iter_custom(|count| runtime.block_on(timed(count, lease)));
    });
    group.finish();
    criterion.final_summary();
}
