//! Publishing: what a change of one instance costs before the next pick can see it.
//!
//! Not on any request's path, but a fleet of 10,000 that rolls changes all the time.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion};
use futures_core::Stream;
use mesh_benches::fleet;
use mesh_core::balance::{Balancer, Eligibility, Member, Strategy, ViewBuilder};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::load::{CompleteOnResponse, PendingRequests};
use tower::{Service, service_fn};

const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn main() {
    let criterion = Criterion::default().sample_size(20).nresamples(10_000);
    let criterion = criterion.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let mut criterion = criterion.configure_from_args();
    let mut group = criterion.benchmark_group("view");
    for size in SIZES {
        mesh_health_flip(&mut group, size);
        mesh_one_changed(&mut group, size);
        pingora_one_changed(&mut group, size);
        tower_one_changed(&mut group, size);
    }
    group.finish();
    criterion.final_summary();
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn id(subject: &str, size: usize) -> BenchmarkId {
    BenchmarkId::new(subject, format!("{size}/1"))
}

/// One instance turns unhealthy and well again: the table of instances is shared, the candidates are built anew.
fn mesh_health_flip(group: &mut Group<'_>, size: usize) {
    let all = fleet::members(size).expect("the fleet is valid");
    let mut one_less = all.clone();
    one_less[size / 2].eligibility = Eligibility::Unhealthy;
    mesh(group, &id("mesh/health-flip", size), [all, one_less]);
}

/// One instance leaves and another joins.
fn mesh_one_changed(group: &mut Group<'_>, size: usize) {
    let all = fleet::members(size).expect("the fleet is valid");
    let mut another = all.clone();
    another[size / 2] = fleet::member(size).expect("the fleet is valid");
    mesh(group, &id("mesh/one-changed", size), [all, another]);
}

/// Builds and publishes two memberships in turn.
fn mesh(group: &mut Group<'_>, id: &BenchmarkId, memberships: [Vec<Member>; 2]) {
    let mut views = ViewBuilder::new(Strategy::default());
    let balancer = Balancer::new();
    let mut turn = 0;
    group.bench_with_input(id.clone(), &(), |bencher, ()| {
        let next = || {
            turn += 1;
            memberships[turn % 2].clone()
        };
        let publish = |members| balancer.publish(views.build(members));
        bencher.iter_batched(next, publish, BatchSize::PerIteration);
    });
}

/// `LoadBalancer::update` with a discovery that copies its set, as pingora's own static one does.
fn pingora_one_changed(group: &mut Group<'_>, size: usize) {
    let backend = |number| Backend::new(&fleet::address(number)).expect("the address is valid");
    let all: BTreeSet<_> = (0..size).map(backend).collect();
    let mut another = all.clone();
    another.remove(&backend(size / 2));
    another.insert(backend(size));
    let discovery = Alternating { memberships: [all, another], turn: AtomicUsize::new(0) };
    let balancer = LoadBalancer::<RoundRobin>::from_backends(Backends::new(Box::new(discovery)));
    group.bench_function(id("pingora-load-balancing/RoundRobin", size), |bencher| {
        bencher.iter(|| {
            let updated = pin!(balancer.update()).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(updated, Poll::Ready(Ok(()))), "the discovery answers at once");
        });
    });
}

struct Alternating {
    memberships: [BTreeSet<Backend>; 2],
    turn: AtomicUsize,
}

#[async_trait]
impl ServiceDiscovery for Alternating {
    #[expect(clippy::disallowed_types, reason = "the trait is pingora's")]
    async fn discover(&self) -> pingora_error::Result<(BTreeSet<Backend>, std::collections::HashMap<u64, bool>)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Ok((self.memberships[turn % 2].clone(), Default::default()))
    }
}

/// tower takes changes one by one, at the next pick: here one instance leaves, another joins, and one is picked.
fn tower_one_changed(group: &mut Group<'_>, size: usize) {
    let join =
        |number| Change::Insert(number, PendingRequests::new(service_fn(at_once), CompleteOnResponse::default()));
    let (changes, discovered) = mpsc::channel();
    (0..size).try_for_each(|number| changes.send(join(number))).expect("the receiver lives");
    let mut balance = Balance::<_, ()>::new(Changes(discovered));
    let mut oldest = 0;
    group.bench_function(id("tower/p2c-pending-requests", size), |bencher| {
        bencher.iter(|| {
            let sent = [Change::Remove(oldest), join(oldest + size)].into_iter().try_for_each(|it| changes.send(it));
            oldest += 1;
            sent.expect("the receiver lives");
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(balance.poll_ready(&mut context), Poll::Ready(Ok(()))), "every endpoint is ready");
            black_box(pin!(balance.call(())).poll(&mut context).is_ready());
        });
    });
}

/// What the inner service does: nothing.
fn at_once((): ()) -> Ready<Result<(), Infallible>> {
    ready(Ok(()))
}

/// The changes that a channel holds; when it is empty there are none for now.
struct Changes<S>(mpsc::Receiver<Change<usize, S>>);

impl<S> Stream for Changes<S> {
    type Item = Result<Change<usize, S>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.try_recv().map_or(Poll::Pending, |change| Poll::Ready(Some(Ok(change))))
    }
}
