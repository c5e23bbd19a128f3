//! The rings and tables of the peers: 160 points for each instance, 65,537 entries for all, as ours have by default.

use std::net::SocketAddr;

use hashring::HashRing;
use maglev::Maglev;
use mesh_benches::fleet;
use pingora_ketama::{Bucket, Continuum};
use poise_core::Backend;
use poise_core::policy::{MaglevConfig, RingHashConfig};
use std::num::{NonZeroU32, NonZeroUsize};

/// How many points an instance has on a ring.
pub(crate) const POINTS: u32 = 160;

/// How many entries a Maglev table has.
pub(crate) const ENTRIES: usize = 65_537;

/// Above this, the `maglev` crate's matrix of instances and entries takes more memory than machines have to spare.
pub(crate) const MAGLEV_MAX: usize = 1_000;

/// The addresses of `size` instances.
pub(crate) fn addresses(size: usize) -> Vec<SocketAddr> {
    (0..size).map(|number| fleet::address(number).parse().expect("the address is valid")).collect()
}

/// pingora-ketama's ring.
pub(crate) fn ketama(addresses: &[SocketAddr]) -> Continuum {
    Continuum::new(&addresses.iter().map(|address| Bucket::new(*address, 1)).collect::<Vec<_>>())
}

/// An instance's point on hashring's ring, which leaves it to its users to give an instance more than one.
pub(crate) type Point = (SocketAddr, u32);

/// The points of one instance.
pub(crate) fn points(address: SocketAddr) -> impl Iterator<Item = Point> {
    (0..POINTS).map(move |point| (address, point))
}

/// hashring's ring.
pub(crate) fn hashring(addresses: &[SocketAddr]) -> HashRing<Point> {
    let mut ring = HashRing::new();
    ring.batch_add(addresses.iter().copied().flat_map(points).collect());
    ring
}

/// The `maglev` crate's table.
pub(crate) fn maglev(addresses: &[SocketAddr]) -> Maglev<SocketAddr> {
    Maglev::with_capacity(addresses.iter().copied(), ENTRIES)
}

/// Poise's candidates.
pub(crate) fn candidates(addresses: &[SocketAddr]) -> Vec<Backend<SocketAddr>> {
    addresses.iter().copied().map(Backend::new).collect()
}

/// Poise's ring.
pub(crate) fn poise_ring() -> RingHashConfig {
    let points = NonZeroU32::new(POINTS).expect("not zero");
    RingHashConfig::new(points, NonZeroUsize::MAX).expect("an instance's points are within the limit")
}

/// Poise's Maglev table.
pub(crate) fn poise_maglev() -> MaglevConfig {
    MaglevConfig::new(ENTRIES).expect("the number is a prime")
}
