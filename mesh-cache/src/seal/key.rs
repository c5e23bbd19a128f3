//! Keys, how they are read from text, and how one is replaced by the next.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use mesh_core::port::Entropy;
use thiserror::Error;
use zeroize::Zeroizing;

use super::nonce::Nonces;

/// A key of 256 bits and the id that envelopes name it by.
///
/// The id is no secret: it travels in the open, and a key must never be replaced under the same id. The key is never
/// shown, and overwritten when it is dropped; it lives on the heap, so that moving it leaves no copy behind. In a process
/// it is read once and cloned from there: clones share where their nonces come from.
#[derive(Clone)]
pub struct SealKey {
    id: u32,
    bytes: Box<Zeroizing<[u8; Self::BYTES]>>,
    /// Shared by its clones: no two values may be sealed with one nonce under one key.
    nonces: Arc<OnceLock<Arc<Nonces>>>,
}

impl SealKey {
    /// The length of a key.
    pub const BYTES: usize = 32;

    /// The key `bytes`, named `id`.
    ///
    /// # Errors
    /// When all of it is zero, as memory is that nobody has filled.
    pub fn new(id: u32, bytes: &[u8; Self::BYTES]) -> Result<Self, KeyError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(KeyError::Zero { id });
        }
        Ok(Self { id, bytes: Box::new(Zeroizing::new(*bytes)), nonces: Arc::default() })
    }

    /// Reads 64 hexadecimal digits, or 43 or 44 characters of base64 (either alphabet, padded or not); white space
    /// around them is skipped. `openssl rand -hex 32` prints a good one.
    ///
    /// # Errors
    /// What is wrong with the text, of which nothing is repeated.
    pub fn parse(id: u32, text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let mut decoded = Zeroizing::new([0; Self::BYTES]);
        let complete = match text.len() {
            64 => hex(text.as_bytes(), &mut decoded),
            43 | 44 => base64(text, &mut decoded),
            bytes => return Err(KeyError::Length { id, bytes }),
        };
        complete.ok_or(KeyError::NotHexOrBase64 { id })?;
        Self::new(id, &decoded)
    }

    /// What envelopes name it by.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Where its nonces come from: whoever asks first says of which entropy.
    pub(super) fn nonces(&self, entropy: &Arc<dyn Entropy>) -> Arc<Nonces> {
        Arc::clone(self.nonces.get_or_init(|| Arc::new(Nonces::new(Arc::clone(entropy)))))
    }

    /// The key itself, for the cipher and nothing else.
    pub(super) fn expose(&self) -> &[u8; Self::BYTES] {
        &self.bytes
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({}, [redacted])", self.id)
    }
}

/// The key that is sealed with now, and those that are accepted from before.
///
/// To rotate: make the new key an accepted one everywhere; then make it the current one everywhere; then drop the old
/// one, once what it sealed is older than the tier keeps it.
#[derive(Clone, Debug)]
pub struct KeyRing {
    current: SealKey,
    accepted: Vec<SealKey>,
}

impl KeyRing {
    /// The most keys of a ring: a rotation needs two, and each more is one more that may have leaked.
    pub const KEYS_MAX: usize = 8;

    /// A ring that seals and opens with `current`.
    #[must_use]
    pub const fn new(current: SealKey) -> Self {
        Self { current, accepted: Vec::new() }
    }

    /// Opens with `key` too, but seals nothing with it.
    ///
    /// # Errors
    /// When there is one with its id already, or the ring is full.
    pub fn accept(mut self, key: SealKey) -> Result<Self, KeyError> {
        if self.find(key.id).is_some() {
            return Err(KeyError::Duplicate { id: key.id });
        }
        if self.accepted.len() + 1 >= Self::KEYS_MAX {
            return Err(KeyError::RingFull { id: key.id });
        }
        self.accepted.push(key);
        Ok(self)
    }

    /// The key that is sealed with.
    #[must_use]
    pub const fn current(&self) -> &SealKey {
        &self.current
    }

    /// The key whose id is `id`.
    pub(super) fn find(&self, id: u32) -> Option<&SealKey> {
        core::iter::once(&self.current).chain(&self.accepted).find(|key| key.id == id)
    }
}

/// Why a key is not taken. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Its text has a length that no key has.
    #[error("key {id}: {bytes} bytes of text: must be 64 of hex, or 43 or 44 of base64")]
    Length {
        /// The id of the key.
        id: u32,
        /// How long its text is, without white space around it.
        bytes: usize,
    },
    /// Its text is neither hexadecimal nor base64.
    #[error("key {id}: must be 32 bytes in hex or base64")]
    NotHexOrBase64 {
        /// The id of the key.
        id: u32,
    },
    /// It is all zero.
    #[error("key {id}: must not be all zero")]
    Zero {
        /// The id of the key.
        id: u32,
    },
    /// The ring has a key with its id.
    #[error("key {id}: is there already, and an id must name one key")]
    Duplicate {
        /// The id that they share.
        id: u32,
    },
    /// The ring has no room for it.
    #[error("key {id}: one too many, at most {max} are kept", max = KeyRing::KEYS_MAX)]
    RingFull {
        /// The id of the key.
        id: u32,
    },
}

fn hex(text: &[u8], decoded: &mut [u8; SealKey::BYTES]) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (pair, byte) in text.chunks_exact(2).zip(decoded) {
        let [high, low] = pair else { return None };
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(())
}

fn base64(text: &str, decoded: &mut [u8; SealKey::BYTES]) -> Option<()> {
    // 44 characters may stand for 33 bytes: room for them, so that the length is told apart from the alphabet.
    let mut room = Zeroizing::new([0; SealKey::BYTES + 1]);
    let url_safe = text.contains(['-', '_']);
    let engine = if url_safe { URL_SAFE_PAD_INDIFFERENT } else { STANDARD_PAD_INDIFFERENT };
    let length = engine.decode_slice(text, room.as_mut_slice()).ok()?;
    *decoded = *room.get(..length)?.as_array()?;
    Some(())
}
