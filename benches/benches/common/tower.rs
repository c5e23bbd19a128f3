//! tower's two choices over an inner service that is always ready.
//!
//! A pick there is `poll_ready` and `call`; the request is counted until its future has been polled to the end.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mesh_benches::subject::{Lend, Subject};
use mesh_benches::timing::WyRand;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};
use tower::{Service, service_fn};

/// By pending requests, over `size` instances.
pub(crate) fn pending_requests(size: usize) -> impl Service<(), Future: Future + Unpin + Send> + Send {
    balance(size, || PendingRequests::new(service_fn(at_once), CompleteOnResponse::default()))
}

/// By peak EWMA with linkerd2-proxy's parameters, over `size` instances.
pub(crate) fn peak_ewma(size: usize) -> impl Service<(), Future: Future + Unpin + Send> + Send {
    let (rtt, decay) = (Duration::from_millis(30), 10e9);
    balance(size, move || PeakEwma::new(service_fn(at_once), rtt, decay, CompleteOnResponse::default()))
}

/// What the inner service does: nothing.
fn at_once((): ()) -> Ready<Result<(), Infallible>> {
    ready(Ok(()))
}

fn balance<S>(size: usize, endpoint: impl Fn() -> S) -> Balance<ServiceList<Vec<S>>, ()>
where
    S: Service<(), Error = Infallible> + Load<Metric: Debug>,
{
    let services: Vec<S> = (0..size).map(|_| endpoint()).collect();
    Balance::from_rng(ServiceList::new(services), Rng(WyRand::new(0)))
}

struct Rng(WyRand);

impl tower::util::rng::Rng for Rng {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Picks from a balance: one thread's own, or one that several lock in turn, because it picks through `&mut self`.
pub(crate) struct Picks<L>(pub(crate) L);

impl<L: Lend<Lent: Service<(), Future: Future + Unpin>>> Subject for Picks<L> {
    type Lease = <L::Lent as Service<()>>::Future;

    #[inline]
    fn start(&mut self) -> Self::Lease {
        self.0.lend(|balance| {
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(balance.poll_ready(&mut context), Poll::Ready(Ok(()))), "every endpoint is ready");
            balance.call(())
        })
    }

    #[inline]
    fn end(&mut self, mut lease: Self::Lease) {
        black_box(Pin::new(&mut lease).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
