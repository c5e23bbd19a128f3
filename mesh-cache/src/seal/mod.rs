//! How a value travels through a second tier that may be wrong, shared or hostile.
//!
//! Decides which bytes are believed. With keys, a value is sealed (XChaCha20-Poly1305) together with the place that it is
//! kept at and all that is said of it: it cannot be read, changed, made younger or moved to another key. Without keys it
//! is a *hint*: whoever reads it must let it override nothing that came from the origin. Never reads a clock, never
//! draws entropy but for nonces, and keeps no state but where a key's nonces come from.
//!
//! # What a seal does not do
//! A tier may withhold a value, delete it, or play back an old one: anything that was ever sealed for a place is
//! accepted there until it is older than [`Limits::age_max`]. A tier whose own clock is asked for the time may stretch
//! that; whoever drives should compare it with a clock of its own. The header and the length of the payload are
//! readable by all.
//!
//! # Layout
//! Integers are big-endian. What a script on the server may want stands first, at offsets that never move.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `MSH1` |
//! | 4 | 1 | kind: 0 a hint, 1 sealed |
//! | 5 | 4 | id of the key; 0 in a hint |
//! | 9 | 8 | written at, microseconds of the tier's clock |
//! | 17 | 8 | version: epoch |
//! | 25 | 8 | version: index |
//! | 33 | 8 | fresh for, milliseconds |
//! | 41 | 8 | stale for, milliseconds |
//! | 49 | 8 | stale on error for, milliseconds |
//! | 57 | 8 | own age when written, milliseconds |
//! | 65 | 2 | number of marks, *n*, at most 32 |
//! | 67 | 8 *n* | marks |
//! | 67 + 8 *n* | 4 | length of the payload, *p*, before it is sealed |
//! | 71 + 8 *n* | 24 | nonce, if sealed |
//! | … | *p* | payload |
//! | … | 16 | tag, if sealed |
//!
//! The seal covers, each after its length as a u64: the namespace, the key, the schema version, and every byte before
//! the nonce.

mod envelope;
mod error;
mod key;
mod nonce;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chacha20poly1305::aead::{AeadInPlace as _, KeyInit as _};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use mesh_core::port::Entropy;

pub use envelope::{
    AGE_OFFSET, Header, KEY_ID_OFFSET, KIND_OFFSET, LIFETIMES_OFFSET, MAGIC, MARKS_MAX, MARKS_OFFSET,
    OVERHEAD_BYTES_MAX, VERSION_INDEX_OFFSET, VERSION_OFFSET, WRITTEN_AT_OFFSET,
};
pub use error::{SealError, UnsealError};
pub use key::{KeyError, KeyRing, SealKey};
pub use nonce::{Nonce, Nonces};

pub(crate) use wire::Cursor;

use envelope::{Body, Envelope};

/// Puts values into envelopes and takes them out.
#[derive(Clone, Debug)]
pub struct Sealer {
    keys: Option<KeyRing>,
    accepts_hints: bool,
}

impl Sealer {
    /// Has no key: writes hints and reads nothing but hints.
    #[must_use]
    pub const fn open_hints() -> Self {
        Self { keys: None, accepts_hints: true }
    }

    /// Seals with the current key of `keys`, and reads what any of them sealed.
    #[must_use]
    pub const fn with_keys(keys: KeyRing) -> Self {
        Self { keys: Some(keys), accepts_hints: false }
    }

    /// Reads hints too, as such: for the time in which keys are introduced, while some still write without.
    #[must_use]
    pub const fn accept_hints(mut self) -> Self {
        self.accepts_hints = true;
        self
    }

    /// Whether what it writes is sealed.
    #[must_use]
    pub const fn seals(&self) -> bool {
        self.keys.is_some()
    }

    /// The nonces that it seals with: one source for every clone of its key in this process, made of the first `entropy`
    /// that is given. Without keys, nonces of `entropy`, which seal nothing.
    #[must_use]
    pub fn nonces(&self, entropy: &Arc<dyn Entropy>) -> Arc<Nonces> {
        match self.keys.as_ref().map(KeyRing::current) {
            Some(key) => key.nonces(entropy),
            None => Arc::new(Nonces::new(Arc::clone(entropy))),
        }
    }

