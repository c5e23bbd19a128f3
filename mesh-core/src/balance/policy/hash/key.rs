//! From the bytes of a request's key to the number that [`PickContext::hash_key`] takes.
//!
//! [`PickContext::hash_key`]: crate::balance::PickContext::hash_key

use xxhash_rust::xxh64::xxh64;

/// The hash of `key`: XXH64 with seed 0, as Envoy and gRPC (A42) hash the key of a request.
///
/// For every policy that goes by keys, but for a ring of [`RingKind::Ketama`](super::RingKind::Ketama) that is to agree
/// with nginx. The same on every machine.
///
/// ```
/// use mesh_core::balance::{PickContext, hash_key};
///
/// let context = PickContext { hash_key: Some(hash_key(b"user-42")), ..PickContext::default() };
/// # assert_eq!(context.hash_key, Some(hash_key(b"user-42")));
/// ```
#[must_use]
pub fn hash_key(key: &[u8]) -> u64 {
    xxh64(key, 0)
}

/// The hash of `key` for a ring of [`RingKind::Ketama`](super::RingKind::Ketama): its CRC-32 (that of IEEE 802.3), as
/// nginx and pingora hash it, in the low 32 bits.
///
/// Of no use to other policies: its high 32 bits are 0.
#[must_use]
pub fn ketama_key(key: &[u8]) -> u64 {
    u64::from(crc32fast::hash(key))
}
