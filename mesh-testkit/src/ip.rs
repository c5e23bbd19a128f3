//! Loopback addresses that no other test has: fixed ports then cannot collide.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address of 127.0.0.0/8 that this process has not handed out before, and that other processes hand out only after
/// 2^22 of theirs, or by chance; whoever finds it taken takes the next.
pub(crate) fn next() -> Ipv4Addr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(61).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
    // 127.64.0.0 to 127.127.255.255, without .0 and .255 at the end.
    let (low, high) = (number % 254 + 1, number / 254);
    let octet = |bits: u32| u8::try_from(bits & 0xff).unwrap_or(0);
    Ipv4Addr::new(127, 64 + octet((high >> 8) & 0x3f), octet(high), octet(low))
}