    /// Puts `payload` into an envelope for `place`, sealed with a nonce of [`Sealer::nonces`]. A hint needs none; it is
    /// dropped.
    ///
    /// # Errors
    /// When the payload or its marks do not fit into an envelope. What readers refuse to read is their [`Limits`]'
    /// business, not known here.
    pub fn seal(&self, place: &Place<'_>, header: &Header, payload: &[u8], nonce: Nonce) -> Result<Vec<u8>, SealError> {
        let too_long = SealError::TooLong { bytes: payload.len() };
        let payload_bytes = u32::try_from(payload.len()).map_err(|_| too_long)?;
        let mut out = Vec::with_capacity(payload.len().saturating_add(OVERHEAD_BYTES_MAX));
        let Some(key) = self.keys.as_ref().map(KeyRing::current) else {
            header.write(&mut out, Trust::Hint, 0, payload_bytes)?;
            out.extend_from_slice(payload);
            return Ok(out);
        };
        header.write(&mut out, Trust::Sealed, key.id(), payload_bytes)?;
        let associated = place.associated(&out);
        out.extend_from_slice(nonce.bytes());
        let payload_at = out.len();
        out.extend_from_slice(payload);
        let cipher = XChaCha20Poly1305::new(key.expose().into());
        let ciphertext = out.get_mut(payload_at..).unwrap_or_default();
        let tag = cipher
            .encrypt_in_place_detached(XNonce::from_slice(nonce.bytes()), &associated, ciphertext)
            .map_err(|_| too_long)?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Takes what is in the envelope `bytes`, found at `place` at the time `now_micros` of the tier's clock.
    ///
    /// The size is checked before anything is allocated, and the seal before anything that it covers is believed.
    ///
    /// # Errors
    /// Why it must not be used.
    pub fn unseal(
        &self,
        place: &Place<'_>,
        bytes: &[u8],
        now_micros: u64,
        limits: &Limits,
    ) -> Result<Opened, UnsealError> {
        let Envelope { header, header_bytes, body } = Envelope::parse(bytes, limits.value_bytes_max)?;
        let (payload, trust) = match body {
            Body::Hint(payload) if self.accepts_hints => (payload.to_vec(), Trust::Hint),
            Body::Hint(_) => return Err(UnsealError::Unsealed),
            Body::Sealed { key_id, nonce, ciphertext, tag } => {
                let keys = self.keys.as_ref().ok_or(UnsealError::NoKey { key_id })?;
                let key = keys.find(key_id).ok_or(UnsealError::UnknownKey { key_id })?;
                let cipher = XChaCha20Poly1305::new(key.expose().into());
                let (nonce, tag) = (XNonce::from_slice(&nonce), Tag::from_slice(&tag));
                let mut payload = ciphertext.to_vec();
                cipher
                    .decrypt_in_place_detached(nonce, &place.associated(header_bytes), &mut payload, tag)
                    .map_err(|_| UnsealError::Forged { key_id })?;
                (payload, Trust::Sealed)
            }
        };
        limits.check_time(header.written_at_micros, now_micros)?;
        Ok(Opened { header, payload, trust })
    }
}

/// Where a value is kept, and as what. A sealed value is believed nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// What keeps one user of a shared tier from another.
    pub namespace: &'a str,
    /// The whole key in the tier.
    pub key: &'a str,
    /// The version of the payload's format.
    pub schema: u32,
}

impl Place<'_> {
    /// What a seal covers besides the payload; lengths first, so that no two places give the same bytes.
    fn associated(&self, header: &[u8]) -> Vec<u8> {
        let schema = self.schema.to_be_bytes();
        let parts = [self.namespace.as_bytes(), self.key.as_bytes(), &schema, header];
        let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
        for part in parts {
            out.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// What is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long after it was written a value is still read: 3 days, as long as the longest lifetime by default. An
    /// attacker may play back what is younger.
    pub age_max: Duration,
    /// How far in the future it may have been written: 1 s, as clocks of one tier differ after a failover.
    pub future_skew_max: Duration,
    /// The most bytes of a payload: 64 KiB.
    pub value_bytes_max: usize,
}

impl Limits {
    /// The most bytes of an envelope that may be read: ask a tier for one more, and it is known to be too large.
    #[must_use]
    pub const fn envelope_bytes_max(&self) -> usize {
        self.value_bytes_max.saturating_add(OVERHEAD_BYTES_MAX)
    }

    fn check_time(&self, written_at_micros: u64, now_micros: u64) -> Result<(), UnsealError> {
        let age = Duration::from_micros(now_micros.saturating_sub(written_at_micros));
        if age > self.age_max {
            return Err(UnsealError::Replayed { age, age_max: self.age_max });
        }
        let ahead = Duration::from_micros(written_at_micros.saturating_sub(now_micros));
        if ahead > self.future_skew_max {
            return Err(UnsealError::FromTheFuture { ahead, skew_max: self.future_skew_max });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            age_max: Duration::from_secs(3 * 24 * 60 * 60),
            future_skew_max: Duration::from_secs(1),
            value_bytes_max: 64 * 1024,
        }
    }
}

/// What was in an envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// What is said of the value.
    pub header: Header,
    /// The value's bytes.
    pub payload: Vec<u8>,
    /// How far to believe both.
    pub trust: Trust,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = format_args!("{} bytes", self.payload.len());
        let Self { header, trust, .. } = self;
        f.debug_struct("Opened").field("header", header).field("payload", &payload).field("trust", trust).finish()
    }
}

/// How far an opened envelope is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Somebody who has a key wrote it, for this place.
    Sealed,
    /// Anybody may have written it: it may fill a gap, and override nothing.
    Hint,
}

impl Trust {
    const fn kind(self) -> u8 {
        match self {
            Self::Hint => 0,
            Self::Sealed => 1,
        }
    }

    fn of_kind(kind: u8) -> Option<Self> {
        [Self::Hint, Self::Sealed].into_iter().find(|trust| trust.kind() == kind)
    }
}

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
