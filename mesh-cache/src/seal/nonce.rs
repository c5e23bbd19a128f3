//! Nonces: no two values are ever sealed with the same one.
//!
//! Decides where they come from. They are no secret and may be foretold; all that the cipher asks of them is that
//! none repeats under one key, since two values under one nonce would show their difference and let a seal be forged.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_core::port::Entropy;

use super::NONCE_BYTES;

/// The 192 bits that one value is sealed with: used once, so it is neither cloned nor made by hand.
#[derive(PartialEq, Eq)]
pub struct Nonce([u8; NONCE_BYTES]);

impl Nonce {
    /// A word that differs from nonce to nonce, for names: the first, and the one that counts.
    pub(crate) fn salt(&self) -> u64 {
        let words = [self.0.first_chunk(), self.0.last_chunk()];
        words.into_iter().flatten().fold(0, |salt, word| salt ^ u64::from_be_bytes(*word))
    }

    pub(super) const fn bytes(&self) -> &[u8; NONCE_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

/// Where the nonces of a key come from. A process keeps one for each key, which [`Sealer::nonces`](super::Sealer::nonces)
/// gives to whoever seals with that key or a clone of it.
///
/// A nonce is two words of entropy drawn for it, and a third that is a random start plus a counter.
///
/// * *Within a process* the third word repeats after 2^64 nonces and not before, whatever the entropy is worth: a
///   sandbox that refuses it, or a simulation that gives the same word for ever, costs no seal. A key that is read twice
///   in one process, in place of being cloned, is as one of two processes.
/// * *Between processes* that share a key, any two nonces are equal with a probability of 2^-192, as if all of it were
///   random: a hundred processes that write 10,000 values a second for a century draw 2^51.5 of them, and the
///   probability that any two are the same is below 2^-89 (n²/2 pairs). This is why the cipher is XChaCha20, which has
///   room for it, and not AES-GCM, whose 96 bits allow 2^32 random nonces a key (NIST SP 800-38D, 8.3).
/// * *Between copies* of one process, such as a virtual machine that was restored twice, start and counter are the same
///   and the two fresh words differ.
///
/// The counter belongs to the key and not to the process, so that a simulation sees the same nonces in every run.
#[derive(Debug)]
pub struct Nonces {
    entropy: Arc<dyn Entropy>,
    start: u64,
    drawn: AtomicU64,
}

impl Nonces {
    /// Nonces of `entropy`, the operating system's outside of tests.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        let start = entropy.next_u64();
        Self { entropy, start, drawn: AtomicU64::new(0) }
    }

    /// One that was never drawn before.
    #[must_use]
    pub fn draw(&self) -> Nonce {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let words = [self.entropy.next_u64(), self.entropy.next_u64(), self.start.wrapping_add(count)];
        let mut bytes = [0; NONCE_BYTES];
        for (byte, drawn) in bytes.iter_mut().zip(words.into_iter().flat_map(u64::to_be_bytes)) {
            *byte = drawn;
        }
        Nonce(bytes)
    }
}
