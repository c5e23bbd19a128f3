//! pingora's load balancer, which counts no requests: what it returns is an owned copy of the backend.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mesh_benches::fleet;
use mesh_benches::subject::Subject;
use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

/// Over `size` instances with the weights that `weight` gives them.
pub(crate) fn balancer<S>(size: usize, weight: impl Fn(usize) -> u32) -> LoadBalancer<S>
where
    S: BackendSelection<Iter: BackendIter> + 'static,
{
    let backend = |number| Backend::new_with_weight(&fleet::address(number), weight(number) as usize);
    let backends: Result<BTreeSet<Backend>, _> = (0..size).map(backend).collect();
    let balancer = LoadBalancer::from_backends(Backends::new(Static::new(backends.expect("the addresses are valid"))));
    let updated = pin!(balancer.update()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(updated, Poll::Ready(Ok(()))), "the discovery answers at once");
    balancer
}

/// Picks without a key.
pub(crate) struct Picks<'a, S: BackendSelection>(pub(crate) &'a LoadBalancer<S>);

impl<S> Subject for Picks<'_, S>
where
    S: BackendSelection<Iter: BackendIter> + 'static,
{
    type Lease = Option<Backend>;

    #[inline]
    fn start(&mut self) -> Option<Backend> {
        self.0.select(b"", 256)
    }

    #[inline]
    fn end(&mut self, _: Option<Backend>) {}
}
