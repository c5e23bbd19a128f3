//! volo's weighted random, which counts no requests: what it returns is an owned address.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mesh_benches::fleet;
use mesh_benches::subject::Subject;
use volo::context::Endpoint;
use volo::discovery::WeightedStaticDiscover;
use volo::loadbalance::LoadBalance;
use volo::net::Address;

/// A discovery of `size` instances with the weights that `weight` gives them.
pub(crate) fn discovery(size: usize, weight: impl Fn(usize) -> u32) -> WeightedStaticDiscover {
    let instance = |number| {
        let address: SocketAddr = fleet::address(number).parse().expect("the address is valid");
        (address, weight(number))
    };
    WeightedStaticDiscover::from((0..size).map(instance).collect::<Vec<_>>())
}

/// The service that is picked for.
pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new("api".into())
}

/// The first address that a balancer offers.
#[inline]
pub(crate) fn pick<L>(balancer: &L, discovery: &WeightedStaticDiscover, endpoint: &Endpoint) -> Option<Address>
where
    L: LoadBalance<WeightedStaticDiscover>,
{
    let picker = pin!(balancer.get_picker(endpoint, discovery)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(mut offered)) = picker else { return None };
    offered.next()
}

/// Picks without a key.
pub(crate) struct Picks<'a, L> {
    pub(crate) balancer: &'a L,
    pub(crate) discovery: &'a WeightedStaticDiscover,
    pub(crate) endpoint: Endpoint,
}

impl<L: LoadBalance<WeightedStaticDiscover>> Subject for Picks<'_, L> {
    type Lease = Address;

    #[inline]
    fn start(&mut self) -> Address {
        pick(self.balancer, self.discovery, &self.endpoint).expect("all are usable")
    }

    #[inline]
    fn end(&mut self, _: Address) {}
}
