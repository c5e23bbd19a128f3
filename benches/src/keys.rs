//! The keys that requests are hashed by: 4,096 of them, drawn at random by every subject alike.

use mesh_core::balance::hash_key;

use crate::timing::WyRand;

/// How many keys there are: so many that no predictor learns them, and so few that they stay in the nearest caches.
pub const KEYS: usize = 4_096;

/// The keys as texts of 12 bytes, as callers and most peers have them.
#[must_use]
pub fn texts() -> Vec<String> {
    let mut rng = WyRand::new(12);
    (0..KEYS).map(|_| format!("user-{:07}", rng.next_u64() % 10_000_000)).collect()
}

/// The hashes of the keys, as callers give them who hash for themselves.
#[must_use]
pub fn hashes() -> Vec<u64> {
    texts().iter().map(|text| hash_key(text.as_bytes())).collect()
}

/// Which of the keys a random word names.
#[inline]
#[must_use]
pub const fn index(bits: u64) -> usize {
    (bits >> (u64::BITS - KEYS.trailing_zeros())) as usize
}
