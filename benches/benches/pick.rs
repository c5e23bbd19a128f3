//! A pick and the end of what was picked: every policy beside tower, pingora and the least that could do it.
//!
//! Benchmarks are called `pick/<subject>/<instances>/<threads>`; all subjects of one size and number of threads
//! run after each other, so that the ratios between them are from one stretch of time.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};
use mesh_benches::fleet;
use mesh_benches::timing::{WyRand, alone, shared};
use mesh_core::balance::{Handle, Outcome, PickContext, Strategy};
use mesh_core::rng::scale;
use mesh_core::time::Instant;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::selection::RoundRobin;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};
use tower::{Service, service_fn};

const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];
const THREADS: [usize; 2] = [1, 2];

fn main() {
    let mut criterion = criterion_for_many().configure_from_args();
    let mut group = criterion.benchmark_group("pick");
    group.sampling_mode(SamplingMode::Flat);
    for size in SIZES {
        for threads in THREADS {
            let mut bench = Bench { group: &mut group, size, threads };
            floor_p2c(&mut bench);
            mesh(&mut bench, Strategy::default());
            tower(&mut bench);
            pingora(&mut bench);
            floor_round_robin(&mut bench);
            Strategy::built_in().into_iter().filter(|strategy| *strategy != Strategy::default()).for_each(|strategy| {
                mesh(&mut bench, strategy);
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

/// Short runs of many subjects, in samples of 10 ms: the whole must stay below ten minutes with every policy that
/// is to come, and a median over many samples leaves out those that others disturbed.
fn criterion_for_many() -> Criterion {
    Criterion::default()
        .sample_size(60)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .nresamples(10_000)
}

/// Where a subject is measured.
struct Bench<'a, 'c> {
    group: &'a mut BenchmarkGroup<'c, WallTime>,
    size: usize,
    threads: usize,
}

impl Bench<'_, '_> {
    /// Measures what workers do; each thread makes its own from its number.
    fn run<W: FnMut(u64)>(&mut self, subject: &str, make: impl Fn(u64) -> W + Sync) {
        let threads = self.threads;
        if threads == 1 {
            return self.run_alone(subject, make(0));
        }
        self.group.bench_function(self.id(subject), |bencher| bencher.iter_custom(|ops| shared(threads, ops, &make)));
    }

    /// Measures what one worker does on this thread.
    fn run_alone(&mut self, subject: &str, mut worker: impl FnMut(u64)) {
        self.group.bench_function(self.id(subject), |bencher| bencher.iter_custom(|ops| alone(ops, &mut worker)));
    }

    fn id(&self, subject: &str) -> BenchmarkId {
        BenchmarkId::new(subject, format!("{}/{}", self.size, self.threads))
    }
}

/// Ours: `mesh/<policy>` with the borrowed lease and `mesh/<policy>/owned` with the one that may go anywhere.
/// Time is given, as every decision of the mesh wants it, and no clock is read.
fn mesh(bench: &mut Bench<'_, '_>, strategy: Strategy) {
    let name = format!("mesh/{}", strategy.name());
    let balancer = fleet::balancer(strategy, bench.size).expect("the fleet is valid");
    bench.run(&name, |thread| {
        let mut picks = Picks::new(balancer.handle(), thread);
        move |ops| (0..ops).for_each(|_| picks.borrowed())
    });
    bench.run(&format!("{name}/owned"), |thread| {
        let mut picks = Picks::new(balancer.handle(), thread);
        move |ops| (0..ops).for_each(|_| picks.owned())
    });
}

struct Picks {
    handle: Handle,
    context: PickContext<'static>,
    rng: WyRand,
    now: u64,
}

impl Picks {
    fn new(handle: Handle, thread: u64) -> Self {
        Self { handle, context: PickContext::default(), rng: WyRand::new(thread), now: 0 }
    }

    #[inline]
    fn tick(&mut self) -> Instant {
        self.now += 1;
        Instant::from_nanos(self.now)
    }

    #[inline]
    fn borrowed(&mut self) {
        let now = self.tick();
        let lease = self.handle.pick(now, &self.context, self.rng.next_u64()).expect("all are usable");
        black_box(lease.endpoint());
        black_box(lease.finish(now, Outcome::Success));
    }

    #[inline]
    fn owned(&mut self) {
        let now = self.tick();
        let lease = self.handle.pick_owned(now, &self.context, self.rng.next_u64()).expect("all are usable");
        black_box(&lease);
        black_box(lease.finish(now, Outcome::Success));
    }
}

/// tower's two choices over an inner service that is always ready. A pick there is `poll_ready`, `call` and
/// the polling of the future, at whose end the request is no longer counted.
fn tower(bench: &mut Bench<'_, '_>) {
    let pending = || PendingRequests::new(service_fn(at_once), CompleteOnResponse::default());
    tower_p2c(bench, "tower/p2c-pending-requests", pending);
    // linkerd2-proxy's parameters.
    let (rtt, decay) = (Duration::from_millis(30), 10e9);
    let peak_ewma = || PeakEwma::new(service_fn(at_once), rtt, decay, CompleteOnResponse::default());
    tower_p2c(bench, "tower/p2c-peak-ewma", peak_ewma);
}

/// What the inner service does: nothing.
fn at_once((): ()) -> Ready<Result<(), Infallible>> {
    ready(Ok(()))
}

/// Two threads share a balance through a mutex, for it picks through `&mut self`.
fn tower_p2c<S>(bench: &mut Bench<'_, '_>, subject: &str, endpoint: impl Fn() -> S)
where
    S: Service<(), Error = Infallible> + Load<Metric: Debug> + Send,
{
    let services: Vec<S> = (0..bench.size).map(|_| endpoint()).collect();
    let mut balance = Balance::from_rng(ServiceList::new(services), TowerRng(WyRand::new(0)));
    if bench.threads == 1 {
        return bench.run_alone(subject, |ops| (0..ops).for_each(|_| tower_pick(&mut balance)));
    }
    let balance = Mutex::new(balance);
    bench.run(subject, |_| {
        |ops| (0..ops).for_each(|_| tower_pick(&mut *balance.lock().expect("a thread panicked with the lock")))
    });
}

fn tower_pick<B: Service<()>>(balance: &mut B) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(balance.poll_ready(&mut context), Poll::Ready(Ok(()))), "every endpoint is ready");
    black_box(pin!(balance.call(())).poll(&mut context).is_ready());
}

struct TowerRng(WyRand);

impl tower::util::rng::Rng for TowerRng {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// pingora's round robin, which counts no requests: what it returns is an owned copy of the backend.
fn pingora(bench: &mut Bench<'_, '_>) {
    let addresses = (0..bench.size).map(fleet::address);
    let balancer = LoadBalancer::<RoundRobin>::try_from_iter(addresses).expect("the addresses are valid");
    bench.run("pingora-load-balancing/RoundRobin", |_| {
        let balancer = &balancer;
        move |ops| (0..ops).for_each(|_| drop(black_box(balancer.select(b"", 256))))
    });
}

/// The least that two choices can do: two loads, a comparison, one count up and one down.
fn floor_p2c(bench: &mut Bench<'_, '_>) {
    let counters = counters(bench.size);
    bench.run("floor/p2c", |thread| {
        let (counters, mut rng) = (&*counters, WyRand::new(thread));
        move |ops| {
            for _ in 0..ops {
                let bits = rng.next_u64();
                let len = counters.len() as u64;
                let first = (((bits >> 32) * len) >> 32) as usize;
                let second = (((bits & u64::from(u32::MAX)) * (len - 1)) >> 32) as usize;
                let second = second + usize::from(second >= first);
                let (first, second) = (&counters[first].0, &counters[second].0);
                let less = second.load(Ordering::Relaxed) < first.load(Ordering::Relaxed);
                let chosen = black_box(if less { second } else { first });
                chosen.fetch_add(1, Ordering::Relaxed);
                chosen.fetch_sub(1, Ordering::Relaxed);
            }
        }
    });
}

/// The least that a rotation with counted requests can do: a cursor of the thread's own, one count up, one down.
fn floor_round_robin(bench: &mut Bench<'_, '_>) {
    let counters = counters(bench.size);
    let turn = AtomicU64::new(0);
    bench.run("floor/round-robin", |_| {
        // Threads begin apart, as handles do that take their tickets from one counter.
        let start = turn.fetch_add(scale(u64::MAX / 3, counters.len() as u64), Ordering::Relaxed);
        let (counters, mut cursor) = (&*counters, start as usize % counters.len());
        move |ops| {
            for _ in 0..ops {
                cursor = if cursor + 1 < counters.len() { cursor + 1 } else { 0 };
                let chosen = black_box(&counters[cursor].0);
                chosen.fetch_add(1, Ordering::Relaxed);
                chosen.fetch_sub(1, Ordering::Relaxed);
            }
        }
    });
}

/// A counter alone on its pair of cache lines, which the processor fetches together.
#[repr(align(128))]
struct Padded(AtomicU32);

fn counters(size: usize) -> Box<[Padded]> {
    (0..size).map(|_| Padded(AtomicU32::new(0))).collect()
}
