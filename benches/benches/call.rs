//! What the mesh adds to a caller's own future: a call that needs no retry, beside a lease for the same future, the future
//! alone, and the retries that people would put around it instead.
//!
//! Benchmarks are called `call/<subject>/10/1`. What retries add to a call is what `mesh/call` costs above `mesh/lease`.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::future::{Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use mesh::mesh_core::port::Clock;
use mesh::mesh_retry::breaker::BreakerConfig;
use mesh::mesh_retry::limit::LimitConfig;
use mesh::mesh_retry::limit::throttle::ThrottleConfig;
use mesh::{CallPolicy, CallsConfig, Instance, MeshConfig, Outcome, ServiceConfig, ServiceMesh, TokioClock};
use tokio::runtime::Runtime;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::retry::{Policy, Retry};
use tower::{Service, ServiceExt as _, service_fn};

/// A fleet that is not small and not large.
const INSTANCES: u16 = 10;

async fn fleet(calls: CallsConfig) -> ServiceMesh {
    let mut config = MeshConfig::default();
    config.calls = calls;
    let mesh = ServiceMesh::builder().config(config).build().await.expect("the defaults are valid");
    for port in 0..INSTANCES {
        let config = ServiceConfig::builder("api", "127.0.0.1", 8000 + port).without_check().build();
        mesh.register_service(config.expect("valid")).await.expect("the registry is in this process");
    }
    mesh
}

/// No budget and no gate.
fn bare() -> CallsConfig {
    let mut calls = CallsConfig::default();
    calls.budget = None;
    calls
}

/// A breaker, a limit and a throttle besides the budget.
fn gated() -> CallsConfig {
    let mut calls = CallsConfig::default();
    calls.breaker = Some(BreakerConfig::default());
    calls.concurrency = Some(LimitConfig::fixed(THOUSAND));
    calls.throttle = Some(ThrottleConfig::sre());
    calls
}

/// The caller's own work: as good as nothing, so that what is left is the mesh's.
async fn work(instance: impl AsRef<Instance>) -> std::io::Result<u16> {
    Ok(black_box(instance.as_ref().port()))
}

/// The same work under a lease.
async fn leased(mesh: &ServiceMesh) -> std::io::Result<u16> {
    let lease = mesh.get_service_instance("api").await.expect("ten are registered");
    let result = work(Arc::clone(lease.instance())).await;
    mesh.release_service_instance(lease, Outcome::Success);
    result
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

struct Bench<'a, 'c> {
    runtime: &'a Runtime,
    group: BenchmarkGroup<'c, WallTime>,
}

impl Bench<'_, '_> {
    fn run<F: Future>(&mut self, subject: &str, mut once: impl FnMut() -> F) {
        let id = BenchmarkId::new(subject, format!("{INSTANCES}/1"));
        let runtime = self.runtime;
        self.group.bench_function(id, |bencher| {
            bencher.iter_custom(|count| runtime.block_on(timed(count, &mut once)));
        });
    }
}

fn main() {
    let runtime = Runtime::new().expect("a runtime starts");
    let mesh = runtime.block_on(fleet(CallsConfig::default()));
    let (bare, gated) = (runtime.block_on(fleet(bare())), runtime.block_on(fleet(gated())));
    let policy = CallPolicy::default();
    let criterion = Criterion::default().sample_size(30);
    let criterion = criterion.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let mut criterion = criterion.configure_from_args();
    measure(criterion.benchmark_group("call"), &runtime, [&bare, &mesh, &gated]);
    criterion.final_summary();
    let counted = |mesh: &ServiceMesh| {
        let calls = timed(CALLS, || mesh.call("api", &policy, work));
        // On this thread, which is the one that counts.
        allocation_counter::measure(|| _ = runtime.block_on(calls)).count_total
    };
    // The first calls find what they need made ready.
    let _ = [&bare, &mesh, &gated].map(&counted);
    println!("\nallocations in {CALLS} calls");
    println!("  policy            {:>6}", counted(&bare));
    println!("  policy and budget {:>6}", counted(&mesh));
    println!("  all gates         {:>6}", counted(&gated));
}

/// The meshes have no budget, a budget, and all gates besides.
fn measure(group: BenchmarkGroup<'_, WallTime>, runtime: &Runtime, [bare, mesh, gated]: [&ServiceMesh; 3]) {
    let instance = runtime.block_on(mesh.get_service("api")).expect("ten are registered");
    let policy = CallPolicy::default();
    let mut bench = Bench { runtime, group };
    bench.run("floor/future", || work(Arc::clone(&instance)));
    bench.run("mesh/lease", || leased(mesh));
    bench.run("mesh/call/policy", || bare.call("api", &policy, work));
    bench.run("mesh/call", || mesh.call("api", &policy, work));
    bench.run("mesh/call/gates", || gated.call("api", &policy, work));
    bench.run("backon/retry", || (|| work(Arc::clone(&instance))).retry(ExponentialBuilder::new()));
    let retrying = Retry::new(Budgeted(Arc::new(TpsBudget::default())), service_fn(work));
    bench.run("tower/retry", || tower_call(retrying.clone(), Arc::clone(&instance)));
    bench.group.finish();
}

async fn tower_call<S: Service<Arc<Instance>, Response = u16>>(mut service: S, instance: Arc<Instance>) -> Option<u16> {
    service.ready().await.ok()?.call(instance).await.ok()
}

/// What people write for tower: retries that a budget pays for, and every call a deposit.
#[derive(Clone, Debug)]
struct Budgeted(Arc<TpsBudget>);

impl<E> Policy<Arc<Instance>, u16, E> for Budgeted {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Arc<Instance>, result: &mut Result<u16, E>) -> Option<Ready<()>> {
        if result.is_ok() {
            self.0.deposit();
            return None;
        }
        self.0.withdraw().then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Arc<Instance>) -> Option<Arc<Instance>> {
        Some(Arc::clone(request))
    }
}

const CALLS: u64 = 1_000;
const THOUSAND: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
