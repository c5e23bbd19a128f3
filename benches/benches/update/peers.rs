//! The same change with pingora and tower.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures_core::Stream;
use mesh_benches::fleet;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::load::{CompleteOnResponse, PendingRequests};
use tower::{Service, service_fn};

use crate::{Group, id};

/// `LoadBalancer::update` with a discovery that copies its set, as pingora's own static one does.
pub(crate) fn pingora_one_changed(group: &mut Group<'_>, size: usize) {
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
pub(crate) fn tower_one_changed(group: &mut Group<'_>, size: usize) {
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
